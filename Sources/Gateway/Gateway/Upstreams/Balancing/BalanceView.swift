/// What every target weighs at a moment: weights, health, slow start, zones and panic put together. Pure.
struct BalanceView: Equatable {
    /// What is known of one target.
    struct Member: Equatable {
        var weight: Int
        /// Health, ejection and breaker let it take part.
        var isUp: Bool
        /// It stands in the gateway's own zone.
        var isLocal: Bool
        /// Monotonic nanoseconds when it came up; 0: it always was.
        var upSince: UInt64
    }

    struct Rules: Equatable {
        /// Percentage of the weight in health below which health does not count; 0: never.
        var panicThreshold: Int = 0
        /// Nanoseconds; 0: none.
        var slowStart: UInt64 = 0
        /// The gateway and some target have a zone.
        var usesZones: Bool = false
    }

    /// Weights count in hundredths, so that a slow start has steps.
    static let weightUnit: Int = 100
    /// What one that just came up begins with, of a hundred.
    static let slowStartMin: Int = 5
    /// An own zone keeps all of its requests as long as this percentage of its weight is in health.
    static let zoneHealthEnough: Int = 70

    /// What each target weighs now; 0: it takes no part.
    private(set) var weights: [Int] = []
    /// Too few are in health: all take part.
    private(set) var isPanicking: Bool = false
    /// Requests of a thousand that stay in the own zone; the others go elsewhere.
    private(set) var localShare: Int = 1000
    /// Whether anyone is in slow start: then the view grows old by itself.
    private(set) var isMoving: Bool = false
    /// At least one target takes part.
    private(set) var hasAny: Bool = false

    init(_ members: [Member], now: UInt64, rules: Rules) {
        var total: Int = 0
        var up: Int = 0
        for member in members {
            total += member.weight
            if member.isUp { up += member.weight }
        }
        self.isPanicking = rules.panicThreshold > 0 && up * 100 < total * rules.panicThreshold
        self.weights.reserveCapacity(members.count)
        for member in members {
            let weight: Int = self.weight(of: member, now: now, rules: rules)
            if weight > 0 { self.hasAny = true }
            self.weights.append(weight)
        }
        if rules.usesZones { self.localShare = self.share(members) }
    }

    private mutating func weight(of member: Member, now: UInt64, rules: Rules) -> Int {
        if member.weight == 0 || !(member.isUp || self.isPanicking) { return 0 }
        let whole: Int = member.weight * BalanceView.weightUnit
        guard rules.slowStart > 0, member.upSince > 0, now < member.upSince &+ rules.slowStart else { return whole }
        self.isMoving = true
        let age: UInt64 = now > member.upSince ? now - member.upSince : 0
        // In whole percent, so the product stays small whatever the span.
        let percent: Int = Int(age / max(1, rules.slowStart / 100))
        return max(1, whole * max(BalanceView.slowStartMin, min(100, percent)) / 100)
    }

    /// The own zone keeps everything while most of it is in health, and gives away in proportion to what is missing then.
    private func share(_ members: [Member]) -> Int {
        var total: Int = 0
        var up: Int = 0
        var others: Int = 0
        for (index, member) in members.enumerated() {
            if member.isLocal {
                total += member.weight
                if self.weights[index] > 0 { up += member.weight }
            } else if self.weights[index] > 0 {
                others += member.weight
            }
        }
        if up == 0 { return 0 }
        if others == 0 { return 1000 }
        return min(1000, up * 1000 * 100 / (total * BalanceView.zoneHealthEnough))
    }
}
