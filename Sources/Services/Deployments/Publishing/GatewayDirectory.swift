import Synchronization

/// What is known of all gateways, in memory: who called in, when, and what it runs. Any thread; each call is one short lock.
///
/// Processes that share a database tell each other through the table `gateways`: `unshared` is what the others do not know yet,
/// `merge` takes over what they wrote.
final class GatewayDirectory: Sendable {
    /// A live gateway's moment is shared this often, in milliseconds: well within the time after which it counts as away.
    static let sharedEvery: Int64 = 4_000

    private let known: Mutex<[String: GatewayStatus]> = Mutex([:])
    /// What the table holds, as far as this process knows.
    private let shared: Mutex<[String: GatewayStatus]> = Mutex([:])
    /// Entries that no snapshot can hold, with the revision and the reason: by group and entry.
    private let refused: Mutex<[String: (revision: Int64, reason: String)]> = Mutex([:])

    /// Notes that an entry is not in the group's snapshots because this revision of it cannot be read; nil: it can.
    func note(refusal reason: String?, group: String, entry: String, revision: Int64) {
        self.refused.withLock { $0["\(group) \(entry)"] = reason.map { (revision, $0) } }
    }

    func refusal(group: String, entry: String, revision: Int64) -> String? {
        guard let known = self.refused.withLock({ $0["\(group) \(entry)"] }), known.revision == revision else {
            return nil
        }
        return known.reason
    }

    /// Takes over what an earlier process knew, so that a gateway that is away is named also after a restart.
    ///
    /// Those that were live when it last looked are taken for live until they have had the time to call in: a deployment that
    /// waits for them must not end without them.
    func restore(_ gateways: [GatewayStatus], now: Int64) {
        var last: Int64 = 0
        for gateway in gateways { last = max(last, gateway.lastSeen) }
        self.known.withLock { known in
            for var gateway in gateways where known[gateway.id] == nil {
                if gateway.isLive(now: last) { gateway.lastSeen = now }
                known[gateway.id] = gateway
            }
        }
    }

    /// What this process has heard and the table does not say.
    func unshared() -> [GatewayStatus] {
        let shared: [String: GatewayStatus] = self.shared.withLock { $0 }
        return self.gateways().filter { gateway in
            guard let stored: GatewayStatus = shared[gateway.id] else { return true }
            return gateway.version != stored.version || gateway.hash != stored.hash
                || gateway.quarantined != stored.quarantined || gateway.address != stored.address
                || gateway.lastSeen - stored.lastSeen >= Self.sharedEvery
        }
    }

    /// Takes over what other processes have heard since. - Returns: whether anything is news.
    @discardableResult
    func merge(_ rows: [GatewayStatus]) -> Bool {
        var stored: [String: GatewayStatus] = [:]
        for row in rows { stored[row.id] = row }
        let table: [String: GatewayStatus] = stored
        self.shared.withLock { $0 = table }
        return self.known.withLock { known in
            var isNews: Bool = false
            for row in rows where known[row.id].map({ $0.lastSeen < row.lastSeen }) ?? true {
                known[row.id] = row
                isNews = true
            }
            return isNews
        }
    }

    enum Hearing {
        case known
        /// It is new or came from elsewhere: to be stored.
        case fresh(GatewayStatus)
        /// A live gateway of another group has this id: two of one name would answer for each other.
        case taken(group: String)
    }

    /// Notes that a gateway was heard. - Parameter address: where it listens; empty leaves what is known.
    func heard(id: String, group: String, address: String, now: Int64) -> Hearing {
        self.known.withLock { known in
            if let other: GatewayStatus = known[id], other.group != group, other.isLive(now: now) {
                return .taken(group: other.group)
            }
            guard var gateway: GatewayStatus = known[id], gateway.group == group else {
                let gateway: GatewayStatus = GatewayStatus(
                    id: id, group: group, address: address, version: 0, hash: "", quarantined: [], lastSeen: now,
                    firstSeen: now)
                known[id] = gateway
                return .fresh(gateway)
            }
            let moved: Bool = !address.isEmpty && gateway.address != address
            gateway.lastSeen = now
            if moved { gateway.address = address }
            known[id] = gateway
            return moved ? .fresh(gateway) : .known
        }
    }

    /// Notes what a gateway runs now. - Returns: whether it quarantines other entries than before.
    func acknowledged(
        id: String, version: Int64, hash: String, quarantined: [QuarantinedEntry], now: Int64
    ) -> Bool {
        self.known.withLock { known in
            guard var gateway: GatewayStatus = known[id] else { return false }
            let isOther: Bool = gateway.quarantined != quarantined
            gateway.version = version
            gateway.hash = hash
            gateway.quarantined = quarantined
            gateway.lastSeen = now
            known[id] = gateway
            return isOther
        }
    }

    func forget(_ id: String) { self.known.withLock { $0[id] = nil } }

    /// By id.
    func gateways(inGroup group: String? = nil) -> [GatewayStatus] {
        var found: [GatewayStatus] = self.known.withLock { Array($0.values) }
        if let group: String { found = found.filter { $0.group == group } }
        found.sort { $0.id < $1.id }
        return found
    }

    /// Live gateways of a group: what a divided limit is divided by.
    func liveCount(inGroup group: String, now: Int64) -> Int {
        var count: Int = 0
        for gateway in self.gateways(inGroup: group) where gateway.isLive(now: now) { count += 1 }
        return count
    }
}
