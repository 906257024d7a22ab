import GatewayConfiguration
import Synchronization
import Testing

@testable import Gateway

/// Servers that are killed while clients are at work.
struct KilledUpstreamTests {
    private static func work(
        _ gateway: GatewayUnderTest, _ number: Int, _ done: Counter, _ failed: Counter, _ stop: Counter
    ) {
        guard let client: RawSocket = try? gateway.connect() else { return failed.add(1) }
        defer { client.close() }
        var count: Int = 0
        while !stop.isFinished {
            count += 1
            let body: String = "request \(number)-\(count)"
            let isPut: Bool = count % 2 == 0
            client.send(
                isPut
                    ? "PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                    : "GET /g HTTP/1.1\r\nHost: a\r\n\r\n")
            let response: RawMessage = client.receiveMessage()
            if response.status == 200, response.text == (isPut ? body : "") { done.add(1) } else { failed.add(1) }
            if response.status == 0 { return }
        }
    }

    /// All that was asked may be repeated, so nothing may fail, whichever of the three dies when.
    @Test(arguments: [BalanceRule.roundRobin, .leastRequests]) func nothingThatMayBeRepeatedFails(_ rule: BalanceRule)
        async throws
    {
        var servers: [UpstreamProcess] = try (0..<3).map { _ in try UpstreamProcess() }
        let ports: [UInt16] = servers.map { $0.port }
        let gateway: GatewayUnderTest = try await .start(ports, workers: 2) { (api: inout APIDefinition) in
            api.upstream.balance = rule
            api.upstream.passiveHealth = PassiveHealth(failures: 2, ejectFor: .milliseconds(300))
            api.upstream.retries = RetryDefinition(attempts: 5, budgetShare: 100, budgetMin: 1000)
        }
        let done: Counter = Counter()
        let failed: Counter = Counter()
        let stop: Counter = Counter()
        let left: Counter = Counter()
        let clients: Int = 8
        for number in 0..<clients {
            onThread {
                Self.work(gateway, number, done, failed, stop)
                left.add(1)
            }
        }
        for round in 0..<3 {
            let before: Int = done.value
            #expect(await eventually { done.value >= before + 100 })
            servers[round].kill()
            let after: Int = done.value
            #expect(await eventually { done.value >= after + 100 })
            servers[round] = try UpstreamProcess(replacing: servers[round])
        }
        stop.finish()
        #expect(await eventually { left.value == clients })
        #expect(failed.value == 0, "\(done.value) went well")
        #expect(gateway.snapshot.upstreams[0].state.retries.load(ordering: .relaxed) > 0)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }
}
