import GatewayConfiguration
import Glibc
import Testing

@testable import Gateway

struct ExternalAuthorizationTests {
    /// A gateway in front of an upstream that echoes, and a service that answers as the script says.
    private struct Setup {
        let gateway: GatewayUnderTest
        let service: RawUpstream
        let upstream: RawUpstream

        static func start(
            _ service: RawUpstream, more: [PolicyDefinition] = [],
            change: (inout ExternalAuthorizationPolicy) -> Void = { _ in }
        ) async throws -> Setup {
            let upstream: RawUpstream = try .echoing()
            var policy: ExternalAuthorizationPolicy = ExternalAuthorizationPolicy(
                url: "http://127.0.0.1:\(service.port)/check", timeout: .seconds(30))
            change(&policy)
            let gateway: GatewayUnderTest = try await .start(
                [upstream.port], policies: [.externalAuthorization(policy)] + more)
            return Setup(gateway: gateway, service: service, upstream: upstream)
        }

        /// Away from the pool: the question is asked by a task, which a test that blocks would keep from running.
        func exchange(_ text: String) async throws -> RawMessage {
            try await offPool { try self.gateway.exchange(text) }
        }

        func stop() async {
            await self.gateway.stop()
            self.service.stop()
            self.upstream.stop()
            #expect(self.gateway.engine.blockCount == 0)
        }
    }

    private static let ok: String = "HTTP/1.1 200 OK\r\nX-User: ada\r\nContent-Length: 2\r\n\r\nok"

    @Test func showsTheRequestAndPassesWhatTheServiceAdds() async throws {
        let setup: Setup = try await .start(try .answering(Self.ok)) {
            $0.passes = ["x-user"]
            $0.shows = ["authorization", "x-device"]
        }
        let response: RawMessage = try await setup.exchange(
            "POST /a/b?c=d HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer t\r\nX-User: mallory\r\nX-Other: 1\r\nContent-Length: 4\r\n\r\nbody"
        )
        #expect(response.status == 200)
        let asked: RawMessage = try #require(setup.service.requests.first)
        #expect(asked.startLine == "GET /check HTTP/1.1")
        #expect(asked.field("authorization") == "Bearer t")
        #expect(asked.field("x-original-method") == "POST")
        #expect(asked.field("x-original-host") == "api.example")
        #expect(asked.field("x-original-uri") == "/a/b?c=d")
        #expect(asked.field("x-forwarded-for") == "127.0.0.1")
        #expect(asked.field("x-other") == nil)
        #expect(asked.body.isEmpty)
        let arrived: RawMessage = try #require(setup.upstream.requests.first)
        #expect(arrived.lines.filter { $0.lowercased().hasPrefix("x-user") } == ["X-User: ada"])
        #expect(arrived.text == "body")
        await setup.stop()
    }

    @Test(arguments: [401, 403]) func givesTheRefusalToTheClient(status: Int) async throws {
        let setup: Setup = try await .start(
            try .answering(
                "HTTP/1.1 \(status) No\r\nWWW-Authenticate: Bearer\r\nX-Secret: 1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nsorry"
            ))
        let client: RawSocket = try setup.gateway.connect()
        for _ in 0..<2 {
            let response: RawMessage = try await offPool {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                return client.receiveMessage()
            }
            #expect(response.status == status)
            #expect(response.text == "sorry")
            #expect(response.field("www-authenticate") == "Bearer")
            #expect(response.field("x-secret") == nil)
        }
        #expect(setup.upstream.requests.isEmpty)
        client.close()
        await setup.stop()
    }

    @Test(arguments: [
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", false), ("HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n", true),
        ("garbage\r\n\r\n", false), ("garbage\r\n\r\n", true), ("", false), ("", true),
    ])
    func failsClosedOrOpen(answer: String, isOpen: Bool) async throws {
        let service: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.send(answer)
            session.socket.close()
        }
        let setup: Setup = try await .start(service) { $0.failsOpen = isOpen }
        let response: RawMessage = try await setup.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(response.status == (isOpen ? 200 : 503))
        if !isOpen { #expect(response.text.contains("policy-unavailable")) }
        #expect(setup.upstream.requests.count == (isOpen ? 1 : 0))
        await setup.stop()
    }

    /// Whatever the service said or could not say: the client does not say it in its place.
    @Test(arguments: ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"])
    func keepsOutWhatOnlyTheServiceMaySay(answer: String) async throws {
        let setup: Setup = try await .start(try .answering(answer)) {
            $0.failsOpen = true
            $0.passes = ["x-user"]
        }
        let response: RawMessage = try await setup.exchange(
            "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nX_User: root\r\nX-Other: kept\r\n\r\n")
        #expect(response.status == 200)
        let arrived: RawMessage = try #require(setup.upstream.requests.first)
        #expect(arrived.field("x-user") == nil)
        #expect(arrived.field("x_user") == nil)
        #expect(arrived.field("x-other") == "kept")
        await setup.stop()
    }

    @Test func aServiceThatDoesNotAnswerIsAFailure() async throws {
        let service: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            _ = session.socket.receive()
        }
        let setup: Setup = try await .start(service) { $0.timeout = .milliseconds(50) }
        #expect(try await setup.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 503)
        #expect(setup.upstream.requests.isEmpty)
        await setup.stop()
    }

    @Test func usesADecisionAgainForWhatLooksTheSame() async throws {
        let setup: Setup = try await .start(try .answering(Self.ok)) {
            $0.keptFor = .seconds(600)
            $0.passes = ["x-user"]
        }
        for request in ["GET /a", "GET /a", "GET /b", "POST /a", "GET /a"] {
            let response: RawMessage = try await setup.exchange(
                "\(request) HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nContent-Length: 0\r\n\r\n")
            #expect(response.text.contains("X-User: ada"))
        }
        #expect(setup.service.requests.count == 3)
        _ = try await setup.exchange("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: y\r\n\r\n")
        #expect(setup.service.requests.count == 4)
        await setup.stop()
    }

    @Test func asksForSoManyAtOnce() async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let service: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !goOn.value { usleep(1000) }
                session.send(Self.ok)
            }
        }
        let setup: Setup = try await .start(service) { $0.callsMax = 2 }
        var clients: [RawSocket] = []
        for _ in 0..<2 {
            let client: RawSocket = try setup.gateway.connect()
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(client)
        }
        #expect(await eventually { setup.service.requests.count == 2 })
        #expect(try await setup.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 503)
        // One goes away while its question is open: its place is free.
        clients[0].close(abruptly: true)
        #expect(await eventually { setup.gateway.engine.connectionCount == 1 })
        goOn.change { $0 = true }
        #expect(try await setup.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200)
        let second: RawSocket = clients[1]
        #expect(try await offPool { second.receiveMessage() }.status == 200)
        second.close()
        await setup.stop()
    }
}
