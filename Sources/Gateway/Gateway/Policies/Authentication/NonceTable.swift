import GatewayConfiguration
import Synchronization

/// Nonces of signed requests, remembered while their signatures could be used again. Bounded, in shards.
final class NonceTable: Sendable {
    enum Answer {
        case fresh
        case seen
        /// No place for one more: it could not be told from a repeated one later.
        case full
    }

    private struct Shard {
        var until: [KeyDigest: Int64] = [:]
        /// When expired ones were last thrown out, seconds.
        var cleanedAt: Int64 = 0
    }

    private final class Box: Sendable {
        let shard: Mutex<Shard> = Mutex(Shard())
    }

    private let boxes: [Box]
    private let perShard: Int
    private static let shardCount: Int = 16

    init(capacity: Int) {
        self.boxes = (0..<Self.shardCount).map { _ in Box() }
        self.perShard = max(1, capacity / Self.shardCount)
    }

    /// Notes a nonce until `until` (seconds since 1970).
    func note(_ digest: KeyDigest, until: Int64, now: Int64) -> Answer {
        self.boxes[Int(truncatingIfNeeded: digest.words.0) & (Self.shardCount - 1)].shard.withLock { shard in
            if let known: Int64 = shard.until[digest], known > now { return .seen }
            if shard.until.count >= self.perShard {
                // At most once a second: a full table is not walked for every request.
                if shard.cleanedAt != now {
                    shard.cleanedAt = now
                    shard.until = shard.until.filter { $0.value > now }
                }
                if shard.until.count >= self.perShard { return .full }
            }
            shard.until[digest] = until
            return .fresh
        }
    }
}
