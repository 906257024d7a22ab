import Synchronization

/// A batch that is durable since a moment ago.
struct AppendedBatch: Sendable {
    let slot: PartitionSlot
    let batch: RecordBatch
}

/// Where every partition ends, the newest batches in memory, and who waits for more.
///
/// Readers at the end of the log are served from here without touching the database: the writer hands over each batch after
/// its commit and wakes those who wait for its partition. There is no polling anywhere.
final class LogHeads: Sendable {
    private struct Partition {
        /// The oldest offset that is there.
        var first: Int64 = 0
        /// The offset of the next record.
        var next: Int64 = 0
        /// The newest batches, without a gap up to `next`.
        var recent: Queue<RecordBatch> = Queue()
        var waiting: [WakeSignal] = []
        /// Readers that may be handed records in the commit that writes them.
        var seats: [EarlySeat] = []
    }

    private struct State {
        var partitions: [Partition]
        /// The slots of all recent batches, oldest first: the order of eviction.
        var order: Queue<Int> = Queue()
        var recentBytes: Int = 0
    }

    /// Guards all of it. Nothing is called or resumed while it is held.
    private let state: Mutex<State>
    private let recentBytesMax: Int

    init(slotCount: Int, recentBytesMax: Int) {
        self.state = Mutex(State(partitions: Array(repeating: Partition(), count: slotCount)))
        self.recentBytesMax = recentBytesMax
    }

    /// Takes over what the database says at the start. Commits that came in between are newer and stand.
    func load(_ slot: PartitionSlot, first: Int64, next: Int64) {
        self.state.withLock { state in
            state.partitions[slot.index].first = max(state.partitions[slot.index].first, first)
            state.partitions[slot.index].next = max(state.partitions[slot.index].next, next)
        }
    }

    /// Makes durable batches visible. Called by the store's writer thread.
    func committed(_ batches: [AppendedBatch]) {
        if batches.isEmpty { return }
        let signals: [WakeSignal] = self.state.withLock { state in
            var signals: [WakeSignal] = []
            var lastSlot: Int = -1
            for appended: AppendedBatch in batches {
                self.append(appended, to: &state)
                if appended.slot.index != lastSlot {
                    lastSlot = appended.slot.index
                    signals.append(contentsOf: state.partitions[lastSlot].waiting)
                }
            }
            return signals
        }
        for signal: WakeSignal in signals { signal.wake() }
    }

    /// Another process has moved a partition. Its batches are not in memory here, so what is kept of older ones goes: recent
    /// batches are those up to the end.
    func follow(_ slot: PartitionSlot, first: Int64, next: Int64) {
        let signals: [WakeSignal] = self.state.withLock { state in
            state.partitions[slot.index].first = max(state.partitions[slot.index].first, first)
            guard next > state.partitions[slot.index].next else { return [] }
            Self.forgetRecent(slot.index, in: &state)
            state.partitions[slot.index].next = next
            return state.partitions[slot.index].waiting
        }
        for signal: WakeSignal in signals { signal.wake() }
    }

    private static func forgetRecent(_ slot: Int, in state: inout State) {
        while let dropped: RecordBatch = state.partitions[slot].recent.popFirst() {
            state.recentBytes -= dropped.bytes.count
        }
    }

    private func append(_ appended: AppendedBatch, to state: inout State) {
        let slot: Int = appended.slot.index
        // Where several processes number one after the other, this one may have missed some, or hear of its own from another.
        if state.partitions[slot].next > appended.batch.baseOffset { return }
        if state.partitions[slot].next < appended.batch.baseOffset { Self.forgetRecent(slot, in: &state) }
        state.partitions[slot].next = appended.batch.nextOffset
        state.partitions[slot].recent.append(appended.batch)
        state.order.append(slot)
        state.recentBytes += appended.batch.bytes.count
        while state.recentBytes > self.recentBytesMax, let oldest: Int = state.order.popFirst() {
            if let dropped: RecordBatch = state.partitions[oldest].recent.popFirst() {
                state.recentBytes -= dropped.bytes.count
            }
        }
    }

    /// Retention removed everything before `first`.
    func removed(_ slot: PartitionSlot, before first: Int64) {
        self.state.withLock { $0.partitions[slot.index].first = max($0.partitions[slot.index].first, first) }
    }

    func next(_ slot: PartitionSlot) -> Int64 { self.state.withLock { $0.partitions[slot.index].next } }

    func first(_ slot: PartitionSlot) -> Int64 { self.state.withLock { $0.partitions[slot.index].first } }

    /// First and next offset.
    func range(_ slot: PartitionSlot) -> Range<Int64> {
        self.state.withLock { $0.partitions[slot.index].first..<$0.partitions[slot.index].next }
    }

    /// The batches from the one that holds `offset` on, up to about `bytesMax` but at least one; nil when `offset` is no longer
    /// (or not yet) in memory and the database must be asked.
    func recent(_ slot: PartitionSlot, from offset: Int64, bytesMax: Int) -> [RecordBatch]? {
        self.state.withLock { state in
            let recent: Queue<RecordBatch> = state.partitions[slot.index].recent
            guard let oldest: RecordBatch = recent.first, offset >= oldest.baseOffset,
                offset < state.partitions[slot.index].next
            else { return nil }
            var index: Int = Self.position(of: offset, in: recent)
            var found: [RecordBatch] = []
            var bytes: Int = 0
            while index < recent.count, found.isEmpty || bytes + recent[index].bytes.count <= bytesMax {
                bytes += recent[index].bytes.count
                found.append(recent[index])
                index += 1
            }
            return found
        }
    }

    /// The last batch that begins at or before `offset`, by bisection.
    private static func position(of offset: Int64, in recent: Queue<RecordBatch>) -> Int {
        var low: Int = 0
        var high: Int = recent.count
        while high - low > 1 {
            let middle: Int = (low + high) / 2
            if recent[middle].baseOffset <= offset { low = middle } else { high = middle }
        }
        return low
    }

    /// From now on a commit to any of `slots` wakes `signal`.
    func subscribe(_ signal: WakeSignal, to slots: Range<Int>) {
        self.state.withLock { state in
            for slot: Int in slots { state.partitions[slot].waiting.append(signal) }
        }
    }

    func unsubscribe(_ signal: WakeSignal, from slots: Range<Int>) {
        self.state.withLock { state in
            for slot: Int in slots { state.partitions[slot].waiting.removeAll { $0 === signal } }
        }
    }

    /// From now on the reader may be handed records of the partition in the commit that writes them, while it waits for them.
    func add(_ seat: EarlySeat, at slot: PartitionSlot) {
        self.state.withLock { $0.partitions[slot.index].seats.append(seat) }
    }

    func remove(_ seat: EarlySeat, at slot: PartitionSlot) {
        self.state.withLock { $0.partitions[slot.index].seats.removeAll { $0 === seat } }
    }

    /// The seats at these slots; of several at one the first.
    func seats(at slots: [Int]) -> [(slot: Int, seat: EarlySeat)] {
        self.state.withLock { state in
            var found: [(slot: Int, seat: EarlySeat)] = []
            for slot: Int in slots {
                if let seat: EarlySeat = state.partitions[slot].seats.first { found.append((slot, seat)) }
            }
            return found
        }
    }
}
