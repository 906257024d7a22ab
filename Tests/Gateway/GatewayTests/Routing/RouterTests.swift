import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

struct RouterTests {
    private static func snapshot(_ routes: [String], hosts: [String] = []) throws -> Snapshot {
        let document: GatewayDocument = GatewayDocument(apis: [try Sample.api(hosts: hosts, routes: routes)])
        let (snapshot, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            document, previous: nil, carrying: LiveState(subjectsMax: 1024))
        #expect(quarantined.isEmpty)
        return snapshot
    }

    @Test(arguments: [
        // Exact before template before prefix.
        ("/users/me", "* /users/me"), ("/users/7", "* /users/{id}"), ("/users/7/x", "* /users/*"),
        ("/users", "* /users/*"),
        ("/users/", "* /users/*"), ("/user", "* /*"), ("/usersx", "* /*"), ("/", "* /*"),
        // Most literals win, wherever they stand.
        ("/a/b/c", "* /{x}/b/c"), ("/a/z/c", "* /a/{y}/{z}"), ("/z/b/c", "* /{x}/b/c"),
        // Longest prefix wins, parameters in it or not.
        ("/p/q/r/s", "* /p/{x}/r/*"), ("/p/q/z/s", "* /p/q/*"), ("/p/z/z", "* /p/*"),
        // A trailing slash is part of a path.
        ("/t", "* /t"), ("/t/", "* /t/"), ("/v/1", "* /v/{id}"), ("/v/1/", "* /v/{id}/"), ("/w/1/", "* /*"),
    ]) func ordersPaths(_ path: String, expected: String) throws {
        let snapshot: Snapshot = try Self.snapshot([
            "* /*", "* /users/*", "* /users/{id}", "* /users/me", "* /a/{y}/{z}", "* /{x}/b/c", "* /p/*", "* /p/q/*",
            "* /p/{x}/r/*", "* /t", "* /t/", "* /v/{id}", "* /v/{id}/", "* /w/{id}",
        ])
        #expect(snapshot.outcome(SampleRequest(path: path)) == expected)
    }

    @Test(arguments: [
        (MethodCode.get, "/a", "GET /a"), (.head, "/a", "GET /a"), (.post, "/a", "POST,PUT /a"),
        (.put, "/a", "POST,PUT /a"),
        (.delete, "/a", "405 GET, HEAD, POST, PUT, OPTIONS"), (.other, "/a", "405 GET, HEAD, POST, PUT, OPTIONS"),
        (.options, "/a", "204 GET, HEAD, POST, PUT, OPTIONS"),
        // HEAD of its own wins; a route for every method comes last.
        (.head, "/b", "HEAD /b"), (.get, "/b", "* /b"), (.other, "/b", "* /b"), (.options, "/b", "* /b"),
        (.options, "/c", "OPTIONS /c"), (.get, "/c", "405 OPTIONS"),
        // A path that lacks the method lets less exact ones answer; 405 names the methods of all that fit.
        (.post, "/d/e", "POST /d/{x}"), (.put, "/d/e", "PUT /d/*"),
        (.patch, "/d/e", "405 GET, HEAD, POST, PUT, OPTIONS"),
        (.get, "/nothing", "404"),
    ]) func choosesByMethod(_ method: MethodCode, path: String, expected: String) throws {
        let snapshot: Snapshot = try Self.snapshot([
            "GET /a", "POST,PUT /a", "* /b", "HEAD /b", "OPTIONS /c", "GET /d/e", "POST /d/{x}", "PUT /d/*",
        ])
        #expect(snapshot.outcome(SampleRequest(method: method, path: path)) == expected)
    }

