import GatewayConfiguration
import Testing

@testable import Gateway

struct ForwardingTests {
    /// Responses go through byte by byte but for the fields that end at the gateway.
    @Test func passesRequestAndResponseOn() async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 201 Made\r\nContent-Length: 5\r\nX-Two:  a \r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\nhello"
        )
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let response: RawMessage = try gateway.exchange(
            "GET /a/b?c=d HTTP/1.1\r\nHost: api.example\r\nUser-Agent: t\r\nConnection: keep-alive\r\nX-One: 1\r\n\r\n")
        #expect(response.head == "HTTP/1.1 201 Made\r\nContent-Length: 5\r\nX-Two:  a \r\n\r\n")
        #expect(response.text == "hello")
        #expect(
            upstream.requests.map { $0.head } == [
                "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:\(upstream.port)\r\nUser-Agent: t\r\nX-One: 1\r\n\r\n"
            ])
        await gateway.stop()
    }

    struct Hop: Sendable, CustomTestStringConvertible {
        let sent: [String]
        let arrives: [String]
        var testDescription: String { self.sent.joined(separator: " | ") }
    }

    static let hops: [Hop] = [
        Hop(sent: ["Connection: close", "A: 1"], arrives: ["A: 1"]),
        Hop(sent: ["A: 1", "Connection: x-secret, keep-alive", "X-Secret: 2", "B: 3"], arrives: ["A: 1", "B: 3"]),
        Hop(
            sent: ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "A: 1"], arrives: ["A: 1"]),
        Hop(
            sent: [
                "Proxy-Authorization: Basic x", "Upgrade: h2c", "HTTP2-Settings: a",
                "Connection: upgrade, http2-settings",
            ], arrives: []),
        Hop(sent: ["A: 1", "A: 2", "Cookie: a=b"], arrives: ["A: 1", "A: 2", "Cookie: a=b"]),
        Hop(
            sent: ["Authorization: Bearer x", "X-Forwarded-For: 1.2.3.4"],
            arrives: ["Authorization: Bearer x", "X-Forwarded-For: 1.2.3.4"]),
    ]

    @Test(arguments: ForwardingTests.hops) func dropsWhatBelongsToOneConnection(_ hop: Hop) async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\(hop.sent.joined(separator: "\r\n"))\r\n\r\n")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let response: RawMessage = try gateway.exchange(
            "GET / HTTP/1.1\r\nHost: a\r\n\(hop.sent.joined(separator: "\r\n"))\r\n\r\n")
        #expect(upstream.requests.map { Array($0.lines.dropFirst()) } == [hop.arrives])
        #expect(response.lines.filter { $0 != "Content-Length: 0" && $0 != "Connection: close" } == hop.arrives)
        await gateway.stop()
    }

    @Test func keepsOneConnectionForManyRequests() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        for round in 0..<3 {
            let client: RawSocket = try gateway.connect()
            for number in 0..<10 {
                client.send("GET /\(round)/\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(client.receiveMessage().text.hasPrefix("GET /\(round)/\(number) HTTP/1.1\r\n"))
            }
            client.close()
        }
        #expect(upstream.connectionCount == 1)
        #expect(upstream.requests.count == 30)
        await gateway.stop()
    }

    @Test func rewritesPathAndHost() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { (api: inout APIDefinition) in
            api.upstream.stripPrefix = "/orders"
            api.upstream.preserveHost = true
            if let url: TargetURL = try? TargetURL(parsing: "http://127.0.0.1:\(upstream.port)/base") {
                api.upstream.targets = [TargetDefinition(url: url)]
            }
        }
        let table: [(String, String)] = [
            ("/orders/7?x=1", "/base/7?x=1"), ("/orders", "/base/"), ("/ordersx", "/base/ordersx"),
            ("/%6Frders/%7e", "/base/~"),
            ("http://api.example/orders/9", "/base/9"), ("http://api.example", "/base/"), ("/a?", "/base/a"),
        ]
        for (target, arrives) in table {
            let response: RawMessage = try gateway.exchange(
                "GET \(target) HTTP/1.1\r\nX: 1\r\nHost: api.example\r\n\r\n")
            #expect(response.text == "GET \(arrives) HTTP/1.1\r\nX: 1\r\nHost: api.example\r\n\r\n")
        }
        await gateway.stop()
    }

    @Test func changesHeadersAsConfigured() async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nServer: x\r\nX-Old: 1\r\nContent-Length: 0\r\n\r\n")
        let changes: HeaderPolicy = HeaderPolicy(
            request: HeaderPolicy.Changes(
                set: [HeaderField(name: "x-tenant", value: "acme")], add: [HeaderField(name: "a", value: "2")],
                remove: ["cookie"]),
            response: HeaderPolicy.Changes(set: [HeaderField(name: "x-old", value: "2")], remove: ["server"]))
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [.headers(changes)])
        let response: RawMessage = try gateway.exchange(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: b\r\nX-Tenant: evil\r\nA: 1\r\n\r\n")
        #expect(upstream.requests[0].lines.dropFirst() == ["A: 1", "x-tenant: acme", "a: 2"])
        #expect(response.lines == ["Content-Length: 0", "x-old: 2"])
        await gateway.stop()
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", "abc"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", "HEAD", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", "GET", ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 30\r\n\r\n", "GET", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "GET", "abcde"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", ""),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", ""),
        ("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "GET", ""),
    ])
    func frameEveryKindOfResponse(response: String, method: String, body: String) async throws {
        let upstream: RawUpstream = try .answering(response)
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        // Twice on one connection each way: the end of the first was found on both sides.
        for _ in 0..<2 {
            client.send("\(method) / HTTP/1.1\r\nHost: a\r\n\r\n")
            var answer: RawMessage = client.receiveMessage(bodyless: method == "HEAD" || response.contains(" 304 "))
            if answer.status == 103 {
                #expect(answer.lines == ["Link: a"])
                answer = client.receiveMessage()
            }
            #expect(answer.status == (response.contains("204") ? 204 : response.contains("304") ? 304 : 200))
            #expect(answer.text == body)
        }
        #expect(upstream.connectionCount == 1)
        await gateway.stop()
    }

    @Test func framesABodyThatEndsWithTheConnection() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send("HTTP/1.0 200 OK\r\nX: 1\r\n\r\nhello, ")
            session.send("world")
            session.socket.close()
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let chunked: RawMessage = client.receiveMessage()
        #expect(chunked.head == "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        #expect(chunked.text == "hello, world")
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(client.receiveAll() == "HTTP/1.1 200 OK\r\nX: 1\r\nConnection: close\r\n\r\nhello, world")
        await gateway.stop()
    }

    @Test func speaksToOldClients() async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("GET / HTTP/1.0\r\n\r\n")
        #expect(client.receiveAll() == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        let plain: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
        let second: GatewayUnderTest = try await .start([plain.port])
        let keeping: RawSocket = try second.connect()
        for _ in 0..<2 {
            keeping.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            #expect(
                keeping.receiveMessage().head
                    == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n")
        }
        await gateway.stop()
        await second.stop()
    }

    @Test func answersPipelinedRequestsInOrder() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        var text: String = ""
        for number in 0..<20 {
            // Every fourth is answered by the gateway itself.
            text += "GET /\(number % 4 == 3 ? "../x" : "n\(number)") HTTP/1.1\r\nHost: a\r\n\r\n"
        }
        client.send(text)
        for number in 0..<20 {
            let response: RawMessage = client.receiveMessage()
            if number % 4 == 3 {
                #expect(response.status == 400)
            } else {
                #expect(response.text.hasPrefix("GET /n\(number) "))
            }
        }
        await gateway.stop()
    }

    @Test func answersAClientThatHasShutItsSide() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n")
        client.finishWriting()
        #expect(client.receiveAll()?.contains("GET /last HTTP/1.1") == true)
        await gateway.stop()
    }

    @Test func ignoresOtherUpgrades() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let ignored: RawMessage = try gateway.exchange(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        #expect(ignored.status == 200)
        #expect(!ignored.text.contains("pgrade"))
        await gateway.stop()
    }

    @Test func carriesTheTraceOnOnlyWhenTracing() async throws {
        let upstream: RawUpstream = try .echoing()
        let outer: String = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let request: String = "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: \(outer)\r\n\r\n"
        let plain: GatewayUnderTest = try await .start([upstream.port])
        #expect(try plain.exchange(request).text.contains("traceparent: \(outer)\r\n"))
        #expect(try !plain.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text.contains("traceparent"))
        let tracing: GatewayUnderTest = try await .start([upstream.port], trace: 1)
        let child: String = try tracing.exchange(request).text
        #expect(child.contains("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"))
        #expect(!child.contains("00f067aa0ba902b7"))
        #expect(try tracing.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text.contains("traceparent: 00-"))
        await plain.stop()
        await tracing.stop()
    }
}
