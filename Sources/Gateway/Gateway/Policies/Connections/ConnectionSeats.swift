import GatewayConfiguration
import Synchronization

/// What one limit of connections counts.
struct SeatKey: Hashable, Sendable {
    /// Names the limit; the same for every version of its API.
    let limit: String
    /// Nil: all addresses together. IPv6 by its /64: one customer has a whole one to choose from.
    let address: IPAddress?

    init(limit: String, address: IPAddress?) {
        self.limit = limit
        self.address = address.map { $0.isIPv4 ? $0 : IPAddress(high: $0.high, low: 0) }
    }
}

/// Connections that are open, for each limit that counts them. One for each process; asked once for each connection and limit,
/// so a lock is no burden. As large as there are connections: each entry has at least one.
final class ConnectionCounts: Sendable {
    private let counts: Mutex<[SeatKey: Int]> = Mutex([:])

    /// Counts a connection unless there are `limit` already.
    func take(_ key: SeatKey, limit: Int) -> Bool {
        self.counts.withLock { counts in
            let count: Int = counts[key] ?? 0
            if count >= limit { return false }
            counts[key] = count + 1
            return true
        }
    }

    func give(_ key: SeatKey) {
        self.counts.withLock { counts in
            guard let count: Int = counts[key] else { return }
            counts[key] = count > 1 ? count - 1 : nil
        }
    }

    func count(_ key: SeatKey) -> Int { self.counts.withLock { $0[key] ?? 0 } }
}

/// The limits that one connection counts in: given back when the connection lets go of it. On its loop.
final class ConnectionSeats {
    private var taken: [(key: SeatKey, counts: ConnectionCounts)] = []

    /// Whether the connection counts in this limit, from now on if not before.
    func sit(_ key: SeatKey, limit: Int, _ counts: ConnectionCounts) -> Bool {
        for seat in self.taken where seat.key == key && seat.counts === counts { return true }
        guard counts.take(key, limit: limit) else { return false }
        self.taken.append((key, counts))
        return true
    }

    deinit {
        for seat in self.taken { seat.counts.give(seat.key) }
    }
}
