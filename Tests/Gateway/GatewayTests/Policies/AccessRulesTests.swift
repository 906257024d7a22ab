import Crypto
import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

/// Access rules that ask for names alone: decided with the request's limits, without a pipeline.
struct AccessRulesTests {
    private static let document: String = """
        apis:
          - id: orders
            tenant: acme
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
            policies: [{api_key: {header: k}}]
            routes:
              - {id: gold, path: /gold, policies: [{acl: {allow: [{plans: [gold, silver]}]}}]}
              - {id: shop, path: /shop, policies: [{acl: {allow: [{applications: [shop]}]}}]}
              - {id: both, path: /both, policies: [{acl: {allow: [{applications: [shop, bare], plans: [gold]}]}}]}
              - {id: deny, path: /deny, policies: [{acl: {deny: [{applications: [shop]}]}}]}
              - {id: mixed, path: /mixed, policies: [{acl: {deny: [{plans: [silver]}], allow: [{applications: [shop, other]}]}}]}
              - {id: maybe, path: /maybe, policies: [anonymous, {api_key: {header: k}}, {acl: {deny: [{applications: [shop]}]}}]}
              - {id: scope, path: /scope, policies: [{acl: {allow: [{plans: [gold], scopes: [admin]}]}}]}
              - {id: staged, path: /staged, policies: [{acl: {allow: [{plans: [gold]}]}}, {compression: {}}]}
        applications:
          - {id: shop, tenant: acme, keys: [{value: shop}], subscriptions: [{api: orders, plan: gold}]}
          - {id: other, tenant: acme, keys: [{value: other}], subscriptions: [{api: orders, plan: silver}]}
          - {id: bare, tenant: acme, keys: [{value: bare}], subscriptions: [{api: orders}]}
        plans:
          - {id: gold, tenant: acme}
          - {id: silver, tenant: acme}
        """

