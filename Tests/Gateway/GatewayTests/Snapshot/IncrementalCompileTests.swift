import Crypto
import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

/// A snapshot made from the one before it serves what one made from nothing does.
struct IncrementalCompileTests {
    /// Documents that change step by step, in small alphabets, so that their parts meet.
    private struct Story {
        var numbers: SeededNumbers
        var document: GatewayDocument = GatewayDocument()
        private var lastNumber: Int = 0

        init(seed: UInt64) { self.numbers = SeededNumbers(seed: seed) }

        mutating func one<Value>(_ values: [Value]) -> Value { values.randomElement(using: &self.numbers)! }

        mutating func chance(_ of: Int) -> Bool { Int.random(in: 0..<of, using: &self.numbers) == 0 }

        private mutating func route() throws -> RouteDefinition {
            self.lastNumber += 1
            var path: PathPattern = try PathPattern(
                parsing: self.one(["/a", "/b", "/a/{p}", "/{p}/b", "/a/*", "/b/{p}/c", "/*", "/c/{p}/*"]))
            if self.chance(4) {
                path = PathPattern(regex: try TextExpression(parsing: self.one(["/[ab]", "/[ab]/.*", "/a.*"])))
            }
            let policies: [PolicyDefinition] =
                self.chance(3)
                ? [
                    .rateLimit(
                        RateLimitPolicy(limit: 2, window: .seconds(60), by: self.one([.application, .key, .api])))
                ]
                : []
            return RouteDefinition(
                id: "r\(self.lastNumber)", path: path, methods: self.one([[], ["GET"], ["POST"], ["GET", "PUT"]]),
                headers: self.one([
                    [], [], [RouteCondition(name: "x", value: "1")], [RouteCondition(name: "y", value: nil)],
                ]),
                query: self.one([[], [], [RouteCondition(name: "q", value: "1")]]), policies: policies)
        }

        private mutating func api(_ id: String) throws -> APIDefinition {
            var api: APIDefinition = try Sample.api(id, routes: ["* /only-\(id)"])
            api.product = self.one([id, "product"])
            api.hosts = try self.one([[], [], ["x.example"], ["*.example", "y.x.example"]]).map {
                try HostPattern(parsing: $0)
            }
            for _ in 0..<Int.random(in: 1...4, using: &self.numbers) { api.routes.append(try self.route()) }
            if self.chance(2) { api.policies = [.apiKey(APIKeyPolicy(header: "k"))] }
            if !api.policies.isEmpty, self.chance(3) {
                let rules: [ACLPolicy.Rule] = [
                    ACLPolicy.Rule(
                        applications: self.one([[], ["c0", "c1"], ["c2"]]), plans: self.one([["gold"], ["silver"]]))
                ]
                api.policies.append(.acl(self.one([ACLPolicy(allow: rules), ACLPolicy(deny: rules)])))
            }
            return api
        }

        private mutating func application(_ id: String) -> ApplicationDefinition {
            var subscriptions: [SubscriptionDefinition] = []
            for api in ["a0", "a1", "a2", "product"] where self.chance(2) {
                subscriptions.append(SubscriptionDefinition(api: api, plan: self.one([nil, "gold", "silver"])))
            }
            var keys: [KeyDefinition] = []
            for key in ["k0", "k1", "k2", "k3"] where self.chance(3) {
                keys.append(KeyDefinition(digest: KeyDigest(bytes: SHA256.hash(key))!))
            }
            return ApplicationDefinition(
                id: id, state: self.one([.active, .active, .suspended]), keys: keys, subscriptions: subscriptions)
        }

