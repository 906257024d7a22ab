import EventLoops
import GatewayConfiguration
import Glibc
import Synchronization
import Testing

@testable import Gateway

/// Targets by name, asked of a real DNS server.
@Suite(.enabled(if: NameServer.path != nil, "dnsmasq is not installed"))
struct NameTests {
    private static let get: String = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    private static func server(_ name: String, on address: SocketAddress = .loopback(port: 0)) throws -> RawUpstream {
        try RawUpstream(on: address) { (session: RawUpstream.Session) in
            while session.request() != nil {
                session.send("HTTP/1.1 200 OK\r\nContent-Length: \(name.utf8.count)\r\n\r\n\(name)")
            }
        }
    }

    private static func gateway(
        _ names: NameServer, _ port: UInt16, service: String? = nil, change: (inout APIDefinition) -> Void = { _ in }
    ) async throws -> GatewayUnderTest {
        let target: TargetDefinition = TargetDefinition(
            url: try TargetURL(parsing: "http://shop.test:\(port)"), service: service)
        let settings: DNSSettings = DNSSettings(servers: [names.address], timeoutSeconds: 1, attempts: 1)
        return try await .start([port], dns: settings) { (api: inout APIDefinition) in
            api.upstream.targets = [target]
            api.upstream.passiveHealth = PassiveHealth(failures: 1000)
            change(&api)
        }
    }

    /// Waits until the name was looked up after this call, and once more began to be.
    private static func lookedUpAgain(_ gateway: GatewayUnderTest) async {
        let book: AddressBook = gateway.engine.book
        let before: UInt64 = book.lookups.load(ordering: .relaxed)
        #expect(await eventually { book.lookups.load(ordering: .relaxed) >= before + 1 })
        #expect(await eventually { book.lookups.load(ordering: .relaxed) >= before + 2 })
    }

    private static func answer(_ gateway: GatewayUnderTest) -> String {
        guard let message: RawMessage = try? gateway.exchange(Self.get) else { return "" }
        return message.status == 200 ? message.text : "\(message.status)"
    }

    /// The name moves: connections to the old address end, also those that were kept.
    @Test func aNameThatMovesIsFollowed() async throws {
        let old: RawUpstream = try Self.server("old")
        let new: RawUpstream = try Self.server("new", on: SocketAddress(v4: 127, 0, 0, 2, port: old.port))
        let names: NameServer = try NameServer("127.0.0.1 shop.test\n")
        let gateway: GatewayUnderTest = try await Self.gateway(names, old.port)
        #expect(Self.answer(gateway) == "old")
        #expect(old.requests[0].field("host") == "shop.test:\(old.port)")
        #expect(gateway.upstreamConnections == 1)
        try names.set("127.0.0.2 shop.test\n")
        #expect(await eventually { gateway.upstreamConnections == 0 }, "the kept connection is closed by itself")
        #expect(Self.answer(gateway) == "new")
        // The server of names goes away, or forgets: who answered last still does.
        try names.set("\n")
        await Self.lookedUpAgain(gateway)
        #expect(Self.answer(gateway) == "new")
        names.stop()
        let book: AddressBook = gateway.engine.book
        #expect(await eventually { book.failures.load(ordering: .relaxed) > 0 })
        #expect(Self.answer(gateway) == "new")
        #expect(new.requests.count == 3)
        await gateway.stop()
    }

    @Test func aNameThatComesLaterIsFound() async throws {
        let upstream: RawUpstream = try Self.server("a")
        let names: NameServer = try NameServer("\n")
        let gateway: GatewayUnderTest = try await Self.gateway(names, upstream.port)
        #expect(Self.answer(gateway) == "502")
        try names.set("127.0.0.1 shop.test\n")
        #expect(await eventually { Self.answer(gateway) == "a" })
        await gateway.stop()
    }

