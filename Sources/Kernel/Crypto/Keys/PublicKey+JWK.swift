import Bytes
import COpenSSL

/// The members of a JSON Web Key that make the public key (RFC 7518 section 6, RFC 8037 section 2), in URL-safe base64.
package enum PublicJWK: Sendable, Equatable {
    /// `kty` RSA: modulus and public exponent.
    case rsa(n: String, e: String)
    /// `kty` EC with `crv` P-256, P-384 or P-521: the point's coordinates.
    case p256(x: String, y: String)
    case p384(x: String, y: String)
    case p521(x: String, y: String)
    /// `kty` OKP with `crv` Ed25519.
    case ed25519(x: String)
}

extension PublicKey {
    /// Reads the members of a JWK.
    package convenience init(jwk: PublicJWK) throws(CryptoError) {
        switch jwk {
        case .rsa(let n, let e): self.init(try PublicKey.rsa(n: n, e: e))
        case .p256(let x, let y): self.init(try PublicKey.curve(.p256, x: x, y: y))
        case .p384(let x, let y): self.init(try PublicKey.curve(.p384, x: x, y: y))
        case .p521(let x, let y): self.init(try PublicKey.curve(.p521, x: x, y: y))
        case .ed25519(let x):
            self.init(try PublicKey.ed25519(try PublicKey.member(x, "x", length: 32)))
        }
    }

    /// From the 32 bytes of an Ed25519 public key.
    package convenience init(ed25519 bytes: [UInt8]) throws(CryptoError) {
        guard bytes.count == 32 else { throw .malformed("an Ed25519 public key has 32 bytes") }
        self.init(try PublicKey.ed25519(bytes))
    }

    /// The 32 bytes of an Ed25519 key; nil for other kinds.
    package var ed25519Bytes: [UInt8]? {
        guard self.kind == .ed25519 else { return nil }
        var bytes: [UInt8] = [UInt8](repeating: 0, count: 32)
        var length: Int = bytes.count
        guard EVP_PKEY_get_raw_public_key(self.key.pointer, &bytes, &length) == 1, length == 32 else { return nil }
        return bytes
    }

    /// The members of this key's JWK.
    package func jwk() throws(CryptoError) -> PublicJWK {
        switch self.kind {
        case .rsa:
            let modulus = try BigNumber(of: self.key.pointer, OSSL_PKEY_PARAM_RSA_N)
            let exponent = try BigNumber(of: self.key.pointer, OSSL_PKEY_PARAM_RSA_E)
            return .rsa(n: Base64.encodeURL(modulus.bytes), e: Base64.encodeURL(exponent.bytes))
        case .p256:
            let (x, y): (String, String) = try self.coordinates()
            return .p256(x: x, y: y)
        case .p384:
            let (x, y): (String, String) = try self.coordinates()
            return .p384(x: x, y: y)
        case .p521:
            let (x, y): (String, String) = try self.coordinates()
            return .p521(x: x, y: y)
        case .ed25519:
            guard let bytes: [UInt8] = self.ed25519Bytes else { throw OpenSSLErrors.failure("reading an Ed25519 key") }
            return .ed25519(x: Base64.encodeURL(bytes))
        }
    }

    private func coordinates() throws(CryptoError) -> (x: String, y: String) {
        let x = try BigNumber(of: self.key.pointer, OSSL_PKEY_PARAM_EC_PUB_X)
        let y = try BigNumber(of: self.key.pointer, OSSL_PKEY_PARAM_EC_PUB_Y)
        let length: Int = self.kind.coordinateLength
        guard let xBytes: [UInt8] = x.bytes(length: length), let yBytes: [UInt8] = y.bytes(length: length) else {
            throw OpenSSLErrors.failure("reading an EC key")
        }
        return (Base64.encodeURL(xBytes), Base64.encodeURL(yBytes))
    }

    /// SHA-256 over the canonical JWK, in URL-safe base64 (RFC 7638): a name for the key that everyone computes alike.
    package func thumbprint() throws(CryptoError) -> String {
        let text: String
        switch try self.jwk() {
        case .rsa(let n, let e): text = "{\"e\":\"\(e)\",\"kty\":\"RSA\",\"n\":\"\(n)\"}"
        case .p256(let x, let y), .p384(let x, let y), .p521(let x, let y):
            text = "{\"crv\":\"\(self.kind.name)\",\"kty\":\"EC\",\"x\":\"\(x)\",\"y\":\"\(y)\"}"
        case .ed25519(let x): text = "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"\(x)\"}"
        }
        return Base64.encodeURL(SHA256.hash(text))
    }

