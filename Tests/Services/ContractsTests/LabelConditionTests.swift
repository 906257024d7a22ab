import Contracts
import Testing

/// Decisions by labels as a table, without any service.
struct LabelConditionTests {
    private static let read: Permission = Permission("catalog", "api", "read")

    private static func grant(
        _ labels: [String: [String]], environments: [String] = [], permissions: [Permission] = [read],
        tenant: String = "acme"
    ) -> Grant {
        let conditions: [LabelCondition] = labels.keys.sorted().map {
            LabelCondition(key: $0, values: labels[$0] ?? [])
        }
        return Grant(
            role: Role(
                custom: "r", permissions: permissions,
                conditions: RoleConditions(environments: environments, labels: conditions)), tenant: tenant)
    }

    private static func caller(_ grants: [Grant], withheld: [Grant] = [], token: TokenLimits? = nil) -> Caller {
        Caller(kind: .user, id: "usr_1", grants: grants, ip: "", token: token, withheld: withheld)
    }

    @Test(
        arguments: [
            (["team": ["a"]], ["team": "a"], true), (["team": ["a"]], ["team": "b"], false),
            (["team": ["a"]], [:], false),
            (["team": ["a"]], ["team": "A"], false), (["team": ["a"]], ["Team": "a"], false),
            (["team": ["a", "b"]], ["team": "b"], true),
            (["team": ["a"], "tier": ["x"]], ["team": "a"], false),
            (["team": ["a"], "tier": ["x"]], ["team": "a", "tier": "x"], true),
            (["team": [""]], ["team": ""], true), (["team": [""]], [:], false), (["team": []], ["team": ""], false),
            ([:], [:], true), ([:], ["team": "a"], true),
        ] as [([String: [String]], [String: String], Bool)])
    func holdsWhereAllLabelsDo(condition: [String: [String]], labels: [String: String], isAllowed: Bool) {
        let caller: Caller = Self.caller([Self.grant(condition)])
        #expect(caller.decide(Self.read, tenant: "acme", labels: APILabels(labels)).isAllowed == isAllowed)
        #expect(!caller.decide(Self.read, tenant: "globex", labels: APILabels(labels)).isAllowed)
        #expect(caller.decide(Self.read, tenant: "acme").isAllowed == condition.isEmpty, "unknown labels hold nothing")
        #expect(caller.dependsOnLabels(in: "acme") == !condition.isEmpty)
        #expect(!caller.dependsOnLabels(in: "globex"))
    }

    @Test func saysWhichConditionHeldOrFailed() {
        let caller: Caller = Self.caller([Self.grant(["team": ["a"], "tier": ["x", "y"]])])
        func rule(_ labels: APILabels?) -> String { caller.decide(Self.read, tenant: "acme", labels: labels).rule }
        let limited: String = "role r in tenant acme allows catalog:api:read"
        let those: String = "for APIs with team=a and tier in (x, y)"
        #expect(rule(APILabels(["team": "a", "tier": "y"])) == "\(limited) \(those)")
        #expect(rule(APILabels(["team": "a"])) == "\(limited) only \(those), and this one has no label 'tier'")
        #expect(rule(APILabels(["team": "b"])) == "\(limited) only \(those), and this one has another 'team'")
        #expect(rule(nil) == "\(limited) only \(those), and the request is about no one API")
    }

    @Test func oneGrantThatHoldsIsEnoughAndEnvironmentsCountToo() {
        let caller: Caller = Self.caller([
            Self.grant(["team": ["a"]], environments: ["dev"]), Self.grant(["team": ["b"]]),
        ])
        func isAllowed(_ team: String, _ environment: String?) -> Bool {
            caller.decide(Self.read, tenant: "acme", environment: environment, labels: APILabels(["team": team]))
                .isAllowed
        }
        #expect(isAllowed("a", "dev") && !isAllowed("a", "prod") && !isAllowed("a", nil))
        #expect(isAllowed("b", "prod") && isAllowed("b", nil) && !isAllowed("c", "dev"))
        #expect(caller.mayBeAllowed(Self.read, tenant: "acme", environment: nil))
        let dev: Caller = Self.caller([Self.grant(["team": ["a"]], environments: ["dev"])])
        #expect(!dev.mayBeAllowed(Self.read, tenant: "acme", environment: "prod"))
    }

