import EventLoops
import GatewayConfiguration
import Glibc
import Synchronization
import Testing

@testable import Gateway

struct LifeTests {
    @Test func finishesWhatIsUnderWayWhenItDrains() async throws {
        let isDraining: Counter = Counter()
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !isDraining.isFinished { usleep(1000) }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let idle: RawSocket = try gateway.connect()
        let busy: RawSocket = try gateway.connect()
        busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { upstream.requests.count == 1 })
        async let drained: Void = gateway.engine.drain(deadline: .seconds(600))
        let response: RawMessage = try await offPool {
            #expect(idle.receiveAll() == "")
            isDraining.finish()
            let response: RawMessage = busy.receiveMessage()
            #expect(busy.receiveAll() == "")
            return response
        }
        #expect(response.status == 200)
        #expect(response.field("connection") == "close")
        await drained
        #expect(gateway.engine.connectionCount == 0)
        #expect(throws: SystemError.self) { try RawSocket(port: gateway.port) }
    }

    /// A gateway that has a successor: who has a connection does not lose the request it sends just then.
    @Test func keepsIdleConnectionsForOneMoreRequest() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil { session.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let used: RawSocket = try gateway.connect()
        let fresh: RawSocket = try gateway.connect()
        #expect(await eventually { gateway.engine.connectionCount == 2 })
        async let drained: Void = gateway.engine.drain(deadline: .seconds(600), idleGrace: .seconds(300))
        try await offPool {
            // No more is accepted: the drain has begun.
            while (try? RawSocket(port: gateway.port)) != nil {}
            for socket in [used, fresh] {
                socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                let response: RawMessage = socket.receiveMessage()
                #expect(response.status == 200)
                #expect(response.field("connection") == "close")
                #expect(socket.receiveAll() == "")
            }
        }
        await drained
    }

    @Test func endsIdleConnectionsAfterTheirGrace() async throws {
        let gateway: GatewayUnderTest = try await .start([1])
        let idle: RawSocket = try gateway.connect()
        #expect(await eventually { gateway.engine.connectionCount == 1 })
        await gateway.engine.drain(deadline: .seconds(600), idleGrace: .milliseconds(50))
        try await offPool { #expect(idle.receiveAll() == "") }
    }

    @Test func takesASnapshotAfterItsEndWithoutWaiting() async throws {
        let gateway: GatewayUnderTest = try await .start([1])
        await gateway.stop()
        await gateway.engine.apply(Snapshot.empty(gateway.live))
    }

    @Test func cutsOffWhatOutlastsTheDeadline() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            _ = session.socket.receive()
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { upstream.requests.count == 1 })
        await gateway.engine.drain(deadline: .milliseconds(100))
        #expect(client.receiveAll() == "")
        #expect(gateway.engine.connectionCount == 0)
    }

    @Test func refusesAPortThatIsTaken() async throws {
        let gateway: GatewayUnderTest = try await .start([9])
        let process: ProcessSettings = ProcessSettings(
            listen: ListenSettings(http: "127.0.0.1:\(gateway.port)"), workers: .fixed(1))
        let second: GatewayEngine = GatewayEngine(process: process, snapshot: .empty(LiveState()))
        await #expect(throws: GatewayEngine.StartError.self) { try await second.start() }
        await second.drain(deadline: .zero)
        await gateway.stop()
    }

    /// While requests run on every loop, the configuration changes again and again: none fails, each sees one version or another.
    @Test func changesTheSnapshotUnderLoad() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        let gateway: GatewayUnderTest = try await .start([upstream.port], workers: 2)
        let failures: Counter = Counter()
        let requests: Counter = Counter()
        let stop: Counter = Counter()
        let finished: Counter = Counter()
        for _ in 0..<4 {
            onThread {
                if let client: RawSocket = try? gateway.connect() {
                    while !stop.isFinished {
                        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                        let response: RawMessage = client.receiveMessage()
                        if response.status != 200 { failures.add(1) }
                        requests.add(1)
                    }
                }
                finished.add(1)
            }
        }
        var previous: Snapshot?
        for version in 0..<200 {
            var api: APIDefinition = APIDefinition(
                id: "test", routes: [RouteDefinition(path: try PathPattern(parsing: "/*"))],
                upstream: UpstreamDefinition(
                    targets: [TargetDefinition(url: try TargetURL(parsing: "http://127.0.0.1:\(upstream.port)"))]))
            api.revision = Int64(version + 1)
            let (snapshot, _): (Snapshot, [Quarantine]) = Snapshot.compile(
                GatewayDocument(apis: [api]), previous: previous, carrying: gateway.live)
            await gateway.engine.apply(snapshot)
            previous = snapshot
        }
        #expect(await eventually { requests.value > 100 })
        stop.finish()
        #expect(await eventually { finished.value == 4 })
        #expect(failures.value == 0)
        // Connections to the target outlive every change.
        #expect(upstream.connectionCount <= 4)
        await gateway.stop()
    }

    @Test func routesOfTheNewSnapshotServeAtOnce() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port], workers: 2)
        await gateway.engine.apply(.empty(gateway.live))
        for _ in 0..<10 {
            #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 404)
        }
        await gateway.stop()
    }

    @Test func idleConnectionsHoldNoBuffers() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        var clients: [RawSocket] = []
        for _ in 0..<200 {
            let client: RawSocket = try gateway.connect()
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.receiveMessage().status == 200)
            clients.append(client)
        }
        #expect(gateway.engine.connectionCount == 200)
        #expect(gateway.engine.blockCount == 0)
        for client in clients { client.close() }
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        await gateway.stop()
    }

    @Test func aClientThatGoesAwayFreesItsUpstream() async throws {
        let ended: Counter = Counter()
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            if session.socket.receive()?.isEmpty ?? true { ended.finish() }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { upstream.requests.count == 1 })
        client.close(abruptly: true)
        #expect(await eventually { ended.isFinished })
        #expect(await eventually { gateway.engine.connectionCount == 0 && gateway.engine.blockCount == 0 })
        await gateway.stop()
    }
}
