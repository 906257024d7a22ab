import Bytes
import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import Store
import Time
import Tokens

extension IdentityService {
    static let formBody: Route.Body = .bytes(mediaTypes: ["application/x-www-form-urlencoded"], bytesMax: 16 << 10)

    var tokenEndpointRoutes: [Route] {
        [
            Route(
                "POST", "/oauth2/token", operationID: "token", tag: Self.name,
                summary: "Exchanges a code, a refresh token, a device code or client credentials for tokens",
                access: .anyone, body: Self.formBody, answers: [Answer(200, "Tokens")]
            ) { [self] context in
                try await Self.inOAuth { try await self.token(context) }
            },
            Route(
                "POST", "/oauth2/introspect", operationID: "introspect", tag: Self.name,
                summary: "Says whether a token works, to the client it was made for (RFC 7662)", access: .anyone,
                body: Self.formBody, answers: [Answer(200, "What the token says, or that it does not work")]
            ) { [self] context in
                try await Self.inOAuth { try await self.introspect(context) }
            },
            Route(
                "POST", "/oauth2/revoke", operationID: "revoke", tag: Self.name,
                summary: "Ends a token, and all that came with it (RFC 7009)", access: .anyone, body: Self.formBody,
                answers: [Answer(200, "The token does not work, whether it ever did or not")]
            ) { [self] context in
                try await Self.inOAuth { try await self.revoke(context) }
            },
            Route(
                "GET", "/oauth2/userinfo", operationID: "userinfo", tag: Self.name,
                summary: "What a client may know of the user of its access token", access: .anyone,
                answers: [Answer(200, "Claims")]
            ) { [self] in try await self.userinfo($0) },
            Route(
                "POST", "/oauth2/userinfo", operationID: "userinfoByPost", tag: Self.name,
                summary: "The same, for clients that send no GET (OpenID Connect Core section 5.3.1)", access: .anyone,
                answers: [Answer(200, "Claims")]
            ) { [self] in try await self.userinfo($0) },
        ]
    }

    /// Answers refusals in OAuth's form. What the platform itself cannot do stays a problem, with its status: a client that is told
    /// 400 throws a good refresh token away.
    static func inOAuth(_ body: () async throws -> HTTPResponse) async throws -> HTTPResponse {
        do {
            return try await body()
        } catch let error as OAuthError {
            return error.response
        }
    }

