import Contracts
import Crypto
import EventLog
import JSON
import REST
import Store
import Synchronization
import Time
import Tokens

/// The keys that sign the platform's tokens: RS256, sealed in the store, published as a JWK set. The first is made at the first start.
///
/// A new key is published before it signs, for `publishedBefore`, and the old ones stay published until no token of theirs is
/// left: who keeps the set for as long as its answer allows never meets a key that is not in it.
final class SigningKeys: Sendable {
    /// What the tokens say about who they are for, when that is the platform.
    static let audience: String = "passerelle"
    /// Longer than anybody may keep the published set (`cacheSeconds`), and than other processes take to read it again.
    static let publishedBefore: Duration = .seconds(600)
    static let cacheSeconds: Int = 300
    /// How old a key becomes before the platform makes another one by itself.
    static let ageMax: Duration = .seconds(90 * 86_400)

    private struct State: Sendable {
        var key: PrivateKey
        var keyID: String
        var published: JWKSet
        var verifiers: (platform: TokenVerifier, any: TokenVerifier, hints: TokenVerifier)
        /// When the newest key was made.
        var newestAt: Timestamp
    }

    let issuer: String
    private let services: ServiceEnvironment
    private let sealer: any SecretSealer
    private let state: Mutex<State>

    private init(issuer: String, services: ServiceEnvironment, sealer: any SecretSealer, state: State) {
        self.issuer = issuer
        self.services = services
        self.sealer = sealer
        self.state = Mutex(state)
    }

    /// Loads the keys, or makes the first one.
    static func load(services: ServiceEnvironment, sealer: any SecretSealer, issuer: String) async throws -> SigningKeys
    {
        let now: Timestamp = services.clock.now()
        var stored: [Stored] = try await services.store.read { try Self.stored(now: now, in: $0) }
        if stored.isEmpty { stored = try await Self.makeFirst(services: services, sealer: sealer) }
        let state: State = try Self.state(stored, services, sealer, issuer)
        return SigningKeys(issuer: issuer, services: services, sealer: sealer, state: state)
    }

    private static func state(
        _ stored: [Stored], _ services: ServiceEnvironment, _ sealer: any SecretSealer, _ issuer: String
    ) throws -> State {
        var keys: [JWK] = []
        var signing: (id: String, key: PrivateKey)?
        let signsSince: Timestamp = services.clock.now().adding(.zero - Self.publishedBefore)
        for row in stored {
            let pem: [UInt8] = try sealer.open(row.sealed, name: Self.sealName(row.id))
            let key: PrivateKey = try PrivateKey(pem: String(decoding: pem, as: UTF8.self))
            keys.append(JWK(keyID: row.id, algorithm: .rs256, key: try key.publicKey()))
            // The newest that everybody knows; the first one has nobody who could not.
            if signing == nil || row.createdAt <= signsSince { signing = (row.id, key) }
        }
        guard let signing, let newest: Stored = stored.last else { throw CryptoError.unsupported("no signing key") }
        let published: JWKSet = JWKSet(keys: keys)
        func verifier(_ audiences: [String], _ type: String, leeway: Duration) -> TokenVerifier {
            TokenVerifier(
                keys: published,
                rules: TokenRules(
                    issuer: issuer, audiences: audiences, algorithms: [.rs256], types: [type], isTypeRequired: true,
                    leeway: leeway), clock: services.clock)
        }
        return State(
            key: signing.key, keyID: signing.id, published: published,
            verifiers: (
                verifier([Self.audience], "at+jwt", leeway: .seconds(5)), verifier([], "at+jwt", leeway: .zero),
                verifier([], "jwt", leeway: TokenRules.leewayMax)
            ), newestAt: newest.createdAt)
    }

    private struct Stored: Sendable {
        let id: String
        let sealed: [UInt8]
        let createdAt: Timestamp
    }

    private static func stored(now: Timestamp, in database: some Queryable) throws -> [Stored] {
        try database.rows(
            """
            SELECT key_id, sealed, created_at FROM signing_keys WHERE retired_at IS NULL OR retired_at > $1
            ORDER BY created_at, key_id
            """, .int(now.milliseconds)
        ) { (row: Row) throws(StoreError) -> Stored in
            Stored(
                id: try row.text(0), sealed: try row.bytes(1), createdAt: Timestamp(milliseconds: try row.int(2)))
        }
    }

