import EventLoops
import Synchronization
import Testing

@testable import HTTP

@Suite struct EgressTests {
    @Test(arguments: [
        "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
    ])
    func addressesThatAreNotPublicAreRefused(host: String) throws {
        let address: SocketAddress = try #require(SocketAddress(host: host, port: 80))
        guard case .refuse(let reason) = EgressRules().verdict(address) else {
            Issue.record("\(host) should be refused")
            return
        }
        #expect(reason.contains("address") || reason.contains("protocol"))
    }

    /// One's own servers stand at private addresses; credentials of machines and addresses of nobody are no servers.
    @Test(
        arguments: [
            ("127.0.0.1", true), ("::1", true), ("10.0.0.1", true), ("172.31.0.1", true), ("192.168.1.1", true),
            ("100.64.0.1", true), ("fd00::1", true), ("::ffff:10.0.0.1", true), ("8.8.8.8", true),
            ("169.254.169.254", false), ("::ffff:169.254.169.254", false), ("fe80::1", false), ("0.0.0.0", false),
            ("::", false), ("224.0.0.1", false), ("240.0.0.1", false), ("100.100.100.200", false),
            ("168.63.129.16", false), ("fd00:ec2::254", false), ("64:ff9b:1::1", false), ("192.0.0.192", false),
        ])
    func privateAddressesCanBeAllowedWithoutTheRest(host: String, isAllowed: Bool) throws {
        let address: SocketAddress = try #require(SocketAddress(host: host, port: 80))
        #expect((EgressRules(allowsPrivate: true).verdict(address) == .allow) == isAllowed)
        #expect((EgressRules().verdict(address) == .allow) == (host == "8.8.8.8"))
    }

    @Test(arguments: ["8.8.8.8", "172.32.0.1", "100.63.255.255", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
    func publicAddressesAreAllowed(host: String) throws {
        #expect(EgressRules().verdict(try #require(SocketAddress(host: host, port: 80))) == .allow)
    }

    @Test func whatIsAllowedIsAllowedInEveryForm() throws {
        let rules: EgressRules = EgressRules(allowed: [try #require(AddressRange("127.0.0.0/8"))])
        for host in ["127.0.0.1", "127.255.0.1", "::ffff:127.0.0.1"] {
            #expect(rules.verdict(try #require(SocketAddress(host: host, port: 1))) == .allow)
        }
        #expect(rules.verdict(try #require(SocketAddress(host: "10.0.0.1", port: 1))) != .allow)
        #expect(rules.verdict(try #require(SocketAddress(host: "::1", port: 1))) != .allow)
    }

    @Test(arguments: [
        "", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/-1", "10.0.0.0/08", "x/8", "10.0.0.0/8/8", "::1/129", "10.0.0.0/",
    ])
    func rangesAreReadStrictly(text: String) {
        #expect(AddressRange(text) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.1.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "1.2.3.4", true),
        ("1.2.3.4", "1.2.3.4", true), ("1.2.3.4", "1.2.3.5", false), ("fe80::/10", "febf::1", true),
        ("fe80::/10", "fec0::1", false),
        ("0.0.0.0/0", "::1", false),
    ])
    func rangesContain(range: String, host: String, isInside: Bool) throws {
        let address: SocketAddress = try #require(SocketAddress(host: host, port: 0))
        #expect(try #require(AddressRange(range)).contains(address) == isInside)
    }

    /// Gives another answer each time, as a name under attack does.
    private final class RebindingResolver: NameResolver {
        private let answers: Mutex<[[SocketAddress]]>

        init(_ answers: [[SocketAddress]]) {
            self.answers = Mutex(answers)
        }

        func resolve(host: String, port: UInt16, completion: @escaping @Sendable (Resolution) -> Void) -> Bool {
            let next: [SocketAddress] = self.answers.withLock { $0.isEmpty ? [] : $0.removeFirst() }
            completion(.addresses(next.map { $0.with(port: port) }))
            return true
        }
    }

    @Test func whatIsJudgedIsWhatIsConnectedTo() async throws {
        let asked: Shared<[SocketAddress]> = Shared([])
        let loopback: SocketAddress = SocketAddress.loopback(port: 0)
        let other: SocketAddress = SocketAddress(v4: 127, 0, 0, 2, port: 0)
        let resolver: RebindingResolver = RebindingResolver([[loopback], [other], [other, loopback], [other, other]])
        let egress: @Sendable (SocketAddress) -> EgressVerdict = { address in
            asked.update { $0.append(address) }
            return address.host == "127.0.0.2" ? .refuse("not that one") : .allow
        }
        try await TestServer.with(handler: { request in
            HTTPResponse(status: 200, fields: ["connection": "close"], body: .bytes(Array(request.path.utf8)))
        }) { server in
            let port: UInt16 = server.address.port
            var limits: HTTPClientLimits = HTTPClientLimits()
            limits.idle = .zero
            try await TestClient.with(resolver: resolver, limits: limits, egress: egress) { client in
                let text1: String = try await client.text("http://name.test:\(port)/1")
                #expect(text1 == "/1")
                #expect(await eventually { client.client.connectionsOpen == 0 })
                await #expect(
                    throws: HTTPClientError.forbidden(address: other.with(port: port), reason: "not that one")
                ) {
                    try await client.text("http://name.test:\(port)/2")
                }
                let text2: String = try await client.text("http://name.test:\(port)/3")
                #expect(text2 == "/3")
                #expect(await eventually { client.client.connectionsOpen == 0 })
                await #expect(throws: HTTPClientError.self) { try await client.text("http://name.test:\(port)/4") }
                await #expect(
                    throws: HTTPClientError.forbidden(address: other.with(port: port), reason: "not that one")
                ) {
                    try await client.text("http://127.0.0.2:\(port)/5")
                }
            }
            #expect(
                asked.current.map { $0.host } == [
                    "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.2",
                ])
            #expect(asked.current.allSatisfy { $0.port == port })
        }
    }

