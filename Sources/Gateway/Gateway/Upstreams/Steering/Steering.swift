import GatewayConfiguration
import Synchronization

/// How one loop chooses among the targets of an upstream that asks for more than turns.
///
/// What must be right for all loops together (health, breakers, requests on their way, connections) is shared and atomic. Whose
/// turn it is, is each loop's own: sharing it would cost every request a contended line and make nothing fairer.
final class Steering {
    struct Member {
        let pool: TargetPool
        let weight: Int
        let isLocal: Bool
    }

    /// What came of a choice.
    enum Choice {
        case target(Int)
        /// Nobody is in health, or all were tried.
        case none
        /// The circuit is open: nobody may be asked now.
        case open
    }

    /// A view is made anew after this time even if no change was told: ejections end by themselves. 100 ms.
    private static let viewLife: UInt64 = 100_000_000

    let plan: UpstreamPlan
    let state: UpstreamState
    let members: [Member]
    private let epoch: HealthEpoch
    private let rules: BalanceView.Rules
    private let zones: [UInt8]
    private let versions: [UInt8]

    private var view: BalanceView
    private var wheel: WeightWheel
    private var viewEpoch: UInt64 = 0
    private var viewUntil: UInt64 = 0
    private var robin: SmoothRoundRobin
    private var turn: Int = 0
    private var random: LoopRandom = LoopRandom()

    init(_ plan: UpstreamPlan, state: UpstreamState, pools: [(pool: TargetPool, weight: Int)], zone: String?) {
        self.plan = plan
        self.state = state
        var members: [Member] = []
        for (index, entry) in pools.enumerated() {
            members.append(
                Member(pool: entry.pool, weight: entry.weight, isLocal: zone != nil && plan.zones[index] == zone))
        }
        self.members = members
        self.epoch = pools.first?.pool.state.epoch ?? HealthEpoch()
        var rules: BalanceView.Rules = plan.view
        rules.usesZones = zone != nil && plan.zones.contains { $0 != nil }
        self.rules = rules
        self.zones = members.map { $0.isLocal ? 1 : 0 }
        self.versions = plan.targetVersions
        self.robin = SmoothRoundRobin(count: members.count)
        self.view = BalanceView([], now: 0, rules: rules)
        self.wheel = WeightWheel([])
    }

    var isPanicking: Bool { self.view.isPanicking }

    /// Chooses a target for a try and lets the request into its breaker: the try is told to `close` when it is over.
    ///
    /// `key` is the request's for consistent hashing; 0: none, then chance decides. `tried` are not asked again. Targets of another
    /// `version` are only chosen when nobody of this one is left.
    func choose(
        now: UInt64, key: UInt64, version: UInt8 = Candidates.any, tried: MemberSet, admission: inout Admission
    ) -> Choice {
        guard self.admitUpstream(now: now, &admission) else { return .open }
        self.refresh(now: now)
        var candidates: Candidates = Candidates(weights: self.view.weights, zones: self.zones, versions: self.versions)
        candidates.tried = tried
        candidates.version = version
        let key: UInt64 = key != 0 ? key : self.random.next() | 1
        if self.rules.usesZones {
            // The key decides, so that it always leads to the same zone.
            let ticket: Int = Int(StableHash.mix(key) >> 32) % 1000
            candidates.zone = ticket < self.view.localShare ? 1 : 0
        }
        var wasRefused: Bool = false
        while true {
            guard let index: Int = self.pick(candidates, key: key) else {
                if candidates.zone != Candidates.any {
                    candidates.zone = Candidates.any
                    continue
                }
                if candidates.version != Candidates.any {
                    candidates.version = Candidates.any
                    continue
                }
                if !wasRefused, let index: Int = self.lastResort(tried) {
                    if self.plan.countsLoad {
                        self.members[index].pool.state.inFlight.wrappingAdd(1, ordering: .relaxed)
                    }
                    return .target(index)
                }
                self.withdraw(now: now, &admission)
                return wasRefused ? .open : .none
            }
            if self.admitTarget(index, now: now, &admission, wasRefused: &wasRefused) { return .target(index) }
            candidates.tried.insert(index)
        }
    }

