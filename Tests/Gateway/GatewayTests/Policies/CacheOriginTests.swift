import GatewayConfiguration
import JSON
import Testing
import Tokens

@testable import Gateway

/// Requests for one address that the upstream would answer differently: none may get what was stored for another.
struct CacheOriginTests {
    /// An upstream whose every answer is another one, and may be stored.
    private static func counting(_ fields: String = "Cache-Control: max-age=600") throws -> RawUpstream {
        let count: Counter = Counter()
        return try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                count.add(1)
                let text: String = "answer \(count.value)"
                session.send("HTTP/1.1 200 OK\r\n\(fields)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        }
    }

    /// One API with these routes and policies; `{U}` is the upstream's address.
    private func start(_ api: String, _ upstream: RawUpstream) async throws -> GatewayUnderTest {
        var document: GatewayDocument = try Sample.document(
            """
            apis:
              - id: test
                upstream: {targets: [{url: "{U}"}]}

            """.replacing("{U}", with: "http://127.0.0.1:\(upstream.port)")
                + api.replacing("{U}", with: "http://127.0.0.1:\(upstream.port)").split(separator: "\n")
                .map { "    \($0)\n" }.joined())
        document.apis[0].policies.append(
            .timeouts(TimeoutPolicy(connect: .seconds(600), response: .seconds(600), idle: .seconds(600))))
        return try await .start(document)
    }

    @Test(arguments: [
        // Another route, chosen by a field.
        ("routes: [{path: /x, headers: {X-Version: '2'}}, {path: /x}]\npolicies: [{cache: {}}]", "X-Version: 2"),
        // Another query, path or field that a policy makes of a field.
        (
            "routes: [{path: /x}]\npolicies: [{cache: {}}, {transform: {request: {query: {set: {l: '{header.x-l}'}}}}}]",
            "X-L: fr"
        ),
        ("routes: [{path: /x}]\npolicies: [{cache: {}}, {rewrite: {path: '/y/{header.x-l}'}}]", "X-L: fr"),
        (
            "routes: [{path: /x}]\npolicies: [{cache: {}}, {transform: {request: {headers: {set: {X-Kind: 'k{header.x-l}'}}}}}]",
            "X-L: fr"
        ),
    ])
    func keepsApartWhatGoesUpstreamDifferently(_ api: String, _ line: String) async throws {
        let upstream: RawUpstream = try Self.counting("Cache-Control: max-age=600\r\nVary: X-Kind")
        let gateway: GatewayUnderTest = try await self.start(api, upstream)
        for _ in 0..<2 {
            #expect(try gateway.get("/x").text == "answer 1")
            #expect(try gateway.get("/x", line).text == "answer 2")
        }
        // For a purge it is one address.
        #expect(gateway.live.purge(.address(tenant: "default", api: "test", host: "a", target: "/x")) == 2)
        await gateway.stop()
    }

    @Test func keepsVersionsApartThatARequestNames() async throws {
        let (stable, next): (RawUpstream, RawUpstream) = (try Self.counting(), try Self.counting())
        var document: GatewayDocument = try GatewayUnderTest.document(
            [stable.port, next.port], policies: [.cache(CachePolicy())])
        document.apis[0].upstream.targets[0].version = "v1"
        document.apis[0].upstream.targets[1].version = "v2"
        document.apis[0].upstream.canary = CanaryDefinition(
            versions: [
                CanaryDefinition.Version(name: "v1", weight: 1), CanaryDefinition.Version(name: "v2", weight: 0),
            ], force: .header("x-version"))
        let gateway: GatewayUnderTest = try await .start(document)
        for _ in 0..<2 {
            for line in ["X-Other: 1", "X-Version: v2", "X-Version: none"] { _ = try gateway.get("/x", line) }
        }
        #expect(stable.requests.count == 1)
        #expect(next.requests.count == 1)
        await gateway.stop()
    }

    @Test func sharesNothingOfACallerWhoseTokenNamesNobody() async throws {
        let upstream: RawUpstream = try Self.counting()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            policies: [
                try SampleIssuer.policy {
                    $0.header = "x-token"
                    $0.forwardsToken = true
                    $0.requiresApplication = false
                }, .cache(CachePolicy()),
            ])
        for (number, mail) in ["ada@example", "bob@example"].enumerated() {
            var claims: JSONObject = SampleIssuer.claims(["mail": .string(mail)])
            claims["sub"] = nil
            let token: String = try SampleIssuer.token(
                header: #"{"alg":"ES256","kid":"ec"}"#, payload: JSONValue.object(claims).jsonText)
            #expect(try gateway.get("/x", "X-Token: \(token)").text == "answer \(number + 1)")
        }
        await gateway.stop()
    }

    @Test func sharesNothingOfACallerWhomAServiceHasLetIn() async throws {
        let upstream: RawUpstream = try Self.counting()
        let service: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            policies: [
                .externalAuthorization(
                    ExternalAuthorizationPolicy(url: "http://127.0.0.1:\(service.port)/", timeout: .seconds(30))),
                .cache(CachePolicy()),
            ])
        #expect(try await gateway.fetch("/x", "Cookie: session=ada").text == "answer 1")
        #expect(try await gateway.fetch("/x", "Cookie: session=bob").text == "answer 2")
        // Without anything that may name somebody, one answer is for all.
        for _ in 0..<2 { #expect(try await gateway.fetch("/x").text == "answer 3") }
        await gateway.stop()
    }

    @Test func storesNothingThatAPolicyHasWrittenForOne() async throws {
        let upstream: RawUpstream = try Self.counting("Cache-Control: public, max-age=600")
        let gateway: GatewayUnderTest = try await self.start(
            """
            routes: [{path: /x}]
            policies: [{cache: {}}, {transform: {response: {headers: {set: {X-Seen-From: '{header.x-l}'}}}}}]
            """, upstream)
        for (number, name) in ["ada", "bob"].enumerated() {
            let answer: RawMessage = try gateway.get("/x", "X-L: \(name)")
            #expect(answer.text == "answer \(number + 1)")
            #expect(answer.field("x-seen-from") == name)
        }
        await gateway.stop()
    }

    /// A key in the query belongs to the gateway: the address is the same with every key.
    @Test func aKeyInTheQueryIsNoPartOfTheAddress() async throws {
        let upstream: RawUpstream = try Self.counting("Cache-Control: public, max-age=600")
        let gateway: GatewayUnderTest = try await .start(
            try Sample.document(
                """
                apis:
                  - id: test
                    routes: [{path: /x}]
                    upstream: {targets: [{url: "http://127.0.0.1:\(upstream.port)"}]}
                    policies: [{api_key: {query: key}}, {cache: {}}]
                applications:
                  - {id: one, keys: [{value: first-key-of-one}], subscriptions: [{api: test}]}
                  - {id: two, keys: [{value: first-key-of-two}], subscriptions: [{api: test}]}
                """))
        #expect(try gateway.get("/x?key=first-key-of-one&a=1").text == "answer 1")
        #expect(try gateway.get("/x?key=first-key-of-two&a=1").text == "answer 1")
        _ = try gateway.exchange("DELETE /x?key=first-key-of-two&a=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try gateway.get("/x?key=first-key-of-one&a=1").text == "answer 3")
        await gateway.stop()
    }
}
