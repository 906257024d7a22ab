import GatewayConfiguration
import Synchronization

/// What was found out about a credential: who it is, or that it is refused.
final class CachedIdentity: Sendable {
    /// SHA-256 of the credential.
    let digest: KeyDigest
    /// Which rules it was judged by: a token good for one API says nothing about another.
    let verifier: UInt64
    /// Good until this second since 1970.
    let expires: Int64
    /// Nil: refused.
    let identity: VerifiedIdentity?
    /// Whose keys vouch for it, and which version of them: other keys, another judgement.
    let keys: KeyProvider?
    let keysVersion: UInt64
    /// The version of `TokenRevocations` that it was looked up in.
    let revocationsSeen: Atomic<UInt64> = Atomic(0)

    init(
        digest: KeyDigest, verifier: UInt64, expires: Int64, identity: VerifiedIdentity?, keys: KeyProvider? = nil,
        keysVersion: UInt64 = 0
    ) {
        self.digest = digest
        self.verifier = verifier
        self.expires = expires
        self.identity = identity
        self.keys = keys
        self.keysVersion = keysVersion
    }
}

/// Credentials that were verified, by their SHA-256; shared by all loops, bounded. Finding one allocates nothing.
///
/// In shards, each with a lock of its own; in a shard a credential has eight places it may be in, and the one that expires first
/// makes room when all are taken.
final class IdentityCache: Sendable {
    private final class Shard: Sendable {
        let entries: Mutex<[CachedIdentity?]>

        init(count: Int) {
            self.entries = Mutex([CachedIdentity?](repeating: nil, count: count))
        }
    }

    private let shards: [Shard]
    private let setMask: Int

    /// Entries kept at most. With claims of 1 KiB each this is about 64 MiB when full.
    static let entriesMax: Int = 32_768
    private static let shardCount: Int = 64
    private static let ways: Int = 8

    /// `capacity` is a power of two of at least 512.
    init(capacity: Int = IdentityCache.entriesMax) {
        precondition(capacity >= Self.shardCount * Self.ways && capacity & (capacity - 1) == 0)
        let perShard: Int = capacity / Self.shardCount
        self.shards = (0..<Self.shardCount).map { _ in Shard(count: perShard) }
        self.setMask = perShard / Self.ways - 1
    }

    /// What is known of a credential, while it is good.
    func find(_ digest: KeyDigest, verifier: UInt64, now: Int64) -> CachedIdentity? {
        let first: Int = self.place(digest)
        let found: CachedIdentity? = self.shard(digest).entries.withLock { entries in
            for index in first..<first + Self.ways {
                guard let entry: CachedIdentity = entries[index] else { continue }
                if entry.digest == digest && entry.verifier == verifier { return entry }
            }
            return nil
        }
        guard let found, now < found.expires else { return nil }
        if let keys: KeyProvider = found.keys, keys.version != found.keysVersion { return nil }
        return found
    }

    func insert(_ entry: CachedIdentity, now: Int64) {
        if entry.expires <= now { return }
        let first: Int = self.place(entry.digest)
        // What is pushed out is released when the lock is gone.
        let pushed: CachedIdentity? = self.shard(entry.digest).entries.withLock { entries in
            var victim: Int = first
            var victimExpires: Int64 = .max
            for index in first..<first + Self.ways {
                let other: CachedIdentity? = entries[index]
                let isSame: Bool = other.map { $0.digest == entry.digest && $0.verifier == entry.verifier } ?? false
                let expires: Int64 = isSame ? .min : other?.expires ?? .min + 1
                if expires < victimExpires {
                    victim = index
                    victimExpires = expires
                }
            }
            let old: CachedIdentity? = entries[victim]
            entries[victim] = entry
            return old
        }
        _ = pushed
    }

    /// Forgets a credential whatever rules it was judged by: it will be verified again.
    func remove(_ digest: KeyDigest) {
        let first: Int = self.place(digest)
        self.shard(digest).entries.withLock { entries in
            for index in first..<first + Self.ways where entries[index]?.digest == digest { entries[index] = nil }
        }
    }

    /// Entries kept; walks through all of them: for metrics and tests.
    var count: Int {
        var count: Int = 0
        for shard in self.shards { count += shard.entries.withLock { $0.reduce(0) { $1 == nil ? $0 : $0 + 1 } } }
        return count
    }

    private func shard(_ digest: KeyDigest) -> Shard {
        self.shards[Int(truncatingIfNeeded: digest.words.0 >> 56) & (Self.shardCount - 1)]
    }

    private func place(_ digest: KeyDigest) -> Int {
        (Int(truncatingIfNeeded: digest.words.1) & self.setMask) * Self.ways
    }
}
