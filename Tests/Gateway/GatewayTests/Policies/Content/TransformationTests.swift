import Documents
import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

struct TransformationTests {
    @Test(
        arguments: [
            ("{path: '/internal/{id}/x'}", "/orders/17?a=1", "/internal/17/x?a=1"),
            (
                "{path: '/i/{id}/{header.x-t}/{query.a}'}", "/orders/a%20b?a=%26", "/i/a%20b/v%2F1/%26?a=%26"
            ),
            ("{regex: '^/orders/(\\d+)', replace: '/o/$1'}", "/orders/17", "/o/17"),
            ("{regex: '/', replace: '/x/', all: true}", "/orders/17", "/x/orders/x/17"),
            ("{regex: 'nothing', replace: 'y'}", "/orders/17", "/orders/17"),
            ("{path: '/i/{query.a}'}", "/orders/1?a=%2F..%2F", "400"),
            ("{path: '/fixed{{}}'}", "/orders/1", "400"),
            ("{regex: '^/orders/(.*)', replace: '/../$1'}", "/orders/1", "400"),
            ("{path: '/x/{none}'}", "/orders/1", "/x/"),
        ])
    func rewritesThePath(_ policy: String, _ target: String, _ wanted: String) async throws {
        let content: ContentGateway = try await .start(
            "routes: [{path: '/orders/{id}'}]\nencoded_slashes: keep\npolicies: [{rewrite: \(policy)}]")
        let answer: RawMessage = try content.exchange("GET \(target) HTTP/1.1\nX-T: v/1")
        if wanted == "400" {
            #expect(answer.status == 400)
        } else {
            #expect(content.arrived?.startLine == "GET \(wanted) HTTP/1.1")
        }
        await content.stop()
    }

    @Test func rewritingFillsInWhatFollowsAPrefixAndGroups() async throws {
        let content: ContentGateway = try await .start(
            """
            routes:
              - {path: '/v1/{shop}/*', policies: [{rewrite: {path: '/s/{shop}/{*}'}}]}
              - {regex: '/r/(?<year>\\d+)-(\\d+)', policies: [{rewrite: {path: '/{2}/{year}'}}]}
            """)
        _ = try content.exchange("GET /v1/paris/a/b HTTP/1.1")
        #expect(content.arrived?.startLine == "GET /s/paris/a/b HTTP/1.1")
        _ = try content.exchange("GET /r/2026-07 HTTP/1.1")
        #expect(content.arrived?.startLine == "GET /07/2026 HTTP/1.1")
        await content.stop()
    }

    @Test(
        arguments: [
            ("{to: 'https://new.example{path}'}", 308, "https://new.example/orders/17?a=1"),
            ("{to: '/new/{id}', status: 302, keep_query: false}", 302, "/new/17"),
            ("{to: '/new?id={id}', status: 301}", 301, "/new?id=17"),
            ("{to: '/x/{header.x-t}'}", 308, "/x/%2F%2Fevil?a=1"),
        ])
    func redirects(_ policy: String, _ status: Int, _ location: String) async throws {
        let content: ContentGateway = try await .start(
            "routes: [{path: '/orders/{id}'}]\npolicies: [{redirect: \(policy)}]")
        let answer: RawMessage = try content.exchange("GET /orders/17?a=1 HTTP/1.1\nX-T: //evil")
        #expect(answer.status == status)
        #expect(answer.field("location") == location)
        #expect(content.upstream.connectionCount == 0)
        await content.stop()
    }

