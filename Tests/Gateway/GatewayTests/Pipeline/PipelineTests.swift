import EventLoops
import GatewayConfiguration
import Synchronization
import Testing

@testable import Gateway

/// Requests that wait, are collected, are changed.
struct PipelineTests {
    /// Runs the gateway with one stage in front of an upstream that echoes.
    private func start(
        _ stage: RequestStage, settings: EngineSettings = .patient, policies: [PolicyDefinition] = []
    ) async throws -> (GatewayUnderTest, RawUpstream) {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: policies, settings: settings, live: .with([stage]))
        return (gateway, upstream)
    }

    private static func waiting(_ works: Mutexed<[ManualWork]>, timeout: UInt64 = 600_000_000_000) -> ClosureStage {
        ClosureStage { (_: RequestView, context: PolicyContext, _: inout Decision) in
            if context.work != nil { return .next }
            let work: ManualWork = ManualWork(timeout: timeout)
            works.change { $0.append(work) }
            return .suspend(work)
        }
    }

    @Test func goesOnWhenTheWorkIsDone() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.waiting(works))
        let client: RawSocket = try gateway.connect()
        // A body that came with the head, and a request behind it.
        client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { works.value.count == 1 && works.value[0].isStarted })
        #expect(upstream.requests.isEmpty)
        works.value[0].finish()
        #expect(client.receiveMessage().text.hasSuffix("\r\n\r\nhello"))
        #expect(await eventually { works.value.count == 2 && works.value[1].isStarted })
        works.value[1].finish()
        #expect(client.receiveMessage().text.hasPrefix("GET /b HTTP/1.1\r\n"))
        client.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// Many connections wait at once, and are called in another order than they came.
    @Test func manyWaitAtOnce() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.waiting(works))
        var clients: [RawSocket] = []
        for number in 0..<50 {
            let client: RawSocket = try gateway.connect()
            client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\nX-Number: \(number)\r\n\r\n")
            clients.append(client)
        }
        #expect(await eventually { works.value.count == 50 && works.value.allSatisfy { $0.isStarted } })
        for work in works.value.reversed() { work.finish() }
        for (number, client) in clients.enumerated() {
            let text: String = client.receiveMessage().text
            #expect(text.hasPrefix("GET /\(number) HTTP/1.1\r\n"))
            #expect(text.contains("X-Number: \(number)\r\n"))
        }
        await gateway.stop()
        upstream.stop()
    }

    @Test func aClientThatGoesAwayIsForgotten() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.waiting(works))
        let client: RawSocket = try gateway.connect()
        client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        #expect(await eventually { works.value.count == 1 && works.value[0].isStarted })
        client.close(abruptly: true)
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        #expect(works.value[0].isCancelled)
        works.value[0].finish()
        #expect(try gateway.connect().fd > 0)
        await gateway.stop()
        #expect(upstream.requests.isEmpty)
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func workThatTakesTooLongIs503() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(
            Self.waiting(works, timeout: 20_000_000))
        let client: RawSocket = try gateway.connect()
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        let response: RawMessage = client.receiveMessage()
        #expect(response.status == 503)
        #expect(response.text.contains("urn:passerelle:problem:policy-unavailable"))
        // Too late: the connection serves another request meanwhile.
        works.value[0].finish()
        client.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.receiveMessage().status == 503)
        await gateway.stop()
        #expect(upstream.requests.isEmpty)
    }

    @Test func waitsAcrossAChangeOfTheSnapshot() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.waiting(works))
        let client: RawSocket = try gateway.connect()
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { works.value.count == 1 && works.value[0].isStarted })
        await gateway.engine.apply(Snapshot.empty(gateway.live))
        works.value[0].finish()
        #expect(client.receiveMessage().status == 200)
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.receiveMessage().status == 404)
        await gateway.stop()
        upstream.stop()
    }

    @Test func aDrainWaitsForTheWork() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.waiting(works))
        let client: RawSocket = try gateway.connect()
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { works.value.count == 1 && works.value[0].isStarted })
        async let drained: Void = gateway.engine.drain(deadline: .seconds(600))
        #expect(await eventually { (try? gateway.connect()) == nil })
        works.value[0].finish()
        let response: RawMessage = client.receiveMessage()
        #expect(response.status == 200)
        #expect(response.field("connection") == "close")
        await drained
        upstream.stop()
    }

    @Test func theDeadlineOfADrainCutsOffTheWork() async throws {
        let works: Mutexed<[ManualWork]> = Mutexed([])
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.waiting(works))
        let client: RawSocket = try gateway.connect()
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { works.value.count == 1 && works.value[0].isStarted })
        await gateway.engine.drain(deadline: .milliseconds(10))
        #expect(works.value[0].isCancelled)
        works.value[0].finish()
        #expect(gateway.engine.blockCount == 0)
        upstream.stop()
    }

    // MARK: Bodies

    private static func collecting(
        _ most: Int = 1 << 20, _ change: @escaping @Sendable (PolicyContext) -> Void = { _ in }
    )
        -> ClosureStage
    {
        ClosureStage(.validation) { (_: RequestView, context: PolicyContext, _: inout Decision) in
            guard context.body != nil else { return .needsBody(max: most) }
            change(context)
            return .next
        }
    }

    /// The bodies and how they are framed; each goes upstream with its length.
    @Test(arguments: [0, 1, 4000, 70_000, 300_000], [false, true])
    func collectsABody(size: Int, isChunked: Bool) async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.collecting())
        let body: String = String(String(repeating: "0123456789", count: size / 10 + 1).prefix(size))
        let client: RawSocket = try gateway.connect()
        for number in 0..<2 {
            var text: String = "POST /\(number) HTTP/1.1\r\nHost: a\r\n"
            if isChunked {
                text += "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
                if size > 0 { text += "\(String(size, radix: 16))\r\n\(body)\r\n" }
                text += "0\r\nX: 1\r\n\r\n"
            } else {
                text += "Content-Length: \(size)\r\n\r\n\(body)"
            }
            let whole: String = text
            onThread { client.send(whole) }
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200)
            #expect(response.text.hasSuffix("\r\n\r\n" + body))
        }
        for request in upstream.requests {
            #expect(request.field("content-length") == "\(size)")
            #expect(request.field("transfer-encoding") == nil)
            #expect(request.field("trailer") == nil)
        }
        client.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func aRequestWithoutBodyIsNotGivenOne() async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.collecting())
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200)
        #expect(upstream.requests[0].field("content-length") == nil)
        await gateway.stop()
    }

    @Test func changesPathQueryFieldsAndBody() async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(
            Self.collecting { (context: PolicyContext) in
                context.edits.path = Array("/new".utf8)
                context.edits.query = Array("q=2".utf8)
                context.edits.setField("X-Set", "a")
                context.edits.removeField("x-gone")
                context.edits.body = (context.body ?? []) + Array("!".utf8)
            })
        let response: RawMessage = try gateway.exchange(
            "POST /old?q=1 HTTP/1.1\r\nHost: a\r\nX-Gone: 1\r\nx-set: 0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
        )
        #expect(response.status == 200)
        #expect(
            upstream.requests.map { $0.head } == [
                "POST /new?q=2 HTTP/1.1\r\nHost: 127.0.0.1:\(upstream.port)\r\nX-Set: a\r\nContent-Length: 3\r\n\r\n"
            ])
        #expect(upstream.requests.map { $0.text } == ["hi!"])
        await gateway.stop()
    }

    @Test func asksForTheBodyItWaitsFor() async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.collecting())
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        client.send("hi")
        #expect(client.receiveMessage().text.hasSuffix("\r\n\r\nhi"))
        await gateway.stop()
        upstream.stop()
    }

    @Test(arguments: [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ])
    func refusesABodyThatIsTooLarge(request: String) async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.collecting(10))
        let response: RawMessage = try gateway.exchange(request)
        #expect(response.status == 413)
        #expect(response.field("connection") == "close")
        await gateway.stop()
        #expect(upstream.requests.isEmpty)
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func aBodyThatDoesNotComeIs408() async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(
            Self.collecting(), policies: [.timeouts(TimeoutPolicy(idle: .milliseconds(50)))])
        let response: RawMessage = try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        #expect(response.status == 408)
        await gateway.stop()
        #expect(upstream.requests.isEmpty)
    }

    @Test func aBodyThatEndsEarlyIs400() async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.collecting())
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        client.finishWriting()
        #expect(client.receiveMessage().status == 400)
        await gateway.stop()
        #expect(upstream.requests.isEmpty)
        #expect(gateway.engine.blockCount == 0)
    }

    /// A large body whose first target refuses connections goes to the other one.
    @Test func aCollectedBodyGoesToAnotherTarget() async throws {
        let gone: RefusingPort = try RefusingPort()
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [gone.port, upstream.port], live: .with([Self.collecting()]))
        let body: String = String(repeating: "x", count: 200_000)
        for _ in 0..<2 {
            let client: RawSocket = try gateway.connect()
            onThread { client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n\(body)") }
            #expect(client.receiveMessage().text.hasSuffix("\r\n\r\n" + body))
        }
        await gateway.stop()
        withExtendedLifetime(gone) {}
    }

    @Test func refusalsCarryTheFieldsOfEveryAnswer() async throws {
        let stage: ClosureStage = ClosureStage(.cors) { (_: RequestView, context: PolicyContext, _: inout Decision) in
            context.answerFields.add("Access-Control-Allow-Origin", "https://a.example")
            return .next
        }
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nhi")
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.rateLimit(RateLimitPolicy(limit: 1, window: .seconds(3600)))],
            live: .with([stage]))
        let good: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(good.lines == ["Access-Control-Allow-Origin: https://a.example", "Content-Length: 2"])
        #expect(good.text == "hi")
        let refused: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(refused.status == 429)
        #expect(refused.field("access-control-allow-origin") == "https://a.example")
        await gateway.stop()
    }
}
