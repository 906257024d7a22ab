import Crypto
import Files

/// Who was erased, kept where the backups are: a backup made before holds the keys of what is to stay erased.
///
/// One small file for each erasure, sealed as backups are. They stay when backups are removed.
extension BackupRepository {
    private static let folder: String = "erasures"
    private static let fileExtension: String = ".erasure"
    private static let magic: [UInt8] = Array("PASSERA1".utf8)
    /// Largest file that is read, bytes: the ids of a person's keys.
    private static let bytesMax: Int = 1 << 20

    /// Whether a repository is there. Costs no key derivation.
    package static func isThere(_ path: String) -> Bool { Files.exists("\(path)/\(BackupFormat.configurationFile)") }

    /// Keeps an erasure; one that is there stays as it is.
    ///
    /// - Parameter id: letters, digits, `_` and `-`.
    package func keep(erasure id: String, _ plain: [UInt8]) throws {
        precondition(Self.isName(id), "an erasure's id is a file's name")
        let path: String = "\(self.path)/\(Self.folder)/\(id)\(Self.fileExtension)"
        if Files.exists(path) { return }
        try Self.wrapping {
            try Files.makeFolder("\(self.path)/\(Self.folder)")
            let sealed: [UInt8] = try Sealing.seal(
                plain, key: self.keys.key(ofErasure: id), boundTo: "erasure \(id)")
            try Files.replace(path, with: Self.magic + sealed)
        }
    }

    /// Every erasure, in the order of their ids. - Throws: `BackupError.damaged` that names the file that does not open.
    package func erasures() throws -> [[UInt8]] {
        try Self.wrapping {
            let place: String = "\(self.path)/\(Self.folder)"
            guard Files.exists(place) else { return [] }
            var found: [[UInt8]] = []
            for name in try Folders.names(in: place) where name.hasSuffix(Self.fileExtension) {
                let id: String = String(name.dropLast(Self.fileExtension.count))
                let bytes: [UInt8] = try Files.read("\(place)/\(name)", bytesMax: Self.bytesMax)
                guard bytes.starts(with: Self.magic),
                    let plain: [UInt8] = Sealing.open(
                        Array(bytes[Self.magic.count...]), key: self.keys.key(ofErasure: id), boundTo: "erasure \(id)")
                else {
                    throw BackupError.damaged(
                        path: "\(place)/\(name)", what: "it does not open with the repository's key")
                }
                found.append(plain)
            }
            return found
        }
    }

    private static func isName(_ id: String) -> Bool {
        !id.isEmpty
            && id.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}
