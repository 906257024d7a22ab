import Synchronization

/// What is known of all gateways, in memory: who called in, when, and what it runs. Any thread; each call is one short lock.
///
/// Processes that share a database tell each other through the table `gateways`: `unshared` is what the others do not know yet,
/// `merge` takes over what they wrote. Their clocks need not agree: a row that has changed was heard of just now. What a gateway
/// said here counts more than what others say of it, as long as it is live here.
final class GatewayDirectory: Sendable {
    /// A live gateway's moment is shared this often, in milliseconds: well within the time after which it counts as away.
    static let sharedEvery: Int64 = 4_000

    private let known: Mutex<[String: GatewayStatus]> = Mutex([:])
    /// When each was last heard by this process itself.
    private let heardAt: Mutex<[String: Int64]> = Mutex([:])
    /// What the table holds, as far as this process knows, and when it was learned or written.
    private let shared: Mutex<[String: (row: GatewayStatus, at: Int64)]> = Mutex([:])
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
        self.shared.withLock { shared in
            for gateway in gateways { shared[gateway.id] = (gateway, now) }
        }
        self.known.withLock { known in
            for var gateway in gateways where known[gateway.id] == nil {
                if gateway.isLive(now: last) { gateway.lastSeen = now }
                known[gateway.id] = gateway
            }
        }
    }

    /// Those that this process has heard itself.
    func heardHere() -> [GatewayStatus] {
        let heard: [String: Int64] = self.heardAt.withLock { $0 }
        return self.gateways().filter { heard[$0.id] != nil }
    }

    /// What this process has heard and the table does not say.
    func unshared() -> [GatewayStatus] {
        let heard: [String: Int64] = self.heardAt.withLock { $0 }
        let shared: [String: (row: GatewayStatus, at: Int64)] = self.shared.withLock { $0 }
        return self.heardHere().filter { gateway in
            guard let known: (row: GatewayStatus, at: Int64) = shared[gateway.id] else { return true }
            let moment: Int64 = heard[gateway.id] ?? 0
            guard moment > known.at else { return false }
            return !gateway.saysSame(as: known.row) || moment - known.at >= Self.sharedEvery
        }
    }

    /// These are in the table now.
    func told(_ gateways: [GatewayStatus]) {
        self.shared.withLock { shared in
            for gateway in gateways { shared[gateway.id] = (gateway, gateway.lastSeen) }
        }
    }

    /// Takes over what other processes have heard since. - Returns: whether anything is news.
    @discardableResult
    func merge(_ rows: [GatewayStatus], now: Int64) -> Bool {
        let heard: [String: Int64] = self.heardAt.withLock { $0 }
        let news: [GatewayStatus] = self.shared.withLock { shared in
            var news: [GatewayStatus] = []
            for var row in rows {
                if let known: GatewayStatus = shared[row.id]?.row, known.lastSeen == row.lastSeen,
                    known.saysSame(as: row)
                {
                    continue
                }
                if let moment: Int64 = heard[row.id], now - moment < GatewayStatus.awayAfterMilliseconds { continue }
                shared[row.id] = (row, now)
                row.lastSeen = now
                news.append(row)
            }
            return news
        }
        let there: Set<String> = Set(rows.map(\.id))
        let forgotten: [String] = self.shared.withLock { shared in
            let gone: [String] = shared.keys.filter { !there.contains($0) }
            for id in gone { shared[id] = nil }
            return gone
        }
        self.known.withLock { known in
            for gateway in news { known[gateway.id] = gateway }
            for id in forgotten where heard[id] == nil { known[id] = nil }
        }
        return !news.isEmpty
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
        let hearing: Hearing = self.note(id, group, address, now)
        if case .taken = hearing { return hearing }
        self.heardAt.withLock { $0[id] = now }
        return hearing
    }

    private func note(_ id: String, _ group: String, _ address: String, _ now: Int64) -> Hearing {
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

    func forget(_ id: String) {
        self.known.withLock { $0[id] = nil }
        self.heardAt.withLock { $0[id] = nil }
        self.shared.withLock { $0[id] = nil }
    }

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