    @Test func triesTheNextAddressWhenOneRefuses() async throws {
        // Port 1 of 127.0.0.3 has no listener; the server listens on 127.0.0.1 only.
        let resolver: FixedResolver = FixedResolver([
            SocketAddress(v4: 127, 0, 0, 3, port: 0), SocketAddress.loopback(port: 0),
        ])
        try await TestServer.with(handler: { _ in .text("here") }) { server in
            try await TestClient.with(resolver: resolver) { client in
                let text3: String = try await client.text("http://name.test:\(server.address.port)/")
                #expect(text3 == "here")
            }
        }
    }

    @Test func nobodyListening() async throws {
        let address: SocketAddress = try RawServer().address
        try await TestClient.with { client in
            let error: HTTPClientError? = await #expect(throws: HTTPClientError.self) {
                try await client.text("http://\(address)/")
            }
            guard case .connectFailed = error else {
                Issue.record("expected connectFailed, not \(String(describing: error))")
                return
            }
            #expect(error?.isTransient == true)
        }
    }
}

@Suite struct NameResolverTests {
    @Test func theSystemKnowsThisMachine() async {
        let resolver: SystemResolver = SystemResolver()
        let resolution: Resolution = await withCheckedContinuation { continuation in
            let isTaken: Bool = resolver.resolve(host: "localhost", port: 7) { continuation.resume(returning: $0) }
            #expect(isTaken)
        }
        guard case .addresses(let addresses) = resolution else {
            Issue.record("localhost has no address: \(resolution)")
            return
        }
        #expect(addresses.allSatisfy { $0.port == 7 && ["127.0.0.1", "::1"].contains($0.host) })
        #expect(Set(addresses).count == addresses.count)
    }

    @Test func unknownNamesFail() async throws {
        try await TestClient.with { client in
            let error: HTTPClientError? = await #expect(throws: HTTPClientError.self) {
                try await client.text("http://no-such-name.invalid/")
            }
            guard case .unresolved(let host, _) = error else {
                Issue.record("expected unresolved, not \(String(describing: error))")
                return
            }
            #expect(host == "no-such-name.invalid")
        }
    }

    /// Never answers.
    private struct SilentResolver: NameResolver {
        func resolve(host: String, port: UInt16, completion: @escaping @Sendable (Resolution) -> Void) -> Bool {
            host != "full.test"
        }
    }

    @Test func aSlowResolverRunsOutOfTimeAndAFullOneRefuses() async throws {
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        timeouts.connect = .milliseconds(50)
        try await TestClient.with(resolver: SilentResolver(), timeouts: timeouts) { client in
            await #expect(throws: HTTPClientError.timedOut(.connect)) { try await client.text("http://slow.test/") }
            await #expect(throws: HTTPClientError.overloaded("too many names wait to be resolved")) {
                try await client.text("http://full.test/")
            }
            #expect(await eventually { client.client.connectionsOpen == 0 })
        }
    }
}
