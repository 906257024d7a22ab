import Bytes
import Crypto
import Files
import Glibc
package import Store
package import Time

/// Makes a backup: reads pictures of databases, writes the pieces that the repository does not have.
///
/// Blocks for as long as it takes; one thread. Cost: everything is read and hashed, what is new is encrypted and written.
package final class BackupWriter {
    /// A database to copy.
    package struct Source {
        /// Its path in the data folder.
        package let name: String
        /// Its length; about that where the picture is taken later.
        package let bytes: Int64
        /// Takes its picture, when it is its turn.
        package let take: () throws -> DatabasePicture

        package init(name: String, bytes: Int64, take: @escaping () throws -> DatabasePicture) {
            self.name = name
            self.bytes = bytes
            self.take = take
        }
    }

    private let repository: BackupRepository
    private let lock: RepositoryLock
    private var contents: BackupContents
    /// What need not be written again.
    private var known: [PieceName: BackupContents.Place] = [:]
    private var packNumbers: [String: UInt32] = [:]
    private var pack: GrowingFile?

    private init(_ repository: BackupRepository, _ description: BackupDescription, isFull: Bool) throws {
        self.repository = repository
        self.lock = try RepositoryLock(repository)
        self.contents = BackupContents(description: description)
        try self.removePartials()
        if !isFull, let last: String = try repository.ids().last {
            try self.learn(from: try repository.contents(of: last))
        }
    }

    /// Writes a backup of `sources` and returns what it is, once it is on the disk.
    ///
    /// - Parameters:
    ///   - masterKey: the fingerprint of the key that secrets in the sources are sealed with.
    ///   - isFull: writes everything anew, whatever earlier backups hold.
    ///   - progress: told how many bytes of how many were read, every now and then; throws to end it.
    package static func write(
        _ sources: [Source], to repository: BackupRepository, masterKey: String?, auditEntries: Int64, version: String,
        now: Timestamp, isFull: Bool = false, progress: (_ done: Int64, _ of: Int64) throws -> Void = { _, _ in }
    ) throws -> BackupDescription {
        try BackupRepository.wrapping {
            var description: BackupDescription = BackupDescription(
                id: Self.id(now), createdAt: now, version: version, masterKey: masterKey)
            description.auditEntries = auditEntries
            let writer: BackupWriter = try BackupWriter(repository, description, isFull: isFull)
            do {
                return try writer.run(sources, progress)
            } catch {
                try? writer.removePartials()
                throw error
            }
        }
    }

    /// `20261121T101500Z-1f3a9c52`
    private static func id(_ now: Timestamp) -> String {
        let digits: String = String(now.rfc3339.prefix(19).filter { $0 != "-" && $0 != ":" })
        return "\(digits)Z-\(Hex.encode(Random.bytes(4)))"
    }

    private func run(
        _ sources: [Source], _ progress: (_ done: Int64, _ of: Int64) throws -> Void
    ) throws -> BackupDescription {
        var total: Int64 = 0
        for source in sources { total += source.bytes }
        var done: Int64 = 0
        for source in sources {
            let picture: DatabasePicture = try source.take()
            defer { picture.end() }
            var hash: SHA256Context = SHA256Context()
            var at: Int64 = 0
            while at < picture.length {
                let piece: [UInt8] = try picture.read(at: at, count: BackupFormat.pieceBytes)
                hash.update(piece)
                try self.add(piece)
                at += Int64(piece.count)
                done += Int64(piece.count)
                try progress(done, max(total, done))
            }
            self.contents.description.files.append(
                BackupDescription.File(name: source.name, bytes: picture.length, sha256: Hex.encode(hash.finish())))
        }
        try self.finishPack()
        try self.writeContents()
        return self.contents.description
    }

    // MARK: Pieces

    private func add(_ piece: [UInt8]) throws {
        let name: PieceName = self.repository.keys.name(of: piece)
        if let place: BackupContents.Place = self.known[name] {
            self.contents.places.append(place)
            return
        }
        let id: String = self.contents.description.id
        let file: GrowingFile = try self.pack ?? self.beginPack()
        let offset: UInt64 = UInt64(file.length)
        try file.append(
            try Sealing.seal(
                piece, key: self.repository.keys.key(ofPack: id), boundTo: Sealing.piece(pack: id, offset: offset)))
        let place: BackupContents.Place = BackupContents.Place(
            name: name, pack: self.number(ofPack: id), offset: offset, length: UInt32(piece.count))
        self.known[name] = place
        self.contents.places.append(place)
    }

    private func number(ofPack id: String) -> UInt32 {
        if let known: UInt32 = self.packNumbers[id] { return known }
        let number: UInt32 = UInt32(self.contents.packs.count)
        self.contents.packs.append(id)
        self.packNumbers[id] = number
        return number
    }

    /// Takes over the pieces of an earlier backup whose packs are there as long as they should be.
    private func learn(from earlier: BackupContents) throws {
        var lengths: [Int64] = []
        var numbers: [UInt32] = []
        for pack in earlier.packs {
            lengths.append(Folders.length(of: self.repository.packPath(pack)) ?? 0)
            numbers.append(self.number(ofPack: pack))
        }
        for place in earlier.places {
            let end: UInt64 = place.offset + UInt64(place.length) + UInt64(Sealing.overhead)
            guard end <= UInt64(lengths[Int(place.pack)]) else { continue }
            self.known[place.name] = BackupContents.Place(
                name: place.name, pack: numbers[Int(place.pack)], offset: place.offset, length: place.length)
        }
    }

    // MARK: Files

    private func beginPack() throws -> GrowingFile {
        let path: String = self.repository.packPath(self.contents.description.id) + BackupFormat.partialExtension
        let file: GrowingFile = try GrowingFile(creating: path)
        try file.append(BackupFormat.packMagic)
        self.pack = file
        return file
    }

    private func finishPack() throws {
        guard let pack: GrowingFile = self.pack else { return }
        try pack.sync()
        try pack.close()
        try Folders.rename(pack.path, to: self.repository.packPath(self.contents.description.id))
        self.contents.description.bytesAdded = pack.length
    }

    private func writeContents() throws {
        // Only packs that something is taken from: the others may be removed with their backups.
        self.dropUnusedPacks()
        let id: String = self.contents.description.id
        let sealed: [UInt8] = try Sealing.seal(
            self.contents.encoded(), key: self.repository.keys.key(ofBackup: id), boundTo: "backup \(id)")
        try Files.replace(self.repository.backupPath(id), with: BackupFormat.backupMagic + sealed)
    }

    private func dropUnusedPacks() {
        var isUsed: [Bool] = [Bool](repeating: false, count: self.contents.packs.count)
        for place in self.contents.places { isUsed[Int(place.pack)] = true }
        var numbers: [UInt32] = []
        var kept: [String] = []
        for (index, pack) in self.contents.packs.enumerated() {
            numbers.append(UInt32(kept.count))
            if isUsed[index] { kept.append(pack) }
        }
        guard kept.count < self.contents.packs.count else { return }
        for index in self.contents.places.indices {
            let place: BackupContents.Place = self.contents.places[index]
            self.contents.places[index] = BackupContents.Place(
                name: place.name, pack: numbers[Int(place.pack)], offset: place.offset, length: place.length)
        }
        self.contents.packs = kept
    }

    /// Removes what a backup that did not end left behind.
    private func removePartials() throws {
        for folder in [BackupFormat.packFolder, BackupFormat.backupFolder] {
            for name in try Folders.names(in: "\(self.repository.path)/\(folder)")
            where name.hasSuffix(BackupFormat.partialExtension) || name.hasSuffix(".new") {
                try Files.remove("\(self.repository.path)/\(folder)/\(name)")
            }
        }
    }
}
