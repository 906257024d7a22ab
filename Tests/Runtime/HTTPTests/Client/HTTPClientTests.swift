import Crypto
import EventLoops
import TLS
import Testing

@testable import HTTP

/// The client against our own server.
@Suite struct HTTPClientTests {
    @Sendable private static func describe(_ request: HTTPRequest) async -> HTTPResponse {
        do {
            let body: [UInt8] = try await request.body.collect(max: 64 << 20)
            return .text("\(request.method.name) \(request.target) \(request.fields["host"] ?? "-") \(body.count)")
        } catch {
            return .text(error.description, status: error.status)
        }
    }

    @Test func sendsAndKeepsTheConnection() async throws {
        try await TestServer.with(handler: HTTPClientTests.describe) { server in
            try await TestClient.with { client in
                for number in 0..<20 {
                    let text: String = try await client.text("\(server.url)/\(number)?q=%20")
                    #expect(text == "GET /\(number)?q=%20 \(server.address) 0")
                }
                #expect(server.statistics.connectionsAccepted.current == 1)
                #expect(client.client.connectionsOpen == 1)
                let body: [UInt8] = [UInt8](repeating: 1, count: 3_000_000)
                let text1: String = try await client.text(server.url, method: .post, body: body)
                #expect(text1.hasSuffix(" 3000000"))
                let text2: String = try await client.text(server.url, method: .put)
                #expect(text2.hasSuffix(" 0"))
                let head: HTTPClientResponse = try await client.send(server.url, method: .head)
                #expect(head.status == 200)
                #expect(head.fields["content-length"] != nil)
                #expect(try await head.body.collect(max: 0) == [])
                #expect(server.statistics.connectionsAccepted.current == 1)
            }
        }
    }

    @Test func manyAtOnceShareTheirConnections() async throws {
        var limits: HTTPClientLimits = HTTPClientLimits()
        limits.connectionsPerOriginMax = 3
        try await TestServer.with(handler: HTTPClientTests.describe) { server in
            try await TestClient.with(limits: limits) { client in
                try await withThrowingTaskGroup(of: String.self) { group in
                    for number in 0..<200 { group.addTask { try await client.text("\(server.url)/\(number)") } }
                    var count: Int = 0
                    for try await text in group {
                        #expect(text.hasPrefix("GET /"))
                        count += 1
                    }
                    #expect(count == 200)
                }
                #expect(server.statistics.connectionsAccepted.current <= 3)
            }
        }
    }

