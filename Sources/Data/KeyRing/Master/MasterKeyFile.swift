import Bytes
import Crypto
import Files

/// The master key as a file: 32 random bytes, mode 0600, made at the first start, never in a backup.
///
/// ```
/// master.key          the key
/// master.key.next     the key that is to follow it, while keys are wrapped anew; which of the two the database needs, it says
/// master.key.needed   left by a restore: the fingerprint of the key that the data needs
/// ```
/// Rotation writes `next` first, then the database changes over in one transaction, then `next` takes the key's place. Killed
/// in between, both files are there and the next start finishes or undoes it.
///
/// It protects the database when that leaves the machine, not a copied folder.
package struct MasterKeyFile: Sendable {
    package static let fileName: String = "master.key"
    /// Left by a restore: the fingerprint of the master key that the data needs.
    package static let neededFile: String = "master.key.needed"
    private static let nextExtension: String = ".next"
    private static let bytesMax: Int = 1_024

    package let path: String
    /// Where a restore says what is needed.
    private let neededPath: String

    /// The key of a data folder, made where it is missing.
    package init(folder: String) {
        self.path = "\(folder)/\(Self.fileName)"
        self.neededPath = "\(folder)/\(Self.neededFile)"
    }

    /// A key elsewhere; made where it is missing too, so that a first start needs no tool.
    package init(path: String) {
        self.path = path
        self.neededPath = "\(path).needed"
    }

    /// Reads the key, or makes it. - Returns: the key, and whether it was there before.
    /// - Throws: `FileError`, or `KeyRingError` when the file is not a key.
    package func load() throws -> (key: LocalMasterKey, wasThere: Bool) {
        let needed: String? = try Self.needed(at: self.neededPath)
        if Files.exists(self.path) {
            var key: [UInt8] = try Self.read(self.path)
            if let needed: String {
                let found: String = Self.fingerprint(of: key)
                guard found == needed else {
                    throw KeyRingError.otherKey(path: self.path, needed: needed, found: found)
                }
                try Files.remove(self.neededPath)
            }
            return (LocalMasterKey(key: &key, source: .file(self)), true)
        }
        if let needed: String { throw KeyRingError.missing(path: self.path, needed: needed) }
        var key: [UInt8] = AESGCM.makeKey()
        try Files.replace(self.path, with: key, mode: 0o600)
        return (LocalMasterKey(key: &key, source: .file(self)), false)
    }

    /// The key a rotation left that did not end; nil when there is none.
    func loadNext() throws -> LocalMasterKey? {
        guard Files.exists(self.nextPath) else { return nil }
        var key: [UInt8] = try Self.read(self.nextPath)
        return LocalMasterKey(key: &key, source: .file(self))
    }

    /// Makes the key that is to follow, beside the present one.
    func makeNext() throws -> [UInt8] {
        let key: [UInt8] = AESGCM.makeKey()
        try Files.replace(self.nextPath, with: key, mode: 0o600)
        return key
    }

    /// Everything is wrapped with `key`: it stays alone.
    func settle(on key: [UInt8]) throws {
        if try Self.read(self.path) != key { try Files.replace(self.path, with: key, mode: 0o600) }
        try Files.remove(self.nextPath)
    }

    private var nextPath: String { self.path + Self.nextExtension }

    /// The bytes of a master key file. - Throws: `FileError`, or `KeyRingError` when the file is not a key.
    package static func read(_ path: String) throws -> [UInt8] {
        let bytes: [UInt8] = try Files.read(path, bytesMax: Self.bytesMax)
        guard bytes.count == AESGCM.keyLength else { throw KeyRingError.notAKey(path: path, bytes: bytes.count) }
        return bytes
    }

    /// What names a master key without telling anything of it: 16 hexadecimal digits.
    package static func fingerprint(of key: [UInt8]) -> String {
        Hex.encode(Array(HMACSHA256.authenticate(Array("passerelle master key".utf8), key: key).prefix(8)))
    }

    /// The fingerprint of a data folder's master key; nil when it has none yet, or keeps it elsewhere.
    package static func fingerprint(inFolder folder: String) throws -> String? {
        let path: String = "\(folder)/\(Self.fileName)"
        return Files.exists(path)
            ? Self.fingerprint(of: try Self.read(path)) : try Self.needed(at: "\(folder)/\(Self.neededFile)")
    }

    private static func needed(at path: String) throws -> String? {
        guard Files.exists(path) else { return nil }
        return String(decoding: try Files.read(path, bytesMax: Self.bytesMax).prefix { $0 > 32 }, as: UTF8.self)
    }
}
