import EventLoops
import HTTP
import JSON
import Synchronization
import TLS
import TestKit
import Testing

@testable import Identity

/// Names whose addresses a test chooses, one answer after the other: what an attacker's name server does.
private final class ChosenAddresses: NameResolver {
    private let answers: Mutex<[String]>

    init(_ answers: [String]) { self.answers = Mutex(answers) }

    func resolve(host: String, port: UInt16, completion: @escaping @Sendable (Resolution) -> Void) -> Bool {
        let text: String = self.answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
        completion(SocketAddress(host: text[...], port: port).map { .addresses([$0]) } ?? .failed("no address"))
        return true
    }
}

struct OutgoingCallsTests {
    private static func calls(_ answers: [String], allowed: [String] = []) throws -> HTTPOutgoingCalls {
        let rules: EgressRules = EgressRules(allowed: allowed.compactMap { AddressRange($0) })
        return HTTPOutgoingCalls(
            group: EventLoopGroup(count: 1, name: "test"), tls: try TLSContext.client(TLSClientConfiguration()),
            egress: { rules.verdict($0) }, resolver: ChosenAddresses(answers),
            timeout: .seconds(600))
    }

    /// A server on this machine that counts who asks.
    private static func server() throws -> (server: HTTPServer, port: UInt16, asked: Mutexed) {
        let asked: Mutexed = Mutexed()
        let address: SocketAddress = try #require(SocketAddress("127.0.0.1:0"))
        let server: HTTPServer = HTTPServer(
            configuration: HTTPServerConfiguration(address: address), group: EventLoopGroup(count: 1, name: "server")
        ) { request in
            asked.count.withLock { $0 += 1 }
            var fields: HTTPFields = HTTPFields()
            if request.path == "/away" { fields.append("Location", "http://169.254.169.254/latest") }
            return HTTPResponse(
                status: request.path == "/away" ? 302 : 200, fields: fields, body: .bytes([0x7B, 0x7D]))
        }
        return (server, try server.start().port, asked)
    }

    final class Mutexed: Sendable {
        let count: Mutex<Int> = Mutex(0)
    }

    @Test(arguments: [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "::",
        "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1",
    ])
    func aPublicNameWithAnAddressWithinIsNotCalled(address: String) async throws {
        let (server, port, asked) = try Self.server()
        let url: URLParts = try #require(URLParts("http://public.example:\(port)/"))
        let calls: HTTPOutgoingCalls = try Self.calls([address])
        await #expect(throws: OutgoingCallError.self) {
            _ = try await calls.send(HTTPClientRequest(url: url), bytesMax: 100)
        }
        #expect(asked.count.withLock { $0 } == 0)
        await server.drain(deadline: .seconds(5))
    }

    @Test func aNameThatChangesItsAddressIsJudgedByTheOneConnectedTo() async throws {
        let (server, port, asked) = try Self.server()
        let url: URLParts = try #require(URLParts("http://rebinding.example:\(port)/"))
        let calls: HTTPOutgoingCalls = try Self.calls(["127.0.0.1", "127.0.0.2"], allowed: ["127.0.0.1/32"])
        #expect(try await calls.send(HTTPClientRequest(url: url), bytesMax: 100).status == 200)
        let other: URLParts = try #require(URLParts("http://again.example:\(port)/"))
        await #expect(throws: OutgoingCallError.self, "the second answer is another address") {
            _ = try await calls.send(HTTPClientRequest(url: other), bytesMax: 100)
        }
        #expect(asked.count.withLock { $0 } == 1)
        await server.drain(deadline: .seconds(5))
    }

    @Test func redirectsAreNotFollowedAndLongAnswersNotRead() async throws {
        let (server, port, asked) = try Self.server()
        let calls: HTTPOutgoingCalls = try Self.calls(["127.0.0.1"], allowed: ["127.0.0.0/8"])
        let away: URLParts = try #require(URLParts("http://provider.example:\(port)/away"))
        #expect(try await calls.send(HTTPClientRequest(url: away), bytesMax: 100).status == 302)
        let url: URLParts = try #require(URLParts("http://provider.example:\(port)/"))
        await #expect(throws: OutgoingCallError.self) {
            _ = try await calls.send(HTTPClientRequest(url: url), bytesMax: 1)
        }
        #expect(asked.count.withLock { $0 } == 2)
        await server.drain(deadline: .seconds(5))
    }
}
