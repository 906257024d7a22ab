import Synchronization

/// Requests with an idempotency key that are under way or done, of all loops of the process.
///
/// In shards by key, each behind a lock that is held for a look-up only. Bounded in entries and bytes: at a bound the answer that
/// was kept first makes room, and where all are under way the request is refused.
final class IdempotencyStore: Sendable {
    /// What a request with a key has to do.
    enum Claim {
        /// It is the first: to be completed or released with this number.
        case first(UInt64)
        case inProgress
        /// The key was used for another request.
        case mismatch
        case done(LocalAnswer)
        /// Done, but the answer is not here.
        case unrepeatable
        /// No room for another one.
        case full
    }

    private enum State {
        case inProgress
        case done(LocalAnswer)
        case unrepeatable
    }

    private struct Entry {
        var claim: UInt64
        var fingerprint: [UInt8]
        var state: State
        /// Monotonic nanoseconds; of an entry under way, when it is given up.
        var expires: UInt64
        var bytes: Int
    }

    private struct Shard {
        var entries: [[UInt8]: Entry] = [:]
        /// Keys in the order they came, with the claim that brought them; from `first` on.
        var order: [(key: [UInt8], claim: UInt64)] = []
        var first: Int = 0
        var bytes: Int = 0
        var lastClaim: UInt64 = 0
    }

    private final class Box: Sendable {
        let shard: Mutex<Shard> = Mutex(Shard())
    }

    private let boxes: [Box]
    private let entriesMax: Int
    private let bytesMax: Int

    private static let shardCount: Int = 16
    /// Keys at once, and bytes of their answers, in one process.
    static let entriesMaxDefault: Int = 131_072
    static let bytesMaxDefault: Int = 64 << 20
    /// What an entry costs besides its key and answer.
    private static let entryBytes: Int = 256
    /// How long a request may be under way before its key is free again: longer than any time-out of a route.
    static let inProgressMax: UInt64 = 2 * 3600 * 1_000_000_000

    init(entriesMax: Int = IdempotencyStore.entriesMaxDefault, bytesMax: Int = IdempotencyStore.bytesMaxDefault) {
        self.entriesMax = max(1, entriesMax / IdempotencyStore.shardCount)
        self.bytesMax = bytesMax / IdempotencyStore.shardCount
        self.boxes = (0..<IdempotencyStore.shardCount).map { _ in Box() }
    }

    /// Takes the key for a request, or tells what became of the one that has it.
    func claim(_ key: [UInt8], fingerprint: [UInt8], now: UInt64) -> Claim {
        self.box(key).shard.withLock { (shard: inout Shard) -> Claim in
            if let entry: Entry = shard.entries[key] {
                if entry.expires > now { return Self.standing(entry, fingerprint) }
                Self.drop(key, &shard)
            }
            let bytes: Int = key.count * 2 + fingerprint.count + IdempotencyStore.entryBytes
            guard self.makeRoom(for: bytes, now: now, &shard) else { return .full }
            shard.lastClaim += 1
            shard.entries[key] = Entry(
                claim: shard.lastClaim, fingerprint: fingerprint, state: .inProgress,
                expires: now &+ IdempotencyStore.inProgressMax, bytes: bytes)
            shard.order.append((key, shard.lastClaim))
            shard.bytes += bytes
            return .first(shard.lastClaim)
        }
    }

    private static func standing(_ entry: Entry, _ fingerprint: [UInt8]) -> Claim {
        guard entry.fingerprint == fingerprint else { return .mismatch }
        switch entry.state {
        case .inProgress: return .inProgress
        case .done(let answer): return .done(answer)
        case .unrepeatable: return .unrepeatable
        }
    }

    /// The request is done; nil: its answer is too large to be kept.
    func complete(_ key: [UInt8], claim: UInt64, answer: LocalAnswer?, expires: UInt64, now: UInt64) {
        self.box(key).shard.withLock { (shard: inout Shard) in
            guard var entry: Entry = shard.entries[key], entry.claim == claim else { return }
            entry.expires = expires
            entry.state = .unrepeatable
            // One that took longer than `inProgressMax` must not be what makes room for its own answer.
            shard.entries[key]?.expires = expires
            if let answer: LocalAnswer = answer {
                let bytes: Int = answer.bodyCount + answer.fields.bytes.count
                if bytes <= self.bytesMax / 2, self.makeRoom(for: bytes, now: now, &shard) {
                    entry.state = .done(answer)
                    entry.bytes += bytes
                    shard.bytes += bytes
                }
            }
            shard.entries[key] = entry
        }
    }

    /// The request was not done: the key is free.
    func release(_ key: [UInt8], claim: UInt64) {
        self.box(key).shard.withLock { (shard: inout Shard) in
            guard let entry: Entry = shard.entries[key], entry.claim == claim else { return }
            Self.drop(key, &shard)
        }
    }

    /// Entries kept now.
    var count: Int {
        var count: Int = 0
        for box in self.boxes { count += box.shard.withLock { $0.entries.count } }
        return count
    }

    var bytes: Int {
        var bytes: Int = 0
        for box in self.boxes { bytes += box.shard.withLock { $0.bytes } }
        return bytes
    }

    private func box(_ key: [UInt8]) -> Box {
        let hash: UInt64 = key.withUnsafeBytes { (raw: UnsafeRawBufferPointer) -> UInt64 in
            raw.baseAddress.map { ByteHash.process.hash($0, count: raw.count) } ?? 0
        }
        return self.boxes[Int(hash >> 48) % self.boxes.count]
    }

    private static func drop(_ key: [UInt8], _ shard: inout Shard) {
        if let entry: Entry = shard.entries.removeValue(forKey: key) { shard.bytes -= entry.bytes }
    }

    /// Drops the oldest entries that are done until this much fits; false when those left are all under way.
    private func makeRoom(for bytes: Int, now: UInt64, _ shard: inout Shard) -> Bool {
        var kept: [(key: [UInt8], claim: UInt64)] = []
        var index: Int = shard.first
        // What has expired at the front goes first, whether or not room is needed: so nothing old stays for ever.
        while index < shard.order.count {
            let fits: Bool = shard.entries.count < self.entriesMax && shard.bytes + bytes <= self.bytesMax
            let (key, claim): ([UInt8], UInt64) = shard.order[index]
            guard let entry: Entry = shard.entries[key], entry.claim == claim else {
                index += 1
                continue
            }
            if fits, entry.expires > now { break }
            if case .inProgress = entry.state, entry.expires > now {
                kept.append((key, claim))
            } else {
                Self.drop(key, &shard)
            }
            index += 1
        }
        shard.first = index
        if !kept.isEmpty {
            // Those under way keep their place in front.
            let start: Int = index - kept.count
            for (offset, item) in kept.enumerated() { shard.order[start + offset] = item }
            shard.first = start
        }
        if shard.first > 1024, shard.first > shard.order.count / 2 {
            shard.order.removeFirst(shard.first)
            shard.first = 0
        }
        return shard.entries.count < self.entriesMax && shard.bytes + bytes <= self.bytesMax
    }
}
