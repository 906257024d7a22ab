import Contracts
import Crypto
import JSON
import REST
import Store
import Synchronization
import Time
import Tokens

/// The keys that sign the platform's tokens: RS256, sealed in the store, published as a JWK set. Made at the first start.
final class SigningKeys: Sendable {
    /// What the tokens say about who they are for.
    static let audience: String = "passerelle"

    private struct State: Sendable {
        var key: PrivateKey
        var keyID: String
        var published: JWKSet
    }

    let issuer: String
    private let clock: any WallClock
    private let state: Mutex<State>
    private let verifier: Mutex<TokenVerifier>

    private init(issuer: String, clock: any WallClock, state: State) {
        self.issuer = issuer
        self.clock = clock
        self.verifier = Mutex(Self.verifier(state.published, issuer: issuer, clock: clock))
        self.state = Mutex(state)
    }

    /// Loads the keys, or makes the first one.
    static func load(services: ServiceEnvironment, sealer: any SecretSealer, issuer: String) async throws -> SigningKeys
    {
        let stored: [(id: String, sealed: [UInt8])] = try await services.store.read { reader in
            try reader.rows("SELECT key_id, sealed FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at") {
                (row: Row) throws(StoreError) -> (id: String, sealed: [UInt8]) in (try row.text(0), try row.bytes(1))
            }
        }
        var keys: [JWK] = []
        var newest: (id: String, key: PrivateKey)?
        for row in stored {
            let pem: [UInt8] = try sealer.open(row.sealed, name: Self.sealName(row.id))
            let key: PrivateKey = try PrivateKey(pem: String(decoding: pem, as: UTF8.self))
            keys.append(JWK(keyID: row.id, algorithm: .rs256, key: try key.publicKey()))
            newest = (row.id, key)
        }
        if newest == nil {
            let made: (id: String, key: PrivateKey) = try await Self.make(services: services, sealer: sealer)
            keys.append(JWK(keyID: made.id, algorithm: .rs256, key: try made.key.publicKey()))
            newest = made
        }
        guard let newest else { preconditionFailure("there is a key: it was just made") }
        return SigningKeys(
            issuer: issuer, clock: services.clock,
            state: State(key: newest.key, keyID: newest.id, published: JWKSet(keys: keys)))
    }

    private static func make(
        services: ServiceEnvironment, sealer: any SecretSealer
    ) async throws -> (id: String, key: PrivateKey) {
        let key: PrivateKey = try PrivateKey.generate(.rsa)
        let id: String = try key.publicKey().thumbprint()
        let sealed: [UInt8] = try sealer.seal(Array(try key.pem().utf8), name: Self.sealName(id))
        try await services.store.write { transaction in
            try transaction.execute(
                "INSERT INTO signing_keys (key_id, sealed, created_at) VALUES ($1, $2, $3)", .text(id), .bytes(sealed),
                .int(transaction.now.milliseconds))
        }
        return (id, key)
    }

    private static func sealName(_ id: String) -> String { "signing-key/\(id)" }

    private static func verifier(_ keys: JWKSet, issuer: String, clock: any WallClock) -> TokenVerifier {
        TokenVerifier(
            keys: keys, issuer: issuer, audience: Self.audience, algorithms: [.rs256], types: ["at+jwt"],
            leeway: .seconds(5), clock: clock)
    }

    /// What `/.well-known/jwks.json` shows.
    func json() throws -> JSONValue { try self.state.withLock { $0.published }.json() }

    /// Signs an access token. Costs about 0.5 ms of CPU.
    func sign(_ session: Session) throws -> String {
        let (key, keyID): (PrivateKey, String) = self.state.withLock { ($0.key, $0.keyID) }
        let claims: JSONObject = [
            "iss": .string(self.issuer), "aud": .string(Self.audience), "sub": .string(session.userID),
            "sid": .string(session.id), "iat": .int(session.createdAt.milliseconds / 1_000),
            "exp": .int(session.expiresAt.milliseconds / 1_000), "jti": .string(session.id),
        ]
        return try JWT.sign(claims: claims, key: key, keyID: keyID, algorithm: .rs256, type: "at+jwt")
    }

    func verify(_ token: String) throws -> VerifiedToken {
        try self.verifier.withLock { $0 }.verify(token)
    }
}
