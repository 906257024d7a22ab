import Contracts
import HTTP
import JSON
import REST
import Store

extension IdentityService {
    var meRoutes: [Route] {
        [
            Route(
                "GET", "/v1/me", operationID: "me", tag: Self.name, summary: "Who calls, with which roles",
                access: .authenticated, answers: [Answer(200, "The caller")]
            ) { context in
                let caller: Caller = context.caller
                if caller.kind == .serviceAccount {
                    let account: ServiceAccount? = try await context.read {
                        try ServiceAccountTable.find(id: caller.id, in: $0)
                    }
                    guard let account: ServiceAccount else { throw APIProblem.notFound("account", caller.id) }
                    return .json(account.json, version: account.version)
                }
                let user: User? = try await context.read { try UserTable.find(caller.id, in: $0) }
                guard let user: User else { throw APIProblem.notFound("user", caller.id) }
                return .json(user.json(for: caller), version: user.version)
            },
            Route(
                "GET", "/v1/me/permissions", operationID: "myPermissions", tag: Self.name,
                summary: "What the caller may do in a tenant, by which role; and whether one thing, by which rule",
                access: .authenticated,
                query: [
                    QueryParameter("tenant", .text(lengthMax: 63), "The tenant; platform-wide when absent."),
                    QueryParameter("permission", .text(lengthMax: 128), "service:resource:action to decide about."),
                    QueryParameter("environment", .text(lengthMax: 63), "Where, for roles with conditions."),
                    QueryParameter(
                        "api", .text(lengthMax: 63), "The API of the tenant, for roles with conditions by its labels."),
                ], answers: [Answer(200, "Permissions by role")]
            ) { [self] in try await self.explain($0) },
        ]
    }

    private func explain(_ context: RequestContext) async throws -> HTTPResponse {
        let (caller, tenant): (Caller, String?) = (context.caller, context.query["tenant"])
        let labels: APILabels? = try await self.labels(
            context, of: context.query["api"], tenant: tenant, pointer: "query:api")
        var items: [JSONValue] = []
        for grant in caller.grants where grant.tenant == nil || grant.tenant == tenant {
            for permission in grant.role.permissions {
                var item: JSONObject = [
                    "permission": .string(permission.description), "role": .string(grant.role.rawValue),
                    "tenant": grant.tenant.map { .string($0) } ?? .null,
                    "rule": .string("\(grant.description) allows \(permission)"),
                ]
                if let group: String = grant.group { item["group"] = .string(group) }
                if !grant.role.conditions.isEmpty { item["conditions"] = grant.role.conditions.json }
                items.append(.object(item))
            }
        }
        var answer: JSONObject = ["items": .array(items), "next": .null]
        if let token: TokenLimits = caller.token {
            answer["token_scopes"] = .array(token.scopes.map { JSONValue.string($0.description) })
        }
        if let text: String = context.query["permission"] {
            guard let permission: Permission = Permission(parsing: text) else {
                throw APIProblem.invalid("query:permission", Permission.patternExpected)
            }
            answer["decision"] =
                caller.decide(
                    permission, tenant: tenant, environment: context.query["environment"], labels: labels
                ).json
        }
        return .json(.object(answer))
    }

    /// The labels of an API that is there for the caller.
    private func labels(
        _ context: RequestContext, of api: String?, tenant: String?, pointer: String
    ) async throws -> APILabels? {
        guard let api: String else { return nil }
        guard let tenant: String else { throw APIProblem.invalid(pointer, "expected it with the tenant of the API") }
        let catalog: (any CatalogOffer)? = self.catalog
        let found: APIRecord? = try await context.read { try catalog?.api(tenant: tenant, reference: api, in: $0) }
        guard let found: APIRecord, context.caller.sees(found.labels, tenant: tenant) else {
            throw APIProblem.notFound("API", api)
        }
        return found.labels
    }

    var roleRoutes: [Route] {
        [
            Route(
                "POST", "/v1/permissions/check", operationID: "checkPermission", tag: Self.name,
                summary: "Whether a user or a service account may do something, and the rule that decides",
                access: .authenticated,
                body: .json(
                    Schema.object(
                        [
                            "user": Schema.text(min: 1, max: User.nameLengthMax),
                            "tenant": Schema.text(min: 1, max: 63),
                            "permission": Schema.text(min: 5, max: 128), "environment": Schema.text(min: 1, max: 63),
                            "api": Schema.text(min: 1, max: 63),
                        ], required: ["user", "permission"])), answers: [Answer(200, "The decision")]
            ) { [self] in try await self.check($0) }
        ]
    }

    /// Everyone may ask about themselves; about others who reads users there, and only about users with a role within that reach.
    private func check(_ context: RequestContext) async throws -> HTTPResponse {
        guard let permission: Permission = Permission(parsing: context.body["permission"]?.text ?? "") else {
            throw APIProblem.invalid("/permission", "expected service:resource:action, for example catalog:api:write")
        }
        let reference: String = context.body["user"]?.text ?? ""
        let tenant: String? = context.body["tenant"]?.text
        let caller: Caller = context.caller
        let found: User? = try await context.read { reader in
            guard try reference.hasPrefix(ServiceAccount.idPrefix) || Self.isSeen(reference, by: caller, in: reader)
            else { return nil }
            return try Self.subject(reference, tenant: tenant, in: reader)
        }
        guard let found: User, Self.mayAsk(caller, about: found, in: tenant) else {
            throw APIProblem.notFound("user", reference)
        }
        let labels: APILabels? = try await self.labels(
            context, of: context.body["api"]?.text, tenant: tenant, pointer: "/api")
        let decision: AccessDecision
        if found.state == .active {
            decision = Caller(kind: .user, id: found.id, grants: found.effective, ip: "").decide(
                permission, tenant: tenant, environment: context.body["environment"]?.text, labels: labels)
        } else {
            decision = AccessDecision(isAllowed: false, rule: "\(found.name) is disabled")
        }
        var answer: JSONObject = decision.json.object ?? [:]
        answer["user"] = .string(found.name)
        return .json(.object(answer))
    }

    /// Who is asked about: a user, or a service account of the tenant as if it were one.
    private static func subject(_ reference: String, tenant: String?, in store: any Queryable) throws -> User? {
        guard reference.hasPrefix(ServiceAccount.idPrefix) else { return try UserTable.find(reference, in: store) }
        guard let account: ServiceAccount = try ServiceAccountTable.find(reference, tenant: tenant ?? "", in: store)
        else { return nil }
        return User(
            id: account.id, name: account.name, passwordHash: "", state: account.state, grants: account.grants,
            createdAt: account.createdAt, version: account.version)
    }

    private static func mayAsk(_ caller: Caller, about user: User, in tenant: String?) -> Bool {
        if user.id == caller.id { return true }
        return caller.decide(Permission("identity", "user", "read"), tenant: tenant).isAllowed
            && Self.isVisible(user, to: caller)
    }
}

extension AccessDecision {
    var json: JSONValue { .object(["allowed": .bool(self.isAllowed), "rule": .string(self.rule)]) }
}

extension RoleConditions {
    var json: JSONValue {
        var object: JSONObject = [:]
        if !self.environments.isEmpty {
            object["environments"] = .array(self.environments.map { JSONValue.string($0) })
        }
        if !self.labels.isEmpty { object["labels"] = self.labelsJSON }
        return .object(object)
    }

    /// Lists of values by key.
    var labelsJSON: JSONValue {
        var object: JSONObject = [:]
        for label in self.labels { object[label.key] = .array(label.values.map { JSONValue.string($0) }) }
        return .object(object)
    }
}
