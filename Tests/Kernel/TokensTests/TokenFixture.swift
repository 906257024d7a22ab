import Bytes
import Crypto
import JSON
import TestKit
import Testing
import Time
import Tokens

/// Keys, a verifier and ways to make good and bad tokens.
struct TokenFixture {
    static let keys: [KeyKind: PrivateKey] = {
        var keys: [KeyKind: PrivateKey] = [:]
        for kind in KeyKind.allCases { keys[kind] = try? PrivateKey.generate(kind) }
        return keys
    }()

    let clock = ManualClock()

    /// Seconds of the clock.
    var now: Int64 { self.clock.now().seconds }

    func key(_ algorithm: JWTAlgorithm) throws -> PrivateKey {
        try #require(TokenFixture.keys[algorithm.scheme.keyKind])
    }

    /// One key for each kind: rsa, ec and ed.
    func keySet() throws -> JWKSet {
        JWKSet(keys: [
            JWK(keyID: "rsa", algorithm: nil, key: try self.key(.rs256).publicKey()),
            JWK(keyID: "ec", algorithm: .es256, key: try self.key(.es256).publicKey()),
            JWK(keyID: "ec384", algorithm: .es384, key: try self.key(.es384).publicKey()),
            JWK(keyID: "ec521", algorithm: nil, key: try self.key(.es512).publicKey()),
            JWK(keyID: "ed", algorithm: .edDSA, key: try self.key(.edDSA).publicKey()),
        ])
    }

    static func keyID(_ algorithm: JWTAlgorithm) -> String {
        switch algorithm {
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512: return "rsa"
        case .es256: return "ec"
        case .es384: return "ec384"
        case .es512: return "ec521"
        case .edDSA: return "ed"
        }
    }

    func verifier(_ algorithms: [JWTAlgorithm] = JWTAlgorithm.allCases, keys: JWKSet? = nil) throws -> TokenVerifier {
        TokenVerifier(
            keys: try keys ?? self.keySet(), issuer: "https://issuer", audience: "api", algorithms: algorithms,
            clock: self.clock)
    }

    func claims() -> JSONObject {
        [
            "iss": "https://issuer", "aud": "api", "sub": "usr_1", "iat": .int(self.now), "nbf": .int(self.now),
            "exp": .int(self.now + 60),
        ]
    }

    func token(_ claims: JSONObject, _ algorithm: JWTAlgorithm = .es256) throws -> String {
        try JWT.sign(
            claims: claims, key: self.key(algorithm), keyID: TokenFixture.keyID(algorithm), algorithm: algorithm)
    }

    /// A token whose header is exactly this text, signed with `algorithm`.
    func token(header: String, payload: [UInt8]? = nil, _ algorithm: JWTAlgorithm = .es256) throws -> String {
        try JWT.sign(
            header: Array(header.utf8), payload: payload ?? JSONValue.object(self.claims()).serialized(),
            key: self.key(algorithm), algorithm: algorithm)
    }

    static func error(_ verify: () throws -> VerifiedToken) -> TokenError? {
        do {
            _ = try verify()
            return nil
        } catch {
            return error as? TokenError
        }
    }
}
