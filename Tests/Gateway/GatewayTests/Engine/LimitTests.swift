import EventLoops
import GatewayConfiguration
import Glibc
import HTTP
import Testing

@testable import Gateway

struct LimitTests {
    @Test func boundsHeadTargetAndFields() async throws {
        let upstream: RawUpstream = try .echoing()
        var settings: EngineSettings = EngineSettings()
        settings.limits = HTTPLimits(headBytesMax: 2000, targetBytesMax: 500, fieldsMax: 10)
        let gateway: GatewayUnderTest = try await .start([upstream.port], settings: settings)
        let start: String = "GET / HTTP/1.1\r\nHost: a\r\n"
        let long: String = String(repeating: "a", count: 3000)
        let many: String = String(repeating: "X: y\r\n", count: 10)
        #expect(try gateway.exchange(start + "X: \(long)\r\n\r\n").status == 431)
        #expect(try gateway.exchange(start + many + "\r\n").status == 431)
        #expect(try gateway.exchange("GET /\(long) HTTP/1.1\r\n").status == 414)
        #expect(try gateway.exchange("GET /\(long.prefix(600)) HTTP/1.1\r\nHost: a\r\n\r\n").status == 414)
        #expect(try gateway.exchange(start + "X: \(long.prefix(1500))\r\n\r\n").status == 200)
        #expect(upstream.requests.count == 1)
        await gateway.stop()
    }

