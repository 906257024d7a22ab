import Bytes
import Crypto

/// The public key of a credential (RFC 9052 section 7, RFC 9053), of one of the three kinds that are offered.
package struct COSEKey: Sendable, Equatable {
    /// The algorithms by their COSE numbers, the preferred first.
    package enum Algorithm: Int64, Sendable, CaseIterable {
        case es256 = -7
        case edDSA = -8
        case rs256 = -257

        var scheme: SignatureScheme {
            switch self {
            case .es256: .ecdsaP256SHA256
            case .edDSA: .ed25519
            case .rs256: .rsaPKCS1SHA256
            }
        }
    }

    package let algorithm: Algorithm
    /// As the authenticator wrote it: what is kept.
    package let encoded: [UInt8]
    private let jwk: PublicJWK

    /// Reads what is kept.
    package init(parsing encoded: [UInt8]) throws(WebAuthnError) {
        let value: CBORValue
        do throws(CBORError) {
            value = try CBORReader.parse(encoded)
        } catch {
            throw .malformed("public key: \(error)")
        }
        try self.init(value, encoded: encoded)
    }

    /// All members that the algorithm needs, and no others (WebAuthn section 6.5.1.1).
    init(_ value: CBORValue, encoded: [UInt8]) throws(WebAuthnError) {
        guard let members: [CBORMember] = value.members, let name: Int64 = value[3]?.integer else {
            throw .malformed("public key: expected a map with alg")
        }
        guard let algorithm: Algorithm = Algorithm(rawValue: name) else { throw .algorithm }
        let count: Int
        switch algorithm {
        case .es256:
            guard value[1]?.integer == 2, value[-1]?.integer == 1, let x: [UInt8] = value[-2]?.bytes, x.count == 32,
                let y: [UInt8] = value[-3]?.bytes, y.count == 32
            else { throw .malformed("public key: expected a point of P-256 as x and y") }
            self.jwk = .p256(x: Base64.encodeURL(x), y: Base64.encodeURL(y))
            count = 5
        case .edDSA:
            guard value[1]?.integer == 1, value[-1]?.integer == 6, let x: [UInt8] = value[-2]?.bytes, x.count == 32
            else { throw .malformed("public key: expected Ed25519 with x of 32 bytes") }
            self.jwk = .ed25519(x: Base64.encodeURL(x))
            count = 4
        case .rs256:
            guard value[1]?.integer == 3, let n: [UInt8] = value[-1]?.bytes, let e: [UInt8] = value[-2]?.bytes,
                !e.isEmpty, e.count <= 4, n.count <= 1_024
            else { throw .malformed("public key: expected RSA with n and e") }
            self.jwk = .rsa(n: Base64.encodeURL(n), e: Base64.encodeURL(e))
            count = 4
        }
        guard members.count == count else { throw .malformed("public key: expected only its required members") }
        self.algorithm = algorithm
        self.encoded = encoded
        // A point off the curve, a short modulus: not a key, and better known before it is kept.
        guard (try? PublicKey(jwk: self.jwk)) != nil else { throw .malformed("public key: expected a key that is one") }
    }

    /// Whether `signature` is this key's, of `message`: ECDSA's in DER (WebAuthn section 6.5.5).
    func isValid(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        guard let key: PublicKey = try? PublicKey(jwk: self.jwk) else { return false }
        return key.isValid(asn1: signature, for: message, scheme: self.algorithm.scheme)
    }
}
