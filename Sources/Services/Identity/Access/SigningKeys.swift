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
        var stored: [Stored] = try await services.store.read { try Self.stored(in: $0) }
        if stored.isEmpty { stored = try await Self.make(services: services, sealer: sealer) }
        var keys: [JWK] = []
        var newest: (id: String, key: PrivateKey)?
        for row in stored {
            let pem: [UInt8] = try sealer.open(row.sealed, name: Self.sealName(row.id))
            let key: PrivateKey = try PrivateKey(pem: String(decoding: pem, as: UTF8.self))
            keys.append(JWK(keyID: row.id, algorithm: .rs256, key: try key.publicKey()))
            newest = (row.id, key)
        }
        guard let newest else { preconditionFailure("there is a key: it was just made") }
        return SigningKeys(
            issuer: issuer, clock: services.clock,
            state: State(key: newest.key, keyID: newest.id, published: JWKSet(keys: keys)))
    }

    private struct Stored: Sendable {
        let id: String
        let sealed: [UInt8]
    }

    private static func stored(in database: some Queryable) throws -> [Stored] {
        try database.rows("SELECT key_id, sealed FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at") {
            (row: Row) throws(StoreError) -> Stored in Stored(id: try row.text(0), sealed: try row.bytes(1))
        }
    }

    /// Makes the first key. Several processes may start at once: one key stands, and all get that.
    private static func make(services: ServiceEnvironment, sealer: any SecretSealer) async throws -> [Stored] {
        let key: PrivateKey = try PrivateKey.generate(.rsa)
        let id: String = try key.publicKey().thumbprint()
        let sealed: [UInt8] = try sealer.seal(Array(try key.pem().utf8), name: Self.sealName(id))
        return try await services.store.write { transaction in
            let earlier: [Stored] = try Self.stored(in: transaction)
            guard earlier.isEmpty else { return earlier }
            try transaction.execute(
                "INSERT INTO signing_keys (key_id, sealed, created_at) VALUES ($1, $2, $3)", .text(id), .bytes(sealed),
                .int(transaction.now.milliseconds))
            return [Stored(id: id, sealed: sealed)]
        }
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