    @Test func aTokenLimitsWhatLabelsAllow() {
        let token: TokenLimits = TokenLimits(id: "tok", scopes: [Permission("deployments", "*", "*")])
        let caller: Caller = Self.caller([Self.grant(["team": ["a"]])], token: token)
        #expect(!caller.decide(Self.read, tenant: "acme", labels: APILabels(["team": "a"])).isAllowed)
        #expect(!caller.mayBeAllowed(Self.read, tenant: "acme", environment: nil))
    }

    /// Another grant beside one for team a; labels of the API; whether it is there.
    @Test(
        arguments: [
            (nil, ["team": "a"], true), (nil, ["team": "b"], false), (nil, [:], false),
            (Permission("portal", "application", "*"), ["team": "b"], false),
            (Permission("catalog", "plan", "read"), [:], false),
            (Permission("catalog", "*", "read"), ["team": "b"], true), (Permission("*", "*", "*"), [:], true),
            (Permission("deployments", "deployment", "read"), ["team": "b"], true),
        ] as [(Permission?, [String: String], Bool)])
    func seesWhatSomeRoleIsFor(other: Permission?, labels: [String: String], isSeen: Bool) {
        var grants: [Grant] = [Self.grant(["team": ["a"]])]
        if let other: Permission { grants.append(Self.grant([:], permissions: [other])) }
        #expect(Self.caller(grants).sees(APILabels(labels), tenant: "acme") == isSeen)
        #expect(!Self.caller(grants).sees(APILabels(labels), tenant: "globex"))
        let free: Caller = Self.caller([Self.grant([:], permissions: [Permission("portal", "application", "*")])])
        #expect(free.sees(APILabels(labels), tenant: "acme"), "without conditions by label as ever")
    }

    @Test(
        arguments: [
            (["team": "a"], ["team": "a", "tier": "gold"], true),
            (["tier": "gold"], ["tier": "gold", "team": "b"], false),
            (["tier": "gold"], [:], false), ([:], ["team": "a"], false),
            (["team": "b"], ["team": "b", "tier": "gold"], true),
        ] as [([String: String], [String: String], Bool)])
    func namesWhatOtherLabelsWouldAdd(old: [String: String], new: [String: String], isGain: Bool) {
        let write: Permission = Permission("catalog", "api", "write")
        let deploy: Grant = Self.grant(["tier": ["gold"]], permissions: [Permission("deployments", "deployment", "*")])
        let everywhere: Grant = Self.grant([:], permissions: [write])
        let caller: Caller = Self.caller([everywhere, deploy])
        #expect((caller.gain(from: APILabels(old), to: APILabels(new), tenant: "acme") != nil) == isGain)
        let later: Caller = Self.caller([everywhere], withheld: [deploy])
        #expect((later.gain(from: APILabels(old), to: APILabels(new), tenant: "acme") != nil) == isGain)
        let all: Caller = Self.caller([deploy, Grant(role: .devops, tenant: "acme")])
        #expect(all.gain(from: APILabels(old), to: APILabels(new), tenant: "acme") == nil, "what one has is no gain")
    }

    @Test(arguments: [
        ("catalog:api:read", true), ("catalog:api:*", true), ("deployments:deployment:*", true),
        ("portal:subscription:write", true), ("observability:traffic:read", true), ("catalog:*:read", false),
        ("*:api:read", false), ("*:*:*", false), ("catalog:plan:read", false), ("events:topic:read", false),
        ("audit:entry:read", false), ("portal:application:read", false), ("deployments:gateway:read", false),
    ])
    func conditionsByLabelAreForPermissionsAboutAPIs(pattern: String, isOfAPIs: Bool) throws {
        #expect(try #require(Permission(pattern: pattern)).isOfAPIs == isOfAPIs)
    }
}
