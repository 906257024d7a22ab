import Contracts
import Crypto

/// Seals with a fixed key: what the key ring does.
package struct FixedSealer: SecretSealer {
    private let key: [UInt8] = [UInt8](repeating: 7, count: 32)

    package init() {}

    package func seal(_ secret: [UInt8], name: String) throws -> [UInt8] {
        try AESGCM.seal(secret, key: self.key, associatedData: Array(name.utf8))
    }

    package func open(_ sealed: [UInt8], name: String) throws -> [UInt8] {
        try AESGCM.open(sealed, key: self.key, associatedData: Array(name.utf8))
    }
}