        /// One change of one thing, now and then of several.
        mutating func change() throws {
            switch Int.random(in: 0..<9, using: &self.numbers) {
            case 0, 1, 2:
                let id: String = "a\(Int.random(in: 0..<6, using: &self.numbers))"
                let api: APIDefinition = try self.api(id)
                if let place: Int = self.document.apis.firstIndex(where: { $0.id == id }) {
                    self.document.apis[place] = api
                } else {
                    self.document.apis.insert(
                        api, at: Int.random(in: 0...self.document.apis.count, using: &self.numbers))
                }
            case 3:
                if !self.document.apis.isEmpty { self.document.apis.remove(at: self.place(self.document.apis.count)) }
            case 4: self.document.apis.shuffle(using: &self.numbers)
            case 5, 6:
                let id: String = "c\(Int.random(in: 0..<4, using: &self.numbers))"
                let application: ApplicationDefinition = self.application(id)
                if let place: Int = self.document.applications.firstIndex(where: { $0.id == id }) {
                    self.document.applications[place] = application
                } else {
                    self.document.applications.append(application)
                }
            case 7:
                if !self.document.applications.isEmpty {
                    self.document.applications.remove(at: self.place(self.document.applications.count))
                }
            default:
                let id: String = self.one(["gold", "silver"])
                self.document.plans.removeAll { $0.id == id }
                if !self.chance(3) {
                    let limit: Int64 = self.one([1, 3])
                    self.document.plans.append(
                        PlanDefinition(id: id, rateLimit: PlanRateLimit(limit: limit, window: .seconds(60))))
                }
            }
            if self.chance(4) { try self.change() }
        }

        private mutating func place(_ count: Int) -> Int { Int.random(in: 0..<count, using: &self.numbers) }

        mutating func request() -> SampleRequest {
            SampleRequest(
                method: self.one([.get, .head, .post, .put, .options]),
                host: self.one(["", "x.example", "y.x.example", "z.example"]),
                path: self.one(["/a", "/b", "/a/b", "/b/b", "/a/b/c", "/b/q/c", "/c/d/e", "/d", "/only-a0", "/only-a1"]
                ),
                query: self.one(["", "q=1"]),
                headers: self.one([[], [("x", "1")], [("y", "2")]])
                    + self.one([
                        [], [("k", "k0")], [("k", "k1")], [("k", "k2")], [("k", "k3")],
                    ]))
        }
    }

    /// What became of a request, in words that do not depend on places in tables.
    private static func account(_ loop: DecidingLoop, _ request: SampleRequest) -> String {
        let outcome: String = loop.snapshot.outcome(request)
        let reason: String = loop.decide(request)
        if reason == "no route" { return outcome }
        let forwarding: Forwarding = loop.decision.forwarding
        let snapshot: Snapshot = loop.snapshot
        let application: String =
            forwarding.application < 0 ? "-" : snapshot.applications[Int(forwarding.application)].text
        let subscription: String =
            forwarding.subscription < 0 ? "-" : snapshot.subscriptions[Int(forwarding.subscription)].id
        let upstream: String =
            reason == "none" ? snapshot.api(at: forwarding.upstream).key.text : "-"
        return "\(outcome) \(reason) \(application) \(subscription) \(upstream)"
    }

    @Test(arguments: Array(1...16)) func servesWhatACompilationFromNothingDoes(_ seed: UInt64) throws {
        var story: Story = Story(seed: seed)
        let live: LiveState = LiveState(subjectsMax: 1024)
        var snapshot: Snapshot = Snapshot.empty(live)
        var updates: Int = 0
        for step in 0..<40 {
            let before: GatewayDocument = story.document
            try story.change()
            // In conflicts it matters who was there first, which a compilation from nothing cannot know.
            let (anew, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
                story.document, previous: nil, carrying: LiveState(subjectsMax: 1024))
            guard quarantined.isEmpty else {
                story.document = before
                continue
            }
            let rules: SharedPages<RouteRules> = snapshot.rules
            let next: (snapshot: Snapshot, quarantined: [Quarantine]) = Snapshot.compile(
                story.document, previous: snapshot, carrying: live)
            #expect(next.quarantined.isEmpty, "seed \(seed) step \(step)")
            snapshot = next.snapshot
            if snapshot.rules.count >= rules.count { updates += 1 }
            #expect(snapshot.apis.map { $0.definition } == story.document.apis)
            #expect(snapshot.routes.count == anew.routes.count)
            // Counts of limits go on from snapshot to snapshot: each comparison has a time of its own.
            let (old, fresh): (DecidingLoop, DecidingLoop) = (DecidingLoop(snapshot), DecidingLoop(anew))
            old.advance(seconds: Double(step) * 1000)
            fresh.advance(seconds: Double(step) * 1000)
            for _ in 0..<40 {
                let request: SampleRequest = story.request()
                let account: String = Self.account(old, request)
                #expect(account == Self.account(fresh, request), "seed \(seed) step \(step): \(request)")
                #expect(snapshot.explained(request) == snapshot.outcome(request))
            }
        }
        #expect(updates > 0)
    }

