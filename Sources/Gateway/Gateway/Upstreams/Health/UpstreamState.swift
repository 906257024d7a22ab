import Synchronization

/// What a gateway has learned of one API's upstream as a whole. All loops share it.
package final class UpstreamState: Sendable {
    /// `tenant/api`.
    package let key: String
    /// For a breaker whose scope is the upstream.
    let breaker: Mutex<CircuitBreaker> = Mutex(CircuitBreaker())
    let openings: Atomic<UInt64> = Atomic(0)
    /// Requests, retries excluded; counted where retries are allowed.
    let requests: Atomic<UInt64> = Atomic(0)
    let retries: Atomic<UInt64> = Atomic(0)
    /// Retries that the budget did not allow.
    let retriesRefused: Atomic<UInt64> = Atomic(0)
    let budget: Mutex<RetryBudget> = Mutex(RetryBudget())
    let mirror: MirrorCounts = MirrorCounts()

    init(key: String) {
        self.key = key
    }
}

/// Counts up whenever the health of some target changes: tells loops to look again.
final class HealthEpoch: Sendable {
    private let number: Atomic<UInt64> = Atomic(1)

    var value: UInt64 { self.number.load(ordering: .acquiring) }
    func advance() { self.number.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}

/// Why a target takes no part, besides `ejectedUntil`; bits of `TargetState.flags`.
struct TargetFlags: OptionSet {
    let rawValue: UInt32

    /// Its own checks fail.
    static let checkedDown: TargetFlags = TargetFlags(rawValue: 1)
    /// It does worse than its peers.
    static let outlier: TargetFlags = TargetFlags(rawValue: 2)
}

/// Sums since the gateway began, of requests of all loops. Written on loops, compared by the watch.
final class TargetSums: Sendable {
    let requests: Atomic<UInt64> = Atomic(0)
    let failures: Atomic<UInt64> = Atomic(0)
    let microseconds: Atomic<UInt64> = Atomic(0)

    func add(isFailure: Bool, microseconds: UInt32) {
        self.requests.wrappingAdd(1, ordering: .relaxed)
        if isFailure {
            self.failures.wrappingAdd(1, ordering: .relaxed)
        } else {
            self.microseconds.wrappingAdd(UInt64(microseconds), ordering: .relaxed)
        }
    }
}

extension TargetState {
    /// Takes the target out or back in for one reason. Any thread.
    func set(_ flag: TargetFlags, _ isSet: Bool, now: UInt64) {
        let old: UInt32
        if isSet {
            old = self.flags.bitwiseOr(flag.rawValue, ordering: .acquiringAndReleasing).oldValue
        } else {
            old = self.flags.bitwiseAnd(~flag.rawValue, ordering: .acquiringAndReleasing).oldValue
        }
        let was: Bool = old & flag.rawValue != 0
        if was == isSet { return }
        if isSet {
            self.ejections.wrappingAdd(1, ordering: .relaxed)
        } else if old == flag.rawValue {
            self.upSince.store(now, ordering: .relaxed)
        }
        self.epoch.advance()
    }

    /// Whether health and ejections let it take part. A target whose ejection is over counts as up: `admits` lets one request
    /// try it.
    func isUp(now: UInt64) -> Bool {
        if self.flags.load(ordering: .acquiring) != 0 { return false }
        let until: UInt64 = self.ejectedUntil.load(ordering: .relaxed)
        return until == 0 || now >= until
    }

    /// As `succeeded`, and begins a slow start when it had been out.
    func recovered(now: UInt64) {
        if self.ejectedUntil.load(ordering: .relaxed) != 0 {
            self.upSince.store(now, ordering: .relaxed)
            self.succeeded()
            self.epoch.advance()
        } else {
            self.succeeded()
        }
    }

    /// As `failed`, and tells loops when it went out with it.
    func failedObserved(now: UInt64, rules: PoolRules) {
        let before: UInt64 = self.ejectedUntil.load(ordering: .relaxed)
        self.failed(now: now, rules: rules)
        if before == 0, self.ejectedUntil.load(ordering: .relaxed) != 0 {
            self.ejections.wrappingAdd(1, ordering: .relaxed)
            self.epoch.advance()
        }
    }
}
