import Bytes
import Crypto

/// Reads a backup's files, checking everything: the one way for `verify` and `restore`.
struct BackupReader {
    let repository: BackupRepository
    let contents: BackupContents

    init(_ repository: BackupRepository, id: String) throws {
        self.repository = repository
        self.contents = try repository.contents(of: id)
    }

    /// Hands over every piece of every file in order; throws at the first that is not as it was written.
    func read(
        progress: (_ done: Int64, _ of: Int64) throws -> Void,
        begin: (BackupDescription.File) throws -> Void = { _ in },
        piece: ([UInt8]) throws -> Void = { _ in }, end: (BackupDescription.File) throws -> Void = { _ in }
    ) throws {
        let packs: PackReader = PackReader(self.repository)
        let total: Int64 = self.contents.description.bytes
        var done: Int64 = 0
        var places: ArraySlice<BackupContents.Place> = self.contents.places[...]
        for file in self.contents.description.files {
            try begin(file)
            var hash: SHA256Context = SHA256Context()
            var at: Int64 = 0
            for _ in 0..<file.pieces {
                guard let place: BackupContents.Place = places.popFirst() else { break }
                let bytes: [UInt8] = try packs.read(
                    place, pack: self.contents.packs[Int(place.pack)],
                    of: Self.words(file, from: at, length: Int64(place.length)))
                hash.update(bytes)
                try piece(bytes)
                at += Int64(bytes.count)
                done += Int64(bytes.count)
                try progress(done, total)
            }
            guard at == file.bytes, Hex.encode(hash.finish()) == file.sha256 else {
                throw BackupError.damaged(
                    path: self.repository.backupPath(self.contents.description.id),
                    what: "the pieces of \(file.name) are whole and make another file than the one that was copied")
            }
            try end(file)
        }
    }

    /// "bytes 65536 to 131071 of passerelle.db"
    private static func words(_ file: BackupDescription.File, from start: Int64, length: Int64) -> String {
        "bytes \(start) to \(start + length - 1) of \(file.name)"
    }
}

/// Finds out whether backups can be restored.
package enum BackupVerification {
    /// Reads all of a backup and checks every piece. - Throws: `BackupError.damaged` naming the first bad piece.
    package static func run(
        _ repository: BackupRepository, id: String, progress: (_ done: Int64, _ of: Int64) throws -> Void = { _, _ in }
    ) throws -> BackupDescription {
        let reader: BackupReader = try BackupReader(repository, id: id)
        try reader.read(progress: progress)
        return reader.contents.description
    }
}
