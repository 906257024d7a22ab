/// Which connection a request gets. Pure: requests and connections in, decisions out; the caller carries them out after it
/// has let go of the lock around this.
struct ConnectionPool {
    /// What to do with a request.
    enum Lease {
        /// This connection was idle and now belongs to the request.
        case reuse(ClientConnection)
        /// Open a connection; it is counted already. The victim, if any, is closed to make room.
        case open(closing: ClientConnection?)
        /// It waits in the queue of its origin.
        case wait
        case refuse(HTTPClientError)
    }

    /// What to do with a connection that finished its request.
    enum Release {
        case keep
        case close
        case handOver(ClientExchange)
    }

    private struct Slot {
        /// The most recently used last, which is taken first: the others may rest until they are closed for it.
        var idle: [ClientConnection] = []
        var open: Int = 0
        var waiting: [ClientExchange] = []

        var isUnused: Bool { self.open == 0 && self.waiting.isEmpty }
    }

    private let limits: HTTPClientLimits
    private var slots: [Origin: Slot] = [:]
    private(set) var openTotal: Int = 0
    private(set) var waitingTotal: Int = 0
    private(set) var isShutDown: Bool = false

    init(limits: HTTPClientLimits) {
        self.limits = limits
    }

    /// `fresh`: a kept connection has just failed this request, so it gets another.
    mutating func lease(_ exchange: ClientExchange, fresh: Bool) -> Lease {
        if self.isShutDown { return .refuse(.shutDown) }
        let origin: Origin = exchange.request.origin
        var slot: Slot = self.slots.removeValue(forKey: origin) ?? Slot()
        defer { if !slot.isUnused { self.slots[origin] = slot } }
        if !fresh, let connection: ClientConnection = slot.idle.popLast() { return .reuse(connection) }
        if slot.open < self.limits.connectionsPerOriginMax && self.openTotal < self.limits.connectionsMax {
            slot.open += 1
            self.openTotal += 1
            return .open(closing: nil)
        }
        if let victim: ClientConnection = slot.idle.popLast() ?? self.anyIdle() {
            // The victim reports its end like any other connection, so for a moment there is one more than the limit.
            slot.open += 1
            self.openTotal += 1
            return .open(closing: victim)
        }
        guard self.waitingTotal < self.limits.waitingMax else {
            return .refuse(.overloaded("\(self.waitingTotal) requests wait for a connection already"))
        }
        if slot.open == 0 { return .refuse(.overloaded("all \(self.limits.connectionsMax) connections are in use")) }
        slot.waiting.append(exchange)
        self.waitingTotal += 1
        return .wait
    }

    /// The connection has no request any more and is fit for another.
    mutating func release(_ connection: ClientConnection) -> Release {
        if self.isShutDown { return .close }
        guard var slot: Slot = self.slots.removeValue(forKey: connection.origin) else { return .close }
        defer { self.slots[connection.origin] = slot }
        if !slot.waiting.isEmpty {
            self.waitingTotal -= 1
            return .handOver(slot.waiting.removeFirst())
        }
        slot.idle.append(connection)
        return .keep
    }

    /// The connection is closed. Returns a request that may now open another; it is counted already.
    mutating func closed(_ connection: ClientConnection) -> ClientExchange? {
        self.openTotal -= 1
        guard var slot: Slot = self.slots.removeValue(forKey: connection.origin) else { return nil }
        defer { if !slot.isUnused { self.slots[connection.origin] = slot } }
        slot.idle.removeAll { $0 === connection }
        slot.open -= 1
        guard !self.isShutDown, !slot.waiting.isEmpty else { return nil }
        self.waitingTotal -= 1
        slot.open += 1
        self.openTotal += 1
        return slot.waiting.removeFirst()
    }

    /// Takes a request out of the queue; false if it was not there.
    mutating func forget(_ exchange: ClientExchange) -> Bool {
        let origin: Origin = exchange.request.origin
        guard var slot: Slot = self.slots[origin] else { return false }
        guard let index: Int = slot.waiting.firstIndex(where: { $0 === exchange }) else { return false }
        slot.waiting.remove(at: index)
        self.waitingTotal -= 1
        self.slots[origin] = slot.isUnused ? nil : slot
        return true
    }

    /// No more requests. Returns those that waited.
    mutating func shutDown() -> [ClientExchange] {
        self.isShutDown = true
        var waiting: [ClientExchange] = []
        for origin in Array(self.slots.keys) {
            waiting += self.slots[origin]?.waiting ?? []
            self.slots[origin]?.waiting = []
            self.slots[origin]?.idle = []
        }
        self.waitingTotal = 0
        return waiting
    }

    /// A connection to some other origin that rests: given up when the total is reached.
    private mutating func anyIdle() -> ClientConnection? {
        for (origin, slot) in self.slots where !slot.idle.isEmpty {
            return self.slots[origin]?.idle.removeFirst()
        }
        return nil
    }
}
