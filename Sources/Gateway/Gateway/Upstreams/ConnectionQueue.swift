import EventLoops
import Synchronization

/// A request that waits for a connection, with its deadline.
final class QueuedRequest: Timer {
    /// Cleared when the request is served or its client has left.
    unowned(unsafe) var client: ClientConnection?
    let block: ByteBlock

    init(_ client: ClientConnection, _ block: ByteBlock) {
        self.client = client
        self.block = block
    }

    override func fired() { self.client?.queueTimePassed() }
}

/// Requests of one loop that wait for a connection to one target, in order of arrival.
///
/// The limit of connections is shared by all loops, so a place may become free anywhere: this loop's own connections serve the
/// queue when they are done; others close theirs while somebody waits, and the queue looks for a free place every few
/// milliseconds.
final class ConnectionQueue: Timer {
    /// 5 ms.
    private static let lookInterval: UInt64 = 5_000_000

    private unowned(unsafe) let pool: TargetPool
    private unowned(unsafe) let loop: GatewayLoop
    /// Those who wait, from `first` on; some may have left.
    private var requests: [QueuedRequest] = []
    private var first: Int = 0
    private(set) var count: Int = 0

    init(_ pool: TargetPool, _ loop: GatewayLoop) {
        self.pool = pool
        self.loop = loop
    }

    var isEmpty: Bool { self.count == 0 }

    /// Takes a request in; false when enough wait.
    func add(_ client: ClientConnection, _ block: ByteBlock) -> Bool {
        guard self.count < self.pool.rules.queueMax else { return false }
        let request: QueuedRequest = QueuedRequest(client, block)
        client.queued = request
        self.requests.append(request)
        self.count += 1
        self.pool.state.waiting.wrappingAdd(1, ordering: .relaxed)
        let now: UInt64 = self.loop.events.now
        self.loop.events.schedule(
            request, at: min(now &+ self.pool.rules.queueTimeout, client.exchange.limit))
        if !self.isArmed { self.loop.events.schedule(self, at: now &+ ConnectionQueue.lookInterval) }
        self.loop.askPeersForPlace(self.pool.state)
        return true
    }

    /// Takes out a request that waits no longer. Its block is the caller's.
    func leave(_ request: QueuedRequest) {
        guard let client: ClientConnection = request.client else { return }
        client.queued = nil
        request.client = nil
        self.loop.events.cancel(request)
        self.count -= 1
        self.pool.state.waiting.wrappingSubtract(1, ordering: .relaxed)
        // Those who left are passed over; the list is emptied as a whole.
        if self.count == 0 {
            self.requests.removeAll(keepingCapacity: true)
            self.first = 0
        }
    }

    private func next() -> QueuedRequest? {
        while self.first < self.requests.count {
            if self.requests[self.first].client != nil { return self.requests[self.first] }
            self.first += 1
        }
        return nil
    }

    override func fired() {
        self.serve()
        if !self.isEmpty {
            self.loop.events.schedule(self, at: self.loop.events.now &+ ConnectionQueue.lookInterval)
        }
    }

    /// Gives free connections to those who wait.
    func serve() {
        while let request: QueuedRequest = self.next(), let client: ClientConnection = request.client {
            if let idle: Unmanaged<UpstreamConnection> = self.pool.takeIdle() {
                self.leave(request)
                idle._withUnsafeGuaranteedRef { $0.start(client, request.block, isReused: true) }
                client.resumeInput()
                continue
            }
            switch self.pool.connect(self.loop, forUpgrade: client.exchange.isUpgrade) {
            case .overloaded: return
            case .started(let connection):
                self.leave(request)
                connection.start(client, request.block, isReused: false)
                client.resumeInput()
            case .failed:
                self.leave(request)
                client.queuedConnectFailed(self.pool, request.block)
            }
        }
    }
}

extension ClientConnection {
    /// Waits for a connection; false when nobody may or enough do.
    func waitForConnection(_ pool: TargetPool, _ block: ByteBlock) -> Bool {
        if pool.rules.queueMax == 0 { return false }
        let queue: ConnectionQueue = pool.queue ?? ConnectionQueue(pool, self.loop)
        pool.queue = queue
        if queue.add(self, block) {
            self.queuePool = .passUnretained(pool)
            return true
        }
        pool.state.queueRefused.wrappingAdd(1, ordering: .relaxed)
        return false
    }

    /// No connection became free in time.
    func queueTimePassed() {
        self.queuePool?._withUnsafeGuaranteedRef { _ = $0.state.queueRefused.wrappingAdd(1, ordering: .relaxed) }
        self.leaveQueue()
        self.closeTry(.abandoned)
        self.answer(.upstreamOverloaded)
        self.resumeInput()
    }

    /// Does not wait any more, whatever for.
    func leaveQueue() {
        guard let request: QueuedRequest = self.queued, let pool: Unmanaged<TargetPool> = self.queuePool else { return }
        pool._withUnsafeGuaranteedRef { $0.queue?.leave(request) }
        self.queued = nil
        self.loop.blocks.give(request.block)
    }

    /// There was a place, but the connection could not be made.
    func queuedConnectFailed(_ pool: TargetPool, _ block: ByteBlock) {
        self.targetFailed(pool)
        self.loop.blocks.give(block)
        if self.hasRetryRules, self.tryAgain(after: .connectFailure) { return }
        self.answer(.upstreamConnectFailed)
        self.resumeInput()
    }
}
