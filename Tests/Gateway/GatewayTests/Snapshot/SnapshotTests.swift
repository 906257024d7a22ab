import Documents
import GatewayConfiguration
import HTTP
import Synchronization
import Testing

@testable import Gateway

struct SnapshotTests {
    private let live: LiveState = LiveState(subjectsMax: 1024)

    private func compile(_ apis: [APIDefinition], after previous: Snapshot? = nil) -> (Snapshot, [Quarantine]) {
        Snapshot.compile(GatewayDocument(apis: apis), previous: previous, carrying: self.live)
    }

    @Test func whatDidNotChangeIsCarriedOver() throws {
        let (first, _): (Snapshot, [Quarantine]) = self.compile([
            try Sample.api("a", routes: ["* /a"]), try Sample.api("b", routes: ["* /b"]),
        ])
        first.upstreams[0].targets[0].state.failures.store(3, ordering: .relaxed)
        let (second, _): (Snapshot, [Quarantine]) = self.compile(
            [try Sample.api("b", routes: ["* /b2"]), try Sample.api("a", routes: ["* /a"])], after: first)
        let a: CompiledAPI = try #require(second.apis.first { $0.key.id == "a" })
        #expect(a === first.apis[0])
        #expect(a.upstream.targets[0].state.failures.load(ordering: .relaxed) == 3)
        // A changed API keeps what is known of a target it still has.
        let b: CompiledAPI = try #require(second.apis.first { $0.key.id == "b" })
        #expect(b !== first.apis[1])
        #expect(b.upstream.targets[0].state === first.apis[1].upstream.targets[0].state)
        #expect(second.outcome(SampleRequest(path: "/b2")) == "* /b2")
        #expect(second.outcome(SampleRequest(path: "/b")) == "404")
    }

    @Test func aConflictQuarantinesWhatChangedAndKeepsItsEarlierVersion() throws {
        let a: APIDefinition = try Sample.api("a", routes: ["GET /a", "GET /shared"])
        let (first, _): (Snapshot, [Quarantine]) = self.compile([try Sample.api("b", routes: ["GET /b"]), a])
        // B takes over a route of A: A did not change, so B is the one to wait.
        let (second, quarantined): (Snapshot, [Quarantine]) = self.compile(
            [try Sample.api("b", routes: ["GET /shared", "GET /new"]), a], after: first)
        #expect(quarantined.map(\.key.id) == ["b"])
        #expect(quarantined[0].isEarlierVersionLive)
        #expect(quarantined[0].problems[0].contains("/shared"))
        #expect(second.outcome(SampleRequest(path: "/b")) == "GET /b")
        #expect(second.outcome(SampleRequest(path: "/new")) == "404")
        #expect(second.apis.map(\.key.id) == ["b", "a"])
        // A gives the route up: B's new version goes live.
        let (third, none): (Snapshot, [Quarantine]) = self.compile(
            [try Sample.api("b", routes: ["GET /shared", "GET /new"]), try Sample.api("a", routes: ["GET /a"])],
            after: second)
        #expect(none.isEmpty)
        #expect(third.outcome(SampleRequest(path: "/new")) == "GET /new")
    }

    @Test func aNewAPIInConflictIsLeftOut() throws {
        let (snapshot, quarantined): (Snapshot, [Quarantine]) = self.compile([
            try Sample.api("a", routes: ["GET /x"]), try Sample.api("b", routes: ["GET /y", "GET /x"]),
            try Sample.api("c", routes: ["GET /z", "* /z/*", "* /z/*"]),
            try Sample.api("d", routes: ["POST /x", "GET /y"]),
        ])
        #expect(quarantined.map(\.key.id) == ["b", "c"])
        #expect(quarantined.allSatisfy { !$0.isEarlierVersionLive })
        #expect(snapshot.outcome(SampleRequest(path: "/y")) == "GET /y")
        #expect(snapshot.outcome(SampleRequest(method: .post, path: "/x")) == "POST /x")
    }

