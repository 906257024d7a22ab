import CArgon2

/// Keys made from what people keep: argon2id (RFC 9106).
package enum KeyDerivation {
    package static let keyLength: Int = 32
    /// What a stored set of parameters may ask for: a planted one must not be able to stop the machine. KiB and passes.
    package static let memoryMax: UInt32 = 1 << 20
    package static let passesMax: UInt32 = 16

    /// 32 bytes from a passphrase and a salt. With 64 MiB and 3 passes some 150 ms of CPU on the calling thread.
    ///
    /// - Parameter memory: KiB, at most `memoryMax`; `passes` at most `passesMax`.
    package static func argon2id(
        _ secret: [UInt8], salt: [UInt8], memory: UInt32 = 65_536, passes: UInt32 = 3
    ) throws(CryptoError) -> [UInt8] {
        guard (8...Self.memoryMax).contains(memory), (1...Self.passesMax).contains(passes), salt.count >= 8 else {
            throw .unsupported("argon2id with \(memory) KiB, \(passes) passes and \(salt.count) bytes of salt")
        }
        var key: [UInt8] = [UInt8](repeating: 0, count: Self.keyLength)
        let result: Int32 = argon2id_hash_raw(
            passes, memory, 1, secret, secret.count, salt, salt.count, &key, key.count)
        guard result == ARGON2_OK.rawValue else {
            throw .failed(operation: "key derivation", reason: String(cString: argon2_error_message(result)))
        }
        return key
    }
}
