import Synchronization

/// Stored responses of all tenants and loops of the process: in shards by key, each behind a lock held for a look-up only.
///
/// Bounded in bytes. At the bound the clock's hand goes round: what was asked for since it last passed stays for another round,
/// the first that was not makes room. A look-up costs one lock and one hash; bodies are shared, never copied.
final class CacheStore: Sendable {
    private struct Slot {
        /// Newest first.
        var variants: [CacheEntry] = []
    }

    private struct Shard {
        var slots: [CacheKey: Slot] = [:]
        /// Every entry once; those that were replaced stay until the hand comes by.
        var ring: [CacheEntry] = []
        var hand: Int = 0
        var bytes: Int = 0
        /// Entries that slots hold.
        var live: Int = 0
        var fills: [CacheKey: CacheFill] = [:]
        /// Addresses whose answers were not stored: nobody waits for them until then (monotonic nanoseconds).
        var passing: [CacheKey: UInt64] = [:]
    }

    private final class Box: Sendable {
        let shard: Mutex<Shard> = Mutex(Shard())
    }

    private let boxes: [Box]
    private let shardBytesMax: Int
    let hits: Atomic<Int> = Atomic(0)
    let misses: Atomic<Int> = Atomic(0)
    let evictions: Atomic<Int> = Atomic(0)
    /// Counts purges: what was asked for before one is not stored behind it.
    private let epoch: Atomic<UInt64> = Atomic(0)

    private static let shardCount: Int = 16
    /// Bytes of all responses stored in one process.
    static let bytesMaxDefault: Int = 256 << 20
    /// Responses to one address that vary by a field, at most; beyond: the one stored first goes.
    static let variantsMax: Int = 16
    /// Addresses remembered as not storable, in one shard; beyond: all are forgotten.
    private static let passingMax: Int = 4096
    private static let passingTime: UInt64 = 30_000_000_000
    /// How long a request waits for another one's fetch, as long as most upstreams take; nanoseconds.
    static let patienceDefault: UInt64 = 10_000_000_000
    fileprivate let patience: UInt64

    init(bytesMax: Int = CacheStore.bytesMaxDefault, patience: UInt64 = CacheStore.patienceDefault) {
        self.patience = patience
        self.shardBytesMax = bytesMax / CacheStore.shardCount
        self.boxes = (0..<CacheStore.shardCount).map { _ in Box() }
    }

