import Time

/// What the reader of one partition knows and decides, for one group. Plain values in, plain values out: no storage, no
/// clock, no thread. `PartitionRunner` carries it out; the simulation of groups does the same with made-up storage and time.
///
/// ```
/// begin(claim) ─► step ─► .retry  ─► try it ─► settle(…)   ─┐
///                  │                                        ├─► PartitionChange ─► stored ─► applied(change) ─► step …
///                  ├────► .read   ─► handle  ─► done(…)     │
///                  │                        └─► setAside(…) ┘
///                  ├────► .storePosition, .wait
///                  └  a change that finds another offset or epoch: lose(), then begin(…) anew if it is still ours
/// ```
struct PartitionReader {
    /// What to do next.
    enum Step: Equatable {
        /// External deliveries are ahead of the stored offset: store it.
        case storePosition
        /// Try this one again.
        case retry(RetryEntry)
        /// Take the next records from `position` on.
        case read
        /// Nothing to do before the log grows, or this moment.
        case wait(until: Timestamp?)
    }

    /// Retries tried in a row before the partition is read on.
    private static let retriesInARowMax: Int = 16

    private let rules: RetryRules
    /// With so many records waiting the partition stands still: then the backlog stays in the log, where it is in order.
    private let retriesMax: Int
    private let chunkRecordsMax: Int
    /// nil while the partition is not held.
    private(set) var claim: Claim?
    /// The offset to read next. Ahead of `claim.next` while external deliveries are not stored yet.
    private(set) var position: Int64 = 0
    private(set) var retries: RetryQueue
    /// Records of the next transactional chunk: falls when one of them fails, so that those before it go alone.
    private(set) var chunkRecords: Int
    private var retriesInARow: Int = 0

    init(_ options: ConsumerOptions) {
        self.rules = RetryRules(options)
        self.retries = RetryQueue(pauseMax: options.pauseMax)
        self.retriesMax = options.retriesMax
        self.chunkRecordsMax = options.chunkRecordsMax
        self.chunkRecords = options.chunkRecordsMax
    }

    // MARK: - Holding

    /// The partition is held from now on, at the stored offset and with what waits there.
    mutating func begin(_ claim: Claim, waiting: [RetryEntry]) {
        self.claim = claim
        self.position = claim.next
        self.retries = RetryQueue(pauseMax: self.rules.pauseMax)
        for entry: RetryEntry in waiting { self.retries.insert(entry) }
        self.chunkRecords = self.chunkRecordsMax
    }

    mutating func lose() { self.claim = nil }

    // MARK: - Deciding

    /// - Parameter end: the offset of the next record to be published.
    mutating func step(now: Timestamp, end: Int64) -> Step {
        if let claim: Claim = self.claim, claim.next != self.position { return .storePosition }
        let canRead: Bool = self.hasRoom && self.position < end
        if self.retriesInARow < Self.retriesInARowMax || !canRead, let entry: RetryEntry = self.retries.due(at: now) {
            self.retriesInARow += 1
            return .retry(entry)
        }
        self.retriesInARow = 0
        return canRead ? .read : .wait(until: self.retries.nextDue())
    }

    /// Whether one more record may be set aside.
    var hasRoom: Bool { self.retries.count < self.retriesMax }

    /// Whether a record has to wait behind another one of its key.
    func mustWait(_ record: Record) -> Bool { self.retries.isBlocked(record.key) }

    // MARK: - Changes

    /// Moves the offset behind what was delivered.
    func storingPosition(now: Timestamp) -> PartitionChange? {
        guard let claim: Claim = self.claim, claim.next != self.position else { return nil }
        return PartitionChange(claim: claim, next: self.position, steps: [], now: now)
    }

    /// Moves the offset behind `records`, of which those that must wait behind their key are parked and the others were
    /// handled in the same transaction.
    func passing(_ records: ArraySlice<Record>, now: Timestamp) -> PartitionChange? {
        guard let claim: Claim = self.claim, let last: Record = records.last else { return nil }
        var steps: [PartitionChange.Step] = []
        for record: Record in records where self.mustWait(record) {
            let entry: RetryEntry = RetryEntry(offset: record.offset, key: record.key, tries: 0, due: now)
            steps.append(.park(entry, reason: nil, record))
        }
        return PartitionChange(claim: claim, next: last.offset + 1, steps: steps, now: now)
    }

    /// The record at the reading position failed: it goes to the retry table, or to the dead letters, in the transaction
    /// that moves the offset past it.
    func settingAside(_ record: Record, _ delivery: Delivery, now: Timestamp) -> PartitionChange? {
        guard let claim: Claim = self.claim else { return nil }
        let steps: [PartitionChange.Step]
        switch self.rules.decide(delivery, tries: 0, waits: 0, now: now) {
        case .done: steps = []
        case .again(let due, let tries, let waits, let reason):
            let entry: RetryEntry = RetryEntry(
                offset: record.offset, key: record.key, tries: tries, waits: waits, due: due)
            steps = [.park(entry, reason: reason, record)]
        case .dead(let tries, let reason): steps = [.bury(record, tries: tries, reason: reason)]
        }
        return PartitionChange(claim: claim, next: record.offset + 1, steps: steps, now: now)
    }

    /// What another try of a waiting record came to.
    func settling(_ entry: RetryEntry, _ record: Record, _ delivery: Delivery, now: Timestamp) -> PartitionChange? {
        guard let claim: Claim = self.claim else { return nil }
        let steps: [PartitionChange.Step]
        switch self.rules.decide(delivery, tries: entry.tries, waits: entry.waits, now: now) {
        case .done: steps = [.remove(entry)]
        case .again(let due, let tries, let waits, let reason):
            var later: RetryEntry = entry
            later.due = due
            later.tries = tries
            later.waits = waits
            steps = [.postpone(later, reason: reason)]
        case .dead(let tries, let reason): steps = [.remove(entry), .bury(record, tries: tries, reason: reason)]
        }
        return PartitionChange(claim: claim, next: nil, steps: steps, now: now)
    }

    // MARK: - What happened

    /// Commits of others have handled what came before `next`, with the offset.
    mutating func served(to next: Int64) {
        self.claim?.next = next
        self.position = next
    }

    /// The change is durable.
    mutating func applied(_ change: PartitionChange) {
        if let next: Int64 = change.next {
            self.claim?.next = next
            self.position = next
            self.chunkRecords = self.chunkRecordsMax
        }
        for step: PartitionChange.Step in change.steps {
            switch step {
            case .park(let entry, _, _): self.retries.insert(entry)
            case .postpone(let entry, _):
                self.retries.postpone(entry, due: entry.due, tries: entry.tries, waits: entry.waits)
            case .remove(let entry): self.retries.remove(entry, now: change.now)
            case .bury: break
            }
        }
    }

    /// An external delivery is done; its offset is stored with others.
    mutating func delivered(_ record: Record) { self.position = record.offset + 1 }

    /// There is nothing to read before `offset`: retention or compaction removed it.
    mutating func skip(to offset: Int64) { self.position = max(self.position, offset) }

    /// A transactional chunk failed at its record number `index`: those before it go alone, next time.
    mutating func chunkFailed(at index: Int) { self.chunkRecords = max(1, index) }
}
