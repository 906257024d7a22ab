import Documents
import GatewayConfiguration
import HTTP
import JSON
import Testing

@testable import Gateway

/// Regular expressions, conditions beyond equality, and versions.
struct MatcherTests {
    private static func snapshot(_ api: String) throws -> Snapshot {
        try Sample.snapshot("apis:\n  - {id: a, upstream: {targets: [{url: \"http://x\"}]}, \(api)}\n")
    }

    @Test(arguments: [
        ("/orders/17", "numbers"), ("/orders/17/lines", "lines"), ("/orders/x", "template"), ("/users/1", "prefix"),
        ("/v1/x", "versions"), ("/v1", "404"), ("/x/orders/17", "404"),
    ]) func expressionsComeLastAndMatchTheWholePath(_ path: String, expected: String) throws {
        let snapshot: Snapshot = try Self.snapshot(
            """
            routes: [
              {id: lines, regex: '/orders/\\d+/lines'}, {id: versions, regex: '/v\\d/.*'}, {id: numbers, path: /orders/17},
              {id: template, path: '/orders/{id}'}, {id: prefix, path: /users/*}, {id: users, regex: '/users/\\d'}]
            """)
        #expect(snapshot.outcome(SampleRequest(path: path)) == expected)
        #expect(snapshot.explained(SampleRequest(path: path)) == expected)
    }

    @Test func expressionsGoByFileOrderAndThenByMethod() throws {
        let snapshot: Snapshot = try Self.snapshot(
            """
            routes: [
              {id: first, regex: '/a.*', methods: [GET]}, {id: second, regex: '/ab.*'},
              {id: third, regex: '/a.*', methods: [POST]}, {id: fourth, regex: '/c', methods: [PUT]}]
            """)
        #expect(snapshot.outcome(SampleRequest(path: "/abc")) == "first")
        #expect(snapshot.outcome(SampleRequest(method: .post, path: "/abc")) == "third")
        #expect(snapshot.outcome(SampleRequest(method: .put, path: "/abc")) == "second")
        #expect(snapshot.outcome(SampleRequest(method: .put, path: "/ax")) == "405 GET, HEAD, POST, OPTIONS")
        #expect(snapshot.outcome(SampleRequest(method: .get, path: "/c")) == "405 PUT, OPTIONS")
    }

