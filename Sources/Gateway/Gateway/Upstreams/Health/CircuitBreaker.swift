import GatewayConfiguration

/// Keeps requests from a target, or from a whole upstream, that fails most of them. Pure: time is handed in.
///
/// closed → open when enough requests of the window failed; open → half-open when its time is over; half-open → closed when all
/// trials were answered, → open when one failed.
struct CircuitBreaker {
    enum State: Equatable {
        /// Requests pass and are counted.
        case closed
        /// Nothing passes until this moment (monotonic nanoseconds).
        case open(until: UInt64)
        /// A few pass to try: so many are still allowed, so many were answered.
        case halfOpen(left: Int, answered: Int)
    }

    struct Rules: Equatable, Sendable {
        var errorShare: Int
        var requestsMin: Int
        /// Nanoseconds.
        var window: UInt64
        var openFor: UInt64
        var trials: Int
        /// On their way at once; 0: no limit.
        var requestsMax: Int

        init(_ definition: CircuitBreakerDefinition) {
            self.errorShare = definition.errorShare
            self.requestsMin = definition.requestsMin
            self.window = definition.window.nanoseconds
            self.openFor = definition.openFor.nanoseconds
            self.trials = definition.trials
            self.requestsMax = definition.requestsMax
        }
    }

    /// Parts of the window: the oldest is dropped as a whole.
    private static let parts: Int = 10

    private struct Part {
        var number: UInt64 = .max
        var requests: Int = 0
        var failures: Int = 0
    }

    private(set) var state: State = .closed
    private(set) var inFlight: Int = 0
    /// Counts up with every opening; a result of a request from before says nothing about the time after.
    private(set) var period: UInt32 = 0
    private var window: [Part] = []

    /// Whether a request may pass now; it does then, and its result is told to `record`.
    mutating func admit(now: UInt64, rules: Rules) -> Bool {
        if rules.requestsMax > 0, self.inFlight >= rules.requestsMax { return false }
        switch self.state {
        case .closed: break
        case .open(let until):
            if now < until { return false }
            self.period &+= 1
            self.state = .halfOpen(left: rules.trials - 1, answered: 0)
        case .halfOpen(let left, let answered):
            if left == 0 { return false }
            self.state = .halfOpen(left: left - 1, answered: answered)
        }
        self.inFlight += 1
        return true
    }

    /// Whether `admit` would say yes, without taking part.
    func wouldAdmit(now: UInt64, rules: Rules) -> Bool {
        if rules.requestsMax > 0, self.inFlight >= rules.requestsMax { return false }
        switch self.state {
        case .closed: return true
        case .open(let until): return now >= until
        case .halfOpen(let left, _): return left > 0
        }
    }

    /// What became of an admitted request: true for an answer, false for a failure, nil when nobody can tell (the client left).
    /// `period` is the breaker's when it was admitted.
    mutating func record(_ isAnswered: Bool?, period: UInt32, now: UInt64, rules: Rules) {
        self.inFlight = max(0, self.inFlight - 1)
        guard period == self.period else { return }
        switch self.state {
        case .open: break
        case .halfOpen(let left, let answered):
            guard let isAnswered else {
                self.state = .halfOpen(left: left + 1, answered: answered)
                return
            }
            if !isAnswered {
                self.open(now: now, rules: rules)
            } else if answered + 1 >= rules.trials {
                self.state = .closed
                self.window = []
                self.period &+= 1
            } else {
                self.state = .halfOpen(left: left, answered: answered + 1)
            }
        case .closed:
            guard let isAnswered else { return }
            self.count(isAnswered, now: now, rules: rules)
        }
    }

    private mutating func count(_ isAnswered: Bool, now: UInt64, rules: Rules) {
        let number: UInt64 = now / max(1, rules.window / UInt64(CircuitBreaker.parts))
        if self.window.isEmpty { self.window = [Part](repeating: Part(), count: CircuitBreaker.parts) }
        let place: Int = Int(number % UInt64(CircuitBreaker.parts))
        if self.window[place].number != number { self.window[place] = Part(number: number) }
        self.window[place].requests += 1
        if isAnswered { return }
        self.window[place].failures += 1
        var requests: Int = 0
        var failures: Int = 0
        for part in self.window where part.number != .max && part.number + UInt64(CircuitBreaker.parts) > number {
            requests += part.requests
            failures += part.failures
        }
        if requests >= rules.requestsMin, failures * 100 >= requests * rules.errorShare {
            self.open(now: now, rules: rules)
        }
    }

    private mutating func open(now: UInt64, rules: Rules) {
        self.state = .open(until: now &+ rules.openFor)
        self.period &+= 1
        self.window = []
    }

    /// Whole seconds until it may let something pass, at least 1.
    func secondsUntilTrial(now: UInt64) -> Int {
        guard case .open(let until) = self.state, until > now else { return 1 }
        return Int(min((until - now + 999_999_999) / 1_000_000_000, 3600))
    }
}
