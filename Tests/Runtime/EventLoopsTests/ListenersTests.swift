import Glibc
import Testing

@testable import EventLoops

struct ListenersTests {
    private static func connect(_ address: SocketAddress, _ count: Int) throws -> [Int32] {
        try (0..<count).map { _ in try Socket.connect(address).fd }
    }

    private static func accepted(_ sockets: [Int32]) -> Int {
        var count: Int = 0
        for socket in sockets {
            while case .connection(let fd, _) = Socket.accept(socket) {
                Socket.close(fd)
                count += 1
            }
        }
        return count
    }

    @Test(arguments: [1, 3, 5]) func aSuccessorGetsWhatWaits(loops: Int) throws {
        let old: Listeners = Listeners()
        let (sockets, bound): ([Int32], SocketAddress) = try old.open(.loopback(port: 0), count: 3)
        let clients: [Int32] = try Self.connect(bound, 40)
        defer { for fd in clients { Socket.close(fd) } }
        let next: Listeners = Listeners(inherited: old.duplicates())
        // Not probed: it would be found in use.
        let taken: (sockets: [Int32], bound: SocketAddress) = try next.open(bound, count: loops)
        #expect(taken.sockets.count == max(3, loops))
        #expect(taken.bound == bound)
        for fd in sockets { old.close(fd) }
        #expect(old.duplicates().isEmpty)
        #expect(Self.accepted(taken.sockets) == 40)
        for fd in taken.sockets { next.close(fd) }
    }

    @Test func whatNobodyAsksForIsClosed() throws {
        let old: Listeners = Listeners()
        let (sockets, bound): ([Int32], SocketAddress) = try old.open(.loopback(port: 0), count: 1)
        let next: Listeners = Listeners(inherited: old.duplicates())
        let (others, other): ([Int32], SocketAddress) = try next.open(.loopback(port: 0), count: 1)
        #expect(other != bound)
        next.closeUnclaimed()
        old.close(sockets[0])
        try Socket.probe(bound)
        for fd in others { next.close(fd) }
    }

    @Test func aPortOfSomebodyElseIsFound() throws {
        let (sockets, bound): ([Int32], SocketAddress) = try Socket.listen(.loopback(port: 0), count: 1)
        defer { Socket.close(sockets[0]) }
        #expect(throws: SystemError.self) { try Listeners().open(bound, count: 1) }
    }

    @Test func onlyListeningSocketsAreTaken() throws {
        let listener: Int32 = try Socket.listen(.loopback(port: 0), reusePort: true)
        defer { Socket.close(listener) }
        let bound: SocketAddress = try Socket.localAddress(listener)
        let (client, _): (Int32, Bool) = try Socket.connect(bound)
        let next: Listeners = Listeners(inherited: [client, fcntl(listener, F_DUPFD_CLOEXEC, 0)])
        let (sockets, _): ([Int32], SocketAddress) = try next.open(bound, count: 1)
        #expect(sockets.count == 1 && sockets[0] != client)
        for fd in sockets { next.close(fd) }
    }

    @Test func aProcessMayTakeBackWhatItHeld() throws {
        let own: Listeners = Listeners()
        let (sockets, bound): ([Int32], SocketAddress) = try own.open(.loopback(port: 0), count: 1)
        let reserve: [Int32] = own.duplicates()
        own.close(sockets[0])
        let clients: [Int32] = try Self.connect(bound, 3)
        defer { for fd in clients { Socket.close(fd) } }
        own.inherit(reserve)
        let again: [Int32] = try own.open(bound, count: 1).sockets
        #expect(Self.accepted(again) == 3)
        for fd in again { own.close(fd) }
    }
}