    @Test func allAddressesGetTheirTurn() async throws {
        let first: RawUpstream = try Self.server("1")
        let second: RawUpstream = try Self.server("2", on: SocketAddress(v4: 127, 0, 0, 2, port: first.port))
        let names: NameServer = try NameServer("127.0.0.1 shop.test\n127.0.0.2 shop.test\n")
        let gateway: GatewayUnderTest = try await Self.gateway(names, first.port) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(idleMax: 0)
        }
        for _ in 0..<20 { _ = Self.answer(gateway) }
        #expect(first.requests.count == 10 && second.requests.count == 10)
        await gateway.stop()
    }

    /// Nobody listens at the address of version 6: the other one is used without a failed request.
    @Test func addressesOfBothFamiliesAreTried() async throws {
        let upstream: RawUpstream = try Self.server("four")
        let names: NameServer = try NameServer("::1 shop.test\n127.0.0.1 shop.test\n")
        let gateway: GatewayUnderTest = try await Self.gateway(names, upstream.port) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(idleMax: 0)
        }
        for _ in 0..<10 { #expect(Self.answer(gateway) == "four") }
        await gateway.stop()
    }

    /// At the address of version 6 connections are never taken: after a moment the other one gets its chance.
    @Test func aSlowFamilyIsOvertaken() async throws {
        let upstream: RawUpstream = try Self.server("four")
        guard let full: FullListener = FullListener(port: upstream.port) else { return }
        let names: NameServer = try NameServer("::1 shop.test\n127.0.0.1 shop.test\n")
        let gateway: GatewayUnderTest = try await Self.gateway(names, upstream.port) { (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(idleMax: 0)
        }
        for _ in 0..<10 { #expect(Self.answer(gateway) == "four") }
        #expect(await eventually { gateway.upstreamConnections == 0 })
        await gateway.stop()
        full.close()
    }

    @Test func servicesAreChosenByPriorityAndWeight() async throws {
        let heavy: RawUpstream = try Self.server("heavy")
        let light: RawUpstream = try Self.server("light")
        let backup: RawUpstream = try Self.server("backup")
        let names: NameServer = try NameServer(
            "127.0.0.1 one.test\n",
            services: [
                "_http._tcp.shop.test,one.test,\(heavy.port),1,30", "_http._tcp.shop.test,one.test,\(light.port),1,10",
                "_http._tcp.shop.test,one.test,\(backup.port),9,1",
            ])
        let gateway: GatewayUnderTest = try await Self.gateway(names, 80, service: "_http._tcp.shop.test") {
            (api: inout APIDefinition) in
            api.upstream.connections = UpstreamConnections(idleMax: 0)
            api.upstream.retries = RetryDefinition(attempts: 5)
        }
        for _ in 0..<40 { _ = Self.answer(gateway) }
        #expect(heavy.requests.count == 30 && light.requests.count == 10)
        #expect(heavy.requests[0].field("host") == "shop.test")
        heavy.stop()
        light.stop()
        for _ in 0..<5 { #expect(Self.answer(gateway) == "backup") }
        await gateway.stop()
    }
}

/// A listener whose queue is full: the kernel lets connections to it wait.
final class FullListener: @unchecked Sendable {
    // Used by one test.
    private var descriptors: [Int32] = []

    /// Nil where version 6 is not there.
    init?(port: UInt16) {
        let fd: Int32 = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard fd >= 0 else { return nil }
        self.descriptors.append(fd)
        var address: sockaddr_in6 = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        address.sin6_addr = in6addr_loopback
        let isListening: Bool = withUnsafePointer(to: &address) { (pointer: UnsafePointer<sockaddr_in6>) -> Bool in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { (raw: UnsafePointer<sockaddr>) -> Bool in
                guard bind(fd, raw, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0, listen(fd, 0) == 0 else {
                    return false
                }
                for _ in 0..<4 {
                    let client: Int32 = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
                    _ = fcntl(client, F_SETFL, O_NONBLOCK)
                    self.descriptors.append(client)
                    _ = connect(client, raw, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
                return true
            }
        }
        if !isListening {
            self.close()
            return nil
        }
    }

    func close() {
        for fd in self.descriptors { Glibc.close(fd) }
        self.descriptors = []
    }
}
