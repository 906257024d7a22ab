import Glibc
import Synchronization

/// Stands between a client and a server on 127.0.0.1 and misbehaves on demand: the network between two machines.
///
/// `@unchecked Sendable`: the list of sockets and the mode are under the lock; each thread touches its own sockets.
package final class TCPProxy: @unchecked Sendable {
    package enum Mode: Sendable {
        /// Bytes go through.
        case open
        /// Bytes are taken by nobody; connections stay, and new ones get no answer.
        case silent
        /// Everything that is open breaks, and so does each new connection.
        case broken
    }

    private struct State {
        var mode: Mode = .open
        var sockets: [Int32] = []
        /// Breaks the connection on which the client sends this; nil: does not look.
        var trap: [UInt8]?
        /// Whether the server still gets what held the trap.
        var trapForwards: Bool = false
        var isClosed: Bool = false
    }

    package let port: UInt16
    private let target: UInt16
    private let listener: Int32
    private let state: Mutex<State> = Mutex(State())

    package init(to target: UInt16) {
        self.target = target
        self.port = FreePort.next()
        self.listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        precondition(self.listener >= 0, "cannot make a socket: errno \(errno)")
        let result: Int32 = Self.withAddress(self.port) { bind(self.listener, $0, $1) }
        precondition(result == 0 && listen(self.listener, 64) == 0, "cannot listen: errno \(errno)")
        Self.thread { self.accept() }
    }

    package func set(_ mode: Mode) {
        self.state.withLock { state in
            // Broken before anybody who waits for the mode goes on.
            if mode == .broken { for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) } }
            state.mode = mode
        }
    }

    /// Everything that is open breaks; what is opened from now on goes through.
    private func breakOnce() {
        // In one step: who finds its connection broken opens another at once, and that one must not break, too.
        self.state.withLock { state in
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
            state.mode = .open
        }
    }

    /// Breaks the next connection on which the client sends `text`; the server gets it all the same if `forwards`.
    package func breakAt(_ text: String, forwards: Bool) {
        self.state.withLock { state in
            state.trap = Array(text.utf8)
            state.trapForwards = forwards
        }
    }

    package func close() {
        self.state.withLock { $0.isClosed = true }
        self.set(.broken)
        shutdown(self.listener, Int32(SHUT_RDWR))
    }

    private func accept() {
        while true {
            let client: Int32 = Glibc.accept(self.listener, nil, nil)
            guard client >= 0, !self.state.withLock({ $0.isClosed }) else {
                Glibc.close(self.listener)
                return
            }
            let server: Int32 = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            let isBroken: Bool = self.state.withLock { $0.mode == .broken }
            guard !isBroken, Self.withAddress(self.target, { connect(server, $0, $1) }) == 0 else {
                Glibc.close(client)
                Glibc.close(server)
                continue
            }
            self.state.withLock { $0.sockets += [client, server] }
            // Two threads a connection; the sockets are closed by the last of them.
            let left: Countdown = Countdown(2)
            let end: @Sendable () -> Void = {
                shutdown(client, Int32(SHUT_RDWR))
                shutdown(server, Int32(SHUT_RDWR))
                guard left.countDown() else { return }
                self.state.withLock { state in state.sockets.removeAll { $0 == client || $0 == server } }
                Glibc.close(client)
                Glibc.close(server)
            }
            Self.thread {
                self.pump(from: client, to: server, looksForTrap: true)
                end()
            }
            Self.thread {
                self.pump(from: server, to: client, looksForTrap: false)
                end()
            }
        }
    }

    private func pump(from source: Int32, to target: Int32, looksForTrap: Bool) {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count: Int = recv(source, &bytes, bytes.count, 0)
            if count <= 0 { return }
            while self.state.withLock({ $0.mode }) == .silent { usleep(2_000) }
            var isTrapped: Bool = false
            if looksForTrap, let forwards: Bool = self.springs(bytes[..<count]) {
                if !forwards { return }
                isTrapped = true
                // The answer must not get through.
                self.set(.silent)
            }
            var sent: Int = 0
            while sent < count {
                let step: Int = bytes.withUnsafeBytes {
                    send(target, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                if step <= 0 { return }
                sent += step
            }
            if isTrapped {
                // Time for the server to do it; what it did is asked of the server later.
                usleep(200_000)
                self.breakOnce()
                return
            }
        }
    }

    private func springs(_ bytes: ArraySlice<UInt8>) -> Bool? {
        self.state.withLock { state in
            guard let trap: [UInt8] = state.trap, bytes.count >= trap.count else { return nil }
            for start in bytes.startIndex...(bytes.endIndex - trap.count)
            where bytes[start..<start + trap.count].elementsEqual(trap) {
                state.trap = nil
                return state.trapForwards
            }
            return nil
        }
    }

    private static func withAddress(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func thread(_ body: @escaping @Sendable () -> Void) {
        final class Start: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var id: pthread_t = pthread_t()
        let result: Int32 = pthread_create(
            &id, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Start(body)).toOpaque())
        precondition(result == 0, "cannot start a thread: \(result)")
        pthread_detach(id)
    }
}

private final class Countdown: Sendable {
    private let left: Atomic<Int>

    init(_ count: Int) { self.left = Atomic(count) }

    /// True for the last one.
    func countDown() -> Bool { self.left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}
