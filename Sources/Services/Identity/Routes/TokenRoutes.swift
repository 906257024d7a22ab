import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension IdentityService {
    static let tokenBody: Route.Body = .json(
        Schema.object(
            [
                "name": Schema.text(min: 1, max: 63),
                "scopes": Schema.array(Schema.text(min: 5, max: 128), max: AccessToken.scopesMax),
                "expires_in_days": Schema.integer(1...AccessToken.daysMax),
            ], required: ["name", "scopes"]))

    var tokenRoutes: [Route] {
        [
            Route(
                "POST", "/v1/tokens", operationID: "createToken", tag: Self.name,
                summary:
                    "Makes a personal token, shown this once, that may do what its scopes and the caller's roles allow",
                access: .authenticated, isCritical: true, body: Self.tokenBody, answers: [Answer(201, "The token")]
            ) { context in
                try GrantRules.requireSignIn(context.caller)
                return try await Self.makeToken(context, base: "/v1/tokens") { _ in (context.caller.id, "") }
            },
            Route(
                "GET", "/v1/tokens", operationID: "listTokens", tag: Self.name,
                summary: "The caller's personal tokens, without the tokens", access: .authenticated,
                query: QueryParameter.page, answers: [Answer(200, "Tokens by id")]
            ) { try await Self.listTokens($0, owner: $0.caller.id) },
            Route(
                "DELETE", "/v1/tokens/{token}", operationID: "revokeToken", tag: Self.name,
                summary: "Ends one of the caller's personal tokens at once", access: .authenticated,
                answers: [Answer(204, "Revoked")]
            ) { [self] context in
                try await self.revokeToken(context) { _ in (context.caller.id, "") }
            },
        ]
    }

    /// Makes a token and shows it once.
    ///
    /// - Parameter owner: whose it is, and of which tenant; looked up in the transaction.
    static func makeToken(
        _ context: RequestContext, base: String,
        owner: @escaping @Sendable (any Queryable) throws -> (id: String, tenant: String)
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let name: String = context.body["name"]?.text ?? ""
        let scopes: [Permission] = try Self.scopes(context.body["scopes"])
        let days: Int64 = context.body["expires_in_days"]?.integer ?? AccessToken.daysDefault
        return try await context.changeShowingSecret { transaction in
            let owner: (id: String, tenant: String) = try owner(transaction)
            let now: Timestamp = transaction.now
            let count: Int = try AccessTokenTable.of(
                owner: owner.id, after: "", limit: AccessToken.countMax, now: now, in: transaction
            ).count
            guard count < AccessToken.countMax else {
                throw APIProblem.conflict("There are \(AccessToken.countMax) tokens already. Revoke one first.")
            }
            let text: String = Random.token(prefix: AccessToken.prefix, bytes: AccessToken.randomBytes)
            let token: AccessToken = AccessToken(
                tenant: owner.tenant, ownerID: owner.id, id: Identifier.make("tok", now: now), name: name,
                sha256: AccessToken.hash(text), hint: String(text.suffix(4)), scopes: scopes, createdAt: now,
                expiresAt: now.adding(.seconds(days * 86_400)))
            try AccessTokenTable.insert(token, in: transaction)
            try author.audit(
                "token.created", tenant: owner.tenant, resource: AuditEntry.Resource(type: "token", id: token.id),
                changes: token.audited, in: transaction)
            var object: JSONObject = token.json.object ?? [:]
            let repeated: HTTPResponse = .created(.object(object), location: "\(base)/\(token.id)")
            object["token"] = .string(text)
            var answer: HTTPResponse = .created(.object(object), location: "\(base)/\(token.id)")
            answer.fields.append("Cache-Control", "no-store")
            return (answer, repeated)
        }
    }

    private static func scopes(_ value: JSONValue?) throws -> [Permission] {
        var scopes: [Permission] = []
        var errors: [InvalidField] = []
        for (index, element) in (value?.elements ?? []).enumerated() {
            if let scope: Permission = Permission(pattern: element.text ?? "") {
                if !scopes.contains(scope) { scopes.append(scope) }
            } else {
                errors.append(InvalidField("/scopes/\(index)", Permission.patternExpected))
            }
        }
        if scopes.isEmpty, errors.isEmpty { errors.append(InvalidField("/scopes", "expected at least one")) }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The scopes are not valid.", errors: errors) }
        return scopes
    }

    static func listTokens(_ context: RequestContext, owner: String) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let now: Timestamp = context.now
        let found: [AccessToken] = try await context.read {
            try AccessTokenTable.of(owner: owner, after: page.after ?? "", limit: page.limit + 1, now: now, in: $0)
        }
        return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
    }

    func revokeToken(
        _ context: RequestContext, owner: @escaping @Sendable (any Queryable) throws -> (id: String, tenant: String)
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let id: String = context.parameter("token")
        let answer: HTTPResponse = try await context.change { transaction in
            let owner: (id: String, tenant: String) = try owner(transaction)
            guard try AccessTokenTable.revoke(id, owner: owner.id, in: transaction) else {
                throw APIProblem.notFound("token", id)
            }
            try Self.recordTokenRevocation(id, owner: owner.id, tenant: owner.tenant, author, in: transaction)
            return .noContent
        }
        self.tokens.revoke([id])
        return answer
    }

    static func recordTokenRevocation(
        _ id: String, owner: String, tenant: String, _ author: Author, in transaction: Transaction
    ) throws {
        try author.publish(
            Topics.identityEvents, key: owner, tenant: tenant,
            [
                "event": "token-revoked", "user_id": .string(owner), "tenant": .string(tenant),
                "by": .string(author.caller.id),
            ], in: transaction)
        try author.audit(
            "token.revoked", tenant: tenant, resource: AuditEntry.Resource(type: "token", id: id),
            changes: ["owner": .string(owner)], in: transaction)
    }
}
