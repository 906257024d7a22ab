import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

/// The cost of a look-up is counted in probes (table slots, trie nodes, entries), which repeat, unlike time.
struct RouterScaleTests {
    /// `count` routes over APIs of a hundred: exact paths, templates and prefixes in equal parts.
    private static func snapshot(_ count: Int) throws -> Snapshot {
        var apis: [APIDefinition] = []
        for first in stride(from: 0, to: count, by: 100) {
            var routes: [String] = []
            for number in first..<min(first + 100, count) {
                switch number % 3 {
                case 0: routes.append("GET /service-\(number)/status")
                case 1: routes.append("GET /service-\(number)/items/{id}")
                default: routes.append("* /service-\(number)/*")
                }
            }
            apis.append(try Sample.api("a\(first)", routes: routes))
        }
        return Snapshot.compile(
            GatewayDocument(apis: apis), previous: nil, carrying: LiveState(subjectsMax: 1024)
        ).snapshot
    }

    private static func averageProbes(_ snapshot: Snapshot, _ count: Int) -> Double {
        var total: Int = 0
        var asked: Int = 0
        for number in stride(from: 0, to: count, by: max(1, count / 1000)) {
            let path: String
            switch number % 3 {
            case 0: path = "/service-\(number)/status"
            case 1: path = "/service-\(number)/items/42"
            default: path = "/service-\(number)/some/where/below"
            }
            let request: SampleRequest = SampleRequest(path: path)
            request.withView { view in
                var probes: Int = 0
                guard case .route(let index) = snapshot.router.match(view, probes: &probes) else {
                    Issue.record("no route for \(path)")
                    return
                }
                #expect(snapshot.routes[index.value].path.hasPrefix("/service-\(number)/"))
                total += probes
                asked += 1
            }
        }
        return Double(total) / Double(asked)
    }

    @Test func aHundredThousandRoutesCostNoMoreProbesThanTen() throws {
        let few: Snapshot = try Self.snapshot(10)
        let many: Snapshot = try Self.snapshot(100_000)
        #expect(many.routes.count == 100_000)
        let fewProbes: Double = Self.averageProbes(few, 10)
        let manyProbes: Double = Self.averageProbes(many, 100_000)
        // Tables are at most half full, so a longer run of slots is rare at any size.
        #expect(manyProbes < fewProbes + 3, "\(fewProbes) with 10 routes, \(manyProbes) with 100,000")
        #expect(manyProbes < 12)
    }

    @Test func waysThroughTheTrieAreBounded() throws {
        // Every arrangement of eight segments: 255 templates and one exact path.
        var routes: [String] = []
        for number in 0..<255 {
            var path: String = "* "
            for bit in 0..<8 { path += number >> bit & 1 == 1 ? "/l" : "/{p\(bit)}" }
            routes.append(path)
        }
        let snapshot: Snapshot = Snapshot.compile(
            GatewayDocument(apis: [try Sample.api(routes: routes)]), previous: nil,
            carrying: LiveState(subjectsMax: 1024)
        ).snapshot
        SampleRequest(path: "/l/l/l/l/l/l/l/l").withView { view in
            var probes: Int = 0
            _ = snapshot.router.match(view, probes: &probes)
            #expect(probes < Router.templateShapesMax * 8)
        }
    }
}
