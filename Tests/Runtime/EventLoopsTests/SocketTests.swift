import Glibc
import Testing

@testable import EventLoops

struct SocketTests {
    @Test(arguments: ["127.0.0.1:8000", "0.0.0.0:0", "[::1]:80", "[2001:db8::1]:65535"])
    func readsAndPrintsAddresses(text: String) throws {
        let address: SocketAddress = try #require(SocketAddress(text))
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1:8 0", "::1:80",
        "[::1]",
        "[127.0.0.1]:80", "localhost:80", "1.2.3:80", "127.0.0.1:000080", "[]:80", "[::1:80",
    ])
    func refusesWhatIsNoAddress(text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test(arguments: [
        ("192.0.2.7:4711", "192.0.2.7"), ("[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::"), ("[::1]:80", "::"),
    ])
    func anAddressCountsWithItsNetwork(text: String, network: String) throws {
        let found: SocketAddress = try #require(SocketAddress(text)).network
        #expect(found.host == network)
        #expect(found.port == 0)
    }

    @Test func findsAPortInUseThoughItIsShared() throws {
        let (sockets, bound): ([Int32], SocketAddress) = try Socket.listen(.loopback(port: 0), count: 2)
        defer { for fd in sockets { Socket.close(fd) } }
        #expect(sockets.count == 2)
        #expect(bound.port != 0)
        let failure: SystemError? = #expect(throws: SystemError.self) { try Socket.listen(bound, count: 1) }
        #expect(failure?.isAddressInUse == true)
        #expect(failure?.description.contains("Address already in use") == true)
    }

    @Test func anEndedListenerLeavesItsPort() throws {
        let (sockets, bound): ([Int32], SocketAddress) = try Socket.listen(.loopback(port: 0), count: 1)
        Socket.close(sockets[0])
        let again: ([Int32], SocketAddress) = try Socket.listen(bound, count: 1)
        Socket.close(again.0[0])
    }

    @Test(arguments: [SocketAddress.loopback(port: 0), SocketAddress("[::1]:0")].compactMap { $0 })
    func connectsAcceptsAndTransfers(address: SocketAddress) throws {
        let listener: Int32 = try Socket.listen(address, reusePort: false)
        defer { Socket.close(listener) }
        let bound: SocketAddress = try Socket.localAddress(listener)
        let (client, _): (Int32, Bool) = try Socket.connect(bound)
        defer { Socket.close(client) }
        var event: pollfd = pollfd(fd: client, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&event, 1, 5000) == 1)
        #expect(Socket.pendingError(client) == 0)
        event = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        #expect(poll(&event, 1, 5000) == 1)
        guard case .connection(let server, let peer) = Socket.accept(listener) else {
            Issue.record("nothing accepted")
            return
        }
        #expect(peer == (try Socket.localAddress(client)))
        guard case .none = Socket.accept(listener) else {
            Issue.record("accepted twice")
            return
        }
        var buffer: [UInt8] = [UInt8](repeating: 0, count: 8)
        #expect(Socket.receive(server, &buffer, 8) == Socket.wouldBlock)
        #expect(Socket.send(client, "abc", 3) == 3)
        event = pollfd(fd: server, events: Int16(POLLIN), revents: 0)
        #expect(poll(&event, 1, 5000) == 1)
        #expect(Socket.receive(server, &buffer, 8) == 3)
        Socket.finishWriting(client)
        #expect(poll(&event, 1, 5000) == 1)
        #expect(Socket.receive(server, &buffer, 8) == 0)
        Socket.close(server, abruptly: true)
    }

    @Test func reportsARefusedConnection() throws {
        let listener: Int32 = try Socket.listen(.loopback(port: 0), reusePort: false)
        let bound: SocketAddress = try Socket.localAddress(listener)
        Socket.close(listener)
        do {
            let (client, _): (Int32, Bool) = try Socket.connect(bound)
            defer { Socket.close(client) }
            var event: pollfd = pollfd(fd: client, events: Int16(POLLOUT), revents: 0)
            #expect(poll(&event, 1, 5000) == 1)
            #expect(Socket.pendingError(client) == ECONNREFUSED)
        } catch {
            #expect(error.code == ECONNREFUSED)
        }
    }

    @Test(
        arguments: [
            (Duration.zero, 0), (.milliseconds(5), 5_000_000), (.seconds(-3), 0), (.seconds(Int64.max / 2), 1 << 62),
        ] as [(Duration, UInt64)])
    func clampsDurations(duration: Duration, nanoseconds: UInt64) {
        #expect(duration.clampedNanoseconds == nanoseconds)
    }
}
