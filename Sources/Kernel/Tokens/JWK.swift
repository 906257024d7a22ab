package import Crypto
package import JSON

/// A public signature key with its name (RFC 7517).
package struct JWK: Sendable {
    /// Longest `kid` read.
    static let keyIDBytesMax: Int = 256

    package let keyID: String?
    /// The only algorithm it is for; nil: any of its kind.
    package let algorithm: JWTAlgorithm?
    package let key: PublicKey

    package init(keyID: String?, algorithm: JWTAlgorithm?, key: PublicKey) {
        self.keyID = keyID
        self.algorithm = algorithm
        self.key = key
    }

    /// Reads a member of a set; nil when it is not a public signature key of a kind used here: such members are passed over
    /// (RFC 7517 section 5), as is anything private, which has no business in a published set.
    package init?(_ value: JSONValue) {
        guard value["d"] == nil, value["k"] == nil, value["p"] == nil,
            let material: PublicJWK = JWK.material(value), let key = try? PublicKey(jwk: material)
        else { return nil }
        if let use: JSONValue = value["use"], use.text != "sig" { return nil }
        if let operations: JSONValue = value["key_ops"], operations.elements?.contains("verify") != true { return nil }
        var algorithm: JWTAlgorithm?
        if let name: JSONValue = value["alg"] {
            guard let known: JWTAlgorithm = name.text.flatMap({ JWTAlgorithm(rawValue: $0) }),
                known.scheme.keyKind == key.kind
            else { return nil }
            algorithm = known
        }
        var keyID: String?
        if let name: JSONValue = value["kid"] {
            guard let text: String = name.text, text.utf8.count <= JWK.keyIDBytesMax else { return nil }
            keyID = text
        }
        self.init(keyID: keyID, algorithm: algorithm, key: key)
    }

    private static func material(_ value: JSONValue) -> PublicJWK? {
        switch (value["kty"]?.text, value["crv"]?.text) {
        case ("RSA", _):
            guard let n: String = value["n"]?.text, let e: String = value["e"]?.text else { return nil }
            return .rsa(n: n, e: e)
        case ("EC", let curve):
            guard let x: String = value["x"]?.text, let y: String = value["y"]?.text else { return nil }
            switch curve {
            case "P-256": return .p256(x: x, y: y)
            case "P-384": return .p384(x: x, y: y)
            case "P-521": return .p521(x: x, y: y)
            default: return nil
            }
        case ("OKP", "Ed25519"):
            guard let x: String = value["x"]?.text else { return nil }
            return .ed25519(x: x)
        default: return nil
        }
    }

    /// The member as a set publishes it.
    package func json() throws(CryptoError) -> JSONValue {
        var object: JSONObject
        switch try self.key.jwk() {
        case .rsa(let n, let e): object = ["kty": "RSA", "n": .string(n), "e": .string(e)]
        case .p256(let x, let y), .p384(let x, let y), .p521(let x, let y):
            object = ["kty": "EC", "crv": .string(self.key.kind.name), "x": .string(x), "y": .string(y)]
        case .ed25519(let x): object = ["kty": "OKP", "crv": "Ed25519", "x": .string(x)]
        }
        object["use"] = "sig"
        if let keyID: String = self.keyID { object["kid"] = .string(keyID) }
        if let algorithm: JWTAlgorithm = self.algorithm { object["alg"] = .string(algorithm.rawValue) }
        return .object(object)
    }
}

/// The keys of an issuer (RFC 7517 section 5).
package struct JWKSet: Sendable {
    /// Longest document read.
    package static let bytesMax: Int = 256 << 10
    /// Most keys read; further ones are passed over.
    package static let keysMax: Int = 100
    /// Most keys tried for one token; more than one only when an issuer gives several the same name.
    static let triedMax: Int = 4

    package let keys: [JWK]

    package init(keys: [JWK]) {
        self.keys = keys
    }

    /// Reads what an issuer publishes: an object with `keys`.
    package init(parsing bytes: [UInt8]) throws(TokenError) {
        let limits = JSONLimits(depth: 16, bytes: JWKSet.bytesMax)
        let value: JSONValue
        do {
            value = try JSONReader.parse(bytes, limits: limits)
        } catch {
            throw .malformed("expected a JSON Web Key Set: \(error)")
        }
        guard let members: [JSONValue] = value["keys"]?.elements else {
            throw .malformed("expected a JSON Web Key Set: an object with the member keys")
        }
        self.keys = members.prefix(JWKSet.keysMax).compactMap { JWK($0) }
    }

    /// What an issuer publishes.
    package func json() throws(CryptoError) -> JSONValue {
        var members: [JSONValue] = []
        for key in self.keys { members.append(try key.json()) }
        return ["keys": .array(members)]
    }

    /// The keys a token with this header may be signed with. The kind of key must be the algorithm's own. A token that names no
    /// key is accepted only when there is no choice.
    func candidates(keyID: String?, algorithm: JWTAlgorithm) -> [PublicKey] {
        var fitting: [PublicKey] = []
        for jwk in self.keys where jwk.key.kind == algorithm.scheme.keyKind {
            if let only: JWTAlgorithm = jwk.algorithm, only != algorithm { continue }
            if let keyID: String {
                guard let name: String = jwk.keyID, name.hasSameBytes(as: keyID) else { continue }
            }
            fitting.append(jwk.key)
        }
        if keyID == nil { return fitting.count == 1 ? fitting : [] }
        return Array(fitting.prefix(JWKSet.triedMax))
    }
}