    @Test func changesFieldsAndQueryOfRequests() async throws {
        let content: ContentGateway = try await .start(
            """
            policies:
              - transform:
                  request:
                    headers:
                      rename: {X-Old: X-New}
                      remove: [X-Secret]
                      set: {X-Who: '{remote} {method} {api}', X-Not: '{header.x-none}', X-Was: '{header.x-old}'}
                      add: {X-Multi: b}
                    query: {rename: {a: b}, remove: [gone], set: {c: '{header.x-old}'}, add: {d: '&='}}
            """)
        _ = try content.exchange(
            "GET /p?a=1%2B&gone=2&keep=%7e+x&b=0&c=9 HTTP/1.1\nX-Old: o\nX-Secret: s\nX-Multi: a\nX-New: n\nX-Not: kept"
        )
        let arrived: RawMessage = try #require(content.arrived)
        #expect(arrived.startLine == "GET /p?b=1%2B&keep=%7e+x&c=o&d=%26%3D HTTP/1.1")
        #expect(arrived.field("x-new") == "o")
        #expect(arrived.field("x-old") == nil)
        #expect(arrived.field("x-secret") == nil)
        #expect(arrived.field("x-who") == "127.0.0.1 GET test")
        // There is nothing to set it to: what the client sent is not touched.
        #expect(arrived.field("x-not") == "kept")
        #expect(arrived.field("x-was") == "o")
        #expect(arrived.head.contains("X-Multi: a"))
        #expect(arrived.head.contains("x-multi: b"))
        await content.stop()
    }

    @Test func refusesAHeadThatGrowsBeyondWhatIsSent() async throws {
        let content: ContentGateway = try await .start(
            "policies: [{transform: {request: {headers: {set: {X-B: '{header.x-a}', X-C: '{header.x-a}'}}}}}]")
        for (count, status) in [(20_000, 200), (25_000, 431), (31_000, 431)] {
            let value: String = String(repeating: "a", count: count)
            #expect(try content.exchange("GET / HTTP/1.1\nX-A: \(value)").status == status)
        }
        await content.stop()
    }

    @Test func refusesAQueryThatGrowsBeyondWhatIsSent() async throws {
        let content: ContentGateway = try await .start(
            "policies: [{transform: {request: {query: {set: {a: '{header.x-a}'}}}}}]")
        // Three bytes for each, percent-encoded.
        for (count, status) in [(5_000, 200), (5_500, 431), (25_000, 431)] {
            let value: String = String(repeating: "!", count: count)
            #expect(try content.exchange("GET / HTTP/1.1\nX-A: \(value)").status == status)
        }
        await content.stop()
    }

