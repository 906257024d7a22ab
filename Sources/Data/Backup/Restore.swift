import Files
import Glibc
import KeyRing
import Store

/// Makes a data folder from a backup: all of it or nothing.
///
/// ```
/// verify everything ─► write to <folder>.restoring ─► check the databases ─► sync ─► rename to <folder>
/// ```
/// Killed anywhere before the last step it leaves `<folder>.restoring`, which the next restore removes; `<folder>` is never
/// half there.
package enum Restore {
    /// In a restored folder: who was erased since, a line each. The platform repeats that at its next start, and removes the file.
    package static let erasuresFile: String = "erasures.pending"

    static let unfinishedExtension: String = ".restoring"

    /// Restores backup `id` into `folder`, which must not exist or be empty.
    ///
    /// - Parameter masterKey: the master key's bytes, to be put in its place; without them the folder says which one is needed.
    package static func run(
        _ repository: BackupRepository, id: String, into folder: String, masterKey: [UInt8]?,
        progress: (_ step: String, _ done: Int64, _ of: Int64) throws -> Void = { _, _, _ in }
    ) throws -> BackupDescription {
        var target: String = folder
        while target.count > 1 && target.hasSuffix("/") { target.removeLast() }
        return try BackupRepository.wrapping {
            try Self.requireEmpty(target)
            let reader: BackupReader = try BackupReader(repository, id: id)
            try Self.check(masterKey, against: reader.contents.description)
            try reader.read(progress: { done, total in try progress("verifying", done, total) })
            let place: String = target + Self.unfinishedExtension
            try Folders.remove(place)
            try Files.makeFolder(place)
            do {
                try Self.write(reader, to: place, progress)
                try Self.checkDatabases(of: reader.contents.description, in: place)
                try Self.keep(masterKey, needed: reader.contents.description.masterKey, in: place)
                try Self.keepErasures(repository, in: place)
                try Folders.rename(place, to: target)
            } catch {
                try? Folders.remove(place)
                throw error
            }
            return reader.contents.description
        }
    }

    private static func requireEmpty(_ folder: String) throws {
        guard Files.exists(folder) else { return }
        guard Folders.isFolder(folder), try Folders.names(in: folder).isEmpty else {
            throw BackupError.targetNotEmpty(folder)
        }
    }

    private static func check(_ masterKey: [UInt8]?, against description: BackupDescription) throws {
        guard let masterKey: [UInt8], let expected: String = description.masterKey else { return }
        let found: String = MasterKeyFile.fingerprint(of: masterKey)
        guard found == expected else { throw BackupError.otherMasterKey(expected: expected, found: found) }
    }

    private static func write(
        _ reader: BackupReader, to place: String, _ progress: (String, Int64, Int64) throws -> Void
    ) throws {
        var file: GrowingFile?
        try reader.read(
            progress: { done, total in try progress("writing", done, total) },
            begin: { description in
                let path: String = "\(place)/\(description.name)"
                try Files.makeFolder(Folders.parent(of: path))
                file = try GrowingFile(creating: path)
            },
            piece: { try file?.append($0) },
            end: { description in
                try file?.sync()
                try file?.close()
                try Folders.sync(Folders.parent(of: "\(place)/\(description.name)"))
            })
    }

    /// What was copied has to be a database that SQLite finds sound.
    private static func checkDatabases(of description: BackupDescription, in place: String) throws {
        for file in description.files {
            let folder: String = Folders.parent(of: "\(place)/\(file.name)")
            if let damage: String = try DatabasePicture.damage(inStoppedStoreIn: folder) {
                throw BackupError.badDatabase(name: file.name, reason: damage)
            }
        }
    }

    private static func keepErasures(_ repository: BackupRepository, in place: String) throws {
        let erasures: [[UInt8]] = try repository.erasures()
        if erasures.isEmpty { return }
        var lines: [UInt8] = []
        for erasure in erasures { lines += erasure + [UInt8(ascii: "\n")] }
        try Files.replace("\(place)/\(Self.erasuresFile)", with: lines)
    }

    private static func keep(_ masterKey: [UInt8]?, needed: String?, in place: String) throws {
        if let masterKey: [UInt8] {
            try Files.replace("\(place)/\(MasterKeyFile.fileName)", with: masterKey)
        } else if let needed: String {
            try Files.replace("\(place)/\(MasterKeyFile.neededFile)", with: Array("\(needed)\n".utf8))
        }
        try Folders.sync(place)
    }
}
