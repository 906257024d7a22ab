import EventLoops
import GatewayConfiguration
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// Retries by rule, over real sockets.
struct RetryDispatchTests {
    private static let get: String = "GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n"

    private static func gateway(
        _ ports: [UInt16], _ retries: RetryDefinition, metrics: MetricRegistry? = nil,
        policies: [PolicyDefinition] = [], change: (inout APIDefinition) -> Void = { _ in }
    ) async throws -> GatewayUnderTest {
        try await .start(ports, policies: policies, metrics: metrics) { (api: inout APIDefinition) in
            api.upstream.retries = retries
            api.upstream.passiveHealth = PassiveHealth(failures: 1000)
            change(&api)
        }
    }

    private static func failing(_ answer: String = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno") throws
        -> RawUpstream
    {
        try .answering(answer)
    }

    @Test(arguments: [
        "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 502 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 504 No\r\nConnection: close\r\n\r\nno",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
    ])
    func anotherTargetAnswersForOneThatCannot(_ answer: String) async throws {
        let bad: RawUpstream = try .answering(answer)
        let good: RawUpstream = try .echoing()
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await Self.gateway(
            [bad.port, good.port], RetryDefinition(), metrics: metrics)
        let client: RawSocket = try gateway.connect()
        for _ in 0..<6 {
            client.send(Self.get)
            var response: RawMessage = client.receiveMessage(bodyless: false)
            if response.status == 100 { response = client.receiveMessage() }
            #expect(response.status == 200)
            #expect(response.text.contains("GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:\(good.port)\r\n"))
        }
        #expect(good.requests.count == 6)
        let made: Int = bad.requests.count
        #expect(made >= 2)
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(
            text.contains("passerelle_gateway_retries_total{tenant=\"default\",api=\"test\",result=\"made\"} \(made)"))
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// Killed one after the other and back since then, all wait for the end of their ejection.
    @Test(arguments: BalanceRule.allCases) func whoIsBackIsAskedThoughAllAreOut(_ rule: BalanceRule) async throws {
        let held: [RefusingPort] = try (0..<3).map { _ in try RefusingPort() }
        let gateway: GatewayUnderTest = try await Self.gateway(
            held.map { $0.port }, RetryDefinition(attempts: 3, budgetShare: 100, budgetMin: 1000)
        ) { (api: inout APIDefinition) in
            api.upstream.balance = rule
            api.upstream.passiveHealth = PassiveHealth(failures: 1, ejectFor: .seconds(3600))
        }
        let client: RawSocket = try gateway.connect()
        client.send(Self.get)
        #expect(client.receiveMessage().status >= 502)
        for index in held.indices { #expect(gateway.target(index).ejectedUntil.load(ordering: .relaxed) > 0) }
        // One is back, hours before anyone would look.
        let back: RawUpstream = try RawUpstream(on: .loopback(port: held[1].port)) { (session: RawUpstream.Session) in
            while session.request() != nil { session.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
        }
        for _ in 0..<4 {
            client.send(Self.get)
            #expect(client.receiveMessage().status == 200)
        }
        #expect(back.requests.count == 4)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func theLastAnswerIsPassedOnWhenAttemptsAreOver() async throws {
        let bad: RawUpstream = try Self.failing()
        let gateway: GatewayUnderTest = try await Self.gateway([bad.port], RetryDefinition(attempts: 3))
        let response: RawMessage = try gateway.exchange(Self.get)
        #expect(response.status == 503 && response.text == "no")
        #expect(bad.requests.count == 4)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func postIsRepeatedOnlyWhereItIsAllowed() async throws {
        for isAllowed in [false, true] {
            let bad: RawUpstream = try Self.failing()
            let gateway: GatewayUnderTest = try await Self.gateway(
                [bad.port], RetryDefinition(attempts: 1, methods: isAllowed ? ["POST"] : nil))
            let response: RawMessage = try gateway.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            #expect(response.status == 503)
            #expect(bad.requests.map { $0.text } == (isAllowed ? ["hello", "hello"] : ["hello"]))
            await gateway.stop()
        }
    }

    /// The body came in pieces, the last one long after the first: all of it is sent again.
    @Test(arguments: [true, false]) func bodiesAreRepeatedAsFarAsTheyAreKept(_ isChunked: Bool) async throws {
        let bad: RawUpstream = try Self.failing()
        let good: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await Self.gateway([bad.port, good.port], RetryDefinition())
        let client: RawSocket = try gateway.connect()
        let part: String = String(repeating: "x", count: 3000)
        for _ in 0..<4 {
            let framing: String = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: 6000"
            client.send("PUT / HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
            client.send(isChunked ? "bb8\r\n\(part)\r\n" : part)
            usleepALittle()
            client.send(isChunked ? "bb8\r\n\(part)\r\n0\r\n\r\n" : part)
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200 && response.text.hasSuffix(part + part))
        }
        #expect(bad.requests.count >= 1)
        #expect(good.requests.count == 4)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func aLongBodyIsNotKept() async throws {
        let bad: RawUpstream = try Self.failing()
        let gateway: GatewayUnderTest = try await Self.gateway(
            [bad.port], RetryDefinition(bodyBytesMax: 1000))
        for (count, tries) in [(1000, 3), (1001, 1)] {
            let before: Int = bad.requests.count
            let body: String = String(repeating: "x", count: count)
            let response: RawMessage = try gateway.exchange(
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n\(body)")
            #expect(response.status == 503)
            #expect(bad.requests.count - before == tries)
        }
        await gateway.stop()
    }

    @Test func aResetIsRepeatedAndATimeoutWhereItIsSaid() async throws {
        let silent: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {}
        }
        let dying: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.socket.close(abruptly: true)
        }
        let good: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await Self.gateway(
            [silent.port, dying.port, good.port],
            RetryDefinition(attempts: 5, onTimeout: true, tryTimeout: .milliseconds(300)))
        for _ in 0..<3 { #expect(try gateway.exchange(Self.get).status == 200) }
        #expect(!silent.requests.isEmpty && !dying.requests.isEmpty)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func theWholeHasADeadline() async throws {
        let silent: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {}
        }
        let timeouts: TimeoutPolicy = TimeoutPolicy(
            connect: .seconds(600), response: .seconds(600), idle: .seconds(600), total: .milliseconds(400))
        let gateway: GatewayUnderTest = try await Self.gateway(
            [silent.port], RetryDefinition(attempts: 10, onTimeout: true, tryTimeout: .milliseconds(150)),
            policies: [.timeouts(timeouts)])
        #expect(try gateway.exchange(Self.get).status == 504)
        #expect((2...4).contains(silent.requests.count))
        await gateway.stop()
        let plain: GatewayUnderTest = try await .start([silent.port], policies: [.timeouts(timeouts)])
        #expect(try plain.exchange(Self.get).status == 504, "also without rules for retries")
        await plain.stop()
    }

    @Test func withoutABudgetNothingIsRepeated() async throws {
        let bad: RawUpstream = try Self.failing()
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await Self.gateway(
            [bad.port], RetryDefinition(budgetShare: 0, budgetMin: 0), metrics: metrics)
        for _ in 0..<5 { #expect(try gateway.exchange(Self.get).status == 503) }
        #expect(bad.requests.count == 5)
        #expect(gateway.snapshot.upstreams[0].state.retriesRefused.load(ordering: .relaxed) == 5)
        await gateway.stop()
    }

    @Test func aLongRetryAfterIsPassedOn() async throws {
        let bad: RawUpstream = try Self.failing("HTTP/1.1 503 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")
        let gateway: GatewayUnderTest = try await Self.gateway([bad.port], RetryDefinition())
        let response: RawMessage = try gateway.exchange(Self.get)
        #expect(response.status == 503 && response.field("retry-after") == "60")
        #expect(bad.requests.count == 1)
        await gateway.stop()
    }

    @Test func aClientThatLeavesEndsTheWaiting() async throws {
        let bad: RawUpstream = try Self.failing()
        let gateway: GatewayUnderTest = try await Self.gateway(
            [bad.port],
            RetryDefinition(attempts: 10, backoff: .seconds(60), backoffMax: .seconds(600)))
        for _ in 0..<5 {
            let client: RawSocket = try gateway.connect()
            let before: Int = bad.requests.count
            client.send(Self.get)
            #expect(await eventually { bad.requests.count > before })
            client.close(abruptly: true)
        }
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        #expect(await eventually { gateway.engine.blockCount == 0 })
        await gateway.stop()
    }

    // MARK: Queue

    /// One connection for four clients: they are served one after the other.
    @Test(arguments: [1, 2]) func requestsWaitForAConnection(_ workers: Int) async throws {
        let gate: Counter = Counter()
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !gate.isFinished { usleepALittle() }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port], workers: workers) {
            (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(max: 1, queueMax: 10, queueTimeout: .seconds(60))
        }
        var clients: [RawSocket] = []
        for _ in 0..<8 {
            let client: RawSocket = try gateway.connect()
            client.send(Self.get)
            clients.append(client)
        }
        #expect(await eventually { gateway.target(0).waiting.load(ordering: .relaxed) == 7 })
        #expect(await eventually { upstream.requests.count == 1 })
        gate.finish()
        for client in clients { #expect(client.receiveMessage().status == 200) }
        #expect(await eventually { gateway.target(0).waiting.load(ordering: .relaxed) == 0 })
        #expect(upstream.requests.count == 8)
        if workers == 1 { #expect(upstream.connectionCount == 1) }
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// An upstream that has room for one request and never answers it: the next one waits as `connections` says.
    private func overQueue(
        _ connections: UpstreamConnections, _ body: (GatewayUnderTest, RawUpstream, MetricRegistry) async throws -> Void
    ) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {}
        }
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await .start([upstream.port], metrics: metrics) {
            (api: inout APIDefinition) in
            api.upstream.connections = connections
        }
        let first: RawSocket = try gateway.connect()
        first.send(Self.get)
        #expect(await eventually { upstream.requests.count == 1 })
        try await body(gateway, upstream, metrics)
        first.close(abruptly: true)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    private func expectRefused(_ answer: RawMessage) {
        #expect(answer.status == 503 && answer.field("retry-after") == "1")
        #expect(answer.text.contains("upstream-overloaded"))
    }

    private func expectRefusals(_ count: Int, _ upstream: RawUpstream, _ metrics: MetricRegistry) {
        let target: String = "http://127.0.0.1:\(upstream.port)"
        let line: String =
            "passerelle_gateway_target_queue_refusals_total{tenant=\"default\",api=\"test\",target=\"\(target)\"} \(count)"
        #expect(String(decoding: metrics.prometheusText(), as: UTF8.self).contains(line))
    }

    @Test func aFullQueueRefuses() async throws {
        try await self.overQueue(UpstreamConnections(max: 1, queueMax: 1, queueTimeout: .seconds(60))) {
            (gateway: GatewayUnderTest, upstream: RawUpstream, metrics: MetricRegistry) in
            let second: RawSocket = try gateway.connect()
            second.send(Self.get)
            #expect(await eventually { gateway.target(0).waiting.load(ordering: .relaxed) == 1 })
            self.expectRefused(try gateway.exchange(Self.get))
            self.expectRefusals(1, upstream, metrics)
            second.close(abruptly: true)
        }
    }

    @Test func aLongWaitIsRefused() async throws {
        try await self.overQueue(UpstreamConnections(max: 1, queueMax: 1, queueTimeout: .milliseconds(50))) {
            (gateway: GatewayUnderTest, upstream: RawUpstream, metrics: MetricRegistry) in
            self.expectRefused(try gateway.exchange(Self.get))
            #expect(gateway.target(0).waiting.load(ordering: .relaxed) == 0)
            self.expectRefusals(1, upstream, metrics)
        }
    }

    @Test func aClientThatLeavesDoesNotWait() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {}
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(max: 1, queueMax: 10, queueTimeout: .seconds(60))
        }
        var clients: [RawSocket] = []
        for _ in 0..<4 {
            let client: RawSocket = try gateway.connect()
            client.send(Self.get)
            clients.append(client)
        }
        #expect(await eventually { gateway.target(0).waiting.load(ordering: .relaxed) == 3 })
        for client in clients { client.close(abruptly: true) }
        #expect(await eventually { gateway.target(0).waiting.load(ordering: .relaxed) == 0 })
        #expect(await eventually { gateway.engine.blockCount == 0 })
        await gateway.stop()
    }
}
