import Bytes
import COpenSSL

/// Encrypts to the holder of a P-256 key: a fresh key agrees with the receiver's (ECDH), and what they agree on seals (AES-256-GCM).
///
/// ```
/// box = format (1 byte: 1) + length of the fresh public key (2, big-endian) + that key (PEM, SPKI) + nonce (12) + ciphertext + tag (16)
/// key of the box = SHA-256("passerelle box 1" + agreed secret (32) + fresh public key + receiver's public key)
/// ```
/// Who sends is not proven by it: the connection it comes over does that. Cost: some hundred microseconds each way.
package enum SealedBox {
    private static let format: UInt8 = 1
    private static let headBytes: Int = 3
    private static let keyBytesMax: Int = 1_024

    /// - Throws: `unsupported` when the receiver's key is none of P-256.
    package static func seal(
        _ secret: [UInt8], to receiver: PublicKey, associatedData: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        guard receiver.kind == .p256 else { throw .unsupported("a box is sealed to a P-256 key") }
        let fresh: PrivateKey = try PrivateKey.generate(.p256)
        let ephemeral: [UInt8] = Array(try fresh.publicKey().pem().utf8)
        let key: [UInt8] = try Self.key(
            agreed: try Self.agree(fresh, receiver), fresh: ephemeral, receiver: Array(try receiver.pem().utf8))
        var box: ByteWriter = ByteWriter()
        box.appendUInt8(Self.format)
        box.appendUInt16(UInt16(ephemeral.count))
        box.append(ephemeral)
        box.append(try AESGCM.seal(secret, key: key, associatedData: associatedData))
        return box.bytes
    }

    /// - Throws: `notAuthentic` when anything differs.
    package static func open(
        _ box: [UInt8], with receiver: PrivateKey, associatedData: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        guard box.count > Self.headBytes, box[0] == Self.format else { throw .notAuthentic }
        let length: Int = Int(box[1]) << 8 | Int(box[2])
        guard length <= Self.keyBytesMax, box.count > Self.headBytes + length else { throw .notAuthentic }
        let ephemeral: [UInt8] = Array(box[Self.headBytes..<(Self.headBytes + length)])
        let fresh: PublicKey = try PublicKey(pem: String(decoding: ephemeral, as: UTF8.self))
        guard fresh.kind == .p256, receiver.kind == .p256 else { throw .notAuthentic }
        let key: [UInt8] = try Self.key(
            agreed: try Self.agree(receiver, fresh), fresh: ephemeral,
            receiver: Array(try receiver.publicKey().pem().utf8))
        return try AESGCM.open(
            Array(box[(Self.headBytes + length)...]), key: key, associatedData: associatedData)
    }

    private static func key(agreed: [UInt8], fresh: [UInt8], receiver: [UInt8]) throws(CryptoError) -> [UInt8] {
        SHA256.hash(Array("passerelle box 1".utf8) + agreed + fresh + receiver)
    }

    private static func agree(_ own: PrivateKey, _ other: PublicKey) throws(CryptoError) -> [UInt8] {
        guard let context: OpaquePointer = EVP_PKEY_CTX_new(own.key.pointer, nil) else {
            throw OpenSSLErrors.failure("agreeing on a key")
        }
        defer { EVP_PKEY_CTX_free(context) }
        var agreed: [UInt8] = [UInt8](repeating: 0, count: 32)
        var length: Int = agreed.count
        guard EVP_PKEY_derive_init(context) == 1, EVP_PKEY_derive_set_peer(context, other.key.pointer) == 1,
            EVP_PKEY_derive(context, &agreed, &length) == 1, length == agreed.count
        else { throw OpenSSLErrors.failure("agreeing on a key") }
        return agreed
    }
}
