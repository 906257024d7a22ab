import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension IdentityService {
    private static let read: Route.Access = .scoped(Permission("identity", "service-account", "read"))
    private static let write: Route.Access = .scoped(Permission("identity", "service-account", "write"))

    var serviceAccountRoutes: [Route] {
        let one: String = "/v1/service-accounts/{account}"
        return [
            Route(
                "POST", "/v1/service-accounts", operationID: "createServiceAccount", tag: Self.name,
                summary: "Creates a service account of a tenant, or of the platform when none is named",
                access: Self.write, isCritical: true, query: [.tenant],
                body: .json(
                    Schema.object(
                        ["name": Schema.text(min: 1, max: 63), "roles": GrantRules.namesSchema],
                        required: ["name", "roles"])), answers: [Answer(201, "The service account")]
            ) { try await Self.createServiceAccount($0) },
            Route(
                "GET", "/v1/service-accounts", operationID: "listServiceAccounts", tag: Self.name,
                summary: "The service accounts of a tenant, or the platform's own when none is named",
                access: Self.read, query: [.tenant] + QueryParameter.page,
                answers: [Answer(200, "Service accounts by name")]
            ) { context in
                let page: Page = try context.page()
                let tenant: String = context.scope ?? ""
                let found: [ServiceAccount] = try await context.read {
                    try ServiceAccountTable.all(
                        tenant: tenant, after: page.after ?? "", limit: page.limit + 1, in: $0)
                }
                return .json(page.envelope(found, key: { $0.name }, json: { $0.json }))
            },
            Route(
                "GET", one, operationID: "getServiceAccount", tag: Self.name, summary: "One service account",
                access: Self.read, query: [.tenant], answers: [Answer(200, "The service account")]
            ) { context in
                let account: ServiceAccount = try await context.read { try Self.account(context, in: $0) }
                return .json(account.json, version: account.version)
            },
            Route(
                "PATCH", one, operationID: "updateServiceAccount", tag: Self.name,
                summary: "Changes roles, enables or disables", access: Self.write, isCritical: true, query: [.tenant],
                body: .json(
                    Schema.object([
                        "roles": GrantRules.namesSchema, "state": Schema.choice(User.State.allCases.map(\.rawValue)),
                    ])), answers: [Answer(200, "The service account")]
            ) { [self] in try await self.updateServiceAccount($0) },
            Route(
                "DELETE", one, operationID: "deleteServiceAccount", tag: Self.name,
                summary: "Deletes a service account; its tokens end at once", access: Self.write, isCritical: true,
                query: [.tenant],
                answers: [Answer(204, "Deleted")]
            ) { [self] in try await self.deleteServiceAccount($0) },
            Route(
                "POST", "\(one)/tokens", operationID: "createServiceAccountToken", tag: Self.name,
                summary: "Makes a token of a service account, shown this once", access: Self.write, isCritical: true,
                query: [.tenant],
                body: Self.tokenBody, answers: [Answer(201, "The token")]
            ) { context in
                try GrantRules.requireSignIn(context.caller)
                return try await Self.makeToken(
                    context, base: "/v1/service-accounts/\(context.parameter("account"))/tokens"
                ) { try Self.owner(context, in: $0) }
            },
            Route(
                "GET", "\(one)/tokens", operationID: "listServiceAccountTokens", tag: Self.name,
                summary: "The tokens of a service account, without the tokens", access: Self.read,
                query: [.tenant] + QueryParameter.page, answers: [Answer(200, "Tokens by id")]
            ) { context in
                let account: ServiceAccount = try await context.read { try Self.account(context, in: $0) }
                return try await Self.listTokens(context, owner: account.id)
            },
            Route(
                "DELETE", "\(one)/tokens/{token}", operationID: "revokeServiceAccountToken", tag: Self.name,
                summary: "Ends a token of a service account at once", access: Self.write, query: [.tenant],
                answers: [Answer(204, "Revoked")]
            ) { [self] context in
                try await self.revokeToken(context) { try Self.owner(context, in: $0) }
            },
        ]
    }

    private static func account(_ context: RequestContext, in store: any Queryable) throws -> ServiceAccount {
        let reference: String = context.parameter("account")
        guard
            let account: ServiceAccount = try ServiceAccountTable.find(
                reference, tenant: context.scope ?? "", in: store)
        else { throw APIProblem.notFound("service account", reference) }
        return account
    }

    /// The account as the owner of a token. Who makes tokens of it acts as it, so the caller must decide over its roles.
    private static func owner(
        _ context: RequestContext, in store: any Queryable
    ) throws -> (id: String, tenant: String) {
        let account: ServiceAccount = try Self.account(context, in: store)
        try GrantRules.requireAuthority(of: context.caller, from: [], to: account.grants)
        return (account.id, account.tenant)
    }

    private static func createServiceAccount(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let tenant: String = context.scope ?? ""
        let name: String = context.body["name"]?.text ?? ""
        if let problem: String = Slug.validate(name) { throw APIProblem.invalid("/name", problem) }
        return try await context.change { transaction in
            let account: ServiceAccount = ServiceAccount(
                tenant: tenant, id: Identifier.make("sva", now: transaction.now), name: name, state: .active,
                roles: try GrantRules.roles(context.body["roles"], tenant: tenant, in: transaction),
                createdBy: author.caller.id, createdAt: transaction.now, version: 1)
            try GrantRules.requireAuthority(of: author.caller, from: [], to: account.grants)
            guard try ServiceAccountTable.find(name, tenant: tenant, in: transaction) == nil else {
                throw APIProblem.conflict("There is a service account '\(name)' already.")
            }
            try TenantQuota.serviceAccounts.require(
                tenant: tenant, counting: "FROM service_accounts WHERE tenant = $1", in: transaction)
            try ServiceAccountTable.insert(account, in: transaction)
            try Self.record("user-created", audit: "service-account.created", account, author, in: transaction)
            return .created(account.json, location: "/v1/service-accounts/\(account.id)", version: 1)
        }
    }

    private func updateServiceAccount(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let (answer, id, isEnded): (HTTPResponse, String, Bool) = try await self.services.store.write { transaction in
            let old: ServiceAccount = try Self.account(context, in: transaction)
            try context.requireMatch(version: old.version)
            let roles: [Role]? = try context.body["roles"].map {
                try GrantRules.roles($0, tenant: old.tenant, in: transaction)
            }
            let account: ServiceAccount = old.changed(
                state: context.body["state"]?.text.flatMap { User.State(rawValue: $0) }, roles: roles)
            try GrantRules.requireAuthority(of: author.caller, from: old.grants, to: account.grants)
            if account.state != old.state {
                try GrantRules.requireAuthority(of: author.caller, from: [], to: account.grants)
            }
            try ServiceAccountTable.update(account, in: transaction)
            if account.state != .active { try RevocationTable.add([account.id], in: transaction) }
            try Self.record("role-changed", audit: "service-account.updated", account, author, in: transaction)
            return (.json(account.json, version: account.version), account.id, account.state != .active)
        }
        self.tokens.forget(userID: id)
        if isEnded { self.tokens.revoke([id]) }
        return answer
    }

    private func deleteServiceAccount(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let (id, ended): (String, [String]) = try await self.services.store.write { transaction in
            let account: ServiceAccount = try Self.account(context, in: transaction)
            try context.requireMatch(version: account.version)
            try GrantRules.requireAuthority(of: author.caller, from: account.grants, to: [])
            let ended: [String] = try Self.end(account, author, in: transaction)
            return (account.id, ended)
        }
        self.tokens.forget(userID: id)
        self.tokens.revoke(ended)
        return .noContent
    }

    /// Deletes a service account with its tokens. - Returns: the tokens that worked until now.
    static func end(_ account: ServiceAccount, _ author: Author, in transaction: Transaction) throws -> [String] {
        let ended: [String] = try AccessTokenTable.revokeAll(owner: account.id, in: transaction)
        for token in ended {
            try Self.recordTokenRevocation(token, owner: account.id, tenant: account.tenant, author, in: transaction)
        }
        try ServiceAccountTable.delete(account, in: transaction)
        try RevocationTable.add([account.id], in: transaction)
        try Self.record("role-changed", audit: "service-account.deleted", account, author, in: transaction)
        return ended
    }

    private static func record(
        _ event: String, audit: String, _ account: ServiceAccount, _ author: Author, in transaction: Transaction
    ) throws {
        try author.publish(
            Topics.identityEvents, key: account.id, tenant: account.tenant,
            [
                "event": .string(event), "user_id": .string(account.id), "tenant": .string(account.tenant),
                "by": .string(author.caller.id),
            ], in: transaction)
        try author.audit(
            audit, tenant: account.tenant,
            resource: AuditEntry.Resource(type: "service-account", id: account.id, version: account.version),
            changes: account.audited, in: transaction)
    }
}