    /// Who calls without credentials has no name, and cannot give itself one.
    @Test func takesOutWhatOnlyTheGatewayMaySay() async throws {
        let content: ContentGateway = try await .start(
            """
            policies:
              - transform:
                  request:
                    headers: {set: {X-User: '{claims.sub}', X-App: 'app {application}', X-Kind: '{header.x-none}'}}
                    query: {set: {user: '{subject}', kind: '{query.none}'}}
                    body: [{set: /user, value: '{claims.sub}'}, {set: /kind, value: '{query.none}'}]
            """)
        _ = try content.exchange(
            "POST /p?user=root&kind=k HTTP/1.1\nX-User: root\nx_user: root\nX-App: app root\nX-Kind: k\nContent-Type: application/json",
            body: #"{"user":"root","kind":"k"}"#)
        let arrived: RawMessage = try #require(content.arrived)
        #expect(arrived.startLine == "POST /p?kind=k HTTP/1.1")
        for name in ["x-user", "x_user", "x-app"] { #expect(arrived.field(name) == nil) }
        #expect(arrived.field("x-kind") == "k")
        #expect(try JSONReader.parse(arrived.body) == ["kind": "k"])
        await content.stop()
    }

    @Test func changesJSONBodiesOfRequests() async throws {
        let content: ContentGateway = try await .start(
            """
            policies:
              - transform:
                  request:
                    body:
                      - {set: /meta/from, value: '{remote}'}
                      - {set: /meta/list, value: [1, '{{x}}', {n: '{claims.none}', k: '{method}'}]}
                      - {rename: /name, to: title}
                      - {move: /a/b, to: /c}
                      - {copy: /c, to: /items/-}
                      - {remove: /secret}
                      - {remove: /not/there}
                    body_max: 1KiB
            """)
        _ = try content.exchange(
            "POST / HTTP/1.1\nContent-Type: application/json; charset=utf-8",
            body: #"{"name":"n","a":{"b":[7],"z":1},"secret":"s","items":[]}"#)
        let arrived: RawMessage = try #require(content.arrived)
        #expect(
            try JSONReader.parse(arrived.body) == [
                "title": "n", "a": ["z": 1], "items": [[7]],
                "meta": ["from": "127.0.0.1", "list": [1, "{x}", ["k": "POST"]]], "c": [7],
            ])
        #expect(arrived.field("content-length") == "\(arrived.body.count)")
        _ = try content.exchange("POST / HTTP/1.1\nContent-Type: text/plain", body: "{no json")
        #expect(content.arrived?.text == "{no json")
        let wrong: RawMessage = try content.exchange(
            "POST / HTTP/1.1\nContent-Type: application/json", body: "{no json")
        #expect(wrong.status == 400)
        let large: String = "[\"\(String(repeating: "x", count: 1100))\"]"
        #expect(try content.exchange("POST / HTTP/1.1\nContent-Type: application/json", body: large).status == 413)
        await content.stop()
    }

    @Test func changesResponses() async throws {
        let policy: String = """
            policies:
              - transform:
                  response:
                    headers: {remove: [X-Internal], set: {X-Route: '{route}'}, rename: {X-A: X-B}}
                    body: [{remove: /password}, {set: /by, value: '{host}'}]
            """
        let json: String = #"{"user":"u","password":"p"}"#
        let content: ContentGateway = try await .start(
            policy,
            answer:
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"1\"\r\nX-Internal: 1\r\nX-A: 2\r\nContent-Length: \(json.utf8.count)\r\n\r\n\(json)"
        )
        let answer: RawMessage = try content.exchange("GET / HTTP/1.1\nAccept-Encoding: gzip")
        #expect(try JSONReader.parse(answer.body) == ["user": "u", "by": "api.example"])
        #expect(answer.field("x-internal") == nil)
        #expect(answer.field("x-b") == "2")
        #expect(answer.field("x-route") == "/*")
        #expect(answer.field("etag") == nil)
        // What the upstream compressed could not be changed.
        #expect(content.arrived?.field("accept-encoding") == "identity")
        await content.stop()
    }

    @Test(
        arguments: [
            "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx", "Content-Length: 5\r\n\r\n{oops",
            "Content-Length: 2000000\r\n\r\n" + String(repeating: " ", count: 2_000_000),
        ])
    func aResponseThatCannotBeChangedIsNotPassedOn(_ rest: String) async throws {
        let content: ContentGateway = try await .start(
            "policies: [{transform: {response: {body: [{remove: /password}]}}}]",
            answer: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + rest)
        #expect(try content.exchange("GET / HTTP/1.1").status == 502)
        await content.gateway.stop()
    }

    @Test(
        arguments: [
            "rewrite: {path: internal}", "rewrite: {path: '/{id'}", "rewrite: {path: '/{claims.}'}",
            "rewrite: {regex: '('}", "rewrite: {regex: a, replace: '$1'}", "rewrite: {}", "redirect: {to: '//evil'}",
            "redirect: {to: '{header.x}'}", "redirect: {to: 'https://a.example{header.x}'}",
            "redirect: {to: /x, status: 304}",
            "transform: {request: {headers: {set: {Host: x}}}}", "transform: {request: {body: [{set: a, value: 1}]}}",
            "transform: {request: {body: [{set: /a}]}}", "transform: {request: {body: [{set: /a, value: '{'}]}}",
            "transform: {response: {query: {}}}", "transform: {request: {body: [{move: /a}]}}",
            "transform: {request: {body: [{move: /a, to: /b, value: 1}]}}", "security_headers: {frame_options: ''}",
        ])
    func refusesWhatCannotBe(_ policy: String) {
        #expect(throws: InvalidDocument.self) {
            _ = try Sample.document(
                "apis: [{id: a, routes: [{path: /}], upstream: {targets: [{url: 'http://x'}]}, policies: [{\(policy)}]}]"
            )
        }
    }
}
