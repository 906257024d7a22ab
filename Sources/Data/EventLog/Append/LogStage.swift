import Bytes
import Identifiers
import JSON
import Store
import Time

/// The log's state on the store's writer thread: what the closures of the running commit group have published.
///
/// Closures append straight into per-partition batches. Nothing has an offset until `prepareCommit`, which numbers the batches
/// and writes them in the same SQLite transaction as the closures' own changes: state and events are there together or not at
/// all, and a closure that fails takes its events with it without leaving a gap.
final class LogStage: CommitAttachment {
    /// A partition as it was before the running closure first published to it.
    private struct Undo {
        let slot: Int
        let mark: StagedPartition.Mark
    }

    /// Where a partition's numbering stands, as of the last commit; nil until it was read.
    private struct Numbering {
        var next: Int64
        var seekTimestamp: Int64
        var isStored: Bool
    }

    private let topics: TopicTable
    private let heads: LogHeads
    private let shared: SharedLog
    private let sealing: SealingPlace
    /// Made when the first entry needs it.
    private var sealer: (any AuditSealer)?
    /// The running transaction has put records into the outbox.
    private var hasOutbox: Bool = false
    private var partitions: [StagedPartition]
    private var numbering: [Numbering?]
    /// Slots that hold something, in the order of their first record.
    private var dirty: [Int] = []
    private var isDirty: [Bool]
    /// What to undo when the running closure fails, newest last.
    private var undo: [Undo] = []
    /// The closure whose first publication to a slot has been noted, by slot.
    private var markedBy: [UInt64]
    private var closure: UInt64 = 0
    private var closureBytes: Int = 0
    private var appended: [AppendedBatch] = []
    /// Readers that this commit hands their records.
    private var serving: [EarlySeat] = []
    private var headers: HeaderBlock = HeaderBlock()
    private var json: JSONWriter = JSONWriter()
    private var leaf: AuditLeaf = AuditLeaf()
    private var stamp: CommitStamp = CommitStamp(Timestamp(milliseconds: 0))
    /// Where the next record without a key goes.
    private var keyless: Int = 0

    init(topics: TopicTable, heads: LogHeads, shared: SharedLog, sealing: SealingPlace) {
        self.topics = topics
        self.heads = heads
        self.shared = shared
        self.sealing = sealing
        self.partitions = Array(repeating: StagedPartition(), count: topics.slotCount)
        self.numbering = Array(repeating: nil, count: topics.slotCount)
        self.isDirty = Array(repeating: false, count: topics.slotCount)
        self.markedBy = Array(repeating: 0, count: topics.slotCount)
    }

    // MARK: - Publishing

    /// Stages an event and returns its id.
    func publish(_ event: Event, now: Timestamp) throws(LogError) -> String {
        let index: Int = try self.topics.index(event.topic)
        self.updateStamp(now)
        let id: String = event.id ?? Identifier.make("evt", now: now)
        self.beginHeaders(id: id, source: event.source, type: event.type)
        if let subject: String = event.subject { self.headers.add(.subject, subject) }
        self.endHeaders(tenant: event.tenant, actor: event.actor, traceparent: event.traceparent)
        self.json.removeAll()
        self.json.value(event.value)
        let key: [UInt8] = Array(event.key.utf8)
        try self.checkLimits(topic: index, key: key, value: self.json.bytes, headers: self.headers)
        self.append(topic: index, key: key, value: self.json.bytes, headers: self.headers)
        return id
    }

    /// Stages an audit entry and returns its id. What it has of people is sealed; the rest of the log has no more of them.
    ///
    /// - Throws: `LogError`; what the sealing throws.
    func audit(_ entry: AuditEntry, in transaction: Transaction) throws -> String {
        let index: Int = try self.topics.index(TopicDefinition.auditLog.name)
        self.updateStamp(transaction.now)
        let id: String = Identifier.make("evt", now: transaction.now)
        let sealed: AuditLeaf.Sealed = try self.sealed(entry, id: id, in: transaction)
        self.beginHeaders(id: id, source: Event.sourceDefault, type: entry.eventType)
        self.headers.add(.subject, sealed.resourceID)
        self.endHeaders(tenant: entry.tenant, actor: entry.actor.userID, traceparent: entry.traceparent)
        let value: [UInt8] = try self.leaf.write(entry, id: id, time: self.stamp.time, sealed: sealed)
        let key: [UInt8] = Array(sealed.resourceID.utf8)
        try self.checkLimits(topic: index, key: key, value: value, headers: self.headers)
        self.append(topic: index, key: key, value: value, headers: self.headers)
        return id
    }

    private func sealed(_ entry: AuditEntry, id: String, in transaction: Transaction) throws -> AuditLeaf.Sealed {
        let isPersonal: Bool = entry.actor.ip != nil || entry.resource.isPersonal || !entry.personal.isEmpty
        if isPersonal, self.sealer == nil { self.sealer = self.sealing.makeSealer() }
        guard isPersonal, let sealer: any AuditSealer = self.sealer else { return AuditLeaf.Sealed(asIn: entry) }
        return try AuditLeaf.Sealed(entry, id: id, by: sealer, in: transaction)
    }

