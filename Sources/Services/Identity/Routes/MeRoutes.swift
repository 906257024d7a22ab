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
                ], answers: [Answer(200, "Permissions by role")]
            ) { try Self.explain($0) },
        ]
    }

    private static func explain(_ context: RequestContext) throws -> HTTPResponse {
        let (caller, tenant): (Caller, String?) = (context.caller, context.query["tenant"])
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
                    permission, tenant: tenant, environment: context.query["environment"]
                ).json
        }
        return .json(.object(answer))
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
                        ], required: ["user", "permission"])), answers: [Answer(200, "The decision")]
            ) { try await Self.check($0) }
        ]
    }

    /// Everyone may ask about themselves; about others who reads users there, and only about users with a role within that reach.
    private static func check(_ context: RequestContext) async throws -> HTTPResponse {
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
        let decision: AccessDecision
        if found.state == .active {
            decision = Caller(kind: .user, id: found.id, grants: found.effective, ip: "").decide(
                permission, tenant: tenant, environment: context.body["environment"]?.text)
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
        .object(["environments": .array(self.environments.map { JSONValue.string($0) })])
    }
}
