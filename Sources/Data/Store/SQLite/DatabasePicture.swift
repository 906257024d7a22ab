import CSQLite
import Glibc
import Time

/// The database file as it stood after one commit, byte for byte, while the store goes on: what a backup copies.
///
/// SQLite itself holds the file still. When everything in the write-ahead log has been copied into the database, a reader that
/// begins then needs nothing of the log and takes read lock 0, and as long as that is held no checkpoint writes to the
/// database file: commits go to the log, which grows meanwhile. So the file can be read as it is, with no second copy of it on
/// the disk and without holding up anyone:
///
/// ```
/// hold the write lock ─► copy the rest of the log ─► begin a reader ─► let the write lock go ─► read the file … ─► end the reader
/// ```
/// `@unchecked Sendable`: one thread at a time uses it, which whoever takes it sees to; SQLite needs no more of a connection.
package final class DatabasePicture: Queryable, @unchecked Sendable {
    /// How often the moment without older readers is sought, and the pause between: readers live 5 s at most.
    private static let attemptsMax: Int = 200
    private static let pauseMicroseconds: UInt32 = 50_000
    private static let lockPauseMicroseconds: UInt32 = 200
    /// Some 5 s.
    private static let lockAttemptsMax: Int32 = 20_000
    /// Tries to copy the rest while the write lock is held: commits wait for this long, some 20 ms.
    private static let copiesMax: Int = 10
    private static let copyPauseMicroseconds: UInt32 = 2_000

    /// The file's length in bytes.
    package let length: Int64
    /// The database file.
    package let path: String
    private let reader: Connection
    /// Held for a folder that no process works on.
    private let lock: FolderLock?

    /// Takes the picture of a folder whose store is open in this process. Blocks, usually some milliseconds.
    package convenience init(ofOpenStoreIn folder: String) throws(StoreError) {
        try self.init(DataFolder(path: folder), lock: nil)
    }

    /// Takes the picture of a folder that no process works on, and keeps others out while it lasts. Changes nothing, but what
    /// the write-ahead log of a killed process holds is copied into the database.
    ///
    /// Throws `.locked` when a process works there.
    package convenience init(ofStoppedStoreIn folder: String) throws(StoreError) {
        let place: DataFolder = DataFolder(path: folder)
        try self.init(place, lock: try FolderLock(place))
    }

    private init(_ folder: DataFolder, lock: FolderLock?) throws(StoreError) {
        self.path = folder.databasePath
        self.lock = lock
        self.reader = try Self.connection(folder.databasePath)
        let holder: Connection = try Self.connection(folder.databasePath)
        defer { holder.close() }
        // Under load the write lock is free for some ten microseconds between two commits: look often.
        sqlite3_busy_handler(
            holder.handle,
            { _, count in
                usleep(DatabasePicture.lockPauseMicroseconds)
                return count < DatabasePicture.lockAttemptsMax ? 1 : 0
            }, nil)
        guard try Self.stand(self.reader, holder) else {
            throw .unavailable(
                reason: "for \(Self.attemptsMax / 20) s some reader was always in the way of a backup; try again later")
        }
        var length: Int64 = 0
        let result: Int32 = csqlite_main_length(self.reader.handle, &length)
        guard result == SQLITE_OK else { throw SQLiteResult.error(result, self.reader.handle) }
        self.length = length
    }

    private static func connection(_ path: String) throws(StoreError) -> Connection {
        let connection: Connection = try Connection(path: path, mode: .readWrite)
        // Never copies a page by itself, as the checkpointer does not.
        try connection.configureCheckpointer()
        return connection
    }

    /// Brings the reader to where the file is all there is.
    private static func stand(_ reader: Connection, _ holder: Connection) throws(StoreError) -> Bool {
        for attempt: Int in 0..<Self.attemptsMax {
            if attempt > 0 { usleep(Self.pauseMicroseconds) }
            try holder.pragma("BEGIN IMMEDIATE")
            defer { _ = try? holder.pragma("ROLLBACK") }
            guard try Self.copyRest(reader) else { continue }
            try reader.pragma("BEGIN")
            _ = try reader.integer("SELECT count(*) FROM sqlite_schema")
            return true
        }
        return false
    }

    /// - Returns: whether all of the log is in the database now.
    private static func copyRest(_ connection: Connection) throws(StoreError) -> Bool {
        for attempt: Int in 0..<Self.copiesMax {
            if attempt > 0 { usleep(Self.copyPauseMicroseconds) }
            var pages: Int32 = 0
            var copied: Int32 = 0
            let result: Int32 = sqlite3_wal_checkpoint_v2(
                connection.handle, nil, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied)
            if result == SQLITE_OK, pages == copied { return true }
            guard result == SQLITE_OK || result == SQLITE_BUSY else {
                throw SQLiteResult.error(result, connection.handle)
            }
        }
        return false
    }

    deinit { self.end() }

    /// Lets the database file change again. Later reads fail.
    package func end() {
        self.reader.close()
        self.lock?.release()
    }

    /// Reads `count` bytes at `offset`; fewer at the end of the file.
    package func read(at offset: Int64, count: Int) throws(StoreError) -> [UInt8] {
        guard self.reader.handle != nil else { throw .closed }
        let count: Int = Int(min(Int64(count), max(0, self.length - offset)))
        var bytes: [UInt8] = [UInt8](repeating: 0, count: count)
        let result: Int32 = csqlite_main_read(self.reader.handle, &bytes, Int32(count), offset)
        guard result == SQLITE_OK else { throw SQLiteResult.error(result, self.reader.handle) }
        return bytes
    }

    package var engine: StoreEngineKind { .sqlite }

    /// Throws `.olderDatabase`, `.newerDatabase`, `.changedMigration` or `.foreignDatabase` where it has not what these services
    /// need.
    package func require(_ services: [ServiceMigrations]) throws(StoreError) {
        try MigrationRunner(.sqlite(self.reader), services, now: Timestamp(nanoseconds: 0)).prepare(.partial)
    }

    package func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        try self.reader.visit(sql, parameters, body)
    }

    /// What is wrong with a database file that no process works on: SQLite's own check of its structure; nil when all is well.
    /// Reads the whole file.
    package static func damage(inStoppedStoreIn folder: String) throws(StoreError) -> String? {
        let picture: DatabasePicture = try DatabasePicture(ofStoppedStoreIn: folder)
        defer { picture.end() }
        let answer: String = try picture.reader.pragma("PRAGMA quick_check(1)") ?? "no answer"
        return answer == "ok" ? nil : answer
    }
}
