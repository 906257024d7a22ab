import GatewayConfiguration
import JSON
import Telemetry
import Testing

@testable import Gateway

/// Routes whose requests go elsewhere than the rest of their API.
struct RouteUpstreamTests {
    private static func document(_ own: UInt16, _ other: UInt16) throws -> GatewayDocument {
        try Sample.document(
            """
            apis:
              - id: first
                routes: [{path: /first}]
                upstream: {targets: [{url: "http://127.0.0.1:\(own)"}]}
              - id: a
                routes:
                  - {id: api, path: /api/*}
                  - id: own
                    path: /api/own/*
                    upstream: {targets: [{url: "http://127.0.0.1:\(other)/there"}], strip_prefix: /api/own, preserve_host: true, retries: {}}
                upstream: {targets: [{url: "http://127.0.0.1:\(own)"}], strip_prefix: /api, retries: {}}
                policies: [{timeouts: {connect: 10m, response: 10m, idle: 10m}}]
            """)
    }

    @Test func aRoutesOwnUpstreamStandsForTheAPIs() async throws {
        let one: RawUpstream = try .echoing()
        let two: RawUpstream = try .echoing()
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await .start(try Self.document(one.port, two.port), metrics: metrics)
        let request: String = " HTTP/1.1\r\nHost: api.example\r\n\r\n"
        #expect(try gateway.exchange("GET /api/x" + request).text.hasPrefix("GET /x HTTP/1.1\r\n"))
        let own: RawMessage = try gateway.exchange("GET /api/own/x" + request)
        #expect(own.text.hasPrefix("GET /there/x HTTP/1.1\r\n"))
        #expect(own.text.contains("Host: api.example\r\n"))
        #expect(one.requests.count == 1)
        #expect(two.requests.count == 1)
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(text.contains("passerelle_gateway_retries_total{tenant=\"default\",api=\"a\",result=\"made\"} 0"))
        #expect(
            text.contains(
                "passerelle_gateway_retries_total{tenant=\"default\",api=\"a\",route=\"own\",result=\"made\"} 0")
        )
        await gateway.stop()
    }

    @Test func whatIsKnownOfItSurvivesAChange() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        let document: GatewayDocument = try Self.document(1, 2)
        let first: Snapshot = Snapshot.compile(document, previous: nil, carrying: live).snapshot
        #expect(first.upstreams.map { $0.key } == ["default/first", "default/a", "default/a|own"])
        // An API that did not change keeps it as it is, one that changed finds it by its key.
        for change in [false, true] {
            var next: GatewayDocument = document
            if change { next.apis[1].routes[0].cost = 3 }
            let second: Snapshot = Snapshot.compile(next, previous: first, carrying: live).snapshot
            #expect(second.upstreams[2].targets[0].state === first.upstreams[2].targets[0].state)
            #expect(second.upstreams[2].state === first.upstreams[2].state)
        }
        // The same server for the API and for a route is looked at apart: their rules may differ.
        let same: Snapshot = Snapshot.compile(try Self.document(1, 1), previous: nil, carrying: live).snapshot
        #expect(same.upstreams[1].targets[0].state !== same.upstreams[2].targets[0].state)
    }

    @Test func whatIsWrittenReadsBack() throws {
        let document: GatewayDocument = try Self.document(1, 2)
        #expect(try GatewayDocument.read(document.json().serialized()) == document)
    }
}
