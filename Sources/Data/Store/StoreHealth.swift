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

/// The health shared by the writer, the readers and whoever asks. Logs each change once.
final class StoreState: Sendable {
    private let current: Mutex<StoreHealth> = Mutex(.ok)
    private let isDamaged: Atomic<Bool> = Atomic(false)
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    var health: StoreHealth { self.current.withLock { $0 } }

    /// Takes note of a failure; only those of the environment change the health. The first moment is kept.
    func note(_ error: StoreError, at now: Timestamp) {
        guard error.isEnvironmental else { return }
        if case .corrupt = error { self.isDamaged.store(true, ordering: .relaxed) }
        let reason: String = error.description
        let isNews: Bool = self.current.withLock { health in
            guard case .failing(let before, let since) = health else {
                health = .failing(reason: reason, since: now)
                return true
            }
            health = .failing(reason: reason, since: since)
            return before != reason
        }
        if isNews { self.logger.error("store failing", ["reason": .string(reason)]) }
    }

    /// A commit reached the disk. Damage does not heal by a write elsewhere in the file: that needs a restored backup.
    func noteCommit() {
        guard !self.isDamaged.load(ordering: .relaxed) else { return }
        let since: Timestamp? = self.current.withLock { health in
            guard case .failing(_, let since) = health else { return nil }
            health = .ok
            return since
        }
        if let since { self.logger.info("store works again", ["failing_since": .string(since.rfc3339)]) }
    }
}
