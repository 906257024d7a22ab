import Files
import KeyRing
import Store
import TestKit
import Testing
import Time

@testable import Backup

/// A store with two tables that each write changes together, and a repository beside it.
final class BackupFixture: Sendable {
    static let secret: [UInt8] = Array("correct horse battery".utf8)
    static let migrations: ServiceMigrations = ServiceMigrations(
        service: "notes",
        steps: [
            Migration(
                number: 1, name: "notes",
                sql: """
                    CREATE TABLE notes (id int64 PRIMARY KEY, body text NOT NULL);
                    CREATE TABLE totals (id int64 PRIMARY KEY, count int64 NOT NULL);
                    INSERT INTO totals (id, count) VALUES (1, 0);
                    """)
        ])
    /// What no backup may show.
    static let plain: String = "the quick brown fox jumps over the lazy dog"

    let folder: TemporaryFolder = TemporaryFolder()
    let store: Store

    init() throws {
        self.store = try Store.open(
            StoreConfiguration(folder: self.folder.file("data")), migrations: [Self.migrations])
    }

    var data: String { self.folder.file("data") }
    var repository: String { self.folder.file("backups") }
    var restored: String { self.folder.file("restored") }

    /// Adds notes; each write is one note and one more in the total.
    func write(_ count: Int, of body: String = BackupFixture.plain) async throws {
        for _ in 0..<count {
            try await self.store.write { transaction in
                try transaction.execute(
                    """
                    INSERT INTO notes (id, body) SELECT coalesce(max(id), 0) + 1, $1 FROM notes
                    """, .text(body))
                try transaction.execute("UPDATE totals SET count = count + 1 WHERE id = 1")
            }
        }
    }

    @discardableResult
    func backUp(isFull: Bool = false, masterKey: String? = nil, second: Int64 = 0) throws -> BackupDescription {
        let repository: BackupRepository = try BackupRepository.openOrMake(self.repository, secret: Self.secret)
        let data: String = self.data
        return try BackupWriter.write(
            [.init(name: "passerelle.db", bytes: 1, take: { try DatabasePicture(ofOpenStoreIn: data) })],
            to: repository,
            masterKey: masterKey, auditEntries: 0, version: "0",
            now: Timestamp(milliseconds: 1_800_000_000_000 + second * 1_000), isFull: isFull)
    }

    func open() throws -> BackupRepository { try BackupRepository.open(self.repository, secret: Self.secret) }

    @discardableResult
    func restore(_ id: String? = nil, masterKey: [UInt8]? = nil) throws -> BackupDescription {
        let repository: BackupRepository = try self.open()
        return try Restore.run(
            repository, id: try repository.resolve(id), into: self.restored, masterKey: masterKey)
    }

    /// How many notes a folder holds; checks that the total says the same.
    static func notes(in folder: String) async throws -> Int64 {
        let store: Store = try Store.open(StoreConfiguration(folder: folder, readers: 1), migrations: [Self.migrations])
        let counts: [Int64] = try await store.read { reader in
            try reader.rows("SELECT count(*) FROM notes UNION ALL SELECT count FROM totals") { try $0.int(0) }
        }
        await store.close()
        #expect(counts.count == 2 && counts.first == counts.last)
        return counts[0]
    }

    var packs: [String] {
        get throws { try Folders.names(in: "\(self.repository)/packs").map { "\(self.repository)/packs/\($0)" } }
    }
}