    @Test func anExpressionThatRunsAwayEndsTheSearch() throws {
        let snapshot: Snapshot = try Self.snapshot(
            "routes: [{id: bad, regex: '/(a+)+'}, {id: next, regex: '/.*'}, {id: head, path: /h, headers: {x: {regex: '(a+)+'}}}]"
        )
        let hostile: String = String(repeating: "a", count: 60) + "b"
        for request in [SampleRequest(path: "/" + hostile), SampleRequest(path: "/h", headers: [("X", hostile)])] {
            #expect(snapshot.outcome(request) == "500")
            #expect(snapshot.explained(request) == "500")
        }
        for (path, route) in [("/ab", "next"), ("/aa", "bad")] {
            #expect(snapshot.outcome(SampleRequest(path: path)) == route)
            #expect(snapshot.explained(SampleRequest(path: path)) == route)
        }
        let explanation: RouteExplanation = snapshot.explain(ExplainedRequest(method: "GET", path: "/" + hostile))
        #expect(explanation.lines.first == "/\(hostile) is refused: 500, an expression passes its bounds")
        #expect(
            explanation.lines.last
                == "  - bad (API default/a, host any): its expression passes its bounds with this request")
    }

    @Test(arguments: [
        // A literal before what is literal in part or has a rule, and that before a parameter.
        ("/files/a.json", "literal"), ("/files/b.json", "json"), ("/files/b.txt", "any"), ("/files/.json", "any"),
        ("/files/a-b", "pair"), ("/n/17", "number"), ("/n/x", "name"), ("/n/17/lines", "lines"), ("/n/x/lines", "404"),
        // Literal segments count first, wherever they stand.
        ("/x/17", "literal x"), ("/y/17", "ruled y"),
        // Of prefixes the longest, then the one that says more of its segments.
        ("/p/a.b/c", "dotted prefix"), ("/p/ab/c", "plain prefix"), ("/p/a.b", "dotted prefix"),
        // Neither name of two rules goes before the other: file order.
        ("/two/ab", "first two"),
        ("/v1/jobs/7:cancel", "cancel"), ("/v1/jobs/7:pause", "pause"), ("/v1/jobs/7:other", "job"),
    ]) func findsPatternsInsideSegments(_ path: String, expected: String) throws {
        let snapshot: Snapshot = try Self.snapshot(
            """
            routes: [
              {id: any, path: '/files/{name}'}, {id: json, path: '/files/{name}.json'}, {id: literal, path: /files/a.json},
              {id: pair, path: '/files/{from}-{to}'}, {id: number, path: '/n/{id:[0-9]+}'}, {id: name, path: '/n/{id}'},
              {id: lines, path: '/n/{id:[0-9]+}/lines'}, {id: ruled y, path: '/{a}/{b:[0-9]+}'}, {id: literal x, path: '/x/{b}'},
              {id: plain prefix, path: '/p/{a}/*'}, {id: dotted prefix, path: '/p/{a}.{b}/*'},
              {id: first two, path: '/two/{a:[a-z]+}'}, {id: second two, path: '/two/{a:ab}'},
              {id: job, path: '/v1/jobs/{id}'}, {id: cancel, path: '/v1/jobs/{id}:cancel'},
              {id: pause, path: '/v1/jobs/{id}:pause'}]
            """)
        #expect(snapshot.outcome(SampleRequest(path: path)) == expected)
        #expect(snapshot.explained(SampleRequest(path: path)) == expected)
    }

    @Test func aRuleThatRunsAwayEndsTheSearch() throws {
        let snapshot: Snapshot = try Self.snapshot(
            "routes: [{id: bad, path: '/{id:(a+)+}'}, {id: next, path: '/{id}'}, {id: rest, path: '/*'}]")
        let hostile: String = String(repeating: "a", count: 60) + "b"
        #expect(snapshot.outcome(SampleRequest(path: "/" + hostile)) == "500")
        #expect(snapshot.outcome(SampleRequest(path: "/aaa")) == "bad")
        #expect(snapshot.outcome(SampleRequest(path: "/ab")) == "next")
    }

    @Test func boundsArrangementsOfPatterns() throws {
        var routes: [String] = []
        for number in 0..<Router.templateShapesMax { routes.append("* /{a}.x\(number)") }
        let full: APIDefinition = try Sample.api("full", routes: routes)
        let more: APIDefinition = try Sample.api("more", routes: ["* /{a}.y"])
        let same: APIDefinition = try Sample.api("same", routes: ["* /k/{b}", "* /l/{b}"])
        let (snapshot, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            GatewayDocument(apis: [full, more, same]), previous: nil, carrying: LiveState(subjectsMax: 1024))
        #expect(quarantined.map { $0.key.id } == ["more", "same"])
        #expect(snapshot.outcome(SampleRequest(path: "/a.x255")) == "* /{a}.x255")
    }

    @Test(
        arguments: [
            ([("X", "blue")], "", "exact"), ([("X", "blueish")], "", "prefix"), ([("X", "red-7")], "", "regex"),
            ([("X", "red-77")], "", "present"), ([("X", "zzz"), ("x", "blue")], "", "exact"), ([], "", "absent"),
            ([], "q=abc", "query prefix"), ([], "q=17", "query regex"), ([], "q=1x", "absent"),
        ] as [([(String, String)], String, String)])
    func conditionsLookAtValues(_ headers: [(String, String)], query: String, expected: String) throws {
        let snapshot: Snapshot = try Self.snapshot(
            """
            routes: [
              {id: present, path: /p, headers: {X: '*'}}, {id: exact, path: /p, headers: {X: blue}, query: {z: {present: false}}},
              {id: prefix, path: /p, headers: {X: {prefix: blue}}, methods: [GET]},
              {id: regex, path: /p, headers: {X: {regex: 'red-\\d'}}, methods: [GET]},
              {id: absent, path: /p, headers: {X: {present: false}}, methods: [GET]},
              {id: query prefix, path: /p, headers: {X: {present: false}}, query: {q: {prefix: ab}}, methods: [GET]},
              {id: query regex, path: /p, headers: {X: {present: false}}, query: {q: {regex: '\\d+'}}, methods: [GET]}]
            """)
        let request: SampleRequest = SampleRequest(path: "/p", query: query, headers: headers)
        // `exact` asks for more than `prefix` only by its query condition, so it names no method and comes behind.
        let wanted: String = expected == "exact" ? "prefix" : expected
        #expect(snapshot.outcome(request) == wanted)
        #expect(snapshot.explained(request) == wanted)
    }

    @Test func aVersionInThePathIsPartOfIt() throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - {id: v1, version: {name: v1, in: path}, routes: [{id: one, path: "/orders/{id}"}], upstream: {targets: [{url: "http://x"}]}}
              - id: v2
                version: {name: v2, in: path}
                routes: [{id: two, path: "/orders/{id}"}, {id: root, path: /}, {id: rest, path: /*}]
                upstream: {targets: [{url: "http://x"}], strip_prefix: /orders}
            """)
        #expect(snapshot.outcome(SampleRequest(path: "/v1/orders/7")) == "one")
        #expect(snapshot.outcome(SampleRequest(path: "/v2/orders/7")) == "two")
        #expect(snapshot.outcome(SampleRequest(path: "/v2/")) == "root")
        #expect(snapshot.outcome(SampleRequest(path: "/v2")) == "rest")
        #expect(snapshot.outcome(SampleRequest(path: "/orders/7")) == "404")
        #expect(snapshot.apis[1].definition.strippedPrefix(of: snapshot.apis[1].definition.routes[0]) == "/v2/orders")
        #expect(snapshot.apis[1].definition.strippedPrefix(of: snapshot.apis[1].definition.routes[2]) == "/v2")
    }

    @Test func aVersionInAHeaderOrQueryMayBeTheDefault() throws {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - {id: v1, version: {name: "1", in: header, header: X-Version, default: true}, routes: [{id: one, path: /o}], upstream: {targets: [{url: "http://x"}]}}
              - {id: v2, version: {name: "2", in: header, header: X-Version}, routes: [{id: two, path: /o}], upstream: {targets: [{url: "http://x"}]}}
              - {id: q1, version: {name: "1", in: query, query: v}, routes: [{id: q, path: /q}], upstream: {targets: [{url: "http://x"}]}}
            """)
        #expect(snapshot.outcome(SampleRequest(path: "/o")) == "one")
        #expect(snapshot.outcome(SampleRequest(path: "/o", headers: [("x-version", "1")])) == "one")
        #expect(snapshot.outcome(SampleRequest(path: "/o", headers: [("x-version", "2")])) == "two")
        #expect(snapshot.outcome(SampleRequest(path: "/o", headers: [("x-version", "3")])) == "404")
        #expect(snapshot.outcome(SampleRequest(path: "/q", query: "v=1")) == "q")
        #expect(snapshot.outcome(SampleRequest(path: "/q")) == "404")
    }

    @Test func reportsExpressionsThatMeet() throws {
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) {
            _ = try Sample.document(
                """
                apis:
                  - id: a
                    routes: [{regex: '/a|/b'}, {regex: '/a|/b', methods: [GET]}, {regex: '/a|/b'}, {regex: '('}, {path: /x, regex: /y}]
                    version: {name: v1, in: path}
                    upstream: {targets: [{url: "http://x"}]}
                  - {id: b, version: {name: "1", in: header}, routes: [{path: /x}], upstream: {targets: [{url: "http://x"}]}}
                """)
        }
        let messages: [String] = error?.problems.map { "\($0.pointer): \($0.message)" } ?? []
        #expect(messages.contains { $0.hasPrefix("/apis/0/routes/3/regex: expected a regular expression: ") })
        #expect(messages.contains("/apis/0/routes/4: expected either 'path' or 'regex'"))
        #expect(messages.contains("/apis/1/version: expected 'header', the field that names the version"))
    }

    @Test func whatIsWrittenReadsBack() throws {
        let document: GatewayDocument = try Sample.document(
            """
            apis:
              - id: a
                version: {name: "2", in: query, query: v, default: true}
                routes:
                  - {regex: '/a/\\d+', headers: {a: {exact: '*'}, b: {prefix: x}, c: {regex: 'y+'}, d: {present: false}, e: '*', f: z}}
                  - {path: '/f/{name}.json/{id:[0-9]{1,3}}/*', cost: 7, upstream: {targets: [{url: "http://y"}], balance: maglev}}
                  - {path: /x, query: {a: {exact: '*'}, b: {prefix: x}, c: {regex: 'y+'}, d: {present: false}}}
                upstream: {targets: [{url: "http://x"}]}
            """)
        #expect(try GatewayDocument.read(document.json().serialized()) == document)
    }
}
