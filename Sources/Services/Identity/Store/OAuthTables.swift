import Store
import Time

/// The table `oauth_clients`.
enum OAuthClientTable {
    private static let columns: String = """
        tenant, client_id, name, secret_hash, redirect_uris, logout_uris, grant_types, scopes, trusted, account, created_at, version
        """
    private static let readColumns: String = "\(columns), old_secret_hash, old_secret_ends"

    static func find(_ id: String, in store: any Queryable) throws -> OAuthClient? {
        if id == OAuthClient.commandLine.id { return .commandLine }
        return try store.first(
            "SELECT \(Self.readColumns) FROM oauth_clients WHERE client_id = $1", .text(id), decode: Self.decode)
    }

    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [OAuthClient] {
        try store.rows(
            "SELECT \(Self.readColumns) FROM oauth_clients WHERE tenant = $1 AND client_id > $2 ORDER BY client_id LIMIT $3",
            .text(tenant), .text(after), .int(Int64(limit)), decode: Self.decode)
    }

    static func insert(_ client: OAuthClient, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO oauth_clients (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            .text(client.tenant), .text(client.id), .text(client.name), client.secretHash.map { .text($0) } ?? .null,
            .text(client.redirectURIs.joined(separator: " ")), .text(client.logoutURIs.joined(separator: " ")),
            .text(client.grantTypes.joined(separator: " ")), .text(client.scopes.joined(separator: " ")),
            .bool(client.isTrusted), client.account.map { .text($0) } ?? .null, .int(client.createdAt.milliseconds),
            .int(client.version))
    }

    /// Writes everything that can change of a client, with its next version.
    static func update(_ client: OAuthClient, in transaction: Transaction) throws {
        try transaction.execute(
            """
            UPDATE oauth_clients SET name = $3, secret_hash = $4, redirect_uris = $5, logout_uris = $6,
                grant_types = $7, scopes = $8, trusted = $9, account = $10, version = $11, old_secret_hash = $12,
                old_secret_ends = $13
            WHERE tenant = $1 AND client_id = $2
            """, .text(client.tenant), .text(client.id), .text(client.name),
            client.secretHash.map { .text($0) } ?? .null, .text(client.redirectURIs.joined(separator: " ")),
            .text(client.logoutURIs.joined(separator: " ")), .text(client.grantTypes.joined(separator: " ")),
            .text(client.scopes.joined(separator: " ")), .bool(client.isTrusted),
            client.account.map { .text($0) } ?? .null, .int(client.version),
            client.oldSecret.map { .text($0.hash) } ?? .null,
            client.oldSecret.map { .int($0.ends.milliseconds) } ?? .null)
    }

    static func delete(_ client: OAuthClient, in transaction: Transaction) throws {
        // Every token names its client: gateways need not know of the grants.
        try RevocationTable.add([client.id], in: transaction)
        try transaction.execute(
            "DELETE FROM oauth_clients WHERE tenant = $1 AND client_id = $2", .text(client.tenant), .text(client.id))
    }

    private static func decode(_ row: Row) throws(StoreError) -> OAuthClient {
        func words(_ column: Int) throws(StoreError) -> [String] {
            try row.text(column).split(separator: " ").map(String.init)
        }
        var client: OAuthClient = OAuthClient(
            tenant: try row.text(0), id: try row.text(1), name: try row.text(2), secretHash: try row.optionalText(3),
            redirectURIs: try words(4), logoutURIs: try words(5), grantTypes: try words(6), scopes: try words(7),
            isTrusted: try row.bool(8), account: try row.optionalText(9),
            createdAt: Timestamp(milliseconds: try row.int(10)), version: try row.int(11))
        if let hash: String = try row.optionalText(12), let ends: Int64 = try row.optionalInt(13) {
            client.oldSecret = (hash, Timestamp(milliseconds: ends))
        }
        return client
    }
}

/// What a user let a client do within one sign-in. All tokens that came of it end with it.
struct OAuthGrant: Sendable {
    let id: String
    let clientID: String
    let userID: String
    let sessionID: String
    let scopes: [String]
    let nonce: String?
    /// When the user showed who they are.
    let signedInAt: Timestamp
    let expiresAt: Timestamp
    var isRevoked: Bool = false
}

/// The table `oauth_grants`: codes, refresh tokens and device codes refer to it.
enum OAuthGrantTable {
    private static let columns: String =
        "grant_id, client_id, user_id, session_id, scopes, nonce, signed_in_at, expires_at, revoked_at"