    @Test(arguments: [
        ("api.example.com", "/x", "exact"), ("API.Example.COM:8443", "/x", "exact"),
        ("api.example.com.", "/x", "exact"),
        ("other.example.com", "/x", "wild"), ("deep.api.example.com", "/x", "wilder"),
        ("a.b.api.example.com", "/x", "wilder"),
        ("example.com", "/x", "any"), ("", "/x", "any"), ("com", "/x", "any"), ("[::1]:80", "/x", "v6"),
        ("[::2]", "/x", "any"),
        // What the exact host does not have, the wildcard and then any host may.
        ("api.example.com", "/w", "wild"), ("deep.api.example.com", "/w", "wild"), ("api.example.com", "/any", "any"),
        (String(repeating: "a", count: 400), "/x", "any"), ("a:b:c", "/x", "any"),
    ]) func ordersHosts(_ host: String, path: String, expected: String) throws {
        func api(_ id: String, _ hosts: [String], _ paths: [String]) throws -> APIDefinition {
            var api: APIDefinition = try Sample.api(id, hosts: hosts, routes: paths.map { "* \($0)" })
            for index in api.routes.indices { api.routes[index].id = id }
            // Ids are unique in an API; here each names its API, so numbers make them differ.
            for index in api.routes.indices.dropFirst() {
                api.routes[index].id = "\(id)" + String(repeating: " ", count: index)
            }
            return api
        }
        let document: GatewayDocument = GatewayDocument(apis: [
            try api("any", [], ["/x", "/w", "/any"]), try api("wild", ["*.example.com"], ["/x", "/w"]),
            try api("wilder", ["*.api.example.com"], ["/x"]), try api("exact", ["api.example.com"], ["/x"]),
            try api("v6", ["[::1]"], ["/x"]),
        ])
        let snapshot: Snapshot = Snapshot.compile(document, previous: nil, carrying: LiveState(subjectsMax: 1024))
            .snapshot
        let outcome: String = snapshot.outcome(SampleRequest(host: host, path: path))
        #expect(outcome.split(separator: " ").first.map(String.init) == expected)
    }

    static let conditions: String = """
        apis:
          - id: a
            routes:
              - {id: plain, path: /x}
              - {id: h1, path: /x, headers: {X-Version: "1"}}
              - {id: h2, path: /x, headers: {X-Version: "1", X-Beta: "*"}}
              - {id: q1, path: /x, query: {v: "2"}}
              - {id: q2, path: /x, query: {v: "2", w: "*"}}
              - {id: hq, path: /x, headers: {X-Version: "1"}, query: {v: "2"}}
              - {id: first, path: /tie, headers: {A: "1"}}
              - {id: second, path: /tie, headers: {B: "1"}}
              - {id: get, path: /m, methods: [GET]}
              - {id: any-with-header, path: /m, headers: {A: "1"}}
              - {id: only, path: /only, methods: [GET], headers: {A: "1"}}
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
        """

    @Test(arguments: [
        (SampleRequest(path: "/x"), "plain"),
        (SampleRequest(path: "/x", headers: [("x-version", "1")]), "h1"),
        (SampleRequest(path: "/x", headers: [("X-VERSION", "2"), ("x-version", "1")]), "h1"),
        (SampleRequest(path: "/x", headers: [("X-Version", "2")]), "plain"),
        (SampleRequest(path: "/x", headers: [("X-Version", "11")]), "plain"),
        (SampleRequest(path: "/x", headers: [("X-Beta", ""), ("X-Version", "1")]), "h2"),
        (SampleRequest(path: "/x", query: "v=2"), "q1"),
        (SampleRequest(path: "/x", query: "a=1&v=2&b"), "q1"),
        (SampleRequest(path: "/x", query: "v=1&v=2"), "q1"),
        (SampleRequest(path: "/x", query: "v=22"), "plain"),
        (SampleRequest(path: "/x", query: "vv=2"), "plain"),
        (SampleRequest(path: "/x", query: "v"), "plain"),
        (SampleRequest(path: "/x", query: "w&v=2"), "q2"),
        (SampleRequest(path: "/x", query: "v=2", headers: [("X-Version", "1")]), "hq"),
        (SampleRequest(path: "/x", query: "v=2&w=1", headers: [("X-Version", "1")]), "hq"),
        (SampleRequest(path: "/x", query: "v=2", headers: [("X-Version", "1"), ("X-Beta", "y")]), "h2"),
        (SampleRequest(path: "/tie", headers: [("B", "1"), ("A", "1")]), "first"),
        (SampleRequest(path: "/tie", headers: [("B", "1")]), "second"),
        (SampleRequest(path: "/tie"), "404"),
        // The method comes before headers: a route that names GET wins over one for every method with a header.
        (SampleRequest(path: "/m", headers: [("A", "1")]), "get"),
        (SampleRequest(method: .post, path: "/m", headers: [("A", "1")]), "any-with-header"),
        // The method is known, the condition not met: there is nothing here for this request.
        (SampleRequest(path: "/only"), "404"),
        (SampleRequest(method: .post, path: "/only"), "405 GET, HEAD, OPTIONS"),
    ]) func choosesByConditions(_ request: SampleRequest, expected: String) throws {
        let snapshot: Snapshot = try Sample.snapshot(Self.conditions)
        #expect(snapshot.outcome(request) == expected)
    }