    private static func document(apis: Int) throws -> GatewayDocument {
        var document: GatewayDocument = GatewayDocument()
        for number in 0..<apis {
            var api: APIDefinition = try Sample.api(
                "a\(number)",
                routes: (0..<10).map { ["GET /s\(number)/\($0)", "* /s\(number)/{p}/\($0)"][$0 % 2] })
            api.policies = [.rateLimit(RateLimitPolicy(limit: 5, window: .seconds(60)))]
            document.apis.append(api)
            document.applications.append(
                ApplicationDefinition(
                    id: "c\(number)", keys: [KeyDefinition(digest: KeyDigest(bytes: SHA256.hash("k\(number)"))!)],
                    subscriptions: [SubscriptionDefinition(api: "a\(number)")]))
        }
        return document
    }

    /// Counted in pages of memory, which repeat, unlike time.
    @Test func aChangeTouchesNoMoreOfManyRoutesThanOfFew() throws {
        var touched: [Int] = []
        for apis in [20, 1000] {
            let live: LiveState = LiveState(subjectsMax: 1024)
            var document: GatewayDocument = try Self.document(apis: apis)
            let first: Snapshot = Snapshot.compile(document, previous: nil, carrying: live).snapshot
            document.apis[apis / 2].name = "another"
            document.applications[apis / 2].state = .suspended
            let second: Snapshot = Snapshot.compile(document, previous: first, carrying: live).snapshot
            touched.append(second.pagesNotShared(with: first))
            #expect(second.router.pagesNotShared(with: first.router) < 10)
        }
        // With few routes everything lies on a page or two anyway.
        #expect(touched[1] <= touched[0] + 8, "\(touched)")
    }

    @Test func whatComesAndGoesDoesNotPileUp() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        var document: GatewayDocument = try Self.document(apis: 3)
        var snapshot: Snapshot = Snapshot.compile(document, previous: nil, carrying: live).snapshot
        var entriesMax: Int = 0
        for round in 0..<2000 {
            document.apis[round % 3].name = "round \(round)"
            snapshot = Snapshot.compile(document, previous: snapshot, carrying: live).snapshot
            entriesMax = max(entriesMax, snapshot.rules.count)
        }
        #expect(entriesMax < 10_000)
        #expect(live.limitCount == 3)
        #expect(snapshot.outcome(SampleRequest(path: "/s1/0")) == "GET /s1/0")
    }

    @Test func countsGoOnWhateverElseChanges() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        var document: GatewayDocument = try Self.document(apis: 2)
        let loop: DecidingLoop = DecidingLoop(
            Snapshot.compile(document, previous: nil, carrying: live).snapshot)
        #expect(loop.count(3, SampleRequest(path: "/s0/0")) == 3)
        for name in ["one", "two"] {
            document.apis[0].name = name
            loop.snapshot = Snapshot.compile(document, previous: loop.snapshot, carrying: live).snapshot
        }
        document.apis.remove(at: 1)
        loop.snapshot = Snapshot.compile(document, previous: loop.snapshot, carrying: live).snapshot
        #expect(loop.count(10, SampleRequest(path: "/s0/0")) == 2)
        #expect(loop.snapshot.outcome(SampleRequest(path: "/s1/0")) == "404")
    }

    /// A file that is refused leaves the snapshot that runs, from which the next one is made again.
    @Test func twoSnapshotsMayFollowOnOne() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        var document: GatewayDocument = try Self.document(apis: 2)
        let loop: DecidingLoop = DecidingLoop(
            Snapshot.compile(document, previous: nil, carrying: live).snapshot)
        #expect(loop.count(3, SampleRequest(path: "/s0/0")) == 3)
        var conflict: GatewayDocument = document
        conflict.apis[1] = try Sample.api("a1", routes: ["GET /s0/0"])
        let refused: (snapshot: Snapshot, quarantined: [Quarantine]) = Snapshot.compile(
            conflict, previous: loop.snapshot, carrying: live)
        #expect(refused.quarantined.map { $0.key.id } == ["a1"])
        #expect(refused.snapshot.outcome(SampleRequest(path: "/s1/0")) == "GET /s1/0")
        document.apis[1].name = "mended"
        let second: Snapshot = Snapshot.compile(document, previous: loop.snapshot, carrying: live).snapshot
        #expect(second.apis[1].definition.name == "mended")
        loop.snapshot = second
        #expect(loop.count(10, SampleRequest(path: "/s0/0")) == 2)
    }
}
