import Store
import Time

/// What to do with a record after a try.
enum RetryDecision: Equatable {
    case done
    /// Try again at `due`; `tries` failed ones are counted, `waits` is how often in a row the other side was unavailable.
    case again(due: Timestamp, tries: Int, waits: Int, reason: String)
    case dead(tries: Int, reason: String)
}

/// When a record is tried again and when it is given up. Pure: outcome in, decision out.
struct RetryRules: Sendable {
    /// Bytes of a reason that are kept.
    static let reasonBytesMax: Int = 1024

    let triesMax: Int
    let backoff: Duration
    let backoffMax: Duration
    let unavailableBackoffMax: Duration
    let pauseMax: Duration

    init(_ options: ConsumerOptions) {
        self.triesMax = options.triesMax
        self.backoff = options.backoff
        self.backoffMax = options.backoffMax
        self.unavailableBackoffMax = options.unavailableBackoffMax
        self.pauseMax = options.pauseMax
    }

    /// - Parameters:
    ///   - tries: failed tries before this one.
    ///   - waits: how often in a row the other side was unavailable before.
    func decide(_ delivery: Delivery, tries: Int, waits: Int, now: Timestamp) -> RetryDecision {
        switch delivery {
        case .done: return .done
        case .poison(let reason): return .dead(tries: tries + 1, reason: Self.shortened(reason))
        case .unavailable(let reason):
            let pause: Duration = Self.doubled(self.backoff, times: waits, limit: self.unavailableBackoffMax)
            return .again(
                due: now.adding(min(pause, self.pauseMax)), tries: tries, waits: waits + 1,
                reason: Self.shortened(reason))
        case .retry(let after, let reason):
            if tries + 1 >= self.triesMax { return .dead(tries: tries + 1, reason: Self.shortened(reason)) }
            let pause: Duration = after ?? Self.doubled(self.backoff, times: tries, limit: self.backoffMax)
            return .again(
                due: now.adding(min(pause, self.pauseMax)), tries: tries + 1, waits: 0, reason: Self.shortened(reason))
        }
    }

    /// What an error out of a transactional handler means; nil when it is the store's own trouble, which is nobody's try.
    static func delivery(of error: any Error) -> Delivery? {
        if let outcome: DeliveryError = error as? DeliveryError { return outcome.delivery }
        if let store: StoreError = error as? StoreError, store.isStoreTrouble { return nil }
        return .retry(after: nil, reason: "\(error)")
    }

    private static func doubled(_ pause: Duration, times: Int, limit: Duration) -> Duration {
        var doubled: Duration = pause
        for _ in 0..<times {
            if doubled >= limit { break }
            doubled = doubled * 2
        }
        return min(doubled, limit)
    }

    private static func shortened(_ reason: String) -> String {
        if reason.utf8.count <= self.reasonBytesMax { return reason }
        // Cutting inside of a letter leaves a replacement character, which is fine in a reason.
        return String(decoding: reason.utf8.prefix(self.reasonBytesMax), as: UTF8.self)
    }
}

extension StoreError {
    /// Whether disk, load or shutdown is the cause, and neither the record nor the handler.
    var isStoreTrouble: Bool {
        switch self {
        case .unavailable, .overloaded, .conflict, .corrupt, .notWritable, .locked, .newerDatabase, .olderDatabase,
            .changedMigration, .foreignDatabase, .misconfigured, .closed:
            true
        case .constraint, .decoding, .misuse, .timedOut: false
        }
    }
}
