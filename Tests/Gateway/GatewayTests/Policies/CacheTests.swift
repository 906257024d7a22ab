import Foundation
import GatewayConfiguration
import JSON
import Synchronization
import Testing
import Time

@testable import Gateway

/// RFC 9111 case by case: `Tests/Gateway/Golden/cache/rfc9111.json` says what is asked, what the upstream answers if it is asked at
/// all, and what the client gets. An upstream that is asked although it should not be answers 599.
struct CacheTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let value: JSONValue
        var testDescription: String { "\(self.value["name"]?.text ?? "") (\(self.value["section"]?.text ?? ""))" }
    }

    static let cases: [Case] = {
        let file: URL = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Golden/cache/rfc9111.json")
        let bytes: [UInt8] = (try? Data(contentsOf: file)).map { Array($0) } ?? []
        return ((try? JSONReader.parse(bytes))?.elements ?? []).map { Case(value: $0) }
    }()

    @Test func thereAreCases() { #expect(CacheTests.cases.count > 80) }

    /// `$now`, `$now-60`, `$now+60` are dates.
    private static func text(_ value: String) -> String {
        guard value.hasPrefix("$now") else { return value }
        let now: Int64 = Int64(Date().timeIntervalSince1970)
        let offset: Int64 = Int64(value.dropFirst(4)) ?? 0
        return Timestamp(milliseconds: (now + offset) * 1000).httpDate
    }

    private static func head(_ answer: JSONValue) -> String {
        let body: String = answer["body"]?.text ?? ""
        let status: Int64 = answer["status"]?.integer ?? 200
        var text: String = "HTTP/1.1 \(status) S\r\n"
        for (name, value) in answer["fields"]?.object?.members ?? [] {
            text += "\(name): \(self.text(value.text ?? ""))\r\n"
        }
        if status != 304 { text += "Content-Length: \(body.utf8.count)\r\n" }
        return text + "\r\n" + body
    }

    @Test(arguments: CacheTests.cases) func followsTheRFC(_ sample: Case) async throws {
        let next: Mutexed<[String]> = Mutexed([])
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                var answer: String = "HTTP/1.1 599 Unasked\r\nContent-Length: 0\r\n\r\n"
                next.change { if !$0.isEmpty { answer = $0.removeFirst() } }
                // The head alone to HEAD.
                if request.startLine.hasPrefix("HEAD"), let end: Range<String.Index> = answer.range(of: "\r\n\r\n") {
                    answer = String(answer[..<end.upperBound])
                }
                session.send(answer)
            }
        }
        let policy: String = (sample.value["policy"] ?? .object([:])).jsonText
        let gateway: GatewayUnderTest = try await .start(
            try GatewayDocument.read(
                Array(
                    """
                    {"version": 1, "apis": [{"id": "a", "routes": [{"path": "/*"}], "policies": [{"cache": \(policy)}],
                     "upstream": {"targets": [{"url": "http://127.0.0.1:\(upstream.port)"}]}}]}
                    """.utf8)))
        for step in sample.value["steps"]?.elements ?? [] { try await self.play(step, next, upstream, gateway) }
        #expect(next.value.isEmpty)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    private func play(
        _ step: JSONValue, _ next: Mutexed<[String]>, _ upstream: RawUpstream, _ gateway: GatewayUnderTest
    ) async throws {
        let asked: Int = upstream.requests.count
        if let answer: JSONValue = step["upstream"] ?? step["background"] {
            let text: String = Self.head(answer)
            next.change { $0.append(text) }
        }
        let line: String = step["request"]?.text ?? "GET /"
        var request: String = "\(line) HTTP/1.1\r\n"
        var fields: [(key: String, value: JSONValue)] = step["fields"]?.object?.members ?? []
        if !fields.contains(where: { $0.key == "Host" }) { fields.append((key: "Host", value: .string("a.example"))) }
        for (name, value) in fields { request += "\(name): \(value.text ?? "")\r\n" }
        let expected: JSONValue = try #require(step["expect"])
        let status: Int64 = expected["status"]?.integer ?? 200
        let response: RawMessage = try gateway.exchange(
            request + "\r\n", bodyless: line.hasPrefix("HEAD") || status == 304)
        #expect(response.status == Int(status))
        if let body: String = expected["body"]?.text { #expect(response.text == body) }
        if let word: String = expected["problem"]?.text { #expect(response.text.contains(word)) }
        if let word: String = expected["status-has"]?.text {
            #expect(response.field("cache-status")?.contains(word) == true, "\(response.head)")
        }
        if let length: String = expected["length"]?.text { #expect(response.field("content-length") == length) }
        for (name, value) in expected["fields"]?.object?.members ?? [] { #expect(response.field(name) == value.text) }
        for name in expected["without"]?.elements ?? [] { #expect(response.field(name.text ?? "") == nil) }
        let age: Int64? = response.field("age").flatMap { Int64($0) }
        if let least: Int64 = expected["age-from"]?.integer {
            #expect(age.map { $0 >= least && $0 < least + 300 } == true)
        }
        if let most: Int64 = expected["age-to"]?.integer { #expect(age.map { $0 <= most } == true) }
        if step["background"] != nil {
            #expect(await eventually { upstream.requests.count == asked + 1 })
            // The renewed response is stored a moment after the upstream was asked.
            let entries: CacheStore = gateway.live.cache
            #expect(await eventually { entries.count > 0 && gateway.engine.orphanCount == 0 })
        } else {
            #expect(upstream.requests.count == asked + (step["upstream"] == nil ? 0 : 1))
        }
        for (name, value) in step["asked"]?.object?.members ?? [] {
            #expect(upstream.requests.last?.field(name) == value.text)
        }
    }

    // MARK: More than one at a time

    private func start(
        _ upstream: RawUpstream, workers: Int = 1, _ policy: CachePolicy = CachePolicy(), live: LiveState = LiveState()
    ) async throws -> GatewayUnderTest {
        try await .start([upstream.port], policies: [.cache(policy)], workers: workers, live: live)
    }

    @Test func oneRequestFetchesForMany() async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !goOn.value { usleep(1000) }
                session.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nabc")
            }
        }
        // The others wait for the one as long as the test does, however busy the machine is.
        let live: LiveState = LiveState(stageExtension: nil, cache: CacheStore(patience: 600_000_000_000))
        let gateway: GatewayUnderTest = try await self.start(upstream, workers: 2, live: live)
        var clients: [RawSocket] = []
        for _ in 0..<20 {
            let client: RawSocket = try gateway.connect()
            client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(client)
        }
        #expect(
            await eventually {
                upstream.requests.count == 1 && gateway.live.cache.misses.load(ordering: .relaxed) == 20
            })
        goOn.change { $0 = true }
        for client in clients { #expect(client.receiveMessage().text == "abc") }
        #expect(upstream.requests.count == 1)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// The one that fetches goes away: another one fetches.
    @Test func thoseWhoWaitGoOnWhenTheFirstGoesAway() async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !goOn.value { usleep(1000) }
                session.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nabc")
            }
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let first: RawSocket = try gateway.connect()
        first.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { upstream.requests.count == 1 })
        let second: RawSocket = try gateway.connect()
        second.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { gateway.live.cache.misses.load(ordering: .relaxed) >= 2 })
        first.close(abruptly: true)
        goOn.change { $0 = true }
        #expect(second.receiveMessage().text == "abc")
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func answersStaleWhenTheUpstreamIsGone() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            if session.number == 0 {
                session.send(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=1, stale-if-error=600\r\nAge: 9\r\nETag: \"a\"\r\nContent-Length: 3\r\n\r\nabc"
                )
            }
            session.socket.close()
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        for _ in 0..<3 {
            let response: RawMessage = try gateway.exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(response.status == 200)
            #expect(response.text == "abc")
        }
        await gateway.stop()
        upstream.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func purgesByAddressTagAndAPI() async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: red, blue\r\nContent-Length: 3\r\n\r\nabc")
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let live: LiveState = gateway.live
        func fill() throws {
            for path in ["/1", "/2", "/3"] { _ = try gateway.exchange("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n") }
        }
        try fill()
        #expect(live.cache.count == 3)
        #expect(live.purge(.address(tenant: "default", api: "test", host: "a", target: "/1")) == 1)
        #expect(live.purge(.address(tenant: "other", api: "test", host: "a", target: "/2")) == 0)
        #expect(live.purge(.tag(tenant: "other", "red")) == 0)
        #expect(live.purge(.tag(tenant: "default", "red")) == 2)
        try fill()
        #expect(live.purge(.all(tenant: "default", api: "tes")) == 0)
        #expect(live.purge(.all(tenant: "default", api: "test")) == 3)
        try fill()
        #expect(live.purge(.all(tenant: "default", api: nil)) == 3)
        #expect(live.cache.bytes == 0)
        await gateway.stop()
        upstream.stop()
    }

    @Test func staysWithinItsBytes() {
        let store: CacheStore = CacheStore(bytesMax: 16 << 20)
        for number in 0..<4000 {
            let key: CacheKey = CacheKey(tenant: "t", api: "a", host: [], target: Array("/\(number % 3000)".utf8))
            store.store(
                CacheEntry(
                    key: key, status: 200, fields: FieldLines(), body: [[UInt8](repeating: 0, count: 20_000)],
                    varyNames: [], varyValues: [], lifetime: 60, initialAge: 0, received: 0, control: CacheControl(),
                    tags: [], staleWhileRevalidate: 0, staleIfError: 0))
            #expect(store.bytes <= 16 << 20)
        }
        #expect(store.count > 400)
        #expect(store.evictions.load(ordering: .relaxed) > 1000)
    }
}
