import Bytes
import EventLoops
import Files
import GatewayConfiguration
import Glibc
import JSON
import Synchronization

/// What a gateway keeps on its disk, so that it starts without its control plane.
///
/// ```
/// gateway.key     the gateway's own private key: the secrets of the others are sealed to it; itself by a key of the folder
/// snapshot.json   a whole document, not newer than what the changes beside it lead to
/// changes-N       what the control plane sent since, each record synced before it is acknowledged; N counts up
///                 record = length (4 bytes, big-endian) + CRC-32C of the bytes (4) + the bytes as they came
/// ```
/// Read in this order: the document, then each record whose version is newer than what was read so far. A record that is torn
/// or fails its checksum was never acknowledged: its file ends there. When a document has been saved, the files of changes that
/// were begun before it go.
///
/// Two threads write: changes must not wait for a large document, whose thread gives way to all others. Any thread may call.
final class SnapshotFiles: Sendable {
    private static let changesPrefix: String = "changes-"
    private static let recordHeadBytes: Int = 8

    /// Touched by the thread of changes only.
    private struct Changes {
        var file: GrowingFile?
        var number: Int = 0
    }

    private let folder: String
    private let changes: Mutex<Changes>
    private let changeThread: EventLoop = EventLoop.start(name: "snapshot-log")
    private let documentThread: EventLoop = EventLoop.start(name: "snapshot")
    /// Ten steps leave the thread a tenth of a processor that another thread wants as well.
    private static let documentNiceness: Int32 = 10

    private let key: GatewayKey?

    /// - Parameters:
    ///   - folder: made when missing.
    ///   - key: what the secrets of a document are sealed to; nil keeps none.
    init(folder: String, key: GatewayKey? = nil) throws(FileError) {
        self.key = key
        try Files.makeFolder(folder)
        self.folder = folder
        var last: Int = 0
        for name in try Folders.names(in: folder) { last = max(last, Self.number(name) ?? 0) }
        self.changes = Mutex(Changes(number: last))
        // On Linux this is the calling thread's alone (setpriority(2), "C library/kernel differences").
        self.documentThread.execute {
            _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.documentNiceness)
        }
    }

    deinit { self.close() }

    /// Ends the threads; what is called later fails.
    func close() {
        self.changeThread.stop()
        self.documentThread.stop()
    }

    // MARK: Reading

    /// What was kept; nil when there is nothing. Blocks. - Throws: when the document cannot be read.
    func load() throws -> HashedDocument? {
        var document: HashedDocument?
        if Files.exists(self.documentPath) {
            var saved: HashedDocument = HashedDocument()
            try saved.receive(
                try Files.read(self.documentPath, bytesMax: GatewayAgent.savedBytesMax), opener: self.key)
            document = saved
        }
        for path in try self.changePaths() {
            for record in Self.records(try Files.read(path, bytesMax: GatewayAgent.savedBytesMax)) {
                var next: HashedDocument = document ?? HashedDocument()
                // What does not fit follows on something that the document holds already.
                guard (try? next.receive(record, opener: self.key)) != nil else { continue }
                if next.version > document?.version ?? -1 { document = next }
            }
        }
        return document
    }

    private var documentPath: String { "\(self.folder)/snapshot.json" }

    private func changePaths() throws(FileError) -> [String] {
        var numbers: [Int] = []
        for name in try Folders.names(in: self.folder) {
            if let number: Int = Self.number(name) { numbers.append(number) }
        }
        return numbers.sorted().map { self.path(of: $0) }
    }

    private func path(of number: Int) -> String { "\(self.folder)/\(Self.changesPrefix)\(number)" }

    private static func number(_ name: String) -> Int? {
        name.hasPrefix(Self.changesPrefix) ? Int(name.dropFirst(Self.changesPrefix.count)) : nil
    }

    /// The records up to the first that is torn.
    private static func records(_ bytes: [UInt8]) -> [[UInt8]] {
        var found: [[UInt8]] = []
        var at: Int = 0
        while at + Self.recordHeadBytes <= bytes.count {
            let length: Int = Int(Self.number(bytes, at))
            let start: Int = at + Self.recordHeadBytes
            guard length <= bytes.count - start else { break }
            let record: [UInt8] = Array(bytes[start..<(start + length)])
            guard CRC32C.checksum(record) == Self.number(bytes, at + 4) else { break }
            found.append(record)
            at = start + length
        }
        return found
    }

    private static func number(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        var number: UInt32 = 0
        for byte: UInt8 in bytes[at..<(at + 4)] { number = number << 8 | UInt32(byte) }
        return number
    }

    // MARK: Writing

    /// Returns once what the control plane sent, in this order, is on the disk: one sync for all of it.
    func append(_ changed: [[UInt8]]) async throws(FileError) {
        try await Self.run(on: self.changeThread) { [self] () throws(FileError) in
            let failure: FileError? = self.changes.withLock { (changes: inout Changes) -> FileError? in
                do throws(FileError) {
                    try self.appendNow(changed, &changes)
                    return nil
                } catch {
                    return error
                }
            }
            if let failure: FileError { throw failure }
        }
    }

    private func appendNow(_ changed: [[UInt8]], _ changes: inout Changes) throws(FileError) {
        let isFresh: Bool = changes.file == nil
        let file: GrowingFile
        if let open: GrowingFile = changes.file {
            file = open
        } else {
            changes.number += 1
            file = try GrowingFile(creating: self.path(of: changes.number))
        }
        changes.file = nil
        var records: [UInt8] = []
        for bytes in changed {
            records.reserveCapacity(records.count + Self.recordHeadBytes + bytes.count)
            for value: UInt32 in [UInt32(bytes.count), CRC32C.checksum(bytes)] {
                for shift: UInt32 in [24, 16, 8, 0] { records.append(UInt8(truncatingIfNeeded: value >> shift)) }
            }
            records += bytes
        }
        try file.append(records)
        try file.sync()
        if isFresh { try Folders.sync(self.folder) }
        // Only a file whose last sync worked is written on.
        changes.file = file
    }

    /// Saves a document that holds every change appended before this call, and removes those.
    func save(_ document: HashedDocument) async throws(FileError) {
        // Changes that come from now on go to another file. Queued before anything else of this call can wait.
        let last: Int = await withCheckedContinuation { (continuation: CheckedContinuation<Int, Never>) in
            let isTaken: Bool = self.changeThread.execute { [self] in
                continuation.resume(returning: self.changes.withLock { self.endFile(&$0) })
            }
            if !isTaken { continuation.resume(returning: 0) }
        }
        let path: String = self.documentPath
        let key: GatewayKey? = self.key
        try await Self.run(on: self.documentThread) { () throws(FileError) in
            let secrets: JSONObject? = document.secrets.isEmpty ? nil : key.map { $0.sealed(document) }
            try Files.replace(path, with: document.serialized(secrets: secrets))
        }
        for name in try Folders.names(in: self.folder) {
            if let number: Int = Self.number(name), number <= last { try Files.remove(self.path(of: number)) }
        }
    }

    /// - Returns: the number of the last file begun.
    private func endFile(_ changes: inout Changes) -> Int {
        changes.file = nil
        return changes.number
    }

    private static func run(
        on thread: EventLoop, _ work: @escaping @Sendable () throws(FileError) -> Void
    ) async throws(FileError) {
        let failure: FileError? = await withCheckedContinuation { continuation in
            let isTaken: Bool = thread.execute {
                do throws(FileError) {
                    try work()
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
            if !isTaken { continuation.resume(returning: FileError(path: "", refusal: "the gateway stops")) }
        }
        if let failure: FileError { throw failure }
    }
}
