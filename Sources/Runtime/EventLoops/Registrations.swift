/// Who listens to which descriptor of a loop, indexed by descriptor.
///
/// A token carries the descriptor and the generation of its registration, so that an event that the kernel queued before a
/// descriptor was closed and its number given out again is recognised and dropped.
struct Registrations: ~Copyable {
    private struct Entry {
        var handler: Unmanaged<ReadinessHandler>?
        var generation: UInt32
    }

    private var entries: UnsafeMutablePointer<Entry>
    private var capacity: Int
    private(set) var count: Int = 0
    /// Handlers deregistered in this turn: they may still be running, so their last reference goes at its end.
    private var departed: [Unmanaged<ReadinessHandler>] = []

    private static let initialCapacity: Int = 256

    init() {
        self.capacity = Registrations.initialCapacity
        self.entries = .allocate(capacity: self.capacity)
        self.entries.initialize(repeating: Entry(handler: nil, generation: 0), count: self.capacity)
    }

    deinit {
        for index in 0..<self.capacity { self.entries[index].handler?.release() }
        for handler in self.departed { handler.release() }
        self.entries.deallocate()
    }

    /// Takes a reference to the handler and returns the token to hand to epoll.
    mutating func insert(_ handler: ReadinessHandler, fd: Int32) -> UInt64 {
        let index: Int = Int(fd)
        precondition(index >= 0, "a descriptor is not negative")
        if index >= self.capacity { self.grow(toHold: index) }
        precondition(self.entries[index].handler == nil, "the descriptor is registered already")
        self.entries[index].handler = .passRetained(handler)
        self.entries[index].generation &+= 1
        self.count += 1
        return self.token(of: index)
    }

    func token(fd: Int32) -> UInt64? {
        let index: Int = Int(fd)
        guard index >= 0, index < self.capacity, self.entries[index].handler != nil else { return nil }
        return self.token(of: index)
    }

    /// Gives the reference up at the end of the turn; false when nothing was registered.
    mutating func remove(fd: Int32) -> Bool {
        let index: Int = Int(fd)
        guard index >= 0, index < self.capacity, let handler: Unmanaged<ReadinessHandler> = self.entries[index].handler
        else { return false }
        self.entries[index].handler = nil
        self.count -= 1
        self.departed.append(handler)
        return true
    }

    /// The handler a token was made for, or nil when that registration is gone.
    func handler(token: UInt64) -> Unmanaged<ReadinessHandler>? {
        let index: Int = Int(token & 0xFFFF_FFFF)
        guard index < self.capacity, self.entries[index].generation == UInt32(truncatingIfNeeded: token >> 32) else {
            return nil
        }
        return self.entries[index].handler
    }

    /// Holds a handler without a registration until the turn's end.
    mutating func retire(_ handler: ReadinessHandler) { self.departed.append(.passRetained(handler)) }

    /// The next one to release; the caller does it, since a deinit may deregister others, which join the list.
    mutating func takeDeparted() -> Unmanaged<ReadinessHandler>? { self.departed.popLast() }

    private func token(of index: Int) -> UInt64 {
        UInt64(self.entries[index].generation) << 32 | UInt64(index)
    }

    private mutating func grow(toHold index: Int) {
        var larger: Int = self.capacity
        while larger <= index { larger *= 2 }
        let moved: UnsafeMutablePointer<Entry> = .allocate(capacity: larger)
        moved.moveInitialize(from: self.entries, count: self.capacity)
        (moved + self.capacity).initialize(repeating: Entry(handler: nil, generation: 0), count: larger - self.capacity)
        self.entries.deallocate()
        self.entries = moved
        self.capacity = larger
    }
}
