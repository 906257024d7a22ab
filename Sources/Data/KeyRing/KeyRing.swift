import Bytes
import Crypto
import Files

/// The master key and what it seals: AES-256-GCM, bound to the name of what is sealed.
///
/// ```
/// sealed = format (1 byte: 1) + nonce (12) + ciphertext + tag (16)
/// associated data = "passerelle" 0x00 name
/// ```
/// The master key is a file in the data folder: 32 random bytes, mode 0600, made at the first start, never in a backup. It
/// protects the database when that leaves the machine, not a copied folder.
package final class KeyRing: Sendable {
    package static let fileName: String = "master.key"
    /// Left by a restore: the fingerprint of the master key that the data needs.
    package static let neededFile: String = "master.key.needed"
    private static let format: UInt8 = 1

    private let key: [UInt8]

    /// Reads the master key of a data folder, or makes it. - Throws: `FileError`, or `KeyRingError` when the file is not a key.
    package static func open(folder: String) throws -> KeyRing {
        let path: String = "\(folder)/\(Self.fileName)"
        let needed: String? = try Self.needed(in: folder)
        if Files.exists(path) {
            let key: [UInt8] = try Self.read(path)
            if let needed: String {
                let found: String = Self.fingerprint(of: key)
                guard found == needed else { throw KeyRingError.otherKey(path: path, needed: needed, found: found) }
                try Files.remove("\(folder)/\(Self.neededFile)")
            }
            return KeyRing(key: key)
        }
        if let needed: String { throw KeyRingError.missing(path: path, needed: needed) }
        let key: [UInt8] = AESGCM.makeKey()
        try Files.replace(path, with: key, mode: 0o600)
        return KeyRing(key: key)
    }

    /// The bytes of a master key file. - Throws: `FileError`, or `KeyRingError` when the file is not a key.
    package static func read(_ path: String) throws -> [UInt8] {
        let bytes: [UInt8] = try Files.read(path, bytesMax: 1_024)
        guard bytes.count == AESGCM.keyLength else { throw KeyRingError.notAKey(path: path, bytes: bytes.count) }
        return bytes
    }

    /// What names a master key without telling anything of it: 16 hexadecimal digits.
    package static func fingerprint(of key: [UInt8]) -> String {
        Hex.encode(Array(HMACSHA256.authenticate(Array("passerelle master key".utf8), key: key).prefix(8)))
    }

    /// The fingerprint of a data folder's master key; nil when it has none yet.
    package static func fingerprint(inFolder folder: String) throws -> String? {
        let path: String = "\(folder)/\(Self.fileName)"
        return Files.exists(path) ? Self.fingerprint(of: try Self.read(path)) : try Self.needed(in: folder)
    }

    private static func needed(in folder: String) throws -> String? {
        let path: String = "\(folder)/\(Self.neededFile)"
        guard Files.exists(path) else { return nil }
        return String(decoding: try Files.read(path, bytesMax: 1_024).prefix { $0 > 32 }, as: UTF8.self)
    }

    /// - Precondition: the key has 32 bytes.
    package init(key: [UInt8]) {
        precondition(key.count == AESGCM.keyLength)
        self.key = key
    }

    /// Encrypts so that only this key ring opens it, and only under the same name.
    package func seal(_ secret: [UInt8], name: String) throws -> [UInt8] {
        [Self.format] + (try AESGCM.seal(secret, key: self.key, associatedData: Self.associatedData(name)))
    }

    /// - Throws: `KeyRingError.cannotOpen` when a bit of it, the name or the master key differs.
    package func open(_ sealed: [UInt8], name: String) throws -> [UInt8] {
        guard sealed.first == Self.format else { throw KeyRingError.cannotOpen(name: name) }
        do {
            return try AESGCM.open(Array(sealed.dropFirst()), key: self.key, associatedData: Self.associatedData(name))
        } catch {
            throw KeyRingError.cannotOpen(name: name)
        }
    }

    private static func associatedData(_ name: String) -> [UInt8] { Array("passerelle\u{0}\(name)".utf8) }
}

/// Why a secret stays closed.
package enum KeyRingError: Error, Sendable, Equatable, CustomStringConvertible {
    case notAKey(path: String, bytes: Int)
    case cannotOpen(name: String)
    /// The data was restored and its master key is not there.
    case missing(path: String, needed: String)
    /// The data was restored and the master key there is another one.
    case otherKey(path: String, needed: String, found: String)

    package var description: String {
        switch self {
        case .notAKey(let path, let bytes):
            "\(path) has \(bytes) bytes; a master key has 32. Restore the key the data was written with."
        case .missing(let path, let needed):
            "\(path) is missing. This data was restored, and its secrets are sealed with the master key of fingerprint \(needed), which no backup holds: copy that installation's master.key there (mode 0600)."
        case .otherKey(let path, let needed, let found):
            "\(path) is another key (fingerprint \(found)) than the one this restored data is sealed with (\(needed)). Put that one there."
        case .cannotOpen(let name):
            "'\(name)' does not open with this master key: the key file belongs to other data, or the value was changed."
        }
    }
}
