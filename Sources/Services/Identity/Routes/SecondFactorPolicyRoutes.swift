import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import Store

extension IdentityService {
    private static let rolesMax: Int = 64

    var secondFactorPolicyRoutes: [Route] {
        [
            Route(
                "GET", "/v1/second-factor-policy", operationID: "getSecondFactorPolicy", tag: Self.name,
                summary: "Which roles of a tenant, or of the platform, count only where a second factor was shown",
                access: .scoped(Permission("identity", "second-factor", "read")), query: [.tenant],
                answers: [Answer(200, "The roles")]
            ) { context in
                let tenant: String = context.scope ?? ""
                let roles: [String] = try await context.read {
                    try SecondFactorPolicyTable.roles(tenant: tenant, in: $0)
                }
                return .json(Self.json(roles), version: Self.version(roles))
            },
            Route(
                "PUT", "/v1/second-factor-policy", operationID: "setSecondFactorPolicy", tag: Self.name,
                summary: "Sets which roles count only where a second factor was shown; at once, in open sessions, too",
                access: .scoped(Permission("identity", "second-factor", "write")), isCritical: true, query: [.tenant],
                body: .json(
                    Schema.object(
                        ["roles": Schema.array(Schema.text(min: 1, max: 63), max: Self.rolesMax)], required: ["roles"]
                    )), answers: [Answer(200, "The roles")]
            ) { [self] in try await self.setPolicy($0) },
        ]
    }

    private static func json(_ roles: [String]) -> JSONValue {
        .object(["roles": .array(roles.map { JSONValue.string($0) })])
    }

    /// Made of what it says: the rule has no row of its own that could count its changes.
    private static func version(_ roles: [String]) -> Int64 {
        var version: Int64 = 0
        for byte in SHA256.hash(Array(roles.sorted().joined(separator: "\n").utf8)).prefix(7) {
            version = version << 8 | Int64(byte)
        }
        return version
    }

    private func setPolicy(_ context: RequestContext) async throws -> HTTPResponse {
        let (tenant, author): (String, Author) = (context.scope ?? "", context.author)
        let roles: [String] = Set((context.body["roles"]?.elements ?? []).compactMap(\.text)).sorted()
        let answer: HTTPResponse = try await self.services.store.write { transaction in
            try context.requireMatch(
                version: Self.version(try SecondFactorPolicyTable.roles(tenant: tenant, in: transaction)))
            for (index, name) in roles.enumerated() {
                let role: Role? = try RoleTable.find(name, tenant: tenant, in: transaction)
                guard let role: Role, tenant.isEmpty || !role.reachesAllTenants else {
                    throw APIProblem.invalid(
                        "/roles/\(index)", tenant.isEmpty ? "expected a role" : "expected a role that tenants have")
                }
            }
            try SecondFactorPolicyTable.set(roles, tenant: tenant, in: transaction)
            try author.audit(
                "second-factor-rule.changed", tenant: tenant,
                resource: AuditEntry.Resource(type: "second-factor-rule", id: "roles"),
                changes: ["roles": .array(roles.map { JSONValue.string($0) })], in: transaction)
            return .json(Self.json(roles), version: Self.version(roles))
        }
        try await self.tokens.loadPolicies()
        return answer
    }
}
