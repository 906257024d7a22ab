import Testing

@testable import Gateway
@testable import GatewayConfiguration

/// Limits of a tenant over all of its APIs.
struct TenantLimitTests {
    private static func document(_ tenants: String) throws -> GatewayDocument {
        var apis: String = ""
        for (tenant, id) in [("acme", "a"), ("acme", "b"), ("globex", "g")] {
            apis += """
                  - id: \(id)
                    tenant: \(tenant)
                    routes: [{path: /\(id), cost: 7}, {path: /\(id)/keyed, policies: [{api_key: {header: K}}]}]
                    upstream: {targets: [{url: "http://127.0.0.1:9700"}]}

                """
        }
        return try Sample.document("apis:\n\(apis)tenants: [\(tenants)]\n")
    }

    private static func compile(_ tenants: String, after previous: Snapshot?, _ live: LiveState) throws -> Snapshot {
        Snapshot.compile(try Self.document(tenants), previous: previous, carrying: live).snapshot
    }

    private static func loop(_ tenants: String) throws -> DecidingLoop {
        DecidingLoop(try Self.compile(tenants, after: nil, LiveState(subjectsMax: 1024)))
    }

    private static func call(_ path: String, remote: String = "192.0.2.1") -> SampleRequest {
        SampleRequest(path: path, remote: remote)
    }

    @Test func allAPIsOfATenantCountTogetherAndThoseOfOthersNot() throws {
        let loop: DecidingLoop = try Self.loop("{tenant: acme, rate_limit: {limit: 5, window: 1s}}")
        // Each request is one, whatever its route says it costs.
        #expect(loop.count(3, Self.call("/a")) == 3)
        #expect(loop.count(9, Self.call("/b", remote: "192.0.2.2")) == 2)
        #expect(loop.decide(Self.call("/a")) == "tenant-rate-limited")
        #expect(
            loop.headerLines
                == "Retry-After: 1\r\nRateLimit-Policy: \"tenant\";q=5;w=1\r\nRateLimit: \"tenant\";r=0;t=1\r\n")
        #expect(loop.count(9, Self.call("/g")) == 9)
        loop.advance(seconds: 1)
        #expect(loop.count(9, Self.call("/b")) == 5)
    }

    @Test func aQuotaLastsUntilTheMonthEnds() throws {
        let loop: DecidingLoop = try Self.loop(
            "{tenant: acme, rate_limit: {limit: 100, window: 1s}, quota: {limit: 4, window: month}}")
        #expect(loop.count(3, Self.call("/a")) == 3)
        #expect(loop.count(3, Self.call("/b")) == 1)
        #expect(loop.decide(Self.call("/b")) == "tenant-quota-exceeded")
        #expect(loop.headerLines.contains("\"tenant\";q=100;w=1, \"tenant-quota\";q=4;w=2592000"))
        loop.advance(seconds: 17 * 86_400)
        #expect(loop.count(9, Self.call("/a")) == 4)
        #expect(RequestReason.tenantQuotaExceeded.status == 429 && RequestReason.tenantRateLimited.status == 429)
    }

    @Test func whatIsRefusedBeforeDoesNotCount() throws {
        let loop: DecidingLoop = try Self.loop("{tenant: acme, quota: {limit: 2, window: day}}")
        for _ in 0..<9 { #expect(loop.decide(Self.call("/a/keyed")) == "credentials-missing") }
        #expect(loop.count(9, Self.call("/a")) == 2)
    }

    @Test func liveGatewaysDivideTheRateAndShareTheQuota() throws {
        let loop: DecidingLoop = try Self.loop(
            "{tenant: acme, rate_limit: {limit: 6, window: 1s}, quota: {limit: 7, window: year}}")
        loop.snapshot.live.limitShare = 3
        #expect(loop.count(9, Self.call("/a")) == 2)
        loop.advance(seconds: 1)
        loop.snapshot.live.limitShare = 1
        #expect(loop.count(9, Self.call("/a")) == 5)
        #expect(loop.snapshot.live.counters.compactMap { $0.counter?.key } == ["acme/|tenant|quota year"])
    }

    @Test func aChangeReachesRoutesThatAreThereAlreadyAndKeepsWhatWasCounted() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        let loop: DecidingLoop = DecidingLoop(try Self.compile("", after: nil, live))
        #expect(loop.count(20, Self.call("/a")) == 20)
        #expect(live.limitCount == 0, "nothing is counted where there is no limit")
        func change(_ tenants: String) throws {
            loop.snapshot = try Self.compile(tenants, after: loop.snapshot, live)
        }
        try change("{tenant: acme, quota: {limit: 4, window: day}}")
        #expect(loop.count(3, Self.call("/a")) == 3)
        try change("{tenant: acme, quota: {limit: 6, window: day}}, {tenant: globex, quota: {limit: 1, window: day}}")
        #expect(loop.count(9, Self.call("/b")) == 3)
        #expect(loop.count(9, Self.call("/g")) == 1)
        try change("{tenant: globex, quota: {limit: 1, window: day}}")
        #expect(loop.count(9, Self.call("/b")) == 9)
        #expect(loop.decide(Self.call("/g")) == "tenant-quota-exceeded")
        try change("")
        #expect(loop.count(9, Self.call("/g")) == 9)
        #expect(live.limitCount == 0)
    }

    @Test func anAPIThatComesLaterIsUnderTheLimitToo() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        var document: GatewayDocument = try Self.document("{tenant: acme, quota: {limit: 4, window: day}}")
        let later: APIDefinition = document.apis.remove(at: 1)
        let loop: DecidingLoop = DecidingLoop(
            Snapshot.compile(document, previous: nil, carrying: live).snapshot)
        #expect(loop.count(3, Self.call("/a")) == 3)
        document.apis.append(later)
        loop.snapshot = Snapshot.compile(document, previous: loop.snapshot, carrying: live).snapshot
        #expect(loop.count(9, Self.call("/b")) == 1)
    }

    @Test func whatComesAndGoesDoesNotPileUp() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        var snapshot: Snapshot = try Self.compile("", after: nil, live)
        for round in 1...6000 {
            snapshot = try Self.compile(
                "{tenant: acme, quota: {limit: \(round), window: day}}", after: snapshot, live)
        }
        #expect(snapshot.limits.count < 5000)
        #expect(live.limitCount == 1)
    }

    /// Of a newer control plane: what was there before stays.
    @Test func anEntryThatCannotBeReadKeepsTheLimitBefore() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        let first: Snapshot = try Self.compile("{tenant: acme, quota: {limit: 4, window: day}}", after: nil, live)
        let key: EntryKey = EntryKey(tenant: "acme", id: "acme")
        let (second, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            try Self.document(""), unreadable: [UnreadableEntry(kind: .tenant, key: key, problems: ["new"])],
            previous: first, carrying: live)
        #expect(
            quarantined == [Quarantine(kind: .tenant, key: key, problems: ["new"], isEarlierVersionLive: true)])
        #expect(DecidingLoop(second).count(9, Self.call("/a")) == 4)
    }
}