    private func box(_ key: CacheKey) -> Box {
        let hash: UInt64 = key.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) -> UInt64 in
            raw.baseAddress.map { ByteHash.process.hash($0, count: raw.count) } ?? 0
        }
        return self.boxes[Int(hash >> 48) % self.boxes.count]
    }

    // MARK: Looking up

    /// The stored response that a request of this origin chooses, with the fields as they would go upstream.
    func find(
        _ key: CacheKey, origin: [UInt8], _ fields: FieldTable, _ edits: RequestEdits
    ) -> CacheEntry? {
        let variants: [CacheEntry] = self.box(key).shard.withLock { $0.slots[key]?.variants ?? [] }
        for entry in variants where entry.origin == origin && CacheStore.matches(entry, fields, edits) {
            entry.isUsed.store(true, ordering: .relaxed)
            return entry
        }
        return nil
    }

    private static func matches(_ entry: CacheEntry, _ fields: FieldTable, _ edits: RequestEdits) -> Bool {
        for (index, name) in entry.varyNames.enumerated()
        where VaryFields.value(name, in: fields, edits) != entry.varyValues[index] { return false }
        return true
    }

    // MARK: Storing

    /// Stores a response in place of the one that the same requests choose. One that is too large for a shard is left out.
    /// - Parameter since: `moment` when it was asked for; nil: now.
    func store(_ entry: CacheEntry, since moment: UInt64? = nil) {
        guard entry.bytes <= self.shardBytesMax / 2 else { return }
        self.box(entry.key).shard.withLock { (shard: inout Shard) in
            if let moment: UInt64, moment != self.moment { return }
            var slot: Slot = shard.slots[entry.key] ?? Slot()
            slot.variants.removeAll { (other: CacheEntry) -> Bool in
                let isSame: Bool =
                    other.origin == entry.origin && other.varyNames == entry.varyNames
                    && other.varyValues == entry.varyValues
                if isSame {
                    shard.bytes -= other.bytes
                    shard.live -= 1
                }
                return isSame
            }
            slot.variants.insert(entry, at: 0)
            shard.live += 1
            if slot.variants.count > CacheStore.variantsMax {
                shard.bytes -= slot.variants.removeLast().bytes
                shard.live -= 1
            }
            shard.slots[entry.key] = slot
            shard.passing[entry.key] = nil
            shard.ring.append(entry)
            shard.bytes += entry.bytes
            self.makeRoom(&shard)
        }
    }

    private func makeRoom(_ shard: inout Shard) {
        // Replaced entries count for nothing but keep their place: the ring is swept before they outnumber the others.
        while shard.bytes > self.shardBytesMax || shard.ring.count > 64 + 2 * shard.live, !shard.ring.isEmpty {
            if shard.hand >= shard.ring.count { shard.hand = 0 }
            let entry: CacheEntry = shard.ring[shard.hand]
            let isLive: Bool = shard.slots[entry.key]?.variants.contains { $0 === entry } ?? false
            if isLive, shard.bytes <= self.shardBytesMax {
                shard.hand += 1
                if shard.hand >= shard.ring.count { return }
                continue
            }
            if isLive, entry.isUsed.exchange(false, ordering: .relaxed) {
                shard.hand += 1
                continue
            }
            shard.ring[shard.hand] = shard.ring[shard.ring.count - 1]
            shard.ring.removeLast()
            if isLive {
                CacheStore.drop(entry, &shard)
                self.evictions.wrappingAdd(1, ordering: .relaxed)
            }
        }
    }

    private static func drop(_ entry: CacheEntry, _ shard: inout Shard) {
        guard var slot: Slot = shard.slots[entry.key] else { return }
        slot.variants.removeAll { $0 === entry }
        shard.live -= 1
        shard.bytes -= entry.bytes
        shard.slots[entry.key] = slot.variants.isEmpty ? nil : slot
    }

    // MARK: Forgetting

    /// Forgets every response to an address; returns how many there were.
    @discardableResult func invalidate(_ key: CacheKey) -> Int {
        self.box(key).shard.withLock { (shard: inout Shard) -> Int in
            guard let slot: Slot = shard.slots.removeValue(forKey: key) else { return 0 }
            for entry in slot.variants { shard.bytes -= entry.bytes }
            shard.live -= slot.variants.count
            return slot.variants.count
        }
    }

    /// Moves when something is purged.
    var moment: UInt64 { self.epoch.load(ordering: .acquiring) }

    /// Responses that were asked for before now are not stored any more. Before the shards are looked at, so that whoever stores
    /// later sees it, and whoever stored earlier is seen.
    func refuseOlder() { self.epoch.wrappingAdd(1, ordering: .acquiringAndReleasing) }

    /// Forgets what the closure names; looks at every response. Returns how many went.
    func purge(_ isMeant: (CacheEntry) -> Bool) -> Int {
        self.refuseOlder()
        var count: Int = 0
        for box in self.boxes {
            count += box.shard.withLock { (shard: inout Shard) -> Int in
                var gone: [CacheEntry] = []
                for slot in shard.slots.values {
                    for entry in slot.variants where isMeant(entry) { gone.append(entry) }
                }
                for entry in gone { CacheStore.drop(entry, &shard) }
                return gone.count
            }
        }
        return count
    }

    // MARK: One for many

    /// Whether this request fetches the response that others may wait for (`lead`), or waits itself (`follow`).
    enum Part {
        case lead(CacheFill)
        case follow(CacheFill)
        /// Waiting would be in vain: such responses are not stored.
        case alone
    }

    func part(_ key: CacheKey, now: UInt64) -> Part {
        self.box(key).shard.withLock { (shard: inout Shard) -> Part in
            if let until: UInt64 = shard.passing[key], until > now { return .alone }
            if let fill: CacheFill = shard.fills[key] { return .follow(fill) }
            let fill: CacheFill = CacheFill(key: key, store: self)
            shard.fills[key] = fill
            return .lead(fill)
        }
    }

    /// The fill is over; where nothing was stored, others do not wait for a while.
    fileprivate func finished(_ fill: CacheFill, isStored: Bool, now: UInt64) {
        self.box(fill.key).shard.withLock { (shard: inout Shard) in
            if shard.fills[fill.key] === fill { shard.fills[fill.key] = nil }
            if isStored || now == 0 { return }
            if shard.passing.count >= CacheStore.passingMax { shard.passing.removeAll() }
            shard.passing[fill.key] = now &+ CacheStore.passingTime
        }
    }

    /// Responses stored now.
    var count: Int { self.sum { $0.live } }

    /// Bytes they take.
    var bytes: Int { self.sum { $0.bytes } }

    private func sum(_ number: (inout Shard) -> Int) -> Int {
        var sum: Int = 0
        for box in self.boxes { sum += box.shard.withLock { number(&$0) } }
        return sum
    }
}

/// A response that is being fetched, and who waits for it.
final class CacheFill: Sendable {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var isOver: Bool = false
    }

    let key: CacheKey
    private let store: CacheStore
    private let state: Mutex<State> = Mutex(State())

    init(key: CacheKey, store: CacheStore) {
        self.key = key
        self.store = store
    }

    var patience: UInt64 { self.store.patience }

    /// Calls back when it is over, at once if it is.
    func wait(_ done: @escaping @Sendable () -> Void) {
        let isOver: Bool = self.state.withLock { (state: inout State) -> Bool in
            if !state.isOver { state.waiting.append(done) }
            return state.isOver
        }
        if isOver { done() }
    }

    /// Ends it, once. `now` of 0: the upstream was not asked to the end, which says nothing about the next time.
    func finish(isStored: Bool, now: UInt64) {
        let waiting: [@Sendable () -> Void]? = self.state.withLock { (state: inout State) in
            if state.isOver { return nil }
            state.isOver = true
            let waiting: [@Sendable () -> Void] = state.waiting
            state.waiting = []
            return waiting
        }
        guard let waiting: [@Sendable () -> Void] = waiting else { return }
        self.store.finished(self, isStored: isStored, now: now)
        for done in waiting { done() }
    }
}
