import JSON
import Synchronization
import Telemetry
package import Time

/// Whether the store can write, for `/readyz`.
package enum StoreHealth: Sendable, Equatable {
    case ok
    /// Writes fail for a reason outside the program; it recovers by itself when the reason goes away (damage excepted).
    case failing(reason: String, since: Timestamp)
}

/// What can fail on its own: a full disk may still take commits (the log's file is kept) and no copies of them, and a full disk of
/// a server those that need no more of it than there is.
enum StorePart: CaseIterable {
    case commits, copying, reads, space
}

/// The health shared by the store's threads and whoever asks. Logs each change once.
final class StoreState: Sendable {
    private struct Failure {
        var reason: String
        let since: Timestamp
        /// A damaged file does not heal by a write elsewhere in it: that needs a restored backup.
        var isDamage: Bool
    }

    private let failures: Mutex<[StorePart: Failure]> = Mutex([:])
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// The failure that began first, if there is any.
    var health: StoreHealth {
        self.failures.withLock { failures in
            var first: Failure?
            for part: StorePart in StorePart.allCases {
                guard let failure: Failure = failures[part] else { continue }
                if let known: Failure = first, known.since <= failure.since { continue }
                first = failure
            }
            return first.map { .failing(reason: $0.reason, since: $0.since) } ?? .ok
        }
    }

    /// Takes note of a failure; only those of the environment count. The moment of the first is kept.
    func noteFailure(_ error: StoreError, of part: StorePart, at now: Timestamp) {
        guard error.isEnvironmental else { return }
        var isDamage: Bool = false
        if case .corrupt = error { isDamage = true }
        let reason: String = error.description
        let isNews: Bool = self.failures.withLock { failures in
            let before: Failure? = failures[part]
            failures[part] = Failure(
                reason: reason, since: before?.since ?? now, isDamage: isDamage || before?.isDamage == true)
            return before?.reason != reason
        }
        if isNews { self.logger.error("store failing", ["part": .string("\(part)"), "reason": .string(reason)]) }
    }

    func isFailing(_ part: StorePart) -> Bool { self.failures.withLock { $0[part] != nil } }

    /// The part works: bytes reached the disk, or came from it.
    func noteSuccess(of part: StorePart) {
        let ended: Failure? = self.failures.withLock { failures in
            guard let failure: Failure = failures[part], !failure.isDamage else { return nil }
            failures[part] = nil
            return failure
        }
        guard let ended else { return }
        self.logger.info(
            "store works again", ["part": .string("\(part)"), "failing_since": .string(ended.since.rfc3339)])
    }
}
