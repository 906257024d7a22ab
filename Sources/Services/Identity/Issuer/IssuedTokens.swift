import Bytes
import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

/// How long what the issuer hands out works.
enum IssuerLifetimes {
    static let code: Duration = .seconds(60)
    static let accessToken: Duration = .seconds(300)
    /// Longer than an access token: it also says later whose sign-in a client wants to end.
    static let idToken: Duration = .seconds(3_600)
    static let device: Duration = .seconds(600)
    /// How often a device may ask.
    static let deviceInterval: Duration = .seconds(5)
    /// What the clocks of one caller and ours may differ by without `slow_down`.
    static let deviceTolerance: Duration = .milliseconds(500)
}

extension IdentityService {
    /// The answer of the token endpoint for a grant: access token, id token where asked for, and the next refresh token.
    func tokens(
        for grant: OAuthGrant, of client: OAuthClient, user: User, refresh: String?, methods: [String], now: Timestamp
    ) throws -> HTTPResponse {
        // RFC 9470 section 6.2: whoever takes the access token may ask for more, too.
        var shown: JSONObject = [
            "auth_time": .int(grant.signedInAt.milliseconds / 1_000),
            "acr": .string(methods.contains("mfa") ? Session.twoFactors : Session.oneFactor),
        ]
        if !methods.isEmpty { shown["amr"] = .array(methods.map { JSONValue.string($0) }) }
        var more: JSONObject = shown
        more["sid"] = .string(grant.sessionID)
        more["grant"] = .string(grant.id)
        let access: String = try self.accessToken(
            subject: user.id, client: client, scopes: grant.scopes, now: now, expiresAt: grant.expiresAt, more: more)
        var answer: JSONObject = self.answer(access, scopes: grant.scopes, now: now, expiresAt: grant.expiresAt)
        if let refresh: String { answer["refresh_token"] = .string(refresh) }
        if grant.scopes.contains("openid") {
            var claims: JSONObject = self.claims(of: user, scopes: grant.scopes)
            claims["iss"] = .string(self.keys.issuer)
            claims["aud"] = .string(client.id)
            claims["iat"] = .int(now.milliseconds / 1_000)
            claims["exp"] = .int(now.adding(IssuerLifetimes.idToken).milliseconds / 1_000)
            for member in shown.members { claims[member.key] = member.value }
            claims["sid"] = .string(grant.sessionID)
            claims["at_hash"] = .string(Base64.encodeURL(Array(SHA256.hash(access).prefix(16))))
            if let nonce: String = grant.nonce { claims["nonce"] = .string(nonce) }
            answer["id_token"] = .string(try self.keys.sign(claims, type: "JWT"))
        }
        return Self.uncached(.object(answer))
    }

    /// The answer of the token endpoint for a client that acts for itself.
    func tokens(for account: ServiceAccount, of client: OAuthClient, scopes: [String], now: Timestamp) throws
        -> HTTPResponse
    {
        let end: Timestamp = now.adding(IssuerLifetimes.accessToken)
        let access: String = try self.accessToken(
            subject: account.id, client: client, scopes: scopes, now: now, expiresAt: end, more: [:])
        return Self.uncached(.object(self.answer(access, scopes: scopes, now: now, expiresAt: end)))
    }

    private func answer(_ access: String, scopes: [String], now: Timestamp, expiresAt: Timestamp) -> JSONObject {
        let seconds: Int64 = min(IssuerLifetimes.accessToken, expiresAt - now).components.seconds
        return [
            "access_token": .string(access), "token_type": "Bearer", "expires_in": .int(seconds),
            "scope": .string(scopes.joined(separator: " ")),
        ]
    }

    /// An access token (RFC 9068), never beyond the end of its sign-in. Only with the scope `platform` the platform takes it itself.
    private func accessToken(
        subject: String, client: OAuthClient, scopes: [String], now: Timestamp, expiresAt: Timestamp, more: JSONObject
    ) throws -> String {
        var claims: JSONObject = [
            "iss": .string(self.keys.issuer), "sub": .string(subject), "client_id": .string(client.id),
            "aud": scopes.contains("platform")
                ? .array([.string(client.id), .string(SigningKeys.audience)]) : .string(client.id),
            "iat": .int(now.milliseconds / 1_000),
            "exp": .int(min(now.adding(IssuerLifetimes.accessToken), expiresAt).milliseconds / 1_000),
            "jti": .string(Identifier.make("jti", now: now)), "scope": .string(scopes.joined(separator: " ")),
        ]
        if client.isFirstParty { claims[Self.firstPartyClaim] = true }
        for member in more.members { claims[member.key] = member.value }
        return try self.keys.sign(claims, type: "at+jwt")
    }

    /// Says in an access token that its client counts like a sign-in of the user at the platform itself.
    static let firstPartyClaim: String = "first_party"

    /// What a client learns of a user, by the scopes it has.
    func claims(of user: User, scopes: [String]) -> JSONObject {
        var claims: JSONObject = ["sub": .string(user.id)]
        if scopes.contains("profile") { claims["preferred_username"] = .string(user.name) }
        if scopes.contains("groups") {
            var groups: [String] = []
            for grant in user.inherited {
                guard let group: String = grant.group else { continue }
                let name: String = grant.tenant.map { "\(group)@\($0)" } ?? group
                if !groups.contains(name) { groups.append(name) }
            }
            claims["groups"] = .array(groups.map { JSONValue.string($0) })
        }
        if scopes.contains("roles") {
            var roles: [String] = []
            for grant in user.effective {
                let name: String = grant.tenant.map { "\(grant.role.rawValue)@\($0)" } ?? grant.role.rawValue
                if !roles.contains(name) { roles.append(name) }
            }
            claims["roles"] = .array(roles.map { JSONValue.string($0) })
        }
        return claims
    }

    static func uncached(_ value: JSONValue) -> HTTPResponse {
        var response: HTTPResponse = .json(value)
        response.fields.append("Cache-Control", "no-store")
        return response
    }

    /// Makes what a user lets a client do within a session.
    static func grant(
        of session: Session, to client: OAuthClient, scopes: [String], nonce: String?, _ author: Author,
        in transaction: Transaction
    ) throws -> OAuthGrant {
        let grant: OAuthGrant = OAuthGrant(
            id: Identifier.make("gra", now: transaction.now), clientID: client.id, userID: session.userID,
            sessionID: session.id, scopes: scopes, nonce: nonce, signedInAt: session.authenticatedAt,
            expiresAt: session.expiresAt)
        try OAuthGrantTable.insert(grant, in: transaction)
        try author.audit(
            "oauth-grant.created", tenant: client.tenant,
            resource: AuditEntry.Resource(type: "oauth-grant", id: grant.id),
            changes: [
                "client_id": .string(client.id), "user_id": .string(session.userID),
                "scopes": .array(scopes.map { JSONValue.string($0) }),
            ], in: transaction)
        return grant
    }
}
