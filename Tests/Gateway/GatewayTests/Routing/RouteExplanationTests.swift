import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

struct RouteExplanationTests {
    private static let document: String = """
        apis:
          - id: exact
            tenant: acme
            hosts: [api.example.com]
            routes: [{path: /orders/*}, {path: /deep/x/*}, {path: /deep/*}]
            upstream: {targets: [{url: "http://x"}]}
          - id: wild
            hosts: ["*.example.com", "*.api.example.com"]
            routes: [{path: "/orders/{id}"}]
            upstream: {targets: [{url: "http://x"}]}
          - id: any
            routes:
              - {path: "/orders/{id}", methods: [GET, PUT]}
              - {path: "/{kind}/7"}
              - {id: beta, path: "/orders/{id}", headers: {X-Beta: "1"}, query: {v: "*"}}
              - {path: /orders/7, methods: [DELETE]}
            upstream: {targets: [{url: "http://x"}]}
        """

    @Test func namesCandidatesWinnerAndWhy() throws {
        let snapshot: Snapshot = try Sample.snapshot(Self.document)
        let explanation: RouteExplanation = snapshot.explain(
            ExplainedRequest(method: "GET", host: "API.example.com:8000", path: "/%6frders/7"))
        #expect(
            explanation.lines == [
                "/orders/7 is taken by:",
                "  > /orders/* (API acme/exact, host api.example.com)",
                "    /orders/{id} (API default/wild, host *.example.com): the other's host is more exact",
                "    GET,PUT /orders/{id} (API default/any, host any): the other's host is more exact",
                "    /{kind}/7 (API default/any, host any): the other's host is more exact",
                "  - DELETE /orders/7 (API default/any, host any): takes DELETE only",
                "  - beta (API default/any, host any): asks for the header x-beta: 1",
            ])
    }

    @Test(arguments: [
        ("GET", "a.api.example.com", "/orders/7", "", "/orders/{id}"),
        ("GET", "x", "/orders/7", "", "GET,PUT /orders/{id}"), ("POST", "x", "/orders/7", "", "/{kind}/7"),
        ("POST", "x", "/orders/8", "", "404"), ("DELETE", "x", "/orders/7", "", "DELETE /orders/7"),
    ]) func agreesWithTheRouter(_ method: String, host: String, path: String, query: String, expected: String) throws {
        let snapshot: Snapshot = try Sample.snapshot(Self.document)
        let request: SampleRequest = SampleRequest(method: .init(method), host: host, path: path, query: query)
        #expect(snapshot.explained(request) == expected)
        #expect(snapshot.outcome(request) == expected)
    }

    @Test(arguments: [
        ("/deep/x/y", "the other's prefix is longer"), ("/orders/7", "the other's path has more literal segments"),
    ]) func saysInWhichRespectARouteLoses(_ path: String, why: String) throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - id: a
                routes: [{path: /deep/*}, {path: /deep/x/*}, {path: "/{a}/{b}"}, {path: "/orders/{b}"}]
                upstream: {targets: [{url: "http://x"}]}
            """)
        let explanation: RouteExplanation = snapshot.explain(ExplainedRequest(method: "GET", path: path))
        #expect(explanation.candidates.count == 2)
        #expect(explanation.candidates[1].verdict == .loses(why))
    }

    /// A rule that passes its bounds ends the search, also in a template that would not fit; but not behind an exact path.
    @Test(arguments: [
        ("/{long}b/x", ["{long}b/x is refused: 500, an expression passes its bounds"], "500"),
        ("/{long}b/y", ["{long}b/y is refused: 500, an expression passes its bounds"], "500"),
        ("/{long}b", ["{long}b is refused: 500, an expression passes its bounds"], "500"),
        ("/a/y", ["a/y is taken by:"], "/{any}/y"), ("/plain/x", ["plain/x is taken by:"], "/plain/x"),
    ]) func agreesWithTheRouterAboutBounds(_ path: String, first: [String], expected: String) throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - id: a
                routes: [{path: "/{n:(a+)+}/x"}, {path: "/{any}/y"}, {path: /plain/x}]
                upstream: {targets: [{url: "http://x"}]}
            """)
        let long: String = String(repeating: "a", count: 60)
        let path: String = path.replacing("{long}", with: long)
        let explanation: RouteExplanation = snapshot.explain(ExplainedRequest(method: "GET", path: path))
        #expect(explanation.lines.first == "/" + (first.first ?? "").replacing("{long}", with: long))
        #expect(snapshot.outcome(SampleRequest(path: path)) == expected)
        #expect(snapshot.explained(SampleRequest(path: path)) == expected)
        let wins: [String] = explanation.candidates.filter { $0.verdict == .wins }.map(\.route)
        #expect(wins == (expected == "500" ? [] : [expected]))
        let named: Bool = explanation.candidates.contains {
            $0.verdict == .excluded("its expression passes its bounds with this request")
        }
        #expect(named == (expected == "500"))
    }

    @Test func tellsAPathThatIsRefused() throws {
        let snapshot: Snapshot = try Sample.snapshot(Self.document)
        #expect(snapshot.explain(ExplainedRequest(method: "GET", path: "/a/../b")).outcome == .pathRefused)
        #expect(
            snapshot.explain(ExplainedRequest(method: "GET", path: "/nothing")).lines == ["/nothing has no route: 404"])
    }
}