    @Test func anAPIThatCannotBeReadKeepsItsEarlierVersion() throws {
        let (first, _): (Snapshot, [Quarantine]) = self.compile([
            try Sample.api("a", routes: ["* /a"]), try Sample.api("b", routes: ["* /b"]),
        ])
        var held: HashedDocument = HashedDocument(
            GatewayDocument(apis: [try Sample.api("a", routes: ["* /a2"]), try Sample.api("b", routes: ["* /b"])]),
            version: 1)
        var sent: HashedDocument = held
        sent.remove(.api, EntryKey(tenant: "default", id: "b"))
        let text: String =
            #"{"id":"b","tenant":"default","routes":[{"path":"/new"}],"upstream":{"targets":[{"url":"http://x"}]},"novel":1}"#
        try held.receive(
            Array(
                """
                {"base":1,"version":2,"hash":"\(try Self.hash(sent, adding: text))","changed":{"apis":[\(text)]},"removed":{}}
                """.utf8))
        let (second, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            held, previous: first, carrying: self.live)
        #expect(quarantined.map(\.key.text) == ["default/b"])
        #expect(quarantined[0].isEarlierVersionLive)
        #expect(second.version == 2)
        #expect(second.hash == held.hash)
        #expect(second.outcome(SampleRequest(path: "/a2")) == "* /a2")
        #expect(second.outcome(SampleRequest(path: "/b")) == "* /b")
    }

    /// What the sender says the hash is: that of its own document.
    private static func hash(_ document: HashedDocument, adding entry: String) throws -> String {
        var whole: HashedDocument = document
        do {
            try whole.receive(Array(#"{"base":1,"version":2,"hash":"?","changed":{"apis":[\#(entry)]}}"#.utf8))
            return ""
        } catch SnapshotError.wrongHash(_, let found) {
            return found
        }
    }

    @Test func asManySubscriptionsAsCanBeMeantAreServed() throws {
        let document: GatewayDocument = try Sample.document(
            """
            apis:
              - {id: a, routes: [{path: /a}], upstream: {targets: [{url: "http://x"}]}, policies: [{api_key: {header: K}}]}
            applications:
              - {id: one, keys: [{value: k}], subscriptions: [{api: a}]}
            """)
        var changed: GatewayDocument = document
        changed.applications.append(
            ApplicationDefinition(
                id: "two", keys: document.applications[0].keys,
                subscriptions: [SubscriptionDefinition(api: "gone"), SubscriptionDefinition(api: "a", plan: "missing")])
        )
        let (snapshot, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            changed, previous: nil, carrying: self.live)
        // A key that is taken is left to who has it; a plan that is missing closes its subscription; an API that is not served
        // here needs no word.
        #expect(quarantined.map(\.kind) == [.application, .application])
        let loop: DecidingLoop = DecidingLoop(snapshot)
        #expect(loop.decide(SampleRequest(path: "/a", headers: [("K", "k")])) == "none")
        #expect(loop.decision.forwarding.application == 0)
        #expect(snapshot.subscriptions.count == 2)
    }

    @Test func routePoliciesReplaceTheAPIsButForLimits() throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - id: a
                routes:
                  - {path: /plain}
                  - {path: /own, policies: [{timeouts: {response: 1s}}, {headers: {request: {set: {X-B: "2"}}}}, {request_size: 5}]}
                upstream: {targets: [{url: "http://x"}]}
                policies:
                  - timeouts: {connect: 100ms, response: 10s}
                  - headers: {request: {set: {X-A: "1"}, remove: [Cookie]}, response: {remove: [Server]}}
            """)
        let plain: CompiledRoute = snapshot.routes[0]
        #expect(plain.timeouts.connect == 100_000_000)
        #expect(plain.timeouts.response == 10_000_000_000)
        #expect(plain.bodyBytesMax == 10 << 20)
        #expect(plain.requestHeaders.map { String(decoding: $0.lines, as: UTF8.self) } == "x-a: 1\r\n")
        #expect(plain.requestHeaders?.names.map { String(decoding: $0, as: UTF8.self) } == ["cookie", "x-a"])
        #expect(plain.responseHeaders?.lines.isEmpty == true)
        let own: CompiledRoute = snapshot.routes[1]
        #expect(own.timeouts.connect == 5_000_000_000)
        #expect(own.timeouts.response == 1_000_000_000)
        #expect(own.bodyBytesMax == 5)
        #expect(own.requestHeaders.map { String(decoding: $0.lines, as: UTF8.self) } == "x-b: 2\r\n")
        #expect(own.responseHeaders == nil)
    }
}
