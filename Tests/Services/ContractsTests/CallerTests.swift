import Contracts
import Testing

struct CallerTests {
    private static func caller(_ role: Role, _ tenant: String?) -> Caller {
        Caller(kind: .user, id: "usr_1", grants: [Grant(role: role, tenant: tenant)], ip: "127.0.0.1")
    }

    @Test(arguments: [
        (Role.platformAdmin, "identity:user:write", true), (.cpiAdmin, "catalog:api:write", true),
        (.cpiAdmin, "identity:user:write", false), (.cpiTenant, "deployments:deployment:write", true),
        (.devops, "catalog:api:write", true), (.devops, "promotions:promotion:approve", false),
        (.devops, "audit:entry:read", false), (.developer, "portal:application:write", true),
        (.developer, "catalog:api:write", false), (.developer, "deployments:deployment:write", false),
        (.operatorRole, "observability:traffic:read", true), (.operatorRole, "catalog:plan:write", false),
        (.auditor, "audit:entry:read", true), (.auditor, "portal:application:write", false),
        (.viewer, "catalog:api:read", true), (.viewer, "audit:entry:read", false),
    ])
    func decidesByTheRolesPermissions(role: Role, permission: String, isAllowed: Bool) throws {
        let wanted: Permission = try #require(Permission(parsing: permission))
        let decision: AccessDecision = Self.caller(role, "acme").decide(wanted, tenant: "acme")
        #expect(decision.isAllowed == isAllowed, "\(decision.rule)")
    }

    @Test(arguments: Role.allCases.filter { !$0.reachesAllTenants })
    func aTenantRoleReachesNoOtherTenantAndNothingPlatformWide(role: Role) {
        let caller: Caller = Self.caller(role, "acme")
        let read: Permission = Permission("catalog", "api", "read")
        #expect(!caller.decide(read, tenant: "globex").isAllowed)
        #expect(!caller.decide(read, tenant: nil).isAllowed)
        #expect(!caller.reaches(tenant: "globex"))
        #expect(caller.tenants == ["acme"])
    }

    @Test func aCallerWithoutGrantsIsRefusedByDefault() {
        let caller: Caller = Caller(kind: .user, id: "usr_1", grants: [], ip: "")
        let decision: AccessDecision = caller.decide(Permission("catalog", "api", "read"), tenant: "acme")
        #expect(
            decision
                == AccessDecision(
                    isAllowed: false, rule: "no role of the caller allows catalog:api:read (default deny)"))
    }

    @Test(arguments: ["", "a", "a:b", "a::c", "a:b:c:d", ":b:c"])
    func aPermissionHasThreeWords(text: String) {
        #expect(Permission(parsing: text) == nil)
    }
}
