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
    private static let format: UInt8 = 1

    private let key: [UInt8]

    /// Reads the master key of a data folder, or makes it. - Throws: `FileError`, or `KeyRingError` when the file is not a key.
    package static func open(folder: String) throws -> KeyRing {
        let path: String = "\(folder)/\(Self.fileName)"
        if Files.exists(path) {
            let bytes: [UInt8] = try Files.read(path, bytesMax: 1_024)
            guard bytes.count == AESGCM.keyLength else { throw KeyRingError.notAKey(path: path, bytes: bytes.count) }
            return KeyRing(key: bytes)
        }
        let key: [UInt8] = AESGCM.makeKey()
        try Files.replace(path, with: key, mode: 0o600)
        return KeyRing(key: key)
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

    package var description: String {
        switch self {
        case .notAKey(let path, let bytes):
            "\(path) has \(bytes) bytes; a master key has 32. Restore the key the data was written with."
        case .cannotOpen(let name):
            "'\(name)' does not open with this master key: the key file belongs to other data, or the value was changed."
        }
    }
}
