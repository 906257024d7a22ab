import GatewayConfiguration
import Testing

@testable import Gateway

/// Responses that go through filters, in every framing.
struct ResponseFilterTests {
    enum Kind: String, CaseIterable, Sendable { case watching, streaming, holding }

    private static func stage(_ kind: Kind, _ seen: Mutexed<String>) -> FilterStage {
        FilterStage { (_: ResponseHead, _: PolicyContext) in
            switch kind {
            case .watching: return Watcher(seen)
            case .streaming: return UpperCase()
            case .holding: return UpperCase(holds: true)
            }
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let request: String
        let response: String
        /// Of the body that comes.
        let body: String
        /// Whether the upstream ends its connection behind the response.
        var closes: Bool = false
        var testDescription: String { self.request + " " + self.response }
    }

    static let cases: [Case] = [
        Case(request: "GET / HTTP/1.1", response: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", body: "abc"),
        Case(request: "GET / HTTP/1.1", response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", body: ""),
        Case(
            request: "GET / HTTP/1.1",
            response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            body: "abcde"),
        Case(request: "GET / HTTP/1.1", response: "HTTP/1.1 200 OK\r\n\r\nabc", body: "abc", closes: true),
        Case(request: "GET / HTTP/1.0", response: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", body: "abc"),
        Case(
            request: "GET / HTTP/1.0",
            response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n", body: "abc"),
        Case(request: "HEAD / HTTP/1.1", response: "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", body: ""),
        Case(request: "GET / HTTP/1.1", response: "HTTP/1.1 204 No Content\r\n\r\n", body: ""),
        Case(
            request: "GET / HTTP/1.1",
            response: "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 30\r\n\r\n", body: ""),
        Case(
            request: "GET / HTTP/1.1",
            response: "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            body: "abc"),
    ]

    @Test(arguments: ResponseFilterTests.cases, Kind.allCases)
    func framesWhatComesOut(_ sample: Case, kind: Kind) async throws {
        let seen: Mutexed<String> = Mutexed("")
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                session.send(sample.response)
                if sample.closes { return session.socket.close() }
            }
        }
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], live: .with(responses: [Self.stage(kind, seen)]))
        let client: RawSocket = try gateway.connect()
        client.send(
            "\(sample.request)\r\nHost: a\r\nConnection: \(sample.request.hasSuffix("1.0") ? "keep-alive" : "x")\r\n\r\n"
        )
        let isBodyless: Bool =
            sample.request.hasPrefix("HEAD") || sample.response.contains(" 304 ") || sample.response.contains(" 204 ")
        var response: RawMessage = client.receiveMessage(bodyless: isBodyless)
        if response.status == 103 { response = client.receiveMessage() }
        if response.field("content-length") == nil, response.field("transfer-encoding") == nil, !isBodyless {
            response.body = Array((client.receiveAll() ?? "no end").utf8)
            #expect(response.field("connection") == "close")
        }
        #expect(response.text == (kind == .watching ? sample.body : sample.body.uppercased()))
        #expect(response.field("x-filter") == (kind == .watching ? nil : "upper"))
        if kind == .watching { #expect(seen.value == sample.body + "|end") }
        if sample.request.hasPrefix("HEAD") {
            #expect(response.field("content-length") == (kind == .watching ? "30" : nil))
        }
        if kind == .holding, !isBodyless { #expect(response.field("content-length") == "\(sample.body.utf8.count)") }
        client.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// The connection carries the next request, and the upstream's is used again.
    @Test(arguments: Kind.allCases) func keepsBothConnections(_ kind: Kind) async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], live: .with(responses: [Self.stage(kind, Mutexed(""))]))
        let client: RawSocket = try gateway.connect()
        for _ in 0..<3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let response: RawMessage = client.receiveMessage()
            #expect(response.text.lowercased() == "abc")
            #expect(response.trailers == (kind == .holding ? [] : ["X-T: 1"]))
        }
        #expect(upstream.connectionCount == 1)
        await gateway.stop()
    }

    /// Much more than any buffer, to a client that reads slowly: nothing is lost or changed in order.
    @Test(arguments: Kind.allCases) func passesLargeBodies(_ kind: Kind) async throws {
        let size: Int = 3 << 20
        let body: String = String(repeating: "abcdefgh", count: size / 8)
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n\(body)")
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], live: .with(responses: [Self.stage(kind, Mutexed(""))]))
        let client: RawSocket = try gateway.connect(receiveBuffer: 8192)
        for _ in 0..<2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let response: RawMessage = client.receiveMessage()
            #expect(response.text == (kind == .watching ? body : body.uppercased()))
        }
        client.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func filtersRunInTheirOrder() async throws {
        let seen: Mutexed<String> = Mutexed("")
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            live: .with(responses: [
                FilterStage(.cacheStore) { (_: ResponseHead, _: PolicyContext) in Watcher(seen) },
                FilterStage(.transformation) { (_: ResponseHead, _: PolicyContext) in UpperCase(holds: true) },
            ]))
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").text == "ABC")
        #expect(seen.value == "ABC|end")
        await gateway.stop()
    }

    @Test(arguments: Kind.allCases) func tellsFiltersWhenTheUpstreamBreaksOff(_ kind: Kind) async throws {
        let seen: Mutexed<String> = Mutexed("")
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc")
            session.socket.close()
        }
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], live: .with(responses: [Self.stage(kind, seen)]))
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        if kind == .holding {
            // Nothing had gone out: the client gets to know.
            #expect(client.receiveMessage().status == 502)
        } else {
            #expect(client.receive(until: "never sent").contains("200 OK"))
        }
        client.close()
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        if kind == .watching { #expect(seen.value == "abc|abandoned") }
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func aStageMayAnswerInsteadOfTheUpstream() async throws {
        final class Replacing: ResponseStage, @unchecked Sendable {
            override func replacement(for head: ResponseHead, _ context: PolicyContext) -> LocalAnswer? {
                head.status == 304 || head.status == 500
                    ? LocalAnswer(status: 200, body: [Array("stored".utf8)], enters: .end) : nil
            }
        }
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                session.send(
                    request.startLine.hasPrefix("GET /304")
                        ? "HTTP/1.1 304 Not Modified\r\n\r\n" : "HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nbad")
            }
        }
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], live: .with(responses: [Replacing(rank: .cacheStore)]))
        let client: RawSocket = try gateway.connect()
        for path in ["/304", "/304", "/500", "/500", "/304"] {
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200)
            #expect(response.text == "stored")
        }
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }
}
