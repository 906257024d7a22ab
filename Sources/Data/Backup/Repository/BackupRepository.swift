import Files
import Glibc
import JSON
import Store

/// A folder of backups, opened with its passphrase or key. Blocks the calling thread; for threads of its own.
package final class BackupRepository: Sendable {
    package let path: String
    let keys: RepositoryKeys

    private init(path: String, keys: RepositoryKeys) {
        self.path = path
        self.keys = keys
    }

    /// Opens a repository. Takes some 150 ms of CPU.
    package static func open(_ path: String, secret: [UInt8]) throws -> BackupRepository {
        try Self.check(secret)
        let file: String = "\(path)/\(BackupFormat.configurationFile)"
        guard Files.exists(file) else { throw BackupError.noRepository(path) }
        return try Self.wrapping {
            let bytes: [UInt8] = try Files.read(file, bytesMax: BackupFormat.configurationBytesMax)
            return BackupRepository(
                path: path, keys: try RepositoryKeys.open(bytes, secret: secret, path: file))
        }
    }

    /// Opens a repository, or makes one where there is none: in a folder that does not exist yet or is empty.
    package static func openOrMake(_ path: String, secret: [UInt8]) throws -> BackupRepository {
        try Self.check(secret)
        if Files.exists("\(path)/\(BackupFormat.configurationFile)") { return try Self.open(path, secret: secret) }
        return try Self.wrapping {
            guard try Folders.names(in: path).isEmpty else { throw BackupError.targetNotEmpty(path) }
            try Files.makeFolder("\(path)/\(BackupFormat.packFolder)")
            try Files.makeFolder("\(path)/\(BackupFormat.backupFolder)")
            let made: (keys: RepositoryKeys, configuration: JSONValue) = try RepositoryKeys.make(secret: secret)
            // Last: a folder with this file is a whole repository.
            try Files.replace("\(path)/\(BackupFormat.configurationFile)", with: made.configuration.pretty())
            return BackupRepository(path: path, keys: made.keys)
        }
    }

    private static func check(_ secret: [UInt8]) throws {
        guard secret.count >= BackupFormat.secretBytesMin else {
            throw BackupError.unusableSecret("is too short: expected at least \(BackupFormat.secretBytesMin) bytes")
        }
        guard secret.count <= BackupFormat.secretBytesMax else {
            throw BackupError.unusableSecret("is too long: expected at most \(BackupFormat.secretBytesMax) bytes")
        }
    }

    /// The ids of the backups that are there, oldest first.
    package func ids() throws -> [String] {
        try Self.wrapping {
            var ids: [String] = []
            for name in try Folders.names(in: "\(self.path)/\(BackupFormat.backupFolder)")
            where name.hasSuffix(BackupFormat.backupExtension) {
                ids.append(String(name.dropLast(BackupFormat.backupExtension.count)))
            }
            return ids
        }
    }

    /// What the backups are, oldest first.
    package func backups() throws -> [BackupDescription] {
        try self.ids().map { (id: String) throws -> BackupDescription in try self.contents(of: id).description }
    }

    /// The id of the backup that is meant: nil or `latest` is the newest.
    package func resolve(_ id: String?) throws -> String {
        let ids: [String] = try self.ids()
        if let id: String, id != "latest" {
            guard ids.contains(id) else { throw BackupError.unknownBackup(id, repository: self.path) }
            return id
        }
        guard let newest: String = ids.last else { throw BackupError.unknownBackup("latest", repository: self.path) }
        return newest
    }

    func contents(of id: String) throws -> BackupContents {
        let path: String = self.backupPath(id)
        guard Files.exists(path) else { throw BackupError.unknownBackup(id, repository: self.path) }
        return try Self.wrapping {
            let bytes: [UInt8] = try Files.read(path, bytesMax: BackupFormat.backupBytesMax)
            let magic: Int = BackupFormat.backupMagic.count
            guard bytes.starts(with: BackupFormat.backupMagic) else {
                throw BackupError.damaged(path: path, what: "it does not begin like a backup of format 1")
            }
            guard
                let plain: [UInt8] = Sealing.open(
                    Array(bytes[magic...]), key: self.keys.key(ofBackup: id), boundTo: "backup \(id)")
            else { throw BackupError.damaged(path: path, what: "it does not open with the repository's key") }
            return try BackupContents(decoding: plain, path: path)
        }
    }

    func backupPath(_ id: String) -> String {
        "\(self.path)/\(BackupFormat.backupFolder)/\(id)\(BackupFormat.backupExtension)"
    }

    func packPath(_ id: String) -> String {
        "\(self.path)/\(BackupFormat.packFolder)/\(id)\(BackupFormat.packExtension)"
    }

    /// Removes all backups but the newest `count`, and packs of which no backup needs anything.
    ///
    /// - Returns: the ids removed, and how many bytes came free.
    package func prune(keeping count: Int) throws -> (removed: [String], bytes: Int64) {
        precondition(count >= 1)
        let lock: RepositoryLock = try RepositoryLock(self)
        defer { lock.release() }
        return try Self.wrapping {
            let ids: [String] = try self.ids()
            let removed: [String] = Array(ids.dropLast(count))
            var needed: Set<String> = []
            // All that stay are read before anything goes: a damaged one must not cost the others their pieces.
            for id in ids.suffix(count) { needed.formUnion(try self.contents(of: id).packs) }
            var bytes: Int64 = 0
            func remove(_ path: String) throws(FileError) {
                bytes += Folders.length(of: path) ?? 0
                try Files.remove(path)
            }
            for id in removed { try remove(self.backupPath(id)) }
            try Folders.sync("\(self.path)/\(BackupFormat.backupFolder)")
            for name in try Folders.names(in: "\(self.path)/\(BackupFormat.packFolder)") {
                let id: String = String(name.dropLast(BackupFormat.packExtension.count))
                if name.hasSuffix(BackupFormat.packExtension), needed.contains(id) { continue }
                try remove("\(self.path)/\(BackupFormat.packFolder)/\(name)")
            }
            return (removed, bytes)
        }
    }

    /// Turns errors of files and stores into ours.
    static func wrapping<T>(_ work: () throws -> T) throws -> T {
        do {
            return try work()
        } catch let error as FileError {
            throw BackupError.file(error)
        } catch let error as StoreError {
            throw BackupError.store(error)
        }
    }
}

/// Keeps two processes from writing to a repository at once. Dies with its process.
final class RepositoryLock {
    private var descriptor: Int32

    init(_ repository: BackupRepository) throws {
        let path: String = "\(repository.path)/\(BackupFormat.lockFile)"
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else {
            throw BackupError.file(FileError(path: path, refusal: String(cString: strerror(errno))))
        }
        guard flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 else { throw BackupError.inUse(repository.path) }
    }

    deinit { self.release() }

    func release() {
        if self.descriptor >= 0 { close(self.descriptor) }
        self.descriptor = -1
    }
}
