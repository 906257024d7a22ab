import EventLoops
import HTTP
import TLS

/// One request of the gateway's own, on a connection of its own that ends with it: health checks and copies of requests.
///
/// Runs on one loop, which holds it until it has called back, once.
final class SideExchange: ReadinessHandler {
    struct Request {
        let address: SocketAddress
        let tls: TargetTLS?
        /// All of the request; empty: only the connection is made.
        let bytes: [UInt8]
        /// Nanoseconds for everything.
        let timeout: UInt64
        var isHead: Bool = false
        /// Bytes of the body that are waited for and kept; 0: the head is enough.
        var bodyBytesMax: Int = 0
    }

    enum Outcome: Equatable {
        /// Without a request to send: the connection was made, with TLS where it is spoken.
        case connected
        case answered(status: Int, body: [UInt8])
        case failed(String)
    }

    private static let readBytes: Int = 16 * 1024
    private static let interimMax: Int = 8

    private unowned(unsafe) let loop: EventLoop
    private let request: Request
    private let table: HTTPFieldTable
    private let done: (Outcome) -> Void
    private var fd: Int32 = -1
    private var tls: TLSSession?
    private var isConnected: Bool = false
    private var isSecured: Bool = false
    private var sent: Int = 0
    private var received: [UInt8] = []
    private var isOver: Bool = false
    private var timer: ActionTimer?

    private init(_ loop: EventLoop, _ request: Request, _ table: HTTPFieldTable, _ done: @escaping (Outcome) -> Void) {
        self.loop = loop
        self.request = request
        self.table = table
        self.done = done
    }

    deinit {
        // The loop ended before the exchange did.
        if !self.isOver, self.fd >= 0 { Socket.close(self.fd) }
    }

    /// Begins one, on the loop. `table` is the loop's own, used by one exchange at a time.
    static func start(
        _ request: Request, on loop: EventLoop, table: HTTPFieldTable, done: @escaping (Outcome) -> Void
    ) {
        let exchange: SideExchange = SideExchange(loop, request, table, done)
        exchange.connect()
    }

    private func connect() {
        do throws(SystemError) {
            let (fd, isConnected): (Int32, Bool) = try Socket.connect(self.request.address)
            self.fd = fd
            self.isConnected = isConnected
            if let tls: TargetTLS = self.request.tls {
                guard let session: TLSSession = tls.session(fd) else {
                    self.finish(.failed("TLS cannot be set up"))
                    return
                }
                self.tls = session
            }
            try self.loop.register(self, fd: fd, interest: [.read, .write, .edgeTriggered])
            // The registration holds the exchange until it is over.
            let timer: ActionTimer = ActionTimer { [weak self] in self?.finish(.failed("time-out")) }
            self.timer = timer
            self.loop.schedule(timer, at: self.loop.now &+ self.request.timeout)
        } catch {
            self.finish(.failed(error.description))
        }
    }

    override func ready(_ events: Readiness) {
        if self.isOver { return }
        if !self.isConnected {
            guard events.isWritable || events.isBroken else { return }
            let code: Int32 = Socket.pendingError(self.fd)
            if code != 0 {
                self.finish(.failed(SystemError(code: code, call: "connect").description))
                return
            }
            self.isConnected = true
        }
        if let tls: TLSSession = self.tls, !self.isSecured {
            switch tls.handshake() {
            case .done: self.isSecured = true
            case .wantRead, .wantWrite: return
            case .closed: return self.finish(.failed("the connection was closed during the handshake"))
            case .failed(let error): return self.finish(.failed("\(error)"))
            }
        }
        if self.request.bytes.isEmpty {
            self.finish(.connected)
            return
        }
        self.send()
        if !self.isOver { self.receive() }
    }

