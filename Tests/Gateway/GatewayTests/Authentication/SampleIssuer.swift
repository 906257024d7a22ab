import Bytes
import Crypto
import GatewayConfiguration
import Glibc
import JSON
import Tokens

@testable import Gateway

/// An authorization server's side of tests: keys, tokens good and bad.
struct SampleIssuer: Sendable {
    static let name: String = "https://issuer.test"

    static let rsa: PrivateKey? = try? PrivateKey.generate(.rsa)
    static let curve: PrivateKey? = try? PrivateKey.generate(.p256)
    static let large: PrivateKey? = try? PrivateKey.generate(.p521)

    static var now: Int64 { Int64(time(nil)) }

    static func keys() throws -> JWKSet {
        var keys: [JWK] = []
        for (name, key) in [("rsa", self.rsa), ("ec", self.curve), ("ec521", self.large)] {
            guard let key else { continue }
            keys.append(JWK(keyID: name, algorithm: nil, key: try key.publicKey()))
        }
        return JWKSet(keys: keys)
    }

    static func keysText() throws -> String { try self.keys().json().jsonText }

    static func policy(_ change: (inout JWTPolicy) -> Void = { _ in }) throws -> PolicyDefinition {
        var policy: JWTPolicy = JWTPolicy(issuers: [
            JWTIssuer(
                issuer: self.name, keys: .inline(try self.keysText()), audiences: ["api"],
                algorithms: [.rs256, .es256, .es512])
        ])
        change(&policy)
        return .jwt(policy)
    }

    static func claims(_ more: JSONObject = [:]) -> JSONObject {
        var claims: JSONObject = [
            "iss": .string(self.name), "aud": "api", "sub": "alice", "iat": .int(self.now), "exp": .int(self.now + 600),
            "jti": "t1",
        ]
        for (name, value) in more.members { claims[name] = value }
        return claims
    }

    static func token(_ more: JSONObject = [:], _ algorithm: JWTAlgorithm = .es256) throws -> String {
        let (key, name): (PrivateKey?, String) =
            algorithm == .rs256 ? (self.rsa, "rsa") : algorithm == .es512 ? (self.large, "ec521") : (self.curve, "ec")
        guard let key else { return "" }
        return try JWT.sign(claims: self.claims(more), key: key, keyID: name, algorithm: algorithm)
    }

    /// Header and payload exactly as given, with a good signature of the P-256 key.
    static func token(header: String, payload: String) throws -> String {
        guard let key: PrivateKey = self.curve else { return "" }
        return try JWT.sign(header: Array(header.utf8), payload: Array(payload.utf8), key: key, algorithm: .es256)
    }
}

extension GatewayUnderTest {
    /// One GET with these field lines.
    func get(_ path: String = "/", _ lines: String...) throws -> RawMessage {
        try self.exchange("GET \(path) HTTP/1.1\r\nHost: a\r\n\(lines.map { $0 + "\r\n" }.joined())\r\n")
    }

    func get(token: String) throws -> RawMessage { try self.get("/", "Authorization: Bearer \(token)") }

    func count(_ method: AuthenticationMethod, _ result: AuthenticationCounters.Result) -> UInt64 {
        self.live.authentication.counters.value(method, result)
    }
}

extension GatewayUnderTest {
    /// The same for requests whose answer depends on tasks: waits away from the pool that runs those.
    func fetch(_ path: String = "/", _ lines: String...) async throws -> RawMessage {
        try await offPool {
            try self.exchange("GET \(path) HTTP/1.1\r\nHost: a\r\n\(lines.map { $0 + "\r\n" }.joined())\r\n")
        }
    }

    func fetch(token: String) async throws -> RawMessage {
        try await self.fetch("/", "Authorization: Bearer \(token)")
    }
}
