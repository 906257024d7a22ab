import GatewayConfiguration
import HTTP

/// A retry definition ready to use. Pure.
final class RetryRules: Sendable {
    /// Why a try was not the last word.
    enum Condition: Equatable {
        case connectFailure
        /// `isUnsent`: the kernel took no byte of the request.
        case reset(isUnsent: Bool)
        case timeout
        /// With the seconds of its `Retry-After`; nil: it had none.
        case status(Int, retryAfter: Int?)
    }

    let attempts: Int
    let bodyBytesMax: Int
    let budgetShare: Int
    let budgetMin: Int
    /// Nanoseconds; 0: none.
    let tryTimeout: UInt64
    private let definition: RetryDefinition
    private let methods: Set<MethodCode>?
    private let backoff: UInt64
    private let backoffMax: UInt64
    private let retryAfterMax: UInt64

    init(_ definition: RetryDefinition) {
        self.definition = definition
        self.attempts = definition.attempts
        self.bodyBytesMax = definition.bodyBytesMax
        self.budgetShare = definition.budgetShare
        self.budgetMin = definition.budgetMin
        self.tryTimeout = definition.tryTimeout.nanoseconds
        self.methods = definition.methods.map { (names: [String]) -> Set<MethodCode> in
            Set(MethodCode.allCases.filter { names.contains("\($0.name)") })
        }
        self.backoff = definition.backoff.nanoseconds
        self.backoffMax = definition.backoffMax.nanoseconds
        self.retryAfterMax = definition.retryAfterMax.nanoseconds
    }

    /// Whether what happened may be tried again, whatever is left of attempts, budget and time.
    func covers(_ condition: Condition, _ method: MethodCode) -> Bool {
        switch condition {
        case .connectFailure: return self.definition.onConnectFailure
        case .reset(let isUnsent): return self.definition.onReset && (isUnsent || self.repeats(method))
        case .timeout: return self.definition.onTimeout && self.repeats(method)
        case .status(let status, let retryAfter):
            guard self.definition.statuses.contains(status), self.repeats(method) else { return false }
            guard let retryAfter else { return true }
            return UInt64(retryAfter) <= self.retryAfterMax / 1_000_000_000
        }
    }

    private func repeats(_ method: MethodCode) -> Bool {
        guard let methods: Set<MethodCode> = self.methods else { return method.isIdempotent }
        return methods.contains(method)
    }

    /// Nanoseconds to wait before retry `number` (1 for the first): up to twice as long each time, and any part of it, so that
    /// those who failed together do not come back together; but what a server asked for in any case.
    func pause(
        before number: Int, _ condition: Condition, using random: inout some RandomNumberGenerator
    ) -> UInt64 {
        let doublings: UInt64 = UInt64(min(max(0, number - 1), 20))
        let longest: UInt64 = min(self.backoff << doublings, self.backoffMax)
        let chosen: UInt64 = UInt64.random(in: 0...longest, using: &random)
        switch condition {
        case .connectFailure, .reset(isUnsent: true): return number == 1 ? 0 : chosen
        case .status(_, .some(let seconds)): return max(UInt64(seconds) * 1_000_000_000, chosen)
        // Never at once: the answer that is dropped is still being read.
        case .status(_, nil): return max(1_000_000, chosen)
        case .reset, .timeout: return chosen
        }
    }
}