    /// Where requests may be tried again: of those that are only out because of failures a while ago, the one whose time is over
    /// first. That they are out is a guess, and one that would leave nobody is not worth a request: several servers that were killed
    /// one after the other may all be back, each waiting for its time.
    private func lastResort(_ tried: MemberSet) -> Int? {
        if self.plan.retries == nil { return nil }
        var best: Int?
        var first: UInt64 = .max
        for (index, member) in self.members.enumerated() where member.weight > 0 && !tried.contains(index) {
            guard member.pool.state.flags.load(ordering: .acquiring) == 0 else { continue }
            let until: UInt64 = member.pool.state.ejectedUntil.load(ordering: .relaxed)
            if until < first { (best, first) = (index, until) }
        }
        return best
    }

    private func pick(_ candidates: borrowing Candidates, key: UInt64) -> Int? {
        switch self.plan.balance {
        case .roundRobin: return self.robin.next(candidates)
        case .leastRequests:
            self.turn &+= 1
            return BusynessChoice.least(candidates, start: self.turn & Int.max) { self.load($0) }
        case .powerOfTwo:
            return BusynessChoice.ofTwo(candidates, self.wheel, using: &self.random) { self.load($0) }
        case .maglev: return self.plan.maglev?.pick(key, candidates)
        }
    }

    private func load(_ index: Int) -> Int { self.members[index].pool.state.inFlight.load(ordering: .relaxed) }

    // MARK: The view

    private func refresh(now: UInt64) {
        let epoch: UInt64 = self.epoch.value
        if epoch == self.viewEpoch, now < self.viewUntil { return }
        self.viewEpoch = epoch
        self.viewUntil = now &+ Steering.viewLife
        if self.plan.retries != nil {
            let requests: UInt64 = self.state.requests.load(ordering: .relaxed)
            self.state.budget.withLock { $0.note(now: now, requests: requests) }
        }
        var conditions: [BalanceView.Member] = []
        conditions.reserveCapacity(self.members.count)
        for member in self.members {
            let state: TargetState = member.pool.state
            conditions.append(
                BalanceView.Member(
                    weight: member.weight, isUp: state.isUp(now: now), isLocal: member.isLocal,
                    upSince: state.upSince.load(ordering: .relaxed)))
        }
        let view: BalanceView = BalanceView(conditions, now: now, rules: self.rules)
        if view.weights == self.view.weights {
            self.view = view
            return
        }
        self.view = view
        self.robin.reset()
        if self.plan.balance == .powerOfTwo { self.wheel = WeightWheel(view.weights) }
    }

    /// Takes one retry out of the upstream's budget; false when nothing is left.
    func takeRetry(_ rules: RetryRules, now: UInt64) -> Bool {
        let requests: UInt64 = self.state.requests.load(ordering: .relaxed)
        let isAllowed: Bool = self.state.budget.withLock {
            $0.take(now: now, requests: requests, share: rules.budgetShare, min: rules.budgetMin)
        }
        if isAllowed {
            self.state.retries.wrappingAdd(1, ordering: .relaxed)
        } else {
            self.state.retriesRefused.wrappingAdd(1, ordering: .relaxed)
        }
        return isAllowed
    }

    // MARK: Breakers

    private func admitUpstream(now: UInt64, _ admission: inout Admission) -> Bool {
        guard let rules: CircuitBreaker.Rules = self.plan.breaker, self.plan.breakerScope == .upstream else {
            return true
        }
        return self.state.breaker.withLock { (breaker: inout CircuitBreaker) -> Bool in
            guard breaker.admit(now: now, rules: rules) else { return false }
            admission.period = breaker.period
            return true
        }
    }

    private func withdraw(now: UInt64, _ admission: inout Admission) {
        guard let rules: CircuitBreaker.Rules = self.plan.breaker, self.plan.breakerScope == .upstream else { return }
        let period: UInt32 = admission.period
        self.state.breaker.withLock { $0.record(nil, period: period, now: now, rules: rules) }
    }

    private func admitTarget(
        _ index: Int, now: UInt64, _ admission: inout Admission, wasRefused: inout Bool
    ) -> Bool {
        let pool: TargetPool = self.members[index].pool
        // One after the other: who is let in by one and refused by the next has taken nobody's trial.
        if let rules: CircuitBreaker.Rules = self.plan.breaker, self.plan.breakerScope == .target {
            let isAdmitted: Bool = pool.state.breaker.withLock { (breaker: inout CircuitBreaker) -> Bool in
                guard breaker.admit(now: now, rules: rules) else { return false }
                admission.period = breaker.period
                return true
            }
            if !isAdmitted {
                wasRefused = true
                return false
            }
        }
        if !self.view.isPanicking, !pool.state.admits(now: now, rules: pool.rules) {
            if let rules: CircuitBreaker.Rules = self.plan.breaker, self.plan.breakerScope == .target {
                let period: UInt32 = admission.period
                pool.state.breaker.withLock { $0.record(nil, period: period, now: now, rules: rules) }
            }
            return false
        }
        if self.plan.countsLoad { pool.state.inFlight.wrappingAdd(1, ordering: .relaxed) }
        return true
    }