    /// Stages a record as it is.
    func publish(
        topic: String, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock, now: Timestamp
    ) throws(LogError) {
        let index: Int = try self.topics.index(topic)
        self.updateStamp(now)
        try self.checkLimits(topic: index, key: key, value: value, headers: headers)
        self.append(topic: index, key: key, value: value, headers: headers)
    }

    /// Stages a record that the log has accepted before, with a few headers more: its size is not judged again.
    func publishAgain(
        topic: String, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock, now: Timestamp
    ) throws(LogError) {
        let index: Int = try self.topics.index(topic)
        self.updateStamp(now)
        self.append(topic: index, key: key, value: value, headers: headers)
    }

    private func beginHeaders(id: String, source: String, type: String) {
        self.headers.removeAll()
        self.headers.add(self.stamp.headers)
        self.headers.add(.id, id)
        self.headers.add(.source, source)
        self.headers.add(.type, type)
    }

    private func endHeaders(tenant: String, actor: String, traceparent: String?) {
        self.headers.add(.tenant, tenant)
        self.headers.add(.actor, actor)
        if let traceparent: String { self.headers.add(.traceparent, traceparent) }
    }

    private func updateStamp(_ now: Timestamp) {
        if self.stamp.now != now { self.stamp = CommitStamp(now) }
    }

    /// Appends the record to its partition's batch.
    private func append(topic index: Int, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock) {
        let slot: Int = self.slot(topic: index, key: key).index
        self.noteUndo(slot)
        let milliseconds: Int64 = self.stamp.milliseconds
        Self.withBytes(of: key) { keyBytes in
            Self.withBytes(of: value) { valueBytes in
                self.partitions[slot].append(
                    timestamp: milliseconds, key: keyBytes, value: valueBytes, headers: headers)
            }
        }
    }

    private func slot(topic index: Int, key: [UInt8]?) -> PartitionSlot {
        if let key: [UInt8] { return self.topics.slot(topicIndex: index, key: key) }
        let slots: Range<Int> = self.topics.slots(ofIndex: index)
        self.keyless &+= 1
        return PartitionSlot(index: slots.lowerBound + Int(UInt(bitPattern: self.keyless) % UInt(slots.count)))
    }

    private func checkLimits(
        topic index: Int, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock
    ) throws(LogError) {
        let name: String = self.topics.topics[index].name
        let valueBytes: Int = value?.count ?? 0
        guard valueBytes <= LogLimits.valueBytesMax else {
            throw .valueTooLarge(topic: name, bytes: valueBytes, limit: LogLimits.valueBytesMax)
        }
        let keyBytes: Int = key?.count ?? 0
        guard keyBytes <= LogLimits.keyBytesMax else {
            throw .keyTooLarge(topic: name, bytes: keyBytes, limit: LogLimits.keyBytesMax)
        }
        guard headers.count <= LogLimits.headersMax else {
            throw .tooManyHeaders(topic: name, count: headers.count, limit: LogLimits.headersMax)
        }
        guard headers.size <= LogLimits.headerBytesMax else {
            throw .headersTooLarge(topic: name, bytes: headers.size, limit: LogLimits.headerBytesMax)
        }
        let total: Int = self.closureBytes + valueBytes + keyBytes + headers.size
        guard total <= LogLimits.closureBytesMax else {
            throw .closureTooLarge(bytes: total, limit: LogLimits.closureBytesMax)
        }
        self.closureBytes = total
    }

    private func noteUndo(_ slot: Int) {
        if self.markedBy[slot] != self.closure {
            self.markedBy[slot] = self.closure
            self.undo.append(Undo(slot: slot, mark: self.partitions[slot].mark))
        }
        if !self.isDirty[slot] {
            self.isDirty[slot] = true
            self.dirty.append(slot)
        }
    }

    private static func withBytes<T>(of array: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> T) -> T {
        guard let array: [UInt8] else { return body(nil) }
        return array.withUnsafeBytes { body($0) }
    }

    // MARK: - The commit

    func savepoint() {
        self.closure &+= 1
        self.closureBytes = 0
        self.undo.removeAll(keepingCapacity: true)
    }

    func rollbackToSavepoint() {
        for undo: Undo in self.undo.reversed() { self.partitions[undo.slot].rollBack(to: undo.mark) }
        self.sealer?.rolledBack()
        self.savepoint()
    }

    /// Numbers and writes what readers wait for that sit at the end of its partition, and hands it to them. What they publish in
    /// turn is for the next look at the log, as always.
    func followUps(_ transaction: Transaction) throws -> [FollowUp] {
        var followUps: [FollowUp] = []
        for (index, seat): (Int, EarlySeat) in self.heads.seats(at: self.dirty) {
            let slot: PartitionSlot = PartitionSlot(index: index)
            let (topic, partition): (String, Int) = (self.topics.topic(of: slot).name, self.topics.partition(of: slot))
            let count: Int = self.partitions[index].recordCount
            guard count > 0, count <= EarlySeat.recordsMax,
                seat.beginServing(at: try self.currentNumbering(slot, topic, partition, transaction).next)
            else { continue }
            self.serving.append(seat)
            let first: Int = self.appended.count
            try self.write(slot, transaction)
            var records: [Record] = []
            for appended: AppendedBatch in self.appended[first...] {
                records += try appended.batch.records(topic: topic, partition: partition)
            }
            let handed: [Record] = records
            followUps.append { try seat.serve(handed, in: $0) }
        }
        return followUps
    }

