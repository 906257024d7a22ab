import GatewayConfiguration
import Glibc
import Synchronization
import Testing

@testable import Gateway

struct RetryTests {
    /// An upstream that answers one request a connection and then closes it with a reset as soon as the next arrives.
    private static func forgetful() throws -> RawUpstream {
        try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            guard session.request() != nil else { return }
            session.socket.close(abruptly: true)
        }
    }

    @Test func repeatsAnIdempotentRequestOnceOnAFreshConnection() async throws {
        let upstream: RawUpstream = try Self.forgetful()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        for _ in 0..<2 {
            client.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200)
        }
        #expect(upstream.requests.count == 3)
        #expect(upstream.requests.allSatisfy { $0.text == "abc" })
        #expect(upstream.connectionCount == 2)
        await gateway.stop()
    }

    @Test func neverRepeatsWhatAnUpstreamMayHaveDone() async throws {
        let upstream: RawUpstream = try Self.forgetful()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        #expect(client.receiveMessage().status == 200)
        client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        #expect(client.receiveMessage().status == 502)
        #expect(upstream.requests.count == 2)
        await gateway.stop()
    }

    /// On a fresh connection a reset is the upstream's answer to this request: it is not repeated.
    @Test func doesNotRepeatOnAFreshConnection() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.socket.close(abruptly: true)
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 502)
        #expect(upstream.requests.count == 1)
        await gateway.stop()
    }

    /// Repeating is harmless for a GET: another target answers it. For a POST nobody knows what the first one did.
    @Test func repeatsAtAnotherTargetWhatDoesNoHarm() async throws {
        let dying: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.socket.close(abruptly: true)
        }
        let living: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([dying.port, living.port]) { (api: inout APIDefinition) in
            api.upstream.passiveHealth = PassiveHealth(failures: 1000)
        }
        for number in 0..<6 {
            let response: RawMessage = try gateway.exchange("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(response.status == 200)
            #expect(response.text.contains("Host: 127.0.0.1:\(living.port)"))
        }
        #expect(dying.requests.count >= 2)
        var statuses: [Int] = []
        for _ in 0..<4 {
            statuses.append(try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na").status)
        }
        #expect(Set(statuses) == [200, 502])
        await gateway.stop()
    }

    @Test func goesToAnotherTargetWhenOneIsGone() async throws {
        let gone: RawUpstream = try .echoing()
        gone.stop()
        let first: RawUpstream = try .echoing()
        let second: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([gone.port, first.port, second.port])
        let client: RawSocket = try gateway.connect()
        for number in 0..<30 {
            client.send("POST /\(number) HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200)
            #expect(response.text.hasSuffix("hi"))
        }
        // The Host line is that of the target that was reached.
        #expect(first.requests.allSatisfy { $0.field("host") == "127.0.0.1:\(first.port)" })
        #expect(first.requests.count >= 10 && second.requests.count >= 10)
        await gateway.stop()
    }

    @Test func dealsRequestsOutByWeight() async throws {
        let light: RawUpstream = try .echoing()
        let heavy: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([light.port, heavy.port]) { (api: inout APIDefinition) in
            api.upstream.targets[1].weight = 3
        }
        let client: RawSocket = try gateway.connect()
        for _ in 0..<40 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.receiveMessage().status == 200)
        }
        #expect(light.requests.count == 10)
        #expect(heavy.requests.count == 30)
        await gateway.stop()
    }

    @Test func takesATargetBackAfterItsTime() async throws {
        let closed: RefusingPort = try RefusingPort()
        let get: String = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for (time, then) in [(Duration.seconds(600), 503), (.milliseconds(200), 502)] {
            let gateway: GatewayUnderTest = try await .start([closed.port]) { (api: inout APIDefinition) in
                api.upstream.passiveHealth = PassiveHealth(failures: 1, ejectFor: time)
            }
            #expect(try gateway.exchange(get).status == 502)
            // Before its time nobody asks it; after it one request tries it again.
            #expect(await eventually { (try? gateway.exchange(get).status) == then })
            await gateway.stop()
        }
        withExtendedLifetime(closed) {}
    }

    @Test func noticesAnIdleConnectionThatIsClosed() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        for _ in 0..<20 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            #expect(client.receiveMessage().status == 200)
            // Once it is noticed, no request is risked on it.
            #expect(await eventually { gateway.upstreamConnections == 0 })
        }
        await gateway.stop()
    }
}