    /// Ends a try at a target: gives back what `choose` took, and remembers what came of it.
    func close(_ index: Int, _ outcome: TryOutcome, _ admission: Admission, now: UInt64) {
        let pool: TargetPool = self.members[index].pool
        if self.plan.countsLoad { pool.state.inFlight.wrappingSubtract(1, ordering: .relaxed) }
        self.judge(pool, outcome, now: now)
        if self.plan.sumsResults { self.sum(pool.state.sums, outcome) }
        guard let rules: CircuitBreaker.Rules = self.plan.breaker else { return }
        let isAnswered: Bool? = outcome.isAnswered
        let openings: Int = self.withBreaker(pool.state) { (breaker: inout CircuitBreaker) -> Int in
            let before: CircuitBreaker.State = breaker.state
            breaker.record(isAnswered, period: admission.period, now: now, rules: rules)
            if case .open = breaker.state, breaker.state != before { return 1 }
            return 0
        }
        guard openings > 0 else { return }
        let counter: TargetState? = self.plan.breakerScope == .target ? pool.state : nil
        if let counter {
            counter.openings.wrappingAdd(1, ordering: .relaxed)
        } else {
            self.state.openings.wrappingAdd(1, ordering: .relaxed)
        }
    }

    private func withBreaker(_ state: TargetState, _ body: (inout CircuitBreaker) -> Int) -> Int {
        switch self.plan.breakerScope {
        case .target: return state.breaker.withLock { (breaker: inout CircuitBreaker) -> Int in body(&breaker) }
        case .upstream: return self.state.breaker.withLock { (breaker: inout CircuitBreaker) -> Int in body(&breaker) }
        }
    }

    /// Passive health.
    private func judge(_ pool: TargetPool, _ outcome: TryOutcome, now: UInt64) {
        switch outcome {
        case .answered(let status, _):
            if self.plan.failureStatuses.contains(status) {
                pool.state.failedObserved(now: now, rules: pool.rules)
            } else {
                pool.state.recovered(now: now)
            }
        case .failed: pool.state.failedObserved(now: now, rules: pool.rules)
        case .abandoned: break
        }
    }

    private func sum(_ sums: TargetSums, _ outcome: TryOutcome) {
        switch outcome {
        case .answered(let status, let microseconds): sums.add(isFailure: status >= 500, microseconds: microseconds)
        case .failed: sums.add(isFailure: true, microseconds: 0)
        case .abandoned: break
        }
    }

    /// Seconds until someone may be asked again, where a breaker or an ejection says so; at least 1.
    func secondsUntilTrial(now: UInt64) -> Int {
        var seconds: Int = 3600
        if self.plan.breaker != nil, self.plan.breakerScope == .upstream {
            return self.state.breaker.withLock { $0.secondsUntilTrial(now: now) }
        }
        for member in self.members where member.weight > 0 {
            let state: TargetState = member.pool.state
            var own: Int = 1
            let until: UInt64 = state.ejectedUntil.load(ordering: .relaxed)
            if until > now { own = Int(min((until - now + 999_999_999) / 1_000_000_000, 3600)) }
            if self.plan.breaker != nil { own = max(own, state.breaker.withLock { $0.secondsUntilTrial(now: now) }) }
            seconds = min(seconds, own)
        }
        return seconds
    }
}

/// What a breaker remembers of one admitted request.
struct Admission {
    var period: UInt32 = 0
}

/// What became of a request at one target.
enum TryOutcome {
    /// A whole answer, with the time to its head.
    case answered(status: Int, microseconds: UInt32)
    /// No (whole) answer.
    case failed
    /// Nobody can tell: the client left, or the gateway stopped it for a reason of its own.
    case abandoned

    /// For breakers: nil when nobody can tell.
    var isAnswered: Bool? {
        switch self {
        case .answered(let status, _): return status < 500
        case .failed: return false
        case .abandoned: return nil
        }
    }
}