    private static func rsa(n: String, e: String) throws(CryptoError) -> KeyHandle {
        let modulus: [UInt8] = try PublicKey.member(n, "n", length: nil)
        let exponent: [UInt8] = try PublicKey.member(e, "e", length: nil)
        let modulusNumber = try BigNumber(modulus)
        let exponentNumber = try BigNumber(exponent)
        guard let builder: OpaquePointer = OSSL_PARAM_BLD_new() else {
            throw OpenSSLErrors.failure("reading an RSA key")
        }
        defer { OSSL_PARAM_BLD_free(builder) }
        // The builder refers to the numbers until the key is made; both live to the end of this function.
        guard copenssl_push_rsa(builder, modulusNumber.pointer, exponentNumber.pointer) == 1
        else { throw OpenSSLErrors.failure("reading an RSA key") }
        return try PublicKey.key(from: builder, type: "RSA")
    }

    private static func curve(_ kind: KeyKind, x: String, y: String) throws(CryptoError) -> KeyHandle {
        // RFC 7518 section 6.2.1.2: the full length of a coordinate, leading zeros included.
        let xBytes: [UInt8] = try PublicKey.member(x, "x", length: kind.coordinateLength)
        let yBytes: [UInt8] = try PublicKey.member(y, "y", length: kind.coordinateLength)
        let point: [UInt8] = [0x04] + xBytes + yBytes
        guard let builder: OpaquePointer = OSSL_PARAM_BLD_new() else {
            throw OpenSSLErrors.failure("reading an EC key")
        }
        defer { OSSL_PARAM_BLD_free(builder) }
        // The builder refers to the point's bytes until the key is made.
        return try point.withUnsafeBufferPointer {
            (bytes: UnsafeBufferPointer<UInt8>) throws(CryptoError) -> KeyHandle in
            guard
                copenssl_push_ec(builder, copenssl_curve(Int32(kind.coordinateLength)), bytes.baseAddress, bytes.count)
                    == 1
            else { throw OpenSSLErrors.failure("reading an EC key") }
            return try PublicKey.key(from: builder, type: "EC")
        }
    }

    private static func ed25519(_ bytes: [UInt8]) throws(CryptoError) -> KeyHandle {
        guard let pointer: OpaquePointer = EVP_PKEY_new_raw_public_key_ex(nil, "ED25519", nil, bytes, bytes.count)
        else {
            throw OpenSSLErrors.failure("reading an Ed25519 key")
        }
        return try KeyHandle(adopting: pointer)
    }

    private static func key(from builder: OpaquePointer, type: String) throws(CryptoError) -> KeyHandle {
        guard let parameters: UnsafeMutablePointer<OSSL_PARAM> = OSSL_PARAM_BLD_to_param(builder) else {
            throw OpenSSLErrors.failure("reading a key")
        }
        defer { OSSL_PARAM_free(parameters) }
        guard let context: OpaquePointer = EVP_PKEY_CTX_new_from_name(nil, type, nil) else {
            throw OpenSSLErrors.failure("reading a key")
        }
        defer { EVP_PKEY_CTX_free(context) }
        var pointer: OpaquePointer?
        guard EVP_PKEY_fromdata_init(context) == 1,
            EVP_PKEY_fromdata(context, &pointer, COPENSSL_PKEY_PUBLIC_KEY, parameters) == 1, let pointer: OpaquePointer
        else {
            ERR_clear_error()
            throw .malformed("the members of the JWK do not make a valid \(type) key")
        }
        return try KeyHandle(adopting: pointer)
    }

    /// The bytes of a member, of exactly `length` if given.
    private static func member(_ text: String, _ name: String, length: Int?) throws(CryptoError) -> [UInt8] {
        guard text.utf8.count <= 2048, let bytes: [UInt8] = Base64.decodeURL(text), !bytes.isEmpty else {
            throw .malformed("the JWK member \(name) must be URL-safe base64 without padding")
        }
        if let length: Int, bytes.count != length {
            throw .malformed("the JWK member \(name) must be \(length) bytes")
        }
        return bytes
    }
}
