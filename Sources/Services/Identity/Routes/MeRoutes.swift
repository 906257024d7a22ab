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
                summary: "What the caller may do in a tenant, and by which role", access: .authenticated,
                query: [QueryParameter("tenant", .text(lengthMax: 63), "The tenant; platform-wide when absent.")],
                answers: [Answer(200, "Permissions by role")]
            ) { context in
                let tenant: String? = context.query["tenant"]
                var items: [JSONValue] = []
                for grant in context.caller.grants where grant.tenant == nil || grant.tenant == tenant {
                    for permission in grant.role.permissions {
                        items.append(
                            .object([
                                "permission": .string(permission.description), "role": .string(grant.role.rawValue),
                                "tenant": grant.tenant.map { .string($0) } ?? .null,
                            ]))
                    }
                }
                return .json(.object(["items": .array(items), "next": .null]))
            },
        ]
    }

    var roleRoutes: [Route] {
        [
            Route(
                "GET", "/v1/roles", operationID: "listRoles", tag: Self.name, summary: "The roles and what they allow",
                access: .authenticated, answers: [Answer(200, "Roles")]
            ) { _ in
                var items: [JSONValue] = []
                for role in Role.allCases {
                    items.append(
                        .object([
                            "name": .string(role.rawValue), "reaches_all_tenants": .bool(role.reachesAllTenants),
                            "permissions": .array(role.permissions.map { JSONValue.string($0.description) }),
                        ]))
                }
                return .json(.object(["items": .array(items), "next": .null]))
            },
            Route(
                "POST", "/v1/permissions/check", operationID: "checkPermission", tag: Self.name,
                summary: "Whether a user may do something, and the rule that decides", access: .authenticated,
                body: .json(
                    Schema.object(
                        [
                            "user": Schema.text(min: 1, max: User.nameLengthMax),
                            "tenant": Schema.text(min: 1, max: 63),
                            "permission": Schema.text(min: 5, max: 128), "environment": Schema.text(min: 1, max: 63),
                        ], required: ["user", "permission"])), answers: [Answer(200, "The decision")]
            ) { try await Self.check($0) },
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
        let found: User? = try await context.read { try UserTable.find(reference, in: $0) }
        guard let found: User, Self.mayAsk(caller, about: found, in: tenant) else {
            throw APIProblem.notFound("user", reference)
        }
        let subject: Caller = Caller(
            kind: .user, id: found.id, grants: found.state == .active ? found.grants : [], ip: "")
        let decision: AccessDecision = subject.decide(permission, tenant: tenant)
        return .json(
            .object(["allowed": .bool(decision.isAllowed), "rule": .string(decision.rule), "user": .string(found.name)])
        )
    }

    private static func mayAsk(_ caller: Caller, about user: User, in tenant: String?) -> Bool {
        if user.id == caller.id { return true }
        return caller.decide(Permission("identity", "user", "read"), tenant: tenant).isAllowed
            && Self.isVisible(user, to: caller)
    }
}
