import JSON
import TestKit
import Testing
import Tokens

@testable import Identity

struct ProviderRuleTests {
    private static func roles(_ claims: JSONObject) throws -> [String] {
        try FakeProvider(clock: ManualClock()).settings().roles(of: claims).map { role in
            role.tenant.map { "\(role.role)@\($0)" } ?? role.role
        }
    }

    @Test func rolesComeFromTheRealmFromAClientFromGroupsAndFromClaims() throws {
        #expect(
            try Self.roles(["realm_access": .object(["roles": .array(["x", "apim-admin"])])]) == ["platform-admin"])
        #expect(
            try Self.roles(["resource_access": .object(["passerelle": .object(["roles": .array(["auditor"])])])])
                == ["auditor@acme"])
        #expect(
            try Self.roles(["groups": .array(["/apim/acme/devops", "/apim/globex/devops", "/apim/acme/devops"])])
                == ["devops@acme", "devops@globex"])
        #expect(try Self.roles(["is_viewer": true]) == ["viewer@acme"])
        #expect(try Self.roles(["groups": "/apim/acme/devops"]) == ["devops@acme"], "one value in place of a list")
    }

    @Test(
        arguments: [
            ["realm_access": .array(["apim-admin"])], ["realm_access": "apim-admin"],
            ["realm_access": .object(["roles": .array(["APIM-ADMIN", "apim-admin ", "apim-admin2", "xapim-admin"])])],
            ["roles": .array(["apim-admin"])],
            ["groups": .array(["/apim//devops", "/apim/devops", "apim/acme/devops"])],
            ["is_viewer": "True"], ["is_viewer": 1], ["is_viewer": .null], [:],
            ["realm_access": .object(["roles": .array([.array(["apim-admin"]), .object(["apim-admin": true])])])],
        ] as [JSONObject])
    func nothingElseGivesARole(claims: JSONObject) throws {
        #expect(try Self.roles(claims) == [])
    }

    @Test func aStarIsOneTextAndATenantNeedsOne() throws {
        let claim: ClaimPath = ClaimPath.named("groups")
        #expect(RoleRule(claim: claim, value: "a*b*", role: "viewer", tenant: "*").problem != nil)
        #expect(RoleRule(claim: claim, value: "ab", role: "viewer", tenant: "*").problem != nil)
        #expect(RoleRule(claim: claim, value: "*", role: "viewer", tenant: "acme").problem == nil)
        let any: RoleRule = RoleRule(claim: claim, value: "a*a", role: "viewer", tenant: "*")
        #expect(any.roles(of: ["groups": .array(["a", "aa", "aba", "a-b-a"])]).map { $0.tenant } == ["b", "-b-"])
    }
}
