import EventLoops
import Files
import GatewayConfiguration
import Glibc
import HTTP
import JSON
import Synchronization
import Telemetry
import Testing
import Time

@testable import Gateway

/// Keeps records for a test, with their names.
private final class RecordKeeper: RecordSink {
    struct Entry: Sendable {
        let record: RequestRecord
        let route: Identity
        let target: Identity
        let application: Identity
    }

    private let entries: Mutex<[Entry]> = Mutex([])

    func receive(_ batch: RecordBatch) {
        self.entries.withLock { (entries: inout [Entry]) in
            for record in batch.records {
                entries.append(
                    Entry(
                        record: record, route: batch.identity(record.route), target: batch.identity(record.target),
                        application: batch.identity(record.application)))
            }
        }
    }

    var all: [Entry] { self.entries.withLock { $0 } }
}

struct RecordTests {
    private static func send(_ port: UInt16, _ text: String) throws -> RawMessage {
        let client: RawSocket = try RawSocket(port: port)
        client.send(text)
        return client.receiveMessage()
    }

    @Test func writesOneRecordForEveryRequest() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 201 Made\r\nContent-Length: 5\r\n\r\nhello")
        let live: LiveState = LiveState()
        var document: GatewayDocument = try GatewayUnderTest.document([upstream.port])
        document.apis[0].routes = [RouteDefinition(id: "all", path: try PathPattern(parsing: "/a/*"))]
        let log: String = "/tmp/passerelle-access-\(getpid())-\(upstream.port).log"
        defer { unlink(log) }
        let keeper: RecordKeeper = RecordKeeper()
        let metrics: MetricRegistry = MetricRegistry()
        let engine: GatewayEngine = GatewayEngine(
            process: ProcessSettings(
                listen: ListenSettings(http: "127.0.0.1:0"), workers: .fixed(1),
                telemetry: TelemetrySettings(accessLog: .file(log))),
            snapshot: Snapshot.compile(document, previous: nil, carrying: live).snapshot,
            engine: .patient, observation: GatewayEngine.Observation(live: live, metrics: metrics, sinks: [keeper]))
        let port: UInt16 = try #require(try await engine.start().http).port
        let body: String = "Content-Length: 3\r\n\r\nabc"
        #expect(try Self.send(port, "POST /a/secret?key=hidden HTTP/1.1\r\nHost: a\r\n\(body)").status == 201)
        #expect(try Self.send(port, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n").status == 404)
        #expect(try Self.send(port, "BROKEN\r\n\r\n").status == 400)
        upstream.stop()
        #expect(await eventually { keeper.all.count == 3 })
        await engine.drain(deadline: .milliseconds(500))
        let entries: [RecordKeeper.Entry] = keeper.all
        #expect(entries.map { $0.record.status } == [201, 404, 400])
        #expect(entries.map { $0.record.reason } == [.none, .noRoute, .badRequest])
        #expect(entries[0].record.method == .post)
        #expect(entries[0].record.bytesIn == 3)
        #expect(entries[0].record.bytesOut == 45)
        #expect(entries[0].route.detail == "all")
        #expect(entries[0].target.detail.contains(":\(upstream.port)"))
        #expect(entries[0].record.client == IPAddress(ipv4: 0x7F00_0001))
        #expect(abs(entries[0].record.started / 1_000_000_000 - Int64(time(nil))) < 60)
        #expect(entries[1].route == .none)
        let lines: [UInt8] = try Files.read(log, bytesMax: 1 << 20)
        let text: String = String(decoding: lines, as: UTF8.self)
        #expect(text.split(separator: "\n").count == 3)
        #expect(text.contains("\"path\":\"/a/secret\""))
        #expect(!text.contains("hidden"))
        let scraped: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(scraped.contains("passerelle_gateway_connections_accepted_total 3"))
    }

    /// Two ways of authentication, and a request with credentials for both: one has expired, the other lets its caller in. What the
    /// first belongs to is not whose request it is. A request that is refused as a whole is on record as that application.
    @Test func aCredentialThatWasRefusedLendsItsApplicationToNobody() async throws {
        let upstream: RawUpstream = try .echoing()
        let server: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{\"active\":true,\"sub\":\"alice\"}")
        var introspection: IntrospectionPolicy = IntrospectionPolicy(
            endpoint: "http://127.0.0.1:\(server.port)/introspect", clientID: "gateway", clientSecret: "s")
        introspection.timeout = .seconds(600)
        var document: GatewayDocument = try GatewayUnderTest.document(
            [upstream.port],
            policies: [
                try SampleIssuer.policy { $0.header = "x-token" }, .introspection(introspection),
                .identityHeaders(IdentityHeadersPolicy(fields: [.init(name: "x-app", source: .application)])),
            ])
        let ended: Timestamp = Timestamp(milliseconds: 1_000)
        document.applications = [
            ApplicationDefinition(
                id: "old", credentials: [CredentialDefinition(kind: .client(id: "old"), expires: ended)],
                subscriptions: [SubscriptionDefinition(api: "test")]),
            ApplicationDefinition(
                id: "shop", credentials: [CredentialDefinition(kind: .client(id: "shop"))],
                subscriptions: [SubscriptionDefinition(api: "test")]),
        ]
        let live: LiveState = LiveState()
        let keeper: RecordKeeper = RecordKeeper()
        let engine: GatewayEngine = GatewayEngine(
            process: ProcessSettings(listen: ListenSettings(http: "127.0.0.1:0"), workers: .fixed(1)),
            snapshot: Snapshot.compile(document, previous: nil, carrying: live).snapshot, engine: .patient,
            observation: GatewayEngine.Observation(live: live, metrics: nil, sinks: [keeper]))
        let port: UInt16 = try #require(try await engine.start().http).port
        func send(_ client: String, alsoOpaque: Bool) async throws -> RawMessage {
            let token: String = "X-Token: \(try SampleIssuer.token(["client_id": .string(client)]))\r\n"
            let opaque: String = alsoOpaque ? "Authorization: Bearer opaque\r\n" : ""
            return try await offPool { try Self.send(port, "GET / HTTP/1.1\r\nHost: a\r\n\(token)\(opaque)\r\n") }
        }
        let both: RawMessage = try await send("old", alsoOpaque: true)
        #expect(both.status == 200)
        #expect(!both.text.lowercased().contains("x-app:"))
        #expect(try await send("old", alsoOpaque: false).status == 401)
        let shop: RawMessage = try await send("shop", alsoOpaque: true)
        #expect(shop.status == 200)
        #expect(shop.text.lowercased().contains("x-app: shop"))
        #expect(await eventually { keeper.all.count == 3 })
        #expect(keeper.all.map(\.application.detail) == ["", "old", "shop"])
        #expect(keeper.all.map(\.record.status) == [200, 401, 200])
        await engine.drain(deadline: .milliseconds(500))
    }

    /// Also what ends without an answer is on record.
    @Test func recordsClientsThatGiveUp() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            _ = session.socket.receive()
        }
        let live: LiveState = LiveState()
        let keeper: RecordKeeper = RecordKeeper()
        let engine: GatewayEngine = GatewayEngine(
            process: ProcessSettings(listen: ListenSettings(http: "127.0.0.1:0"), workers: .fixed(1)),
            snapshot: Snapshot.compile(try GatewayUnderTest.document([upstream.port]), previous: nil, carrying: live)
                .snapshot,
            observation: GatewayEngine.Observation(live: live, metrics: nil, sinks: [keeper]))
        let client: RawSocket = try RawSocket(port: try #require(try await engine.start().http).port)
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { upstream.requests.count == 1 })
        client.close(abruptly: true)
        #expect(await eventually { keeper.all.count == 1 })
        #expect(keeper.all.first?.record.status == 499)
        #expect(keeper.all.first?.record.reason == .clientClosed)
        await engine.drain(deadline: .zero)
    }
}
