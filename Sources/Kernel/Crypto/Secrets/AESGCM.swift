import COpenSSL

/// AES-256-GCM (NIST SP 800-38D): encrypts and authenticates, also associated data that stays readable.
///
/// ```
/// sealed = nonce (12 random bytes) + ciphertext (as long as the plaintext) + tag (16 bytes)
/// ```
/// Nonces are random: seal at most 2^32 messages under one key.
package enum AESGCM {
    package static let keyLength: Int = 32
    package static let nonceLength: Int = 12
    package static let tagLength: Int = 16
    /// Longest plaintext taken: one gibibyte.
    package static let plaintextBytesMax: Int = 1 << 30

    /// Immutable once fetched; see `SHA256.algorithm`.
    private nonisolated(unsafe) static let algorithm: OpaquePointer = {
        guard let algorithm: OpaquePointer = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil) else {
            preconditionFailure("this OpenSSL has no AES-256-GCM: \(OpenSSLErrors.drain())")
        }
        return algorithm
    }()

    /// A fresh random key.
    package static func makeKey() -> [UInt8] { Random.bytes(AESGCM.keyLength) }

    /// Encrypts `plaintext` so that only the same key with the same `associatedData` opens it.
    package static func seal(
        _ plaintext: [UInt8], key: [UInt8], associatedData: [UInt8] = []
    ) throws(CryptoError) -> [UInt8] {
        try AESGCM.checkKey(key)
        guard plaintext.count <= AESGCM.plaintextBytesMax, associatedData.count <= AESGCM.plaintextBytesMax else {
            throw .unsupported("at most \(AESGCM.plaintextBytesMax) bytes can be sealed at once")
        }
        let nonce: [UInt8] = Random.bytes(AESGCM.nonceLength)
        let context = CipherContext()
        var sealed: [UInt8] = [UInt8](repeating: 0, count: AESGCM.nonceLength + plaintext.count + AESGCM.tagLength)
        let isSealed: Bool = sealed.withUnsafeMutableBufferPointer {
            (output: inout UnsafeMutableBufferPointer<UInt8>) -> Bool in
            guard let start: UnsafeMutablePointer<UInt8> = output.baseAddress else { return false }
            let body: UnsafeMutablePointer<UInt8> = start + AESGCM.nonceLength
            var length: Int32 = 0
            return EVP_EncryptInit_ex2(context.handle, AESGCM.algorithm, key, nonce, nil) == 1
                && EVP_EncryptUpdate(context.handle, nil, &length, associatedData, Int32(associatedData.count)) == 1
                && EVP_EncryptUpdate(context.handle, body, &length, plaintext, Int32(plaintext.count)) == 1
                && EVP_EncryptFinal_ex(context.handle, body + plaintext.count, &length) == 1
                && EVP_CIPHER_CTX_ctrl(
                    context.handle, EVP_CTRL_AEAD_GET_TAG, Int32(AESGCM.tagLength), body + plaintext.count) == 1
        }
        guard isSealed else { throw OpenSSLErrors.failure("encryption") }
        sealed.replaceSubrange(0..<AESGCM.nonceLength, with: nonce)
        return sealed
    }

    /// The plaintext of what `seal` made; `notAuthentic` when a bit of it, the key or the associated data differs.
    package static func open(
        _ sealed: [UInt8], key: [UInt8], associatedData: [UInt8] = []
    ) throws(CryptoError) -> [UInt8] {
        try AESGCM.checkKey(key)
        let length: Int = sealed.count - AESGCM.nonceLength - AESGCM.tagLength
        guard length >= 0, length <= AESGCM.plaintextBytesMax, associatedData.count <= AESGCM.plaintextBytesMax else {
            throw .notAuthentic
        }
        let context = CipherContext()
        var plaintext: [UInt8] = [UInt8](repeating: 0, count: length)
        var tag: [UInt8] = Array(sealed.suffix(AESGCM.tagLength))
        let isOpen: Bool = sealed.withUnsafeBufferPointer { (input: UnsafeBufferPointer<UInt8>) -> Bool in
            guard let start: UnsafePointer<UInt8> = input.baseAddress else { return false }
            var count: Int32 = 0
            return EVP_DecryptInit_ex2(context.handle, AESGCM.algorithm, key, start, nil) == 1
                && EVP_DecryptUpdate(context.handle, nil, &count, associatedData, Int32(associatedData.count)) == 1
                && EVP_DecryptUpdate(context.handle, &plaintext, &count, start + AESGCM.nonceLength, Int32(length)) == 1
                && EVP_CIPHER_CTX_ctrl(context.handle, EVP_CTRL_AEAD_SET_TAG, Int32(AESGCM.tagLength), &tag) == 1
                && EVP_DecryptFinal_ex(context.handle, nil, &count) == 1
        }
        guard isOpen else {
            // Nobody may see plaintext that was not authenticated.
            plaintext.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
            ERR_clear_error()
            throw .notAuthentic
        }
        return plaintext
    }

    private static func checkKey(_ key: [UInt8]) throws(CryptoError) {
        guard key.count == AESGCM.keyLength else {
            throw .malformed("an AES-256 key has 32 bytes, this one has \(key.count)")
        }
    }
}

/// Owns an `EVP_CIPHER_CTX`.
private struct CipherContext: ~Copyable {
    let handle: OpaquePointer

    init() {
        guard let handle: OpaquePointer = EVP_CIPHER_CTX_new() else { preconditionFailure("out of memory") }
        self.handle = handle
    }

    deinit { EVP_CIPHER_CTX_free(self.handle) }
}
