import EventLoops
import Glibc
import Synchronization

/// An upstream that does what its script says with every connection, on a thread of its own, and writes down what came.
final class RawUpstream: Sendable {
    /// One connection as the script sees it.
    struct Session: Sendable {
        let socket: RawSocket
        /// 0 for the first connection the upstream got.
        let number: Int
        let upstream: RawUpstream

        /// The next request with its body, written down; nil when the connection has ended.
        func request() -> RawMessage? {
            let message: RawMessage = self.socket.receiveMessage()
            if message.head.isEmpty { return nil }
            self.upstream.record(message)
            return message
        }

        func send(_ text: String) { self.socket.send(text) }
    }

    let port: UInt16
    private let held: RefusingPort?
    private let listener: Int32
    private let journal: Mutex<[RawMessage]> = Mutex([])
    private let accepted: Atomic<Int> = Atomic(0)
    private let isStopped: Atomic<Bool> = Atomic(false)

    /// On a port of its own of the loopback interface, or, on another address, on the port that this says (0: any).
    init(on address: SocketAddress? = nil, _ script: @escaping @Sendable (Session) -> Void) throws {
        if let address: SocketAddress {
            self.held = nil
            self.listener = try Socket.listen(address, reusePort: true)
            self.port = try Socket.localAddress(self.listener).port
        } else {
            let held: RefusingPort = try RefusingPort()
            self.held = held
            self.port = held.port
            self.listener = try Socket.listen(.loopback(port: held.port), reusePort: true)
        }
        let flags: Int32 = fcntl(self.listener, F_GETFL)
        _ = fcntl(self.listener, F_SETFL, flags & ~O_NONBLOCK)
        let listener: Int32 = self.listener
        onThread { [weak self] in
            // Closed by the thread that accepts on it: anywhere else its number could be another socket's by the next accept.
            defer { Glibc.close(listener) }
            while true {
                let fd: Int32 = accept(listener, nil, nil)
                if fd < 0 { return }
                guard let upstream: RawUpstream = self, !upstream.isStopped.load(ordering: .relaxed) else {
                    Glibc.close(fd)
                    return
                }
                let number: Int = upstream.accepted.wrappingAdd(1, ordering: .relaxed).oldValue
                let session: Session = Session(socket: RawSocket(adopting: fd), number: number, upstream: upstream)
                onThread { script(session) }
            }
        }
    }

    deinit { self.stop() }

    /// Answers every request on every connection with the same bytes.
    static func answering(_ response: String) throws -> RawUpstream {
        try RawUpstream { (session: Session) in
            while session.request() != nil { session.send(response) }
        }
    }

    /// Answers 200 with the bytes it got: the request as a test sees it.
    static func echoing() throws -> RawUpstream {
        try RawUpstream { (session: Session) in
            while let request: RawMessage = session.request() {
                let text: String = request.head + request.text
                session.send("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        }
    }

    func record(_ message: RawMessage) { self.journal.withLock { $0.append(message) } }

    /// Requests that came, in order.
    var requests: [RawMessage] { self.journal.withLock { $0 } }
    var connectionCount: Int { self.accepted.load(ordering: .relaxed) }

    /// Ends the listener; the port refuses then.
    func stop() {
        if self.isStopped.exchange(true, ordering: .relaxed) { return }
        // Ends the listening and wakes the accept that waits.
        shutdown(self.listener, Int32(SHUT_RDWR))
    }
}

/// Runs the work on a thread of its own.
func onThread(_ work: @escaping @Sendable () -> Void) {
    final class Box {
        let work: @Sendable () -> Void
        init(_ work: @escaping @Sendable () -> Void) { self.work = work }
    }
    var thread: pthread_t = pthread_t()
    let context: UnsafeMutableRawPointer = Unmanaged.passRetained(Box(work)).toOpaque()
    pthread_create(
        &thread, nil,
        { (context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? in
            guard let context: UnsafeMutableRawPointer = context else { return nil }
            Unmanaged<Box>.fromOpaque(context).takeRetainedValue().work()
            return nil
        }, context)
    pthread_detach(thread)
}

/// Runs blocking work away from the cooperative pool: for tests that wait for something that itself needs the pool.
func offPool<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
        onThread { continuation.resume(with: Result { try work() }) }
    }
}
