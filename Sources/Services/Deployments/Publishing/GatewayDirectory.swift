import Synchronization

/// What is known of all gateways, in memory: who called in, when, and what it runs. Any thread; each call is one short lock.
final class GatewayDirectory: Sendable {
    private let known: Mutex<[String: GatewayStatus]> = Mutex([:])
    /// Entries that no snapshot can hold, with the reason: by group and entry.
    private let refused: Mutex<[String: String]> = Mutex([:])

    /// Notes that an entry is not in the group's snapshots because it cannot be read; nil: it can.
    func note(refusal reason: String?, group: String, entry: String) {
        self.refused.withLock { $0["\(group) \(entry)"] = reason }
    }

    func refusal(group: String, entry: String) -> String? { self.refused.withLock { $0["\(group) \(entry)"] } }

    /// Takes over what an earlier process knew, so that a gateway that is away is named also after a restart.
    func restore(_ gateways: [GatewayStatus]) {
        self.known.withLock { known in
            for gateway in gateways where known[gateway.id] == nil { known[gateway.id] = gateway }
        }
    }

    /// Notes that a gateway was heard. - Returns: the gateway, when it is new or came from elsewhere: to be stored.
    func heard(id: String, group: String, address: String, now: Int64) -> GatewayStatus? {
        self.known.withLock { known in
            guard var gateway: GatewayStatus = known[id], gateway.group == group else {
                let gateway: GatewayStatus = GatewayStatus(
                    id: id, group: group, address: address, version: 0, hash: "", quarantined: [], lastSeen: now,
                    firstSeen: now)
                known[id] = gateway
                return gateway
            }
            let moved: Bool = gateway.address != address
            gateway.lastSeen = now
            gateway.address = address
            known[id] = gateway
            return moved ? gateway : nil
        }
    }

    /// Notes what a gateway runs now.
    func acknowledged(
        id: String, version: Int64, hash: String, quarantined: [QuarantinedEntry], now: Int64
    ) -> GatewayStatus? {
        self.known.withLock { known in
            guard var gateway: GatewayStatus = known[id] else { return nil }
            gateway.version = version
            gateway.hash = hash
            gateway.quarantined = quarantined
            gateway.lastSeen = now
            known[id] = gateway
            return gateway
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