    @Test(arguments: [["* /a/{x}", "* /{x}/b"], ["* /{x}/b", "* /a/{x}"], ["* /{x}/b/*", "* /a/{x}/*"]])
    func whatIsEqualElseGoesByFileOrder(_ routes: [String]) throws {
        #expect(try Self.snapshot(routes).outcome(SampleRequest(path: "/a/b")) == routes[0])
    }

    /// APIs that did not change are compiled first, which must not change their place.
    @Test func fileOrderIsThatOfTheDocumentAndNotOfCompiling() throws {
        func api(_ id: String, _ header: String, name: String) throws -> APIDefinition {
            var api: APIDefinition = try Sample.api(id, routes: ["* /x"])
            api.routes = [
                RouteDefinition(
                    id: id, path: try PathPattern(parsing: "/x"), headers: [RouteCondition(name: header, value: nil)])
            ]
            api.name = name
            return api
        }
        let live: LiveState = LiveState(subjectsMax: 1024)
        let late: APIDefinition = try api("late", "b", name: "late")
        let first: Snapshot = Snapshot.compile(
            GatewayDocument(apis: [try api("early", "a", name: "one"), late]), previous: nil, carrying: live
        ).snapshot
        let second: Snapshot = Snapshot.compile(
            GatewayDocument(apis: [try api("early", "a", name: "two"), late]), previous: first, carrying: live
        ).snapshot
        // Its routes stand behind those of the API that did not change.
        #expect(second.routes[2].id == "early")
        #expect(second.outcome(SampleRequest(path: "/x", headers: [("A", "1"), ("B", "1")])) == "early")
    }

    @Test func anEmptySnapshotKnowsNothing() {
        let snapshot: Snapshot = Snapshot.empty(LiveState(subjectsMax: 1024))
        #expect(snapshot.outcome(SampleRequest(host: "x", path: "/")) == "404")
        #expect(snapshot.outcome(SampleRequest(method: .options, path: "*")) == "404")
    }

    @Test func boundsRoutesOfOnePathAndShapesOfOneHost() throws {
        var api: APIDefinition = try Sample.api(routes: ["* /x"])
        api.routes = []
        for number in 0...Router.entriesPerPathMax {
            api.routes.append(
                RouteDefinition(
                    path: try PathPattern(parsing: "/x"), headers: [RouteCondition(name: "v", value: "\(number)")]))
        }
        let live: LiveState = LiveState(subjectsMax: 1024)
        #expect(Snapshot.compile(GatewayDocument(apis: [api]), previous: nil, carrying: live).quarantined.count == 1)
        api.routes.removeLast()
        #expect(Snapshot.compile(GatewayDocument(apis: [api]), previous: nil, carrying: live).quarantined.isEmpty)

        func shape(_ number: Int) throws -> RouteDefinition {
            var path: String = ""
            for bit in 0..<9 { path += number >> bit & 1 == 1 ? "/l" : "/{p\(bit)}" }
            return RouteDefinition(path: try PathPattern(parsing: path))
        }
        // Number 511 has no parameter and is an exact path.
        api.routes = try (0..<Router.templateShapesMax).map { try shape($0) }
        #expect(Snapshot.compile(GatewayDocument(apis: [api]), previous: nil, carrying: live).quarantined.isEmpty)
        api.routes.append(try shape(Router.templateShapesMax))
        let quarantined: [Quarantine] = Snapshot.compile(
            GatewayDocument(apis: [api]), previous: nil, carrying: live
        ).quarantined
        #expect(quarantined.first?.problems.first?.contains("\(Router.templateShapesMax)") == true)
    }
}