    @Test func aFullQueueRefuses() async throws {
        var limits: HTTPClientLimits = HTTPClientLimits()
        limits.connectionsPerOriginMax = 1
        limits.waitingMax = 1
        let go: Latch = Latch()
        try await TestServer.with(handler: { _ in
            await go.wait()
            return .text("x")
        }) { server in
            try await TestClient.with(limits: limits) { client in
                let first: Task<String, any Error> = Task { try await client.text(server.url) }
                #expect(await eventually { server.statistics.requests.current == 1 })
                let impatient: Task<HTTPClientResponse, any Error> = Task {
                    var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
                    timeouts.connect = .milliseconds(50)
                    return try await client.send(server.url, timeouts: timeouts)
                }
                await #expect(throws: HTTPClientError.timedOut(.connect)) { try await impatient.value }
                let second: Task<String, any Error> = Task { try await client.text(server.url) }
                #expect(await eventually { client.client.core.waitingTotal == 1 })
                await #expect(throws: HTTPClientError.overloaded("1 requests wait for a connection already")) {
                    try await client.text(server.url)
                }
                second.cancel()
                await #expect(throws: HTTPClientError.cancelled) { try await second.value }
                #expect(client.client.core.waitingTotal == 0)
                go.open()
                let firstText: String = try await first.value
                #expect(firstText == "x")
            }
        }
    }

    @Test func streamsWithBackPressure() async throws {
        let written: Shared<Int> = Shared(0)
        let block: [UInt8] = [UInt8](repeating: 0x62, count: 64 * 1024)
        let blocks: Int = 800
        try await TestServer.with(handler: { _ in
            HTTPResponse(status: 200) { writer in
                for _ in 0..<blocks {
                    try await writer.write(block)
                    written.update { $0 += block.count }
                }
            }
        }) { server in
            try await TestClient.with { client in
                let response: HTTPClientResponse = try await client.send(server.url)
                // Nobody reads: the client's socket fills up, then the server's, then the producer stops.
                var last: Int = -1
                var still: Int = 0
                while still < 50 {
                    let now: Int = written.current
                    still = now == last && now > 0 ? still + 1 : 0
                    last = now
                    try await Task.sleep(for: .milliseconds(2))
                }
                #expect(last < block.count * blocks)
                var received: Int = 0
                for try await chunk in response.body { received += chunk.count }
                #expect(received == block.count * blocks)
                guard case .stream(let handle) = response.body.storage else {
                    Issue.record("a long body is a stream")
                    return
                }
                #expect(handle.stream.unreadPeak <= HTTPClientLimits().bodyBytesUnreadMax + 64 * 1024)
                let text3: String = try await client.text(server.url)
                #expect(text3.utf8.count == block.count * blocks)
                #expect(server.statistics.connectionsAccepted.current == 1)
            }
        }
    }

    @Test func readsServerSentEventsAsTheyCome() async throws {
        let next: Shared<Int> = Shared(0)
        try await TestServer.with(handler: { _ in
            .events { writer in
                for number in 0..<5 {
                    while next.current < number { try await Task.sleep(for: .milliseconds(1)) }
                    try await writer.send(ServerSentEvent(type: "tick", id: String(number), data: "n\(number)"))
                    try await writer.write(ServerSentEvent.heartbeat)
                }
            }
        }) { server in
            try await TestClient.with { client in
                let response: HTTPClientResponse = try await client.send(
                    server.url, timeouts: .streaming(silence: .seconds(20)))
                var seen: [ServerSentEvent] = []
                for try await event in response.events {
                    seen.append(event)
                    next.update { $0 = seen.count }
                }
                #expect(seen.map { $0.data } == ["n0", "n1", "n2", "n3", "n4"])
                #expect(seen.last == ServerSentEvent(type: "tick", id: "4", data: "n4"))
            }
        }
    }

    @Test func cancellingClosesTheConnection() async throws {
        let ended: Shared<Int> = Shared(0)
        try await TestServer.with(handler: { request in
            defer { ended.update { $0 += 1 } }
            if request.path == "/stream" {
                return HTTPResponse(status: 200) { writer in
                    try await writer.write("x")
                    defer { ended.update { $0 += 1 } }
                    try await Task.sleep(for: .seconds(600))
                }
            }
            try? await Task.sleep(for: .seconds(600))
            return .text("late")
        }) { server in
            try await TestClient.with { client in
                let waiting: Task<String, any Error> = Task { try await client.text(server.url) }
                #expect(await eventually { server.statistics.requests.current == 1 })
                waiting.cancel()
                await #expect(throws: HTTPClientError.cancelled) { try await waiting.value }
                #expect(await eventually { ended.current == 1 })

                let reading: Task<Int, any Error> = Task {
                    var count: Int = 0
                    for try await chunk in try await client.send(server.url + "/stream").body { count += chunk.count }
                    return count
                }
                #expect(await eventually { ended.current == 2 })
                reading.cancel()
                await #expect(throws: HTTPClientError.cancelled) { try await reading.value }
                #expect(await eventually { ended.current == 3 })
                #expect(await eventually { client.client.connectionsOpen == 0 })
            }
        }
    }

    @Test func lettingGoOfABodyClosesTheConnection() async throws {
        try await TestServer.with(handler: { _ in
            HTTPResponse(status: 200) { writer in
                while true { try await writer.write([UInt8](repeating: 0, count: 10_000)) }
            }
        }) { server in
            try await TestClient.with { client in
                var response: HTTPClientResponse? = try await client.send(server.url)
                #expect(response?.status == 200)
                #expect(client.client.connectionsOpen == 1)
                response = nil
                #expect(await eventually { client.client.connectionsOpen == 0 })
                await #expect(throws: HTTPClientError.bodyTooLarge(limit: 1_000)) {
                    try await client.send(server.url).body.collect(max: 1_000)
                }
                #expect(await eventually { client.client.connectionsOpen == 0 })
                #expect(await eventually { server.statistics.connectionsOpen.current == 0 })
            }
        }
    }

    @Test func speaksTLSAndChecksWhoAnswers() async throws {
        let certificates: TestCertificates = try TestCertificates.shared.get()
        try await TestServer.with(
            tls: try certificates.serverContext(asking: true),
            handler: { request in
                .text(
                    "\(request.isSecure) \(request.clientCertificate?.commonName ?? "nobody") \(request.fields["host"] ?? "")"
                )
            }
        ) { server in
            let port: UInt16 = server.address.port
            try await TestClient.with(tls: try certificates.clientContext(showing: true)) { client in
                for _ in 0..<3 {
                    let text4: String = try await client.text("https://localhost:\(port)/")
                    #expect(text4 == "true alice localhost:\(port)")
                }
                let text5: String = try await client.text("https://127.0.0.1:\(port)/")
                #expect(text5 == "true alice 127.0.0.1:\(port)")
                #expect(server.statistics.connectionsAccepted.current == 2)
            }
            let resolver: FixedResolver = FixedResolver([SocketAddress.loopback(port: 0)])
            try await TestClient.with(tls: try certificates.clientContext(), resolver: resolver) { client in
                let text6: String = try await client.text("https://localhost:\(port)/")
                #expect(text6.hasPrefix("true nobody"))
                let error: HTTPClientError? = await #expect(throws: HTTPClientError.self) {
                    try await client.text("https://other.example:\(port)/")
                }
                guard case .tls(let reason) = error else {
                    Issue.record("expected a refused certificate, not \(String(describing: error))")
                    return
                }
                #expect(reason.contains("certificate"))
            }
            let system: HTTPClientError? = try await self.failureWithSystemTrust(port)
            guard case .tls = system else {
                Issue.record("expected an untrusted certificate, not \(String(describing: system))")
                return
            }
        }
    }

    private func failureWithSystemTrust(_ port: UInt16) async throws -> HTTPClientError? {
        let failure: Shared<HTTPClientError?> = Shared(nil)
        try await TestClient.with(tls: try .client(.init())) { client in
            do throws(HTTPClientError) {
                guard let url: URLParts = URLParts("https://localhost:\(port)/") else { return }
                _ = try await client.client.send(HTTPClientRequest(url: url))
            } catch {
                failure.update { $0 = error }
            }
        }
        return failure.current
    }

    @Test func shuttingDownFailsWhatIsInFlight() async throws {
        try await TestServer.with(handler: { _ in
            try? await Task.sleep(for: .seconds(600))
            return .text("late")
        }) { server in
            try await TestClient.with { client in
                let waiting: Task<String, any Error> = Task { try await client.text(server.url) }
                #expect(await eventually { server.statistics.requests.current == 1 })
                client.client.shutdown()
                await #expect(throws: HTTPClientError.shutDown) { try await waiting.value }
                await #expect(throws: HTTPClientError.shutDown) { try await client.text(server.url) }
                #expect(await eventually { client.client.connectionsOpen == 0 })
            }
        }
    }

    @Test(arguments: [
        ("host", "evil", HTTPMethod.get), ("Content-Length", "3", .get), ("connection", "close", .get),
        ("x", "a\r\nb: c", .get), ("a b", "c", .get), ("x", "y", .connect), ("x", "y", .other("A B")),
        ("x", "y", .other("")),
    ])
    func refusesWhatCannotBeSent(name: String, value: String, method: HTTPMethod) async throws {
        try await TestClient.with { client in
            let error: HTTPClientError? = await #expect(throws: HTTPClientError.self) {
                try await client.send("http://127.0.0.1:1/", method: method, fields: [name: value])
            }
            guard case .invalidRequest(let detail) = error else {
                Issue.record("expected invalidRequest")
                return
            }
            #expect(!detail.contains("\n"))
        }
    }

    @Test func httpsNeedsASetUp() async throws {
        try await TestClient.with { client in
            await #expect(throws: HTTPClientError.invalidRequest("this client is not set up for https")) {
                try await client.send("https://127.0.0.1:1/")
            }
        }
    }
}

/// Answers every name with the same addresses, with the port asked for.
struct FixedResolver: NameResolver {
    let addresses: [SocketAddress]

    init(_ addresses: [SocketAddress]) {
        self.addresses = addresses
    }

    func resolve(host: String, port: UInt16, completion: @escaping @Sendable (Resolution) -> Void) -> Bool {
        completion(.addresses(self.addresses.map { $0.with(port: port) }))
        return true
    }
}