    private static func make(sealer: any SecretSealer) async throws -> (id: String, sealed: [UInt8]) {
        let key: PrivateKey = try await .make(.rsa)
        let id: String = try key.publicKey().thumbprint()
        return (id, try sealer.seal(Array(try key.pem().utf8), name: Self.sealName(id)))
    }

    private static func insert(_ made: (id: String, sealed: [UInt8]), in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO signing_keys (key_id, sealed, created_at) VALUES ($1, $2, $3)", .text(made.id),
            .bytes(made.sealed), .int(transaction.now.milliseconds))
    }

    /// Makes the first key. Several processes may start at once: one key stands, and all get that.
    private static func makeFirst(services: ServiceEnvironment, sealer: any SecretSealer) async throws -> [Stored] {
        let made: (id: String, sealed: [UInt8]) = try await Self.make(sealer: sealer)
        return try await services.store.write { transaction in
            let earlier: [Stored] = try Self.stored(now: transaction.now, in: transaction)
            guard earlier.isEmpty else { return earlier }
            try Self.insert(made, in: transaction)
            return [Stored(id: made.id, sealed: made.sealed, createdAt: transaction.now)]
        }
    }

    /// Makes the next key and retires those before it, once their last token has ended. - Returns: the id of the new key.
    func rotate(_ author: Author) async throws -> String {
        let made: (id: String, sealed: [UInt8]) = try await Self.make(sealer: self.sealer)
        let lifetime: Duration = Self.publishedBefore + Session.lifetime + .seconds(60)
        try await self.services.store.write { transaction in
            try transaction.execute(
                "UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL",
                .int(transaction.now.adding(lifetime).milliseconds))
            try Self.insert(made, in: transaction)
            try author.audit(
                "signing-key.rotated", tenant: "", resource: AuditEntry.Resource(type: "signing-key", id: made.id),
                changes: [:], in: transaction)
        }
        try await self.reload()
        return made.id
    }

    /// Learns of keys made here or by other processes, and lets the newest one sign when its time has come.
    func reload() async throws {
        let now: Timestamp = self.services.clock.now()
        let stored: [Stored] = try await self.services.store.read { try Self.stored(now: now, in: $0) }
        let state: State = try Self.state(stored, self.services, self.sealer, self.issuer)
        self.state.withLock { $0 = state }
    }

    /// Whether the newest key is old enough for another one.
    var isDue: Bool {
        self.state.withLock { $0.newestAt }.adding(Self.ageMax) <= self.services.clock.now()
    }

    static func sealName(_ id: String) -> String { "signing-key/\(id)" }

    /// What `/.well-known/jwks.json` shows.
    func json() throws -> JSONValue { try self.state.withLock { $0.published }.json() }

    /// Signs the access token of a session at the platform. Costs about 0.5 ms of CPU.
    func sign(_ session: Session) throws -> String {
        try self.sign(
            [
                "iss": .string(self.issuer), "aud": .string(Self.audience), "sub": .string(session.userID),
                "sid": .string(session.id), "iat": .int(session.createdAt.milliseconds / 1_000),
                "exp": .int(session.expiresAt.milliseconds / 1_000), "jti": .string(session.id),
            ], type: "at+jwt")
    }

    func sign(_ claims: JSONObject, type: String) throws -> String {
        let (key, keyID): (PrivateKey, String) = self.state.withLock { ($0.key, $0.keyID) }
        return try JWT.sign(claims: claims, key: key, keyID: keyID, algorithm: .rs256, type: type)
    }

    /// Checks an access token for the platform itself.
    func verify(_ token: String) throws -> VerifiedToken {
        try self.state.withLock { $0.verifiers.platform }.verify(token)
    }

    /// Checks an access token for anybody: where its client asks about it.
    func verifyForAnyone(_ token: String) throws -> VerifiedToken {
        try self.state.withLock { $0.verifiers.any }.verify(token)
    }

    /// Checks an id token that says whose session a request is about.
    func verifyHint(_ token: String) throws -> VerifiedToken {
        try self.state.withLock { $0.verifiers.hints }.verify(token)
    }
}
