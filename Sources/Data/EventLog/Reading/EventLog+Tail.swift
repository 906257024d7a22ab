import Time

/// One page of a topic, across its partitions.
package struct TailPage: Sendable {
    /// In the order of their times; those of one partition in the order of their offsets.
    package let records: [Record]
    /// What to hand in for the next page.
    package let position: LogPosition
    /// Whether everything that is in the log by now has been read. False on an empty page only after a very long search.
    package let isAtEnd: Bool
}

extension EventLog {
    /// Records a page of `tail` holds unless told otherwise.
    package static let tailRecordsDefault: Int = 100
    /// Bytes one round of `tail` reads from the log while it looks for records of the tenant.
    static let tailRoundBytes: Int = 4 << 20
    /// How much longer than `wait` a page may search the log for records of its tenant.
    static let tailSearchMax: Duration = .seconds(1)

    /// Reads a topic from `position` on; at the end waits up to `wait` for something to come (long poll).
    ///
    /// Call it again with the page's position: for server-sent events in a loop, so that a slow reader holds up only itself.
    /// An empty page means that nothing came in time, that the task was cancelled, or, when not at the end, that the tenant's records
    /// are far apart: ask on from its position.
    ///
    /// - Parameters:
    ///   - tenant: only records of this tenant; nil is for callers who may see all tenants.
    ///   - wait: zero answers at once.
    package func tail(
        topic: String, from position: LogPosition, tenant: String?, maxRecords: Int = EventLog.tailRecordsDefault,
        wait: Duration = .zero
    ) async throws -> TailPage {
        let slots: Range<Int> = try self.topics.slots(of: topic)
        var reader: TailReader = TailReader(
            log: self, slots: slots, tenant: tenant.map { Array($0.utf8) }, recordsMax: max(1, maxRecords),
            position: try await self.position(of: topic, at: .position(position)))
        let signal: WakeSignal = WakeSignal()
        self.heads.subscribe(signal, to: slots)
        defer { self.heads.unsubscribe(signal, from: slots) }
        // Before the timer, so that the timer never wakes for a deadline that is still to come.
        let deadline: UInt64 = self.clock.monotonic() &+ UInt64(clamping: wait.nanosecondsClamped)
        let timer: Task<Void, Never>? = wait > .zero ? self.timer(wait, signal) : nil
        defer { timer?.cancel() }
        let searchEnd: UInt64 = deadline &+ UInt64(clamping: Self.tailSearchMax.nanosecondsClamped)
        while true {
            let isAtEnd: Bool = try await reader.round()
            let now: UInt64 = self.clock.monotonic()
            if reader.recordCount > 0 || Task.isCancelled || now >= (isAtEnd ? deadline : searchEnd) {
                return reader.page(isAtEnd: isAtEnd)
            }
            if isAtEnd { await signal.wait() }
        }
    }

    /// Wakes `signal` after `delay`, unless cancelled.
    func timer(_ delay: Duration, _ signal: WakeSignal) -> Task<Void, Never> {
        let clock: any WallClock = self.clock
        return Task {
            do { try await clock.sleep(for: delay) } catch { return }
            signal.wake()
        }
    }

    /// Returns when `topic`'s partition has grown beyond `offset`, or after `wait`; true when it has grown.
    package func waitForAppend(topic: String, partition: Int, beyond offset: Int64, wait: Duration) async throws -> Bool
    {
        let slot: PartitionSlot = try self.topics.slot(topic, partition)
        let slots: Range<Int> = slot.index..<(slot.index + 1)
        let signal: WakeSignal = WakeSignal()
        self.heads.subscribe(signal, to: slots)
        defer { self.heads.unsubscribe(signal, from: slots) }
        let deadline: UInt64 = self.clock.monotonic() &+ UInt64(clamping: wait.nanosecondsClamped)
        let timer: Task<Void, Never> = self.timer(wait, signal)
        defer { timer.cancel() }
        while self.heads.next(slot) <= offset {
            if Task.isCancelled || self.clock.monotonic() >= deadline { return false }
            await signal.wait()
        }
        return true
    }
}

