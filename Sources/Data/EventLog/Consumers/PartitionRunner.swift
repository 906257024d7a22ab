import JSON
import Store
import Synchronization
import Telemetry
import Time

/// Reads one partition for one group, from claim to release. One task runs it; nothing else touches its state.
///
/// ```
/// claim ─► look: retries due? ─► try them ──┐
///            │                              │
///            └► records to read? ─► handle ─┴─► store effects, offset and retries in one fenced transaction ─► look …
///            └► neither: wait for a commit, the next retry, a reload, or the end
/// ```
/// The stored offset moves only from where this runner left it and under its own epoch, so a runner that lost its partition
/// changes nothing more: it finds out at its next transaction.
final class PartitionRunner {
    /// Retries tried in a row before the partition is read on.
    private static let retriesInARow: Int = 16
    private static let troublePauseFirst: Duration = .milliseconds(100)
    private static let troublePauseMax: Duration = .seconds(5)

    let log: EventLog
    let member: ConsumerMember
    let control: PartitionControl
    /// nil until the partition was claimed.
    var claim: Claim?
    /// The offset to read next. Ahead of `claim.next` while external deliveries are not stored yet.
    var position: Int64 = 0
    var retries: RetryQueue = RetryQueue()
    /// Records read ahead, and the position they were read from.
    private var buffered: ArraySlice<Record> = []
    private var bufferedFrom: Int64 = 0
    /// Records of the next transactional chunk: falls when one of them fails, so that those before it go alone.
    var chunkRecords: Int
    private var troublePause: Duration = PartitionRunner.troublePauseFirst

    init(log: EventLog, member: ConsumerMember, control: PartitionControl) {
        self.log = log
        self.member = member
        self.control = control
        self.chunkRecords = member.options.chunkRecordsMax
    }

    var at: GroupPartition { self.control.at }
    var options: ConsumerOptions { self.member.options }

    var isStopping: Bool { self.member.isStopping.load(ordering: .sequentiallyConsistent) || Task.isCancelled }

    /// Runs until the member stops, another one takes the partition over, or the store is closed.
    func run() async {
        let slots: Range<Int> = self.control.slot.index..<(self.control.slot.index + 1)
        self.log.heads.subscribe(self.control.signal, to: slots)
        while !self.isStopping {
            do {
                guard try await self.holdsPartition() else { break }
                if try await self.step() {
                    self.troublePause = Self.troublePauseFirst
                } else {
                    await self.waitForWork()
                }
            } catch StoreError.closed {
                break
            } catch is FencedError {
                self.control.mustReload.store(true, ordering: .sequentiallyConsistent)
            } catch {
                await self.pause(after: error)
            }
        }
        self.log.heads.unsubscribe(self.control.signal, from: slots)
        await self.release()
    }

    /// Tries what is due, then reads on. False when there was nothing to do.
    private func step() async throws -> Bool {
        var hasWorked: Bool = false
        try await self.storePosition()
        for _ in 0..<Self.retriesInARow {
            guard !self.isStopping, let entry: RetryEntry = self.retries.due(at: self.log.clock.now()) else { break }
            try await self.redeliver(entry)
            hasWorked = true
        }
        // With too many waiting the partition stands still: then the backlog stays in the log, where it is in order.
        guard !self.isStopping, self.retries.count < self.options.retriesMax,
            self.position < self.log.heads.next(self.control.slot)
        else { return hasWorked }
        switch self.member.handler {
        case .transactional(let handler): try await self.advance(handler)
        case .external(let handler): try await self.advance(handler)
        }
        return true
    }

    /// The next records: at most `limit`, without those that retention has removed. Empty where compaction left a gap.
    func nextRecords(_ limit: Int) async throws -> ArraySlice<Record> {
        let first: Int64 = self.log.heads.first(self.control.slot)
        if self.position < first {
            self.log.logger.error(
                "consumer group fell behind retention: records are lost to it",
                self.fields(["lost": .int(first - self.position)]))
            self.position = first
        }
        while let record: Record = self.buffered.first, record.offset < self.position { self.buffered.removeFirst() }
        // What was read ahead must go on where this runner stands: a seek may have moved it.
        if self.buffered.isEmpty || self.bufferedFrom > self.position {
            let page: FetchedRecords = try await self.log.fetch(
                topic: self.at.topic, partition: self.at.partition, from: self.position,
                maxBytes: self.options.fetchBytesMax)
            self.bufferedFrom = self.position
            self.buffered = page.records[...]
            if page.records.isEmpty { self.position = page.next }
        }
        return self.buffered.prefix(limit)
    }

