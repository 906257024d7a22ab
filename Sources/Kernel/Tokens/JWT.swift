import Bytes
package import Crypto
package import JSON

/// JSON Web Tokens in compact form (RFC 7519 over RFC 7515):
/// ```
/// base64url(header) "." base64url(claims) "." base64url(signature over the two before, with their dot)
/// ```
package enum JWT {
    /// Longest token read.
    package static let bytesMax: Int = 16 << 10
    /// Longest header read, decoded.
    static let headerBytesMax: Int = 2048
    /// How deep claims may nest.
    static let claimsDepthMax: Int = 16

    /// Signs claims. Throws `unsupported` when the key is not of the algorithm's kind.
    package static func sign(
        claims: JSONObject, key: PrivateKey, keyID: String?, algorithm: JWTAlgorithm, type: String = "JWT"
    ) throws(CryptoError) -> String {
        var header: JSONObject = ["alg": .string(algorithm.rawValue), "typ": .string(type)]
        if let keyID: String { header["kid"] = .string(keyID) }
        return try JWT.sign(
            header: JSONValue.object(header).serialized(), payload: JSONValue.object(claims).serialized(), key: key,
            algorithm: algorithm)
    }

    /// Signs any bytes: also what no honest issuer would sign, for tests.
    package static func sign(
        header: [UInt8], payload: [UInt8], key: PrivateKey, algorithm: JWTAlgorithm
    ) throws(CryptoError) -> String {
        let signed: String = Base64.encodeURL(header) + "." + Base64.encodeURL(payload)
        let signature: [UInt8] = try key.sign(Array(signed.utf8), scheme: algorithm.scheme)
        return signed + "." + Base64.encodeURL(signature)
    }
}

/// The header of a token (RFC 7515 section 4). Members that bring or point to keys (`jwk`, `jku`, `x5c`, `x5u`) are not even read:
/// a token cannot say whom to believe.
package struct TokenHeader: Sendable {
    /// Nil when it is none of those that exist here.
    package let algorithm: JWTAlgorithm?
    package let keyID: String?
    package let type: String?

    init(_ bytes: [UInt8]) throws(TokenError) {
        guard bytes.count <= JWT.headerBytesMax else { throw .tooLarge }
        let object: JSONObject = try TokenJSON.object(bytes, "header")
        // Checked before anything else: a critical member may change the meaning of all others (section 4.1.11).
        if object["crit"] != nil { throw .criticalExtension }
        guard let name: String = object["alg"]?.text else { throw .malformed("the header must have a string alg") }
        self.algorithm = JWTAlgorithm(rawValue: name)
        self.keyID = try TokenHeader.text(object, "kid")
        self.type = try TokenHeader.text(object, "typ")
    }

    private static func text(_ object: JSONObject, _ name: String) throws(TokenError) -> String? {
        guard let value: JSONValue = object[name] else { return nil }
        guard let text: String = value.text, text.utf8.count <= JWK.keyIDBytesMax else {
            throw .malformed("the header's \(name) must be a string of at most \(JWK.keyIDBytesMax) bytes")
        }
        return text
    }
}

/// JSON of tokens: strict, each member once (RFC 7515 section 4 leaves a choice; this is the safe one).
enum TokenJSON {
    static func object(_ bytes: [UInt8], _ part: String) throws(TokenError) -> JSONObject {
        let limits = JSONLimits(depth: JWT.claimsDepthMax, bytes: JWT.bytesMax)
        guard let value: JSONValue = try? JSONReader.parse(bytes, limits: limits), let object: JSONObject = value.object
        else {
            throw .malformed("the \(part) must be a JSON object with each member once")
        }
        return object
    }
}