    @Test(arguments: [
        ("/gold", "shop", "none"), ("/gold", "other", "none"), ("/gold", "bare", "access-denied"),
        ("/gold", "", "credentials-missing"),
        ("/shop", "shop", "none"), ("/shop", "other", "access-denied"), ("/shop", "wrong", "credentials-unknown"),
        ("/both", "shop", "none"), ("/both", "bare", "access-denied"), ("/both", "other", "access-denied"),
        ("/deny", "shop", "access-denied"), ("/deny", "other", "none"), ("/deny", "bare", "none"),
        ("/mixed", "shop", "none"), ("/mixed", "other", "access-denied"), ("/mixed", "bare", "access-denied"),
        ("/maybe", "", "none"), ("/maybe", "shop", "access-denied"), ("/maybe", "other", "none"),
    ]) func decidesByNames(_ path: String, _ key: String, _ reason: String) throws {
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.document))
        #expect(loop.decide(SampleRequest(path: path, headers: key.isEmpty ? [] : [("K", key)])) == reason)
    }

    @Test func onlyRulesThatAskForMoreThanNamesMakeAPipeline() throws {
        let snapshot: Snapshot = try Sample.snapshot(Self.document)
        for route in snapshot.apis[0].routes {
            #expect((route.pipeline != nil) == ["scope", "staged"].contains(route.id), "\(route.id)")
        }
    }

    /// A refused request is counted nowhere.
    @Test func whoMayNotCallUsesUpNoLimit() throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - id: orders
                upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
                policies: [{api_key: {header: k}}, {acl: {allow: [{applications: [shop]}]}}, {rate_limit: {limit: 2, window: 60s, by: api}}]
                routes: [{path: /x}]
            applications:
              - {id: shop, keys: [{value: shop}], subscriptions: [{api: orders}]}
              - {id: other, keys: [{value: other}], subscriptions: [{api: orders}]}
            """)
        let loop: DecidingLoop = DecidingLoop(snapshot)
        #expect(loop.count(5, SampleRequest(path: "/x", headers: [("k", "other")])) == 0)
        #expect(loop.decision.reason == .accessDenied)
        #expect(loop.count(5, SampleRequest(path: "/x", headers: [("k", "shop")])) == 2)
    }

    /// The same id is another name in another tenant: a key opens only its own tenant's APIs, and plans are the subscription's.
    @Test func namesOfOtherTenantsDoNotCount() throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - id: orders
                tenant: acme
                upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
                policies: [{api_key: {header: k}}, {acl: {allow: [{applications: [shop], plans: [gold]}]}}]
                routes: [{path: /x}]
              - id: orders
                tenant: other
                upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
                policies: [{api_key: {header: k}}]
                routes: [{path: /y}]
            applications:
              - {id: shop, tenant: other, keys: [{value: theirs}], subscriptions: [{api: orders, plan: gold}]}
              - {id: shop, tenant: acme, keys: [{value: ours}], subscriptions: [{api: orders, plan: gold}]}
            plans:
              - {id: gold, tenant: acme}
              - {id: gold, tenant: other}
            """)
        let loop: DecidingLoop = DecidingLoop(snapshot)
        #expect(loop.decide(SampleRequest(path: "/x", headers: [("k", "theirs")])) == "credentials-unknown")
        #expect(loop.decide(SampleRequest(path: "/x", headers: [("k", "ours")])) == "none")
        #expect(loop.decide(SampleRequest(path: "/y", headers: [("k", "theirs")])) == "none")
    }

    /// Against the rules read word by word.
    @Test(arguments: Array(1...20)) func saysWhatTheRulesSayWordByWord(_ seed: UInt64) throws {
        var numbers: SeededNumbers = SeededNumbers(seed: seed)
        let names: [String] = ["c0", "c1", "c2"]
        let plans: [String] = ["p0", "p1"]
        func some(_ values: [String]) -> [String] { values.filter { _ in Bool.random(using: &numbers) } }
        func rules() -> [ACLPolicy.Rule] {
            (0..<Int.random(in: 0...3, using: &numbers)).map { _ in
                ACLPolicy.Rule(applications: some(names), plans: some(plans))
            }
        }
        var document: GatewayDocument = GatewayDocument()
        document.plans = plans.map { PlanDefinition(id: $0) }
        var callers: [DescribedCaller] = []
        for application in names {
            let plan: String? = plans.randomElement(using: &numbers).flatMap { Bool.random(using: &numbers) ? $0 : nil }
            callers.append(
                DescribedCaller(application: application, plan: plan, scopes: [], groups: [], claims: nil))
            document.applications.append(
                ApplicationDefinition(
                    id: application, keys: [KeyDefinition(digest: KeyDigest(bytes: SHA256.hash(application))!)],
                    subscriptions: (0..<5).map { SubscriptionDefinition(api: "a\($0)", plan: plan) }))
        }
        var policies: [ACLPolicy] = []
        for number in 0..<5 {
            let policy: ACLPolicy = ACLPolicy(allow: rules(), deny: rules())
            policies.append(policy)
            var api: APIDefinition = try Sample.api("a\(number)", routes: ["GET /\(number)"])
            api.policies = [.apiKey(APIKeyPolicy(header: "k")), .acl(policy)]
            document.apis.append(api)
        }
        let loop: DecidingLoop = DecidingLoop(
            Snapshot.compile(document, previous: nil, carrying: LiveState(subjectsMax: 1024)).snapshot)
        for (number, policy) in policies.enumerated() {
            for caller in callers {
                let isDenied: Bool = policy.deny.contains { $0.fits(caller, needsScopes: true) }
                let isAllowed: Bool =
                    policy.allow.isEmpty || policy.allow.contains { $0.fits(caller, needsScopes: true) }
                let key: String = try #require(caller.application)
                #expect(
                    loop.decide(SampleRequest(path: "/\(number)", headers: [("k", key)]))
                        == (isAllowed && !isDenied ? "none" : "access-denied"), "\(policy) \(caller)")
            }
        }
    }

    /// What a way of authentication found that was refused says nothing about whom another way accepted.
    @Test func forgetsWhoWasRefused() throws {
        var forwarding: Forwarding = Forwarding()
        forwarding.application = 3
        forwarding.applicationIdentity = IdentityNumber(4)
        forwarding.subscription = 5
        forwarding.subscriptionIdentity = IdentityNumber(6)
        var caller: Caller = .anonymous
        caller.application = 3
        caller.wordStart = 0
        forwarding.forgetCaller(unless: caller)
        #expect(forwarding.application == 3 && forwarding.subscription == 5)
        caller.wordStart = -1
        forwarding.forgetCaller(unless: caller)
        #expect(forwarding.application == 3 && forwarding.subscription == -1)
        #expect(forwarding.subscriptionIdentity == .none)
        forwarding.forgetCaller(unless: .anonymous)
        #expect(forwarding.application == -1 && forwarding.applicationIdentity == .none)
    }
}
