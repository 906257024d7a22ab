import Synchronization

/// The targets of one API on one loop, and whose turn it is.
///
/// Smooth weighted round robin: each pick adds its weight to every target in health, takes the one with the most, and takes the
/// sum of the weights from it; so heavy targets are spread and not sent bursts.
final class UpstreamGroup {
    private struct Member {
        let pool: TargetPool
        let weight: Int
        var credit: Int
    }

    private var members: [Member]
    /// The one target of most APIs.
    private let only: TargetPool?
    let preservesHost: Bool
    /// Chooses instead of `pick` where the upstream asks for more than turns.
    let steering: Steering?

    init(pools: [(pool: TargetPool, weight: Int)], preservesHost: Bool, steering: Steering? = nil) {
        self.steering = steering
        self.only = pools.count == 1 && pools[0].weight > 0 ? pools[0].pool : nil
        self.members = pools.map { Member(pool: $0.pool, weight: $0.weight, credit: 0) }
        self.preservesHost = preservesHost
    }

    var count: Int { self.members.count }

    /// The next target in health, other than `excluded` when there is a choice; nil when none is.
    func pick(now: UInt64, excluding excluded: TargetPool? = nil) -> TargetPool? {
        if let only: TargetPool = self.only {
            guard only !== excluded, only.state.admits(now: now, rules: only.rules) else { return nil }
            return only
        }
        // The one with the turn may be out of health: then the others are asked in the order of their credit.
        var refused: Set<Int> = []
        while let index: Int = self.turn(excluding: excluded, refused: refused) {
            let pool: TargetPool = self.members[index].pool
            if pool.state.admits(now: now, rules: pool.rules) { return pool }
            refused.insert(index)
        }
        return nil
    }

    private func turn(excluding excluded: TargetPool?, refused: Set<Int>) -> Int? {
        var best: Int = -1
        var total: Int = 0
        for index in self.members.indices {
            if self.members[index].weight == 0 || self.members[index].pool === excluded || refused.contains(index) {
                continue
            }
            self.members[index].credit += self.members[index].weight
            total += self.members[index].weight
            if best < 0 || self.members[index].credit > self.members[best].credit { best = index }
        }
        guard best >= 0 else { return nil }
        self.members[best].credit -= total
        return best
    }

    /// Seconds until the first target that is left out is tried again; at least 1.
    func secondsUntilTrial(now: UInt64) -> Int {
        if let steering: Steering = self.steering { return steering.secondsUntilTrial(now: now) }
        var first: UInt64 = .max
        for member in self.members where member.weight > 0 {
            first = min(first, member.pool.state.ejectedUntil.load(ordering: .relaxed))
        }
        guard first > now, first != .max else { return 1 }
        return Int(min((first - now + 999_999_999) / 1_000_000_000, 3600))
    }
}