    /// Lets the outside see how far this runner has come.
    func showProgress() {
        self.control.stored.store(self.claim?.next ?? -1, ordering: .relaxed)
        self.control.waiting.store(self.retries.count, ordering: .relaxed)
    }

    // MARK: - Claim

    /// Claims the partition at first, and looks again when something changed from outside. False when another member has it.
    private func holdsPartition() async throws -> Bool {
        let mustReload: Bool = self.control.mustReload.exchange(false, ordering: .sequentiallyConsistent)
        if self.claim != nil, !mustReload { return true }
        do {
            return try await self.take()
        } catch {
            // The wish to look again must not be lost with the failed look.
            self.control.mustReload.store(true, ordering: .sequentiallyConsistent)
            throw error
        }
    }

    private func take() async throws -> Bool {
        let at: GroupPartition = self.at
        let name: String = self.member.name
        let taken: Claim?
        if self.claim == nil {
            let start: Int64 = try await self.startOffset()
            taken = try await self.log.store.write { transaction in
                try ConsumerTables.claim(at, member: name, start: start, in: transaction)
            }
        } else {
            taken = try await self.log.store.read { reader in
                try ConsumerTables.claim(at, heldBy: name, in: reader)
            }
        }
        guard let taken: Claim else {
            self.claim = nil
            self.log.logger.warning("another member has taken the partition over", self.fields())
            return false
        }
        let waiting: [RetryEntry] = try await self.log.store.read { reader in
            try ConsumerTables.retries(at, in: reader)
        }
        self.retries = RetryQueue()
        for entry: RetryEntry in waiting { self.retries.insert(entry) }
        self.claim = taken
        self.position = taken.next
        self.buffered = []
        self.showProgress()
        return true
    }

    private func startOffset() async throws -> Int64 {
        let position: LogPosition = try await self.log.position(of: self.at.topic, at: self.options.start)
        return position.offsets[self.at.partition]
    }

    private func release() async {
        guard let claim: Claim = self.claim else { return }
        let at: GroupPartition = self.at
        do {
            try await self.log.store.write { transaction in try ConsumerTables.release(at, claim, in: transaction) }
        } catch {
            // The next claim takes the partition whatever stands there; this only spares it a wait.
            self.log.logger.debug("a partition was not released", self.fields(["error": .string("\(error)")]))
        }
    }

    // MARK: - Waiting

    private func waitForWork() async {
        guard let due: Timestamp = self.retries.nextDue() else { return await self.control.signal.wait() }
        let delay: Duration = due - self.log.clock.now()
        if delay <= .zero { return }
        let timer: Task<Void, Never> = self.log.timer(delay, self.control.signal)
        await self.control.signal.wait()
        timer.cancel()
    }

    /// Something failed that is not the record's fault: the disk, a full queue, a damaged batch. Waits longer each time.
    private func pause(after error: any Error) async {
        // Every partition of every group has the same trouble when the disk is full: once each is enough.
        let level: LogLevel = self.troublePause == Self.troublePauseFirst ? .warning : .debug
        self.log.logger.log(level, "a consumer waits for trouble to pass", self.fields(["error": .string("\(error)")]))
        let deadline: UInt64 = self.log.clock.monotonic() &+ UInt64(clamping: self.troublePause.nanosecondsClamped)
        let timer: Task<Void, Never> = self.log.timer(self.troublePause, self.control.signal)
        // Commits of others wake this task too; they do not end the pause.
        while !self.isStopping, self.log.clock.monotonic() < deadline { await self.control.signal.wait() }
        timer.cancel()
        self.troublePause = min(self.troublePause * 2, Self.troublePauseMax)
    }

    func fields(_ more: JSONObject = [:]) -> JSONObject {
        var fields: JSONObject = [
            "group": .string(self.at.group), "topic": .string(self.at.topic),
            "partition": .int(Int64(self.at.partition)),
            "offset": .int(self.position),
        ]
        for member: JSONObject.Member in more.members { fields.append(member.key, member.value) }
        return fields
    }
}
