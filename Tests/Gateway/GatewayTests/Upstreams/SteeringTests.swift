import GatewayConfiguration
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// Balancing, health and breakers over real sockets.
struct SteeringTests {
    private static let get: String = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    /// Answers with its name as long as it is told to be well.
    private final class Server: Sendable {
        let isWell: Atomic<Bool> = Atomic(true)
        let name: String
        let upstream: Mutex<RawUpstream?> = Mutex(nil)

        init(_ name: String) { self.name = name }

        static func start(_ name: String, isWell: Bool = true) throws -> Server {
            let server: Server = Server(name)
            server.isWell.store(isWell, ordering: .releasing)
            let made: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
                while session.request() != nil {
                    let line: String = server.isWell.load(ordering: .acquiring) ? "200 OK" : "503 Not Now"
                    session.send("HTTP/1.1 \(line)\r\nContent-Length: \(name.utf8.count)\r\n\r\n\(name)")
                }
            }
            server.upstream.withLock { $0 = made }
            return server
        }

        var port: UInt16 { self.upstream.withLock { $0?.port ?? 0 } }
        var count: Int { self.upstream.withLock { $0?.requests.count ?? 0 } }
        func set(_ isWell: Bool) { self.isWell.store(isWell, ordering: .releasing) }
    }

    private static func names(_ gateway: GatewayUnderTest, _ count: Int, _ request: String = get) throws -> [String] {
        let client: RawSocket = try gateway.connect()
        defer { client.close() }
        var names: [String] = []
        for _ in 0..<count {
            client.send(request)
            let message: RawMessage = client.receiveMessage()
            names.append(message.status == 200 ? message.text : "\(message.status)")
        }
        return names
    }

    /// Waits until the loop, which lets the client have the answer first, has counted it.
    private static func isFree(_ gateway: GatewayUnderTest, _ index: Int) async -> Bool {
        await eventually { gateway.target(index).inFlight.load(ordering: .relaxed) == 0 }
    }

    // MARK: Balancing

    @Test(arguments: [BalanceRule.leastRequests, .powerOfTwo, .roundRobin])
    func everyTargetGetsItsShare(_ rule: BalanceRule) async throws {
        let first: Server = try .start("a")
        let second: Server = try .start("b")
        let gateway: GatewayUnderTest = try await .start([first.port, second.port]) { (api: inout APIDefinition) in
            api.upstream.balance = rule
            api.upstream.panicThreshold = 1
        }
        let names: [String] = try Self.names(gateway, 60)
        #expect(Set(names) == ["a", "b"])
        if rule != .powerOfTwo { #expect(names.filter { $0 == "a" }.count == 30) }
        for index in 0...1 { #expect(await Self.isFree(gateway, index)) }
        await gateway.stop()
    }

    /// The slow one has a request all the time: the other gets all that come meanwhile, also on the other loop.
    @Test func leastRequestsSeesWhatOtherLoopsSent() async throws {
        let gate: Counter = Counter()
        let slow: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !gate.isFinished { usleepALittle() }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
            }
        }
        let fast: Server = try .start("fast")
        let gateway: GatewayUnderTest = try await .start([slow.port, fast.port], workers: 2) {
            (api: inout APIDefinition) in api.upstream.balance = .leastRequests
        }
        var waiting: [RawSocket] = []
        while gateway.target(0).inFlight.load(ordering: .relaxed) == 0 {
            let client: RawSocket = try gateway.connect()
            client.send(Self.get)
            waiting.append(client)
            let sent: Int = waiting.count
            #expect(await eventually { slow.requests.count + fast.count == sent })
            #expect(await Self.isFree(gateway, 1))
        }
        for _ in 0..<20 {
            #expect(try Self.names(gateway, 1) == ["fast"])
            #expect(await Self.isFree(gateway, 1))
        }
        gate.finish()
        for client in waiting { #expect(client.receiveMessage().status == 200) }
        #expect(await eventually { gateway.target(0).inFlight.load(ordering: .relaxed) == 0 })
        await gateway.stop()
    }

    @Test func theSameKeyGoesToTheSameTarget() async throws {
        let servers: [Server] = try (0..<4).map { try Server.start("s\($0)") }
        let gateway: GatewayUnderTest = try await .start(servers.map { $0.port }, workers: 2) {
            (api: inout APIDefinition) in
            api.upstream.balance = .maglev
            api.upstream.hashBy = .header("x-user")
        }
        var used: Set<String> = []
        for user in 0..<20 {
            let request: String = "GET / HTTP/1.1\r\nHost: a\r\nX-User: user-\(user)\r\n\r\n"
            let first: Set<String> = Set(try Self.names(gateway, 3, request))
            let second: Set<String> = Set(try Self.names(gateway, 3, request))
            #expect(first.count == 1 && first == second)
            used.formUnion(first)
        }
        #expect(used.count >= 3)
        await gateway.stop()
    }

    @Test func anOwnZoneIsPreferredWhileItIsWell() async throws {
        let near: Server = try .start("near")
        let far: Server = try .start("far")
        let gateway: GatewayUnderTest = try await .start([near.port, far.port], zone: "east") {
            (api: inout APIDefinition) in
            api.upstream.targets[0].zone = "east"
            api.upstream.targets[1].zone = "west"
            api.upstream.passiveHealth = PassiveHealth(
                failures: 1, ejectFor: .seconds(600), statuses: StatusSet([503...503]))
        }
        #expect(Set(try Self.names(gateway, 20)) == ["near"])
        near.set(false)
        #expect(try Self.names(gateway, 1) == ["503"])
        #expect(Set(try Self.names(gateway, 20)) == ["far"])
        await gateway.stop()
    }

    // MARK: Health

    @Test(arguments: [ActiveHealth.Kind.http, .tcp]) func checksTakeTargetsOutAndBack(_ kind: ActiveHealth.Kind)
        async throws
    {
        let good: Server = try .start("good")
        let bad: Server = try .start("bad", isWell: kind == .tcp)
        if kind == .tcp { bad.upstream.withLock { $0?.stop() } }
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await .start([good.port, bad.port], metrics: metrics) {
            (api: inout APIDefinition) in
            api.upstream.activeHealth = ActiveHealth(
                kind: kind, path: "/health?deep=1", interval: .milliseconds(100), timeout: .seconds(20),
                healthyAfter: 1, unhealthyAfter: 1)
        }
        #expect(await eventually { !gateway.target(1).isUp(now: MonotonicTime.now) })
        #expect(Set(try Self.names(gateway, 20)) == ["good"])
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(
            text.contains(
                "passerelle_gateway_target_up{tenant=\"default\",api=\"test\",target=\"http://127.0.0.1:\(bad.port)\"} 0"
            ))
        #expect(
            text.contains(
                "passerelle_gateway_target_up{tenant=\"default\",api=\"test\",target=\"http://127.0.0.1:\(good.port)\"} 1"
            ))
        if kind == .http {
            let check: RawMessage? = bad.upstream.withLock { $0?.requests.first }
            #expect(check?.startLine == "GET /health?deep=1 HTTP/1.1")
            #expect(check?.field("host") == "127.0.0.1:\(bad.port)")
            bad.set(true)
            #expect(await eventually { gateway.target(1).isUp(now: MonotonicTime.now) })
            #expect(Set(try Self.names(gateway, 20)) == ["good", "bad"])
        }
        await gateway.stop()
    }

    @Test(arguments: [("fine", true), ("bad", false)]) func aCheckLooksIntoTheBody(_ text: String, _ isUp: Bool)
        async throws
    {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"f\"\r\n\(text.utf8.count)\r\n\(text)\r\n0\r\n\r\n"
        )
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await .start([upstream.port], metrics: metrics) {
            (api: inout APIDefinition) in
            api.upstream.activeHealth = ActiveHealth(
                body: "fine", interval: .milliseconds(100), timeout: .seconds(20), healthyAfter: 1, unhealthyAfter: 1)
        }
        #expect(await eventually { upstream.requests.count >= 3 })
        #expect(await eventually { gateway.target(0).isUp(now: MonotonicTime.now) == isUp })
        await gateway.stop()
    }

    /// With two loops there are not two checks: one process asks once.
    @Test func checksRunOnceForTheProcess() async throws {
        let server: Server = try .start("a")
        let gateway: GatewayUnderTest = try await .start([server.port], workers: 3) { (api: inout APIDefinition) in
            api.upstream.activeHealth = ActiveHealth(interval: .seconds(600), timeout: .seconds(20))
        }
        #expect(await eventually { server.count == 1 })
        #expect(try Self.names(gateway, 3) == ["a", "a", "a"])
        #expect(server.count == 4)
        await gateway.stop()
    }

    @Test func withoutCheckedTargetsOnlyPanicServes() async throws {
        let down: Server = try .start("down", isWell: false)
        for panic in [0, 50] {
            let gateway: GatewayUnderTest = try await .start([down.port]) { (api: inout APIDefinition) in
                api.upstream.panicThreshold = panic
                api.upstream.activeHealth = ActiveHealth(interval: .milliseconds(100), timeout: .seconds(20))
            }
            #expect(await eventually { !gateway.target(0).isUp(now: MonotonicTime.now) })
            let answer: RawMessage = try gateway.exchange(Self.get)
            // The server's own 503 has its text, the gateway's is a problem document.
            #expect(answer.text.contains("upstream-unavailable") == (panic == 0))
            await gateway.stop()
        }
    }

    @Test func statusesCountAsFailuresWhereTheyAreNamed() async throws {
        let good: Server = try .start("good")
        let bad: Server = try .start("bad", isWell: false)
        let gateway: GatewayUnderTest = try await .start([good.port, bad.port]) { (api: inout APIDefinition) in
            api.upstream.passiveHealth = PassiveHealth(
                failures: 2, ejectFor: .seconds(600), statuses: StatusSet([500...599]))
        }
        let names: [String] = try Self.names(gateway, 30)
        #expect(names.filter { $0 == "503" }.count == 2)
        await gateway.stop()
    }

    @Test func theOneThatFailsMoreThanItsPeersIsPutOut() async throws {
        let good: Server = try .start("good")
        let bad: Server = try .start("bad", isWell: false)
        let gateway: GatewayUnderTest = try await .start([good.port, bad.port]) { (api: inout APIDefinition) in
            api.upstream.outliers = OutlierEjection(interval: .seconds(1), requestsMin: 5, ejectFor: .seconds(600))
        }
        let client: RawSocket = try gateway.connect()
        let isOut: Bool = await eventually {
            client.send(Self.get)
            _ = client.receiveMessage()
            return !gateway.target(1).isUp(now: MonotonicTime.now)
        }
        #expect(isOut)
        #expect(Set(try Self.names(gateway, 20)) == ["good"])
        await gateway.stop()
    }

    // MARK: Breakers

    @Test(arguments: [CircuitBreakerDefinition.Scope.target, .upstream])
    func anOpenCircuitRefusesAndSaysWhen(_ scope: CircuitBreakerDefinition.Scope) async throws {
        let server: Server = try .start("a", isWell: false)
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayUnderTest = try await .start([server.port], metrics: metrics) {
            (api: inout APIDefinition) in
            api.upstream.circuitBreaker = CircuitBreakerDefinition(
                scope: scope, requestsMin: 4, window: .seconds(600), openFor: .milliseconds(1500), trials: 1)
        }
        #expect(try Self.names(gateway, 4) == ["503", "503", "503", "503"])
        let refused: RawMessage = try gateway.exchange(Self.get)
        #expect(refused.status == 503 && refused.text.contains("circuit-open"))
        #expect(["1", "2"].contains(refused.field("retry-after")))
        #expect(server.count == 4)
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        let target: String = scope == .target ? "http://127.0.0.1:\(server.port)" : ""
        #expect(
            text.contains("passerelle_gateway_circuit_open{tenant=\"default\",api=\"test\",target=\"\(target)\"} 1"))
        #expect(
            text.contains(
                "passerelle_gateway_circuit_openings_total{tenant=\"default\",api=\"test\",target=\"\(target)\"} 1"))
        server.set(true)
        #expect(await eventually { (try? Self.names(gateway, 1)) == ["a"] })
        #expect(try Self.names(gateway, 5) == ["a", "a", "a", "a", "a"])
        await gateway.stop()
    }

    @Test func anOpenCircuitOfOneTargetLeavesTheOthers() async throws {
        let good: Server = try .start("good")
        let bad: Server = try .start("bad", isWell: false)
        let gateway: GatewayUnderTest = try await .start([good.port, bad.port]) { (api: inout APIDefinition) in
            api.upstream.circuitBreaker = CircuitBreakerDefinition(
                requestsMin: 3, window: .seconds(600), openFor: .seconds(600))
        }
        let names: [String] = try Self.names(gateway, 40)
        #expect(names.filter { $0 == "503" }.count == 3)
        #expect(names.filter { $0 == "good" }.count == 37)
        await gateway.stop()
    }

    // MARK: Connections

    @Test func aConnectionEndsAfterItsRequests() async throws {
        let server: Server = try .start("a")
        let gateway: GatewayUnderTest = try await .start([server.port]) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(requestsMax: 3)
        }
        #expect(Set(try Self.names(gateway, 9)) == ["a"])
        #expect(server.upstream.withLock { $0?.connectionCount ?? 0 } == 3)
        #expect(await eventually { gateway.upstreamConnections == 0 })
        await gateway.stop()
    }

    @Test func aConnectionEndsWhenItIsOld() async throws {
        let server: Server = try .start("a")
        let gateway: GatewayUnderTest = try await .start([server.port]) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(ageMax: .milliseconds(300))
        }
        #expect(try Self.names(gateway, 1) == ["a"])
        #expect(await eventually { gateway.upstreamConnections == 0 })
        await gateway.stop()
    }
}
