/// Last locations by user, each for an hour; the one cached longest makes room when it is full.
///
/// Not thread-safe: it lives in a shard behind its lock.
package struct LocationCache: Sendable {
    /// How long a location is answered from memory.
    package static let lifetime: Duration = .seconds(3_600)

    private struct Entry: Sendable {
        let location: UserLocation
        /// Monotonic time after which the entry counts no more, nanoseconds.
        let expires: UInt64
    }

    private let capacity: Int
    private var entries: [String: Entry] = [:]
    /// Users in the order in which their entries expire. A user cached again stands in it twice: the older mention is stale.
    private var queue: [(userID: String, expires: UInt64)] = []
    private var queueHead: Int = 0

    package init(capacity: Int) {
        precondition(capacity > 0, "a cache without room is none")
        self.capacity = capacity
    }

    package var count: Int { self.entries.count }

    /// - Parameter now: monotonic time, nanoseconds.
    package func location(of userID: String, now: UInt64) -> UserLocation? {
        guard let entry: Entry = self.entries[userID], now < entry.expires else { return nil }
        return entry.location
    }

    /// Keeps a location, unless a later one of the user is there.
    package mutating func keep(_ location: UserLocation, now: UInt64) {
        if let known: UserLocation = self.location(of: location.userID, now: now), known.version > location.version {
            return
        }
        let expires: UInt64 = now + UInt64(Self.lifetime.components.seconds) * 1_000_000_000
        self.entries[location.userID] = Entry(location: location, expires: expires)
        self.queue.append((location.userID, expires))
        while self.entries.count > self.capacity { self.dropOldest() }
        self.dropExpired(now: now)
        self.compact()
    }

    package mutating func remove(_ userID: String) { self.entries[userID] = nil }

    private mutating func dropExpired(now: UInt64) {
        while self.queueHead < self.queue.count, self.queue[self.queueHead].expires <= now { self.dropOldest() }
    }

    private mutating func dropOldest() {
        let oldest: (userID: String, expires: UInt64) = self.queue[self.queueHead]
        self.queueHead += 1
        if self.entries[oldest.userID]?.expires == oldest.expires { self.entries[oldest.userID] = nil }
    }

    /// Forgets what was dropped and stale mentions once they are most of the queue, so that it stays in proportion.
    private mutating func compact() {
        guard self.queue.count > 2 * self.entries.count + 64 else { return }
        var rest: [(userID: String, expires: UInt64)] = []
        for mention in self.queue[self.queueHead...] where self.entries[mention.userID]?.expires == mention.expires {
            rest.append(mention)
        }
        self.queue = rest
        self.queueHead = 0
    }
}