    private func send() {
        while self.sent < self.request.bytes.count {
            let result: Int = self.request.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) -> Int in
                guard let base: UnsafeRawPointer = raw.baseAddress else { return 0 }
                return Transport.send(self.fd, self.tls, base + self.sent, raw.count - self.sent)
            }
            if result <= 0 {
                // What it had said before it closed is still read.
                return
            }
            self.sent += result
        }
    }

    private func receive() {
        while !self.isOver {
            let got: Int = withUnsafeTemporaryAllocation(byteCount: SideExchange.readBytes, alignment: 16) {
                (buffer: UnsafeMutableRawBufferPointer) -> Int in
                guard let base: UnsafeMutableRawPointer = buffer.baseAddress else { return 0 }
                let got: Int = Transport.receive(self.fd, self.tls, base, buffer.count)
                if got > 0 { self.received.append(contentsOf: UnsafeRawBufferPointer(start: base, count: got)) }
                return got
            }
            if got == Socket.wouldBlock { return }
            self.read(isEnd: got <= 0)
            if got <= 0 { self.finish(.failed("the connection was closed before the answer")) }
        }
    }

    /// Looks at what came; finishes when it is enough.
    private func read(isEnd: Bool) {
        var start: Int = 0
        for _ in 0..<SideExchange.interimMax {
            var head: HTTPResponseHead = HTTPResponseHead()
            var scanned: Int = 0
            let outcome: HTTPHeadOutcome = self.received.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
                HTTPHeadReader.readResponse(
                    UnsafeRawBufferPointer(rebasing: raw[start...]), isHead: self.request.isHead, scanned: &scanned,
                    limits: .standard, table: self.table, into: &head)
            }
            switch outcome {
            case .incomplete: return
            case .refused: return self.finish(.failed("the answer is not valid HTTP"))
            case .complete: break
            }
            start += head.count
            if head.isInterim { continue }
            self.readBody(head, from: start, isEnd: isEnd)
            return
        }
        self.finish(.failed("too many interim answers"))
    }

    private func readBody(_ head: HTTPResponseHead, from start: Int, isEnd: Bool) {
        let most: Int = self.request.bodyBytesMax
        var body: [UInt8] = []
        var isWhole: Bool = isEnd || most == 0
        switch head.framing {
        case .none: isWhole = true
        case .length(let count):
            body = Array(self.received[start...].prefix(Int(min(count, UInt64(most)))))
            if UInt64(self.received.count - start) >= min(count, UInt64(most)) { isWhole = true }
        case .untilClose: body = Array(self.received[start...].prefix(most))
        case .chunked:
            let (decoded, hasEnded): ([UInt8], Bool) = self.decode(from: start)
            body = decoded
            if hasEnded { isWhole = true }
        }
        if isWhole || body.count >= most { self.finish(.answered(status: head.status, body: body)) }
    }

    private func decode(from start: Int) -> (body: [UInt8], hasEnded: Bool) {
        var decoder: HTTPChunkedDecoder = HTTPChunkedDecoder()
        var body: [UInt8] = []
        let hasEnded: Bool = self.received.withUnsafeBytes { (raw: UnsafeRawBufferPointer) -> Bool in
            let rest: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: raw[start...])
            var position: Int = 0
            while true {
                switch decoder.next(rest, position: &position, limits: .standard, table: self.table) {
                case .bytes(let from, let count): body.append(contentsOf: rest[from..<(from + count)])
                case .trailers: continue
                case .incomplete: return false
                case .end, .refused: return true
                }
            }
        }
        return (Array(body.prefix(self.request.bodyBytesMax)), hasEnded)
    }

    private func finish(_ outcome: Outcome) {
        if self.isOver { return }
        self.isOver = true
        if let timer: ActionTimer = self.timer { self.loop.cancel(timer) }
        self.timer = nil
        if self.fd >= 0 {
            _ = self.tls?.shutdown()
            self.loop.deregister(fd: self.fd, closing: true)
            Socket.close(self.fd)
        }
        self.done(outcome)
    }
}