    @Test func takesTheLargestHead() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        let value: String = String(repeating: "v", count: 30_000)
        for part in ["GET / HTTP/1.1\r\nHost: a\r\nX: ", value, "\r\n\r\n"] {
            client.send(part)
            usleep(20_000)
        }
        #expect(client.receiveMessage().status == 200)
        #expect(upstream.requests[0].field("x") == value)
        await gateway.stop()
    }

    @Test func boundsBodiesOfBothFramings() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.requestSize(RequestSizePolicy(bytesMax: 1000))])
        let declared: RawMessage = try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
        #expect(declared.status == 413)
        let counted: RawSocket = try gateway.connect()
        counted.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        counted.send("800\r\n" + String(repeating: "a", count: 2048))
        #expect(counted.receiveMessage().status == 413)
        #expect(counted.receiveAll() == "")
        #expect(upstream.requests.allSatisfy { $0.body.count < 1000 })
        await gateway.stop()
    }

    @Test func dropsAHeadThatDoesNotCome() async throws {
        let upstream: RawUpstream = try .echoing()
        var settings: EngineSettings = EngineSettings()
        // Long enough for a busy machine to send what is there.
        settings.headTimeout = .seconds(1)
        let gateway: GatewayUnderTest = try await .start([upstream.port], settings: settings)
        let partial: RawSocket = try gateway.connect()
        partial.send("GET / HTTP/1.1\r\nHos")
        let response: RawMessage = partial.receiveMessage()
        #expect(response.status == 408)
        #expect(partial.receiveAll() == "")
        let silent: RawSocket = try gateway.connect()
        #expect(silent.receiveAll() == "")
        await gateway.stop()
    }

    /// A byte now and then does not move the head's deadline.
    @Test func dropsAHeadThatDrips() async throws {
        let upstream: RawUpstream = try .echoing()
        var settings: EngineSettings = EngineSettings()
        settings.headTimeout = .milliseconds(300)
        let gateway: GatewayUnderTest = try await .start([upstream.port], settings: settings)
        let client: RawSocket = try gateway.connect()
        for byte in "GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".utf8 {
            client.send([byte])
            usleep(15_000)
        }
        #expect(client.receiveMessage().status == 408)
        await gateway.stop()
    }

    @Test func dropsABodyThatDoesNotCome() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.timeouts(TimeoutPolicy(idle: .milliseconds(150)))])
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        #expect(client.receiveMessage().status == 408)
        #expect(client.receiveAll() == "")
        #expect(await eventually { gateway.engine.blockCount == 0 })
        await gateway.stop()
    }

    /// A byte now and then does not move the deadline of a body that said its length.
    @Test func dropsABodyThatDrips() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.timeouts(TimeoutPolicy(idle: .milliseconds(300)))])
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        for _ in 0..<50 {
            client.send("a")
            usleep(15_000)
        }
        #expect(client.receiveMessage().status == 408)
        await gateway.stop()
    }

    @Test func closesAnIdleConnection() async throws {
        let upstream: RawUpstream = try .echoing()
        var settings: EngineSettings = EngineSettings()
        settings.keepAliveTimeout = .milliseconds(150)
        let gateway: GatewayUnderTest = try await .start([upstream.port], settings: settings)
        let client: RawSocket = try gateway.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.receiveMessage().status == 200)
        #expect(client.receiveAll() == "")
        await gateway.stop()
    }

    @Test func dropsAClientThatDoesNotRead() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            session.socket.send([UInt8](repeating: 1, count: 100_000_000))
        }
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.timeouts(TimeoutPolicy(idle: .milliseconds(300)))])
        let client: RawSocket = try gateway.connect(receiveBuffer: 8192)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = client.receive(until: "\r\n\r\n")
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        #expect(gateway.engine.blockCount == 0)
        await gateway.stop()
    }

    @Test func answersForAnUpstreamThatIsSlow() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            _ = session.socket.receive()
        }
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.timeouts(TimeoutPolicy(response: .milliseconds(150)))])
        let response: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(response.status == 504)
        #expect(response.text.contains("urn:passerelle:problem:upstream-timeout"))
        await gateway.stop()
    }

    @Test func answersForAnUpstreamThatIsGone() async throws {
        let upstream: RefusingPort = try RefusingPort()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        for attempt in 0..<5 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let response: RawMessage = client.receiveMessage()
            // Three failures take the only target out: then there is none, and the answer says when to come back.
            #expect(response.status == (attempt < 3 ? 502 : 503))
            if attempt >= 3 {
                #expect(response.field("retry-after").flatMap { Int($0) }.map { $0 > 0 && $0 <= 10 } == true)
            }
        }
        await gateway.stop()
        withExtendedLifetime(upstream) {}
    }

    @Test func answersWhenTooManyConnectionsAreOpen() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            _ = session.socket.receive()
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(max: 2)
        }
        let first: RawSocket = try gateway.connect()
        let second: RawSocket = try gateway.connect()
        for client in [first, second] { client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(await eventually { upstream.requests.count == 2 })
        let response: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(response.status == 503)
        #expect(response.field("retry-after") == "1")
        await gateway.stop()
    }

    @Test func problemsFollowTheAcceptField() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { (api: inout APIDefinition) in
            api.routes = [(try? PathPattern(parsing: "/only")).map { RouteDefinition(path: $0, methods: ["GET"]) }]
                .compactMap { $0 }
        }
        let json: RawMessage = try gateway.exchange("GET /no HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
        #expect(json.status == 404)
        #expect(json.field("content-type") == "application/problem+json")
        #expect(json.text.contains("\"status\":404"))
        #expect(json.text.contains("\"trace_id\":\""))
        let text: RawMessage = try gateway.exchange("GET /no HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n")
        #expect(text.field("content-type") == "text/plain; charset=utf-8")
        #expect(text.text.hasPrefix("404 Not Found\n"))
        let method: RawMessage = try gateway.exchange("DELETE /only HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(method.status == 405)
        #expect(method.field("allow") == "GET, HEAD, OPTIONS")
        let head: RawMessage = try gateway.exchange(
            "HEAD /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", bodyless: true)
        #expect(head.status == 404)
        #expect(head.field("content-length").flatMap { Int($0) }.map { $0 > 0 } == true)
        await gateway.stop()
    }

    @Test func answersForTheServerItself() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let response: RawMessage = try gateway.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", bodyless: true)
        #expect(response.status == 204)
        #expect(response.field("allow")?.contains("GET, HEAD, POST") == true)
        let problem: RawMessage = try gateway.exchange(
            "GET /../ HTTP/1.1\r\nHost: a\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
        )
        #expect(problem.text.contains("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""))
        await gateway.stop()
    }

    /// A refused request's body is read and dropped where that is cheap, so that the connection lives on.
    @Test(arguments: ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])
    func keepsTheConnectionAfterARefusal(body: String) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.apiKey(APIKeyPolicy(header: "x-api-key"))])
        let client: RawSocket = try gateway.connect()
        for _ in 0..<3 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\n" + body)
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 401)
            #expect(response.field("www-authenticate") != nil)
        }
        #expect(upstream.connectionCount == 0)
        await gateway.stop()
    }
}