    static func find(_ id: String, in store: any Queryable) throws -> OAuthGrant? {
        try store.first("SELECT \(Self.columns) FROM oauth_grants WHERE grant_id = $1", .text(id), decode: Self.decode)
    }

    static func insert(_ grant: OAuthGrant, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO oauth_grants (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)",
            .text(grant.id), .text(grant.clientID), .text(grant.userID), .text(grant.sessionID),
            .text(grant.scopes.joined(separator: " ")), grant.nonce.map { .text($0) } ?? .null,
            .int(grant.signedInAt.milliseconds), .int(grant.expiresAt.milliseconds))
    }

    /// - Returns: whether it worked until now.
    static func revoke(_ id: String, in transaction: Transaction) throws -> Bool {
        let count: Int = try transaction.execute(
            "UPDATE oauth_grants SET revoked_at = $2 WHERE grant_id = $1 AND revoked_at IS NULL", .text(id),
            .int(transaction.now.milliseconds))
        if count > 0 { try RevocationTable.add([id], in: transaction) }
        return count > 0
    }

    /// Ends what users let a client do. - Returns: the grants that worked until now.
    static func revokeAll(ofClient id: String, in transaction: Transaction) throws -> [String] {
        try transaction.rows(
            "UPDATE oauth_grants SET revoked_at = $2 WHERE client_id = $1 AND revoked_at IS NULL RETURNING grant_id",
            .text(id), .int(transaction.now.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    /// Grants that have not expired and do not work any more: what authentication must know.
    static func revoked(now: Timestamp, in store: any Queryable) throws -> [String] {
        try store.rows(
            "SELECT grant_id FROM oauth_grants WHERE revoked_at IS NOT NULL AND expires_at > $1",
            .int(now.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    private static func decode(_ row: Row) throws(StoreError) -> OAuthGrant {
        OAuthGrant(
            id: try row.text(0), clientID: try row.text(1), userID: try row.text(2), sessionID: try row.text(3),
            scopes: try row.text(4).split(separator: " ").map(String.init), nonce: try row.optionalText(5),
            signedInAt: Timestamp(milliseconds: try row.int(6)), expiresAt: Timestamp(milliseconds: try row.int(7)),
            isRevoked: try !row.isNull(8))
    }
}

/// The table `oauth_secrets`: what is handed out once and presented once, found by its hash: codes and refresh tokens of grants.
enum OAuthSecretTable {
    enum Kind: String {
        case code
        case refresh
    }

    struct Found {
        let grantID: String
        /// Of a code: the address it was made for, and what its verifier must hash to.
        let redirectURI: String
        let challenge: String
        let expiresAt: Timestamp
        let isUsed: Bool
    }

    static func insert(
        _ kind: Kind, text: String, grant: String, redirectURI: String = "", challenge: String = "",
        expiresAt: Timestamp, in transaction: Transaction
    ) throws {
        try transaction.execute(
            """
            INSERT INTO oauth_secrets (sha256, kind, grant_id, redirect_uri, challenge, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """, .text(AccessToken.hash(text)), .text(kind.rawValue), .text(grant), .text(redirectURI),
            .text(challenge), .int(expiresAt.milliseconds))
    }

    static func find(_ kind: Kind, text: String, in store: any Queryable) throws -> Found? {
        try store.first(
            """
            SELECT grant_id, redirect_uri, challenge, expires_at, used_at FROM oauth_secrets
            WHERE sha256 = $1 AND kind = $2
            """, .text(AccessToken.hash(text)), .text(kind.rawValue)
        ) { (row: Row) throws(StoreError) -> Found in
            Found(
                grantID: try row.text(0), redirectURI: try row.text(1), challenge: try row.text(2),
                expiresAt: Timestamp(milliseconds: try row.int(3)), isUsed: try !row.isNull(4))
        }
    }

    static func use(_ text: String, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE oauth_secrets SET used_at = $2 WHERE sha256 = $1", .text(AccessToken.hash(text)),
            .int(transaction.now.milliseconds))
    }

}

/// The table `browser_sessions`: which cookie stands for which session.
enum BrowserSessionTable {
    static func insert(cookie: String, session: Session, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO browser_sessions (sha256, session_id, expires_at) VALUES ($1, $2, $3)",
            .text(AccessToken.hash(cookie)), .text(session.id), .int(session.expiresAt.milliseconds))
    }

    /// A cookie stands for nothing any more.
    static func delete(cookie: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM browser_sessions WHERE sha256 = $1", .text(AccessToken.hash(cookie)))
    }

    static func session(cookie: String, now: Timestamp, in store: any Queryable) throws -> Session? {
        let id: String? = try store.first(
            "SELECT session_id FROM browser_sessions WHERE sha256 = $1", .text(AccessToken.hash(cookie))
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        guard let id: String, let session: Session = try SessionTable.find(id, in: store), !session.isRevoked,
            session.expiresAt > now
        else { return nil }
        return session
    }
}

/// The table `oauth_consents`: what users agreed to, so that they are asked once.
enum ConsentTable {
    static func scopes(user: String, client: String, in store: any Queryable) throws -> [String]? {
        try store.first(
            "SELECT scopes FROM oauth_consents WHERE user_id = $1 AND client_id = $2", .text(user), .text(client)
        ) { (row: Row) throws(StoreError) -> [String] in try row.text(0).split(separator: " ").map(String.init) }
    }

    static func put(user: String, client: String, scopes: [String], in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO oauth_consents (user_id, client_id, scopes, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (user_id, client_id) DO UPDATE SET scopes = excluded.scopes, created_at = excluded.created_at
            """, .text(user), .text(client), .text(scopes.joined(separator: " ")),
            .int(transaction.now.milliseconds))
    }

    /// What a user agreed to: by client, the scopes.
    static func all(of user: String, in store: any Queryable) throws -> [(client: String, scopes: String)] {
        try store.rows(
            "SELECT client_id, scopes FROM oauth_consents WHERE user_id = $1 ORDER BY client_id", .text(user)
        ) { (row: Row) throws(StoreError) -> (client: String, scopes: String) in (try row.text(0), try row.text(1)) }
    }

    static func delete(client: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM oauth_consents WHERE client_id = $1", .text(client))
    }
}

/// A device that waits for its user to allow it on another one (RFC 8628).
struct DeviceRequest: Sendable {
    enum State: String {
        case pending
        case approved
        case denied
        case used
    }

    let sha256: String
    let userCode: String
    let clientID: String
    let scopes: [String]
    let state: State
    let grantID: String?
    let expiresAt: Timestamp
    let askedAt: Timestamp
}

/// The table `oauth_devices`.
enum DeviceTable {
    private static let columns: String =
        "sha256, user_code, client_id, scopes, state, grant_id, expires_at, asked_at"

    static func insert(_ request: DeviceRequest, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO oauth_devices (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, NULL, $6, $7)",
            .text(request.sha256), .text(request.userCode), .text(request.clientID),
            .text(request.scopes.joined(separator: " ")), .text(request.state.rawValue),
            .int(request.expiresAt.milliseconds), .int(request.askedAt.milliseconds))
    }

    static func find(code: String, in store: any Queryable) throws -> DeviceRequest? {
        try store.first(
            "SELECT \(Self.columns) FROM oauth_devices WHERE sha256 = $1", .text(AccessToken.hash(code)),
            decode: Self.decode)
    }

    static func pending(userCode: String, now: Timestamp, in store: any Queryable) throws -> DeviceRequest? {
        try store.first(
            """
            SELECT \(Self.columns) FROM oauth_devices WHERE user_code = $1 AND state = 'pending' AND expires_at > $2
            """, .text(userCode), .int(now.milliseconds), decode: Self.decode)
    }

    static func set(
        _ state: DeviceRequest.State, grant: String?, of request: DeviceRequest, in transaction: Transaction
    ) throws {
        try transaction.execute(
            "UPDATE oauth_devices SET state = $2, grant_id = $3 WHERE sha256 = $1", .text(request.sha256),
            .text(state.rawValue), grant.map { .text($0) } ?? .null)
    }

    static func asked(_ request: DeviceRequest, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE oauth_devices SET asked_at = $2 WHERE sha256 = $1", .text(request.sha256),
            .int(transaction.now.milliseconds))
    }

    private static func decode(_ row: Row) throws(StoreError) -> DeviceRequest {
        DeviceRequest(
            sha256: try row.text(0), userCode: try row.text(1), clientID: try row.text(2),
            scopes: try row.text(3).split(separator: " ").map(String.init),
            state: DeviceRequest.State(rawValue: try row.text(4)) ?? .denied, grantID: try row.optionalText(5),
            expiresAt: Timestamp(milliseconds: try row.int(6)), askedAt: Timestamp(milliseconds: try row.int(7)))
    }
}