/// Collects one page: goes round the partitions, a share of the bytes each, so that a busy one does not hide the others.
private struct TailReader {
    private static let tenantHeader: [UInt8] = Array("tenantid".utf8)

    private let log: EventLog
    private let slots: Range<Int>
    private let tenant: [UInt8]?
    private let recordsMax: Int
    private let shareBytes: Int
    private let shareRecords: Int
    private var position: LogPosition
    /// By partition.
    private var found: [[Record]]
    private(set) var recordCount: Int = 0

    init(log: EventLog, slots: Range<Int>, tenant: [UInt8]?, recordsMax: Int, position: LogPosition) {
        self.log = log
        self.slots = slots
        self.tenant = tenant
        self.recordsMax = recordsMax
        self.shareBytes = EventLog.tailRoundBytes / slots.count
        self.shareRecords = (recordsMax + slots.count - 1) / slots.count
        self.position = position
        self.found = Array(repeating: [], count: slots.count)
    }

    /// Merges what the partitions gave by time, without ever reordering one partition: clocks can be set back.
    func page(isAtEnd: Bool) -> TailPage {
        var places: [Int] = Array(repeating: 0, count: self.found.count)
        var merged: [Record] = []
        merged.reserveCapacity(self.recordCount)
        while merged.count < self.recordCount {
            var earliest: Int = -1
            for partition: Int in self.found.indices where places[partition] < self.found[partition].count {
                let isEarlier: Bool =
                    earliest < 0
                    || self.found[partition][places[partition]].timestamp
                        < self.found[earliest][places[earliest]].timestamp
                if isEarlier { earliest = partition }
            }
            merged.append(self.found[earliest][places[earliest]])
            places[earliest] += 1
        }
        return TailPage(records: merged, position: self.position, isAtEnd: isAtEnd)
    }

    /// Reads on in every partition once; true when all of them are at their end.
    mutating func round() async throws -> Bool {
        var isAtEnd: Bool = true
        for partition: Int in 0..<self.slots.count {
            let slot: PartitionSlot = PartitionSlot(index: self.slots.lowerBound + partition)
            let next: Int64 = self.log.heads.next(slot)
            if self.position.offsets[partition] >= next { continue }
            try await self.read(slot, partition)
            if self.position.offsets[partition] < next { isAtEnd = false }
        }
        return isAtEnd
    }

    private mutating func read(_ slot: PartitionSlot, _ partition: Int) async throws {
        // Retention may have moved on since the last round.
        let start: Int64 = max(self.position.offsets[partition], self.log.heads.first(slot))
        self.position.offsets[partition] = start
        var taken: Int = 0
        for batch: RecordBatch in try await self.log.batches(
            topic: self.log.topics.topic(of: slot).name, partition: partition, from: start, maxBytes: self.shareBytes)
        {
            var cursor: RecordCursor = RecordCursor(batch)
            while let view: RecordView = try self.log.checked(
                batch, slot, { () throws(RecordBatchError) in try cursor.next() })
            {
                if view.offset < start { continue }
                if taken >= self.shareRecords || self.recordCount >= self.recordsMax { return }
                self.position.offsets[partition] = view.offset + 1
                guard try self.matches(view, batch, slot) else { continue }
                self.found[partition].append(try self.log.record(view, of: batch, slot))
                self.recordCount += 1
                taken += 1
            }
            self.position.offsets[partition] = batch.nextOffset
        }
    }

    private func matches(_ view: RecordView, _ batch: RecordBatch, _ slot: PartitionSlot) throws(LogError) -> Bool {
        guard let tenant: [UInt8] = self.tenant else { return true }
        return try self.log.checked(batch, slot) { () throws(RecordBatchError) in
            try batch.has(header: Self.tenantHeader, value: tenant, in: view)
        }
    }
}