    func prepareCommit(_ transaction: Transaction) throws {
        if transaction.engine == .postgresql { return try self.writeUnnumbered(transaction) }
        for slot: Int in self.dirty where !self.partitions[slot].isEmpty {
            try self.write(PartitionSlot(index: slot), transaction)
        }
    }

    /// Leaves the records to the sequencer: transactions of several processes commit in an order that none of them knows.
    private func writeUnnumbered(_ transaction: Transaction) throws(StoreError) {
        var batches: [UnnumberedBatch] = []
        for index: Int in self.dirty where !self.partitions[index].isEmpty {
            let slot: PartitionSlot = PartitionSlot(index: index)
            let (topic, partition): (String, Int) = (self.topics.topic(of: slot).name, self.topics.partition(of: slot))
            // Offsets of one publication count on from piece to piece; each is numbered anew.
            for batch: RecordBatch in self.partitions[index].finish(baseOffset: 0) {
                batches.append(UnnumberedBatch(topic: topic, partition: partition, batch: batch))
            }
        }
        if batches.isEmpty { return }
        self.hasOutbox = true
        try OutboxTable.insert(batches, in: transaction)
    }

    private func write(_ slot: PartitionSlot, _ transaction: Transaction) throws {
        let topic: String = self.topics.topic(of: slot).name
        let partition: Int = self.topics.partition(of: slot)
        var numbering: Numbering = try self.currentNumbering(slot, topic, partition, transaction)
        let expected: Int64 = numbering.next
        var bytes: Int = 0
        for batch: RecordBatch in self.partitions[slot.index].finish(baseOffset: expected) {
            numbering.next = batch.nextOffset
            numbering.seekTimestamp = max(numbering.seekTimestamp, batch.maxTimestamp)
            bytes += batch.bytes.count
            try LogTables.insert(
                batch, topic: topic, partition: partition, seekTimestamp: numbering.seekTimestamp, in: transaction)
            self.appended.append(AppendedBatch(slot: slot, batch: batch))
        }
        let moved: Bool = try LogTables.moveNext(
            topic: topic, partition: partition, from: expected, to: numbering.next, adding: bytes,
            seekTimestamp: numbering.seekTimestamp, isStored: numbering.isStored, in: transaction)
        guard moved else { throw LogError.conflict(topic: topic, partition: partition) }
        numbering.isStored = true
        self.numbering[slot.index] = numbering
    }

    private func currentNumbering(
        _ slot: PartitionSlot, _ topic: String, _ partition: Int, _ transaction: Transaction
    ) throws(StoreError) -> Numbering {
        if let known: Numbering = self.numbering[slot.index] { return known }
        guard let row: PartitionRow = try LogTables.partition(topic, partition, in: transaction) else {
            return Numbering(next: 0, seekTimestamp: Int64.min, isStored: false)
        }
        return Numbering(next: row.next, seekTimestamp: row.seekTimestamp, isStored: true)
    }

    func committed() {
        self.sealer?.committed()
        for seat: EarlySeat in self.serving { seat.endServing(isCommitted: true) }
        self.heads.committed(self.appended)
        if self.hasOutbox { self.shared.recordsCommitted() }
        self.clear()
    }

    func aborted() {
        self.sealer?.aborted()
        for seat: EarlySeat in self.serving { seat.endServing(isCommitted: false) }
        // What was numbered is not true; the database is asked again.
        for slot: Int in self.dirty {
            self.numbering[slot] = nil
            self.partitions[slot].removeAll()
        }
        self.clear()
    }

    private func clear() {
        self.hasOutbox = false
        self.serving.removeAll(keepingCapacity: true)
        for slot: Int in self.dirty { self.isDirty[slot] = false }
        self.dirty.removeAll(keepingCapacity: true)
        self.undo.removeAll(keepingCapacity: true)
        self.appended.removeAll(keepingCapacity: true)
    }
}

/// What all records of one commit group share: its time, in the forms that records need.
private struct CommitStamp {
    let now: Timestamp
    let milliseconds: Int64
    /// RFC 3339 with milliseconds.
    let time: String
    /// `ce_specversion`, `content-type` and `ce_time`.
    let headers: HeaderBlock

    init(_ now: Timestamp) {
        self.now = now
        self.milliseconds = now.milliseconds
        self.time = now.rfc3339
        var headers: HeaderBlock = HeaderBlock()
        headers.add("ce_specversion", "1.0")
        headers.add("content-type", "application/json")
        headers.add("ce_time", self.time)
        self.headers = headers
    }
}
