import EventLoops
import Synchronization
import TestKit
import Testing

@testable import HTTP

/// Calls to servers that die, come back, or say that they are not well.
@Suite struct GuardedClientTests {
    /// Answers with the given statuses, then with the last of them for ever, and counts.
    private final class Script: Sendable {
        private let statuses: Mutex<[Int]>
        let asked: Mutex<Int> = Mutex(0)

        init(_ statuses: [Int]) { self.statuses = Mutex(statuses) }

        func say(_ status: Int) { self.statuses.withLock { $0 = [status] } }

        func respond() -> HTTPResponse {
            self.asked.withLock { $0 += 1 }
            let status: Int = self.statuses.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
            return HTTPResponse(status: status, fields: HTTPFields(), body: .bytes(Array("x".utf8)))
        }
    }

    private static func with(
        _ script: Script, _ body: (GuardedClient, _ url: String) async throws -> Void
    ) async throws {
        try await TestServer.with(handler: { _ in script.respond() }) { server in
            try await TestClient.with { try await body(GuardedClient($0.client), server.url) }
        }
    }

    private static func request(_ url: String, _ method: HTTPMethod = .get) throws -> HTTPClientRequest {
        HTTPClientRequest(method: method, url: try URLParts.parse(url), body: method == .post ? [1] : [])
    }

    @Test(arguments: [
        ([503, 502, 200], HTTPMethod.get, nil, 200, 3), ([503, 503, 504, 200], .get, nil, 504, 3),
        ([503, 200], .post, nil, 503, 1), ([503, 200], .post, true, 200, 2), ([503, 200], .get, false, 503, 1),
        ([500, 200], .get, nil, 500, 1), ([429, 200], .get, nil, 429, 1), ([204], .delete, nil, 204, 1),
    ])
    func repeatsWhatIsHarmlessAFewTimes(
        statuses: [Int], method: HTTPMethod, mayRepeat: Bool?, status: Int, asked: Int
    ) async throws {
        let script: Script = Script(statuses)
        try await Self.with(script) { client, url in
            let answer: GuardedClient.Answer = try await client.send(
                try Self.request(url, method), bytesMax: 10, mayRepeat: mayRepeat)
            #expect(answer.status == status)
            #expect(script.asked.withLock { $0 } == asked)
        }
    }

    @Test func asksNoMoreOfAServerThatFailsAndGoesOnWhenItIsBack() async throws {
        let script: Script = Script([503])
        try await Self.with(script) { client, url in
            let request: HTTPClientRequest = try Self.request(url, .post)
            try await eventually("the circuit opens") {
                do throws(HTTPClientError) {
                    _ = try await client.send(request, bytesMax: 10)
                    return false
                } catch {
                    guard case .circuitOpen = error else { throw error }
                    return true
                }
            }
            #expect(script.asked.withLock { $0 } >= CircuitBreaker.failuresMax)
            #expect(client.failing.map(\.isOpen) == [true])
            script.say(200)
            try await eventually("it is asked again") {
                (try? await client.send(request, bytesMax: 10))?.status == 200
            }
            #expect(client.failing.isEmpty)
            #expect(try await client.send(request, bytesMax: 10).status == 200)
        }
    }

    @Test func aServerThatIsGoneCountsAndOthersGoOn() async throws {
        let script: Script = Script([200])
        try await Self.with(script) { client, url in
            // No program gets port 1 by chance.
            let gone: HTTPClientRequest = try Self.request("http://127.0.0.1:1/")
            try await eventually("the circuit opens") {
                do throws(HTTPClientError) {
                    _ = try await client.send(gone, bytesMax: 10)
                    return false
                } catch {
                    if case .circuitOpen(let server, let seconds) = error {
                        return server == "127.0.0.1:1" && seconds >= 1
                    }
                    return false
                }
            }
            #expect(try await client.send(try Self.request(url), bytesMax: 10).status == 200)
            #expect(client.failing.map(\.server) == ["127.0.0.1:1"])
        }
    }

    @Test func whatWeDoWrongOurselvesSaysNothingAboutTheServer() async throws {
        let script: Script = Script([200])
        try await Self.with(script) { client, url in
            for _ in 0..<(2 * CircuitBreaker.failuresMax) {
                await #expect(throws: HTTPClientError.bodyTooLarge(limit: 0)) {
                    _ = try await client.send(try Self.request(url), bytesMax: 0)
                }
            }
            #expect(client.failing.isEmpty)
        }
    }
}
