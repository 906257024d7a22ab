import COpenSSL

/// A private key: signs. Its memory is wiped when the last reference goes.
package final class PrivateKey: Sendable {
    let key: KeyHandle

    private init(_ key: KeyHandle) {
        self.key = key
    }

    package var kind: KeyKind { self.key.kind }

    /// A fresh key: RSA of 2048 bits (takes 20 to 200 ms), P-256, P-384, P-521 or Ed25519 (microseconds).
    package static func generate(_ kind: KeyKind) throws(CryptoError) -> PrivateKey {
        let type: String = kind == .rsa ? "RSA" : kind == .ed25519 ? "ED25519" : "EC"
        guard let context: OpaquePointer = EVP_PKEY_CTX_new_from_name(nil, type, nil) else {
            throw OpenSSLErrors.failure("making a key")
        }
        defer { EVP_PKEY_CTX_free(context) }
        var isReady: Bool = EVP_PKEY_keygen_init(context) == 1
        switch kind {
        case .rsa: isReady = isReady && EVP_PKEY_CTX_set_rsa_keygen_bits(context, KeyHandle.rsaBitsMin) > 0
        case .p256, .p384, .p521:
            isReady = isReady && EVP_PKEY_CTX_set_group_name(context, kind.group ?? "") > 0
        case .ed25519: break
        }
        var pointer: OpaquePointer?
        guard isReady, EVP_PKEY_generate(context, &pointer) == 1, let pointer: OpaquePointer else {
            throw OpenSSLErrors.failure("making a key")
        }
        return PrivateKey(try KeyHandle(adopting: pointer))
    }

    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS #8, RFC 5958) or the older RSA and EC forms, not encrypted.
    package convenience init(pem: String) throws(CryptoError) {
        try PEM.check(pem)
        let bio = MemoryBIO(pem)
        guard let pointer: OpaquePointer = copenssl_read_private_key(bio.handle) else {
            ERR_clear_error()
            throw .malformed("expected an unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)")
        }
        self.init(try KeyHandle(adopting: pointer))
    }

    /// `-----BEGIN PRIVATE KEY-----` …: a secret.
    package func pem() throws(CryptoError) -> String {
        let bio = MemoryBIO()
        guard PEM_write_bio_PKCS8PrivateKey(bio.handle, self.key.pointer, nil, nil, 0, nil, nil) == 1 else {
            throw OpenSSLErrors.failure("writing a private key")
        }
        return bio.text
    }

    /// The public half.
    package func publicKey() throws(CryptoError) -> PublicKey {
        let bio = MemoryBIO()
        guard PEM_write_bio_PUBKEY(bio.handle, self.key.pointer) == 1,
            let pointer: OpaquePointer = copenssl_read_public_key(bio.handle)
        else { throw OpenSSLErrors.failure("reading the public half of a key") }
        return PublicKey(try KeyHandle(adopting: pointer))
    }

    /// The signature of `message`. Throws `unsupported` when the scheme does not belong to this kind of key.
    package func sign(_ message: [UInt8], scheme: SignatureScheme) throws(CryptoError) -> [UInt8] {
        guard scheme.keyKind == self.kind else {
            throw .unsupported("an \(self.kind.name) key cannot make this kind of signature")
        }
        guard let context: OpaquePointer = EVP_MD_CTX_new() else { throw OpenSSLErrors.failure("signing") }
        defer { EVP_MD_CTX_free(context) }
        var keyContext: OpaquePointer?
        let digest: OpaquePointer? = scheme.digest
        var length: Int = 0
        guard EVP_DigestSignInit(context, &keyContext, digest, nil, self.key.pointer) == 1,
            SignatureEncoding.setPadding(keyContext, scheme),
            EVP_DigestSign(context, nil, &length, message, message.count) == 1
        else { throw OpenSSLErrors.failure("signing") }
        var signature: [UInt8] = [UInt8](repeating: 0, count: length)
        guard EVP_DigestSign(context, &signature, &length, message, message.count) == 1 else {
            throw OpenSSLErrors.failure("signing")
        }
        signature.removeLast(signature.count - length)
        return try SignatureEncoding.fixed(signature, scheme)
    }
}
