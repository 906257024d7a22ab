import Glibc
import Synchronization

/// The listening sockets of one process: those it opened, and those it took over from the process it replaces.
///
/// Whoever listens takes its sockets here and closes them here, so that they can be given to a successor: connections that wait in
/// them then are lost by nobody. Any thread.
package final class Listeners: Sendable {
    private struct State {
        /// Taken over, and asked for by nobody yet.
        var inherited: [(fd: Int32, address: SocketAddress)] = []
        /// In use.
        var open: Set<Int32> = []
    }

    private let state: Mutex<State>

    package init() { self.state = Mutex(State()) }

    /// - Parameter inherited: listening sockets, which are this object's from now on. What is no listening socket is closed.
    package init(inherited: [Int32]) {
        var state: State = State()
        for fd in inherited {
            if let address: SocketAddress = try? Socket.localAddress(fd), Socket.isListening(fd) {
                state.inherited.append((fd, address))
            } else {
                Socket.close(fd)
            }
        }
        self.state = Mutex(state)
    }

    /// Sockets that listen on the address, one for each of `count` loops: those that were taken over first. There are more than
    /// `count` when more were taken over: each holds connections that wait, so some loops have to serve several.
    ///
    /// An address nobody was taken over for is probed first, so that a port in use is found in spite of SO_REUSEPORT. Port 0 picks
    /// a free one.
    package func open(_ address: SocketAddress, count: Int) throws(SystemError) -> (
        sockets: [Int32], bound: SocketAddress
    ) {
        var sockets: [Int32] = self.claim(address)
        if sockets.isEmpty {
            let opened: (sockets: [Int32], bound: SocketAddress) = try Socket.listen(address, count: count)
            self.state.withLock { $0.open.formUnion(opened.sockets) }
            return opened
        }
        do throws(SystemError) {
            while sockets.count < count { sockets.append(try Socket.listen(address, reusePort: true)) }
        } catch {
            for fd in sockets { self.close(fd) }
            throw error
        }
        self.state.withLock { $0.open.formUnion(sockets) }
        return (sockets, address)
    }

    private func claim(_ address: SocketAddress) -> [Int32] {
        self.state.withLock { (state: inout State) -> [Int32] in
            let claimed: [Int32] = state.inherited.filter { $0.address == address }.map { $0.fd }
            state.inherited.removeAll { $0.address == address }
            return claimed
        }
    }

    /// Closes a socket that `open` gave.
    package func close(_ fd: Int32) {
        // Under the lock: a descriptor that is being duplicated must not be another one by then.
        self.state.withLock { (state: inout State) in
            state.open.remove(fd)
            Socket.close(fd)
        }
    }

    /// Everything has taken its sockets: those that nobody wanted are closed.
    package func closeUnclaimed() {
        let left: [Int32] = self.state.withLock { (state: inout State) -> [Int32] in
            defer { state.inherited = [] }
            return state.inherited.map { $0.fd }
        }
        for fd in left { Socket.close(fd) }
    }

    /// Takes these as if they had been there from the start.
    package func inherit(_ sockets: [Int32]) {
        for fd in sockets {
            guard let address: SocketAddress = try? Socket.localAddress(fd) else {
                Socket.close(fd)
                continue
            }
            self.state.withLock { $0.inherited.append((fd, address)) }
        }
    }

    /// Closes one of `duplicates`.
    package func closeDuplicate(_ fd: Int32) { Socket.close(fd) }

    /// Second descriptors of all sockets in use; the caller closes them.
    package func duplicates() -> [Int32] {
        self.state.withLock { (state: inout State) -> [Int32] in
            state.open.sorted().map { fcntl($0, F_DUPFD_CLOEXEC, 0) }.filter { $0 >= 0 }
        }
    }
}