    static func form(_ context: RequestContext) throws -> QueryParameters {
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes) else {
            throw OAuthError("invalid_request", "The form cannot be read.")
        }
        for pair in form.pairs where form.all(pair.name).count > 1 {
            throw OAuthError("invalid_request", "\(pair.name.prefix(64)) must be there once.")
        }
        return form
    }

    /// Who asks: by HTTP Basic or by the form, never both. An unknown client and a wrong secret look the same.
    func client(_ context: RequestContext, _ form: QueryParameters) async throws -> OAuthClient {
        var (id, secret): (String?, String?) = (form["client_id"], form["client_secret"])
        if let header: String = context.request.fields["Authorization"] {
            guard secret == nil, let basic: (String, String) = Self.basic(header), id == nil || id == basic.0 else {
                throw OAuthError(
                    "invalid_request", "Send the client's credentials in one way, as HTTP Basic or in the form.")
            }
            (id, secret) = (basic.0, basic.1)
        }
        let wanted: String = id ?? ""
        let found: OAuthClient? = try await context.read { try OAuthClientTable.find(wanted, in: $0) }
        guard let client: OAuthClient = found, client.isRight(secret: secret, now: context.now) else {
            self.refusals.countAnonymous(ip: context.ip, account: found?.id ?? "")
            throw OAuthError(
                "invalid_client",
                "There is no such client, or its secret is wrong. Check both, or have a new secret made.")
        }
        return client
    }

    private static func basic(_ header: String) -> (String, String)? {
        guard case .basic(let name, let password) = AuthorizationField(header),
            let id: String = PercentCoding.decode(name, plusIsSpace: true),
            let secret: String = PercentCoding.decode(password, plusIsSpace: true)
        else { return nil }
        return (id, secret)
    }

    private func token(_ context: RequestContext) async throws -> HTTPResponse {
        let form: QueryParameters = try Self.form(context)
        let client: OAuthClient = try await self.client(context, form)
        let type: String = form["grant_type"] ?? ""
        guard OAuthClient.grantTypes.contains(type) else {
            throw OAuthError(
                "unsupported_grant_type", "grant_type must be \(OAuthClient.grantTypes.joined(separator: ", ")).")
        }
        guard client.grantTypes.contains(type) else {
            throw OAuthError(
                "unauthorized_client", "The client is not registered for \(type): its grant_types say what it is for.")
        }
        switch type {
        case "authorization_code": return try await self.exchange(code: form, of: client, context)
        case "refresh_token": return try await self.refresh(form, of: client, context)
        case "client_credentials": return try await self.clientCredentials(form, of: client, context)
        default: return try await self.exchange(device: form, of: client, context)
        }
    }

    private enum Exchange: Sendable {
        case tokens(OAuthGrant, User, refresh: String?, methods: [String])
        /// Something was presented that was used before: what came of it has ended.
        case replayed(grant: String)
        case refused(OAuthError)
    }

    private static let codeRefused: Exchange = .refused(
        OAuthError(
            "invalid_grant",
            "The code is not valid: used, expired, or made for another client, address or verifier. Begin again at the authorization endpoint."
        ))
    private static let refreshRefused: Exchange = .refused(
        OAuthError("invalid_grant", "The refresh token is not valid: used, expired or revoked. Sign in again."))

    private func exchange(
        code form: QueryParameters, of client: OAuthClient, _ context: RequestContext
    ) async throws -> HTTPResponse {
        guard let code: String = form["code"], let verifier: String = form["code_verifier"],
            let address: String = form["redirect_uri"]
        else { throw OAuthError("invalid_request", "Send code, redirect_uri and code_verifier.") }
        let trace = context.trace
        let (ip, hasRefresh): (String, Bool) = (context.ip, client.grantTypes.contains("refresh_token"))
        let refresh: String? = hasRefresh ? Random.token(prefix: "prt_", bytes: 32) : nil
        let exchange: Exchange = try await self.services.store.write { transaction in
            guard let found: OAuthSecretTable.Found = try OAuthSecretTable.find(.code, text: code, in: transaction),
                let grant: OAuthGrant = try OAuthGrantTable.find(found.grantID, in: transaction),
                grant.clientID == client.id
            else { return Self.codeRefused }
            let author: Author = Author(
                caller: Caller(kind: .user, id: grant.userID, grants: [], sessionID: grant.sessionID, ip: ip),
                trace: trace)
            if found.isUsed {
                try Self.endGrant(grant, "oauth-code.replayed", author, in: transaction)
                return .replayed(grant: grant.id)
            }
            // One attempt: whoever has the code and not the verifier does not get to try again.
            try OAuthSecretTable.use(code, in: transaction)
            guard found.expiresAt > transaction.now, Array(found.redirectURI.utf8) == Array(address.utf8),
                AuthorizationRequest.isVerifier(verifier),
                ConstantTime.equals(Base64.encodeURL(SHA256.hash(verifier)), found.challenge),
                let user: User = try Self.user(of: grant, in: transaction)
            else { return Self.codeRefused }
            if let refresh: String {
                try OAuthSecretTable.insert(
                    .refresh, text: refresh, grant: grant.id, expiresAt: grant.expiresAt, in: transaction)
            }
            return .tokens(
                grant, user, refresh: refresh, methods: try Self.methods(grant, in: transaction))
        }
        return try self.answer(exchange, client, Self.codeRefused, now: context.now)
    }

    /// Rotates: each refresh token works once. One that comes twice was stolen, or its successor was: all of the grant ends.
    private func refresh(
        _ form: QueryParameters, of client: OAuthClient, _ context: RequestContext
    ) async throws -> HTTPResponse {
        guard let presented: String = form["refresh_token"] else {
            throw OAuthError("invalid_request", "Send refresh_token.")
        }
        let next: String = Random.token(prefix: "prt_", bytes: 32)
        let wanted: [String]? = form["scope"].map {
            $0.split(separator: " ").map(String.init).filter { OAuthClient.scopes.contains($0) }
        }
        let (ip, trace) = (context.ip, context.trace)
        let exchange: Exchange = try await self.services.store.write { transaction in
            guard
                let found: OAuthSecretTable.Found = try OAuthSecretTable.find(
                    .refresh, text: presented, in: transaction),
                let grant: OAuthGrant = try OAuthGrantTable.find(found.grantID, in: transaction),
                grant.clientID == client.id
            else { return Self.refreshRefused }
            if found.isUsed {
                let author: Author = Author(
                    caller: Caller(kind: .user, id: grant.userID, grants: [], sessionID: grant.sessionID, ip: ip),
                    trace: trace)
                try Self.endGrant(grant, "refresh-token.replayed", author, in: transaction)
                return .replayed(grant: grant.id)
            }
            guard found.expiresAt > transaction.now, let user: User = try Self.user(of: grant, in: transaction) else {
                return Self.refreshRefused
            }
            if let wanted: [String], !Set(wanted).isSubset(of: grant.scopes) {
                return .refused(OAuthError("invalid_scope", "A refresh gives no more than was given before."))
            }
            try OAuthSecretTable.use(presented, in: transaction)
            try OAuthSecretTable.insert(
                .refresh, text: next, grant: grant.id, expiresAt: grant.expiresAt, in: transaction)
            let limited: OAuthGrant = OAuthGrant(
                id: grant.id, clientID: grant.clientID, userID: grant.userID, sessionID: grant.sessionID,
                scopes: wanted ?? grant.scopes, nonce: nil, signedInAt: grant.signedInAt, expiresAt: grant.expiresAt)
            return .tokens(
                limited, user, refresh: next, methods: try Self.methods(grant, in: transaction))
        }
        return try self.answer(exchange, client, Self.refreshRefused, now: context.now)
    }

    private func answer(
        _ exchange: Exchange, _ client: OAuthClient, _ refusal: Exchange, now: Timestamp
    ) throws -> HTTPResponse {
        switch exchange {
        case .tokens(let grant, let user, let refresh, let methods):
            return try self.tokens(
                for: grant, of: client, user: user, refresh: refresh, methods: methods, now: now)
        case .refused(let error): throw error
        case .replayed(let grant):
            self.tokens.revoke([grant])
            if case .refused(let error) = refusal { throw error }
            throw OAuthError("invalid_grant", "It was used before. Begin again at the authorization endpoint.")
        }
    }

    /// The user of a grant that still holds: nothing of it revoked, the session open, the user active.
    static func user(of grant: OAuthGrant, in store: any Queryable) throws -> User? {
        guard !grant.isRevoked, let session: Session = try SessionTable.find(grant.sessionID, in: store),
            !session.isRevoked, let user: User = try UserTable.find(grant.userID, in: store), user.state == .active
        else { return nil }
        return user
    }

    /// How the user has shown who they are (RFC 8176); how a provider has asked, we do not know.
    private static func methods(_ grant: OAuthGrant, in store: any Queryable) throws -> [String] {
        try SessionTable.find(grant.sessionID, in: store)?.methods ?? []
    }

    /// Ends a grant and records why.
    static func endGrant(_ grant: OAuthGrant, _ event: String, _ author: Author, in transaction: Transaction) throws {
        guard try OAuthGrantTable.revoke(grant.id, in: transaction) else { return }
        try author.publish(
            Topics.identityEvents, key: grant.userID, tenant: "",
            [
                "event": "token-revoked", "user_id": .string(grant.userID), "tenant": "",
                "by": .string(author.caller.id),
            ], in: transaction)
        try author.audit(
            event, tenant: "", resource: AuditEntry.Resource(type: "oauth-grant", id: grant.id),
            changes: ["client_id": .string(grant.clientID), "user_id": .string(grant.userID)], in: transaction)
    }

    private func clientCredentials(
        _ form: QueryParameters, of client: OAuthClient, _ context: RequestContext
    ) async throws -> HTTPResponse {
        guard client.secretHash != nil, let id: String = client.account else {
            throw OAuthError(
                "unauthorized_client",
                "The client has no secret or no service account. Register one that has both.")
        }
        guard let scopes: [String] = AuthorizationRequest.scopes(form["scope"], of: client), !scopes.contains("openid")
        else { throw OAuthError("invalid_scope", "The client may ask for: \(client.scopes.joined(separator: " ")).") }
        let found: ServiceAccount? = try await context.read { try ServiceAccountTable.find(id: id, in: $0) }
        guard let account: ServiceAccount = found, account.state == .active, account.tenant == client.tenant else {
            throw OAuthError(
                "invalid_grant",
                "The client's service account is not there or disabled. Who administers it enables it or names another."
            )
        }
        return try self.tokens(for: account, of: client, scopes: scopes, now: context.now)
    }

    private func exchange(
        device form: QueryParameters, of client: OAuthClient, _ context: RequestContext
    ) async throws -> HTTPResponse {
        guard let code: String = form["device_code"] else {
            throw OAuthError("invalid_request", "Send device_code.")
        }
        let refresh: String? =
            client.grantTypes.contains("refresh_token") ? Random.token(prefix: "prt_", bytes: 32) : nil
        let exchange: Exchange = try await self.services.store.write { transaction in
            func refused(_ code: String, _ description: String) -> Exchange { .refused(OAuthError(code, description)) }
            guard let device: DeviceRequest = try DeviceTable.find(code: code, in: transaction),
                device.clientID == client.id
            else { return refused("invalid_grant", "There is no such device code.") }
            guard device.expiresAt > transaction.now else { return refused("expired_token", "Begin again.") }
            switch device.state {
            case .denied: return refused("access_denied", "The user said no.")
            case .used: return refused("invalid_grant", "The device code was used.")
            case .pending:
                let waited: Duration = transaction.now - device.askedAt
                try DeviceTable.asked(device, in: transaction)
                return waited + IssuerLifetimes.deviceTolerance < IssuerLifetimes.deviceInterval
                    ? refused("slow_down", "Ask every 5 seconds.")
                    : refused("authorization_pending", "The user has not decided yet.")
            case .approved:
                guard let grant: OAuthGrant = try OAuthGrantTable.find(device.grantID ?? "", in: transaction),
                    let user: User = try Self.user(of: grant, in: transaction)
                else { return refused("access_denied", "The user has signed out meanwhile.") }
                try DeviceTable.set(.used, grant: grant.id, of: device, in: transaction)
                if let refresh: String {
                    try OAuthSecretTable.insert(
                        .refresh, text: refresh, grant: grant.id, expiresAt: grant.expiresAt, in: transaction)
                }
                return .tokens(
                    grant, user, refresh: refresh, methods: try Self.methods(grant, in: transaction))
            }
        }
        return try self.answer(exchange, client, Self.refreshRefused, now: context.now)
    }

    // MARK: What tokens say

    /// What is behind a token of `client`: its grant, or nothing.
    private func grant(_ token: String, of client: OAuthClient, _ context: RequestContext) async throws
        -> (grant: OAuthGrant, claims: JSONObject?, expiresAt: Timestamp)?
    {
        if token.hasPrefix("prt_") {
            return try await context.read { reader in
                guard let found: OAuthSecretTable.Found = try OAuthSecretTable.find(.refresh, text: token, in: reader),
                    !found.isUsed, let grant: OAuthGrant = try OAuthGrantTable.find(found.grantID, in: reader),
                    grant.clientID == client.id
                else { return nil }
                return (grant, nil, found.expiresAt)
            }
        }
        guard let verified: VerifiedToken = try? self.keys.verifyForAnyone(token),
            verified.claims["client_id"]?.text == client.id, let id: String = verified.claims["grant"]?.text
        else { return nil }
        let grant: OAuthGrant? = try await context.read { try OAuthGrantTable.find(id, in: $0) }
        return grant.map { ($0, verified.claims, verified.expiresAt) }
    }

    private func introspect(_ context: RequestContext) async throws -> HTTPResponse {
        let form: QueryParameters = try Self.form(context)
        let client: OAuthClient = try await self.client(context, form)
        guard client.secretHash != nil else {
            throw OAuthError("invalid_client", "Only clients with a secret may ask. Register one that has.")
        }
        let token: String = form["token"] ?? ""
        let inactive: HTTPResponse = Self.uncached(.object(["active": false]))
        guard let found = try await self.grant(token, of: client, context), found.expiresAt > context.now else {
            return try await self.introspectOwn(token, of: client, context) ?? inactive
        }
        let user: User? = try await context.read { try Self.user(of: found.grant, in: $0) }
        guard let user: User else { return inactive }
        var answer: JSONObject =
            found.claims ?? [
                "iss": .string(self.keys.issuer), "sub": .string(user.id), "client_id": .string(client.id),
                "exp": .int(found.expiresAt.milliseconds / 1_000),
                "scope": .string(found.grant.scopes.joined(separator: " ")),
            ]
        answer["active"] = true
        answer["username"] = .string(user.name)
        answer["token_type"] = .string(found.claims == nil ? "refresh_token" : "Bearer")
        return Self.uncached(.object(answer))
    }

    /// The token of a client that acts for itself.
    private func introspectOwn(
        _ token: String, of client: OAuthClient, _ context: RequestContext
    ) async throws -> HTTPResponse? {
        guard let verified: VerifiedToken = try? self.keys.verifyForAnyone(token),
            verified.claims["client_id"]?.text == client.id, let id: String = verified.subject, id == client.account
        else { return nil }
        let account: ServiceAccount? = try await context.read { try ServiceAccountTable.find(id: id, in: $0) }
        guard account?.state == .active else { return nil }
        var answer: JSONObject = verified.claims
        answer["active"] = true
        answer["token_type"] = "Bearer"
        return Self.uncached(.object(answer))
    }

    private func revoke(_ context: RequestContext) async throws -> HTTPResponse {
        let form: QueryParameters = try Self.form(context)
        let client: OAuthClient = try await self.client(context, form)
        if let found = try await self.grant(form["token"] ?? "", of: client, context) {
            let author: Author = Author(
                caller: Caller(
                    kind: .user, id: found.grant.userID, grants: [], sessionID: found.grant.sessionID, ip: context.ip),
                trace: context.trace)
            try await self.services.store.write {
                try Self.endGrant(found.grant, "oauth-grant.revoked", author, in: $0)
            }
            self.tokens.revoke([found.grant.id])
        }
        return Self.uncached(.object([:]))
    }

    private func userinfo(_ context: RequestContext) async throws -> HTTPResponse {
        let header: String = context.request.fields["Authorization"] ?? ""
        let token: String = if case .bearer(let text) = AuthorizationField(header) { text } else { "" }
        var problem: APIProblem = APIProblem(
            .unauthenticated,
            "The access token does not work here: it is not of this issuer, not for the scope openid, or has ended. Sign in again."
        )
        problem.fields.append((name: "WWW-Authenticate", value: "Bearer realm=\"passerelle\", error=\"invalid_token\""))
        guard let verified: VerifiedToken = try? self.keys.verifyForAnyone(token), verified.scopes.contains("openid"),
            let id: String = verified.claims["grant"]?.text
        else { throw problem }
        let user: User? = try await context.read { reader in
            try OAuthGrantTable.find(id, in: reader).flatMap { try Self.user(of: $0, in: reader) }
        }
        guard let user: User, user.id == verified.subject else { throw problem }
        return Self.uncached(.object(self.claims(of: user, scopes: verified.scopes)))
    }
}
