import EventLoops
import Synchronization

/// One place where a target can be reached.
struct TargetPlace: Equatable, Sendable {
    let address: SocketAddress
    /// Lower ones are asked first; 0 where no SRV record says otherwise.
    var priority: UInt16 = 0
    var weight: UInt16 = 1
}

/// Where a target is now: one address for a literal, several for a name. Written by the resolver, read when a connection is made.
final class TargetAddress: Sendable {
    /// Nanoseconds an address that could not be reached comes last.
    private static let shunFor: UInt64 = 10_000_000_000

    private struct Known {
        var places: [TargetPlace] = []
        /// Credit of each place for smooth turns by weight.
        var credits: [Int] = []
        /// Until when each place comes last.
        var shunned: [UInt64] = []
        /// When it is looked up again; 0: at once.
        var dueAt: UInt64 = 0
    }

    let host: String
    let port: UInt16
    /// The name whose SRV records say where it is; nil: the addresses of `host`.
    let service: String?
    let isLiteral: Bool
    private let known: Mutex<Known>

    /// - Parameter mayConnect: whether the address of a literal may be connected to; where not, the target is nowhere.
    init(
        host: String, port: UInt16, service: String? = nil, mayConnect: (SocketAddress) -> Bool = { _ in true }
    ) {
        self.host = host
        self.port = port
        self.service = service
        let bare: Substring = host.hasPrefix("[") ? host.dropFirst().dropLast() : host[...]
        let literal: SocketAddress? = service == nil ? SocketAddress(host: bare, port: port) : nil
        self.isLiteral = literal != nil
        var known: Known = Known()
        if let literal: SocketAddress = literal, mayConnect(literal) {
            known.places = [TargetPlace(address: literal)]
            known.credits = [0]
            known.shunned = [0]
        }
        self.known = Mutex(known)
    }

    /// The next address in turn, and one of the other family to try beside it when it is slow; nil while there is none.
    ///
    /// Of the lowest priority that can be reached, by weight; those that could not be reached lately come last.
    func next(now: UInt64) -> (address: SocketAddress, rival: SocketAddress?)? {
        self.known.withLock { (known: inout Known) in
            if known.places.count == 1 { return (known.places[0].address, nil) }
            guard let index: Int = TargetAddress.turn(&known, now: now) else { return nil }
            let chosen: TargetPlace = known.places[index]
            for (other, place) in known.places.enumerated()
            where place.address.family != chosen.address.family && place.address.port == chosen.address.port
                && place.priority == chosen.priority && known.shunned[other] <= now
            {
                return (chosen.address, place.address)
            }
            return (chosen.address, nil)
        }
    }

    private static func turn(_ known: inout Known, now: UInt64) -> Int? {
        for includesShunned in [false, true] {
            var priority: UInt16?
            for (index, place) in known.places.enumerated() where includesShunned || known.shunned[index] <= now {
                priority = min(priority ?? place.priority, place.priority)
            }
            guard let priority else { continue }
            var best: Int = -1
            var total: Int = 0
            for index in known.places.indices
            where known.places[index].priority == priority && (includesShunned || known.shunned[index] <= now) {
                // A weight of 0 has a small chance beside others (RFC 2782).
                let weight: Int = max(1, Int(known.places[index].weight) * 10)
                known.credits[index] += weight
                total += weight
                if best < 0 || known.credits[index] > known.credits[best] { best = index }
            }
            known.credits[best] -= total
            return best
        }
        return nil
    }

    /// An address could not be reached: others come first for a while.
    func failed(_ address: SocketAddress, now: UInt64) {
        self.known.withLock { (known: inout Known) in
            for index in known.places.indices where known.places[index].address == address {
                known.shunned[index] = now &+ TargetAddress.shunFor
            }
        }
    }

    var isKnown: Bool { self.known.withLock { !$0.places.isEmpty } }

    func contains(_ address: SocketAddress) -> Bool {
        self.known.withLock { (known: inout Known) in known.places.contains { $0.address == address } }
    }

    var places: [TargetPlace] { self.known.withLock { $0.places } }

    /// Monotonic nanoseconds when it is to be looked up again.
    var dueAt: UInt64 {
        get { self.known.withLock { $0.dueAt } }
        set { self.known.withLock { $0.dueAt = newValue } }
    }

    /// Takes what a look-up found; true when that is not what was known. Finding nothing changes nothing: the last good answer is
    /// better than none.
    func update(_ places: [TargetPlace]) -> Bool {
        if places.isEmpty { return false }
        return self.known.withLock { (known: inout Known) in
            if known.places == places { return false }
            let isSame: Bool =
                known.places.count == places.count
                && places.allSatisfy { (place: TargetPlace) in known.places.contains(place) }
            // Servers turn the order of their answers round; the turns here go on.
            if isSame { return false }
            known.places = places
            known.credits = [Int](repeating: 0, count: places.count)
            known.shunned = [UInt64](repeating: 0, count: places.count)
            return true
        }
    }
}
