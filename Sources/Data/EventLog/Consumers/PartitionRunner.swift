import JSON
import Store
import Synchronization
import Telemetry
import Time

/// Reads one partition for one group, from claim to release. One task runs it; nothing else touches its state.
///
/// What to do next, and what comes of it, is decided by `PartitionReader`; this part fetches, calls the handler, stores and
/// waits. The stored offset moves only from where this runner left it and under its own epoch, so a runner that lost its
/// partition changes nothing more: it finds out at its next transaction.
final class PartitionRunner {
    private static let troublePauseFirst: Duration = .milliseconds(100)
    private static let troublePauseMax: Duration = .seconds(5)

    let log: EventLog
    let member: ConsumerMember
    let control: PartitionControl
    /// The epoch that the partition must have to be claimed; nil takes it in any case.
    private let expectedEpoch: Int64?
    var reader: PartitionReader
    /// Where it waits for the next records; nil: it takes them from the log only.
    private let seat: EarlySeat?
    /// Records read ahead, and the position they were read from.
    private var buffered: ArraySlice<Record> = []
    private var bufferedFrom: Int64 = 0
    private var troublePause: Duration = PartitionRunner.troublePauseFirst

    init(log: EventLog, member: ConsumerMember, control: PartitionControl, expecting epoch: Int64?) {
        self.log = log
        self.member = member
        self.control = control
        self.expectedEpoch = epoch
        self.reader = PartitionReader(member.options)
        self.seat =
            if case .transactional(let handler) = member.handler, member.options.earlyTopics.contains(control.at.topic),
                !log.isShared
            {
                EarlySeat(at: control.at, handler: handler, signal: control.signal)
            } else { nil }
    }

    var at: GroupPartition { self.control.at }
    var options: ConsumerOptions { self.member.options }

    var isStopping: Bool {
        self.member.isStopping.load(ordering: .sequentiallyConsistent)
            || self.control.isRevoked.load(ordering: .sequentiallyConsistent) || Task.isCancelled
    }

    /// Runs until the member stops, another one takes the partition over or is to have it, or the store is closed.
    func run() async {
        let slots: Range<Int> = self.control.slot.index..<(self.control.slot.index + 1)
        self.log.heads.subscribe(self.control.signal, to: slots)
        if let seat: EarlySeat = self.seat { self.log.heads.add(seat, at: self.control.slot) }
        while !self.isStopping {
            do {
                guard try await self.holdsPartition() else { break }
                if try await self.work() { self.troublePause = Self.troublePauseFirst }
            } catch StoreError.closed {
                break
            } catch is FencedError {
                self.control.mustReload.store(true, ordering: .sequentiallyConsistent)
            } catch {
                await self.pause(after: error)
            }
        }
        if let seat: EarlySeat = self.seat { self.log.heads.remove(seat, at: self.control.slot) }
        self.log.heads.unsubscribe(self.control.signal, from: slots)
        await self.release()
    }

    /// Does the next thing. False when there was nothing to do and it waited.
    private func work() async throws -> Bool {
        switch self.reader.step(now: self.log.clock.now(), end: self.log.heads.next(self.control.slot)) {
        case .storePosition: try await self.storePosition()
        case .retry(let entry): try await self.redeliver(entry)
        case .read:
            switch self.member.handler {
            case .transactional(let handler): try await self.advance(handler)
            case .external(let handler): try await self.advance(handler)
            }
        case .wait(let due):
            await self.wait(until: due)
            return false
        }
        return true
    }

    /// The next records: at most `limit`, without those that retention has removed. Empty where compaction left a gap.
    func nextRecords(_ limit: Int) async throws -> ArraySlice<Record> {
        let first: Int64 = self.log.heads.first(self.control.slot)
        if self.reader.position < first {
            self.log.logger.error(
                "consumer group fell behind retention: records are lost to it",
                self.fields(["lost": .int(first - self.reader.position)]))
            self.reader.skip(to: first)
        }
        let position: Int64 = self.reader.position
        while let record: Record = self.buffered.first, record.offset < position { self.buffered.removeFirst() }
        // What was read ahead must go on where this runner stands: a seek may have moved it.
        if self.buffered.isEmpty || self.bufferedFrom > position {
            let page: FetchedRecords = try await self.log.fetch(
                topic: self.at.topic, partition: self.at.partition, from: position,
                maxBytes: self.options.fetchBytesMax)
            self.bufferedFrom = position
            self.buffered = page.records[...]
            if page.records.isEmpty { self.reader.skip(to: page.next) }
        }
        return self.buffered.prefix(limit)
    }

    /// Lets the outside see how far this runner has come.
    func showProgress() {
        self.control.stored.store(self.reader.claim?.next ?? -1, ordering: .relaxed)
        self.control.waiting.store(self.reader.retries.count, ordering: .relaxed)
        self.control.epoch.store(self.reader.claim?.epoch ?? 0, ordering: .relaxed)
    }

    // MARK: - Claim

    /// Claims the partition at first, and looks again when something changed from outside. False when another member has it.
    private func holdsPartition() async throws -> Bool {
        let mustReload: Bool = self.control.mustReload.exchange(false, ordering: .sequentiallyConsistent)
        if self.reader.claim != nil, !mustReload { return true }
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
        let expected: Int64? = self.expectedEpoch
        let isFirst: Bool = self.reader.claim == nil
        let taken: Claim?
        if isFirst {
            let start: Int64 = try await self.startOffset()
            taken = try await self.log.store.write(isolation: .readCommitted) { transaction in
                try ConsumerTables.claim(at, member: name, start: start, expecting: expected, in: transaction)
            }
        } else {
            taken = try await self.log.store.read { reader in
                try ConsumerTables.claim(at, heldBy: name, in: reader)
            }
        }
        guard let taken: Claim else {
            self.reader.lose()
            self.showProgress()
            if !isFirst { self.log.logger.warning("another member has taken the partition over", self.fields()) }
            return false
        }
        let waiting: [RetryEntry] = try await self.log.store.read { reader in
            try ConsumerTables.retries(at, in: reader)
        }
        self.reader.begin(taken, waiting: waiting)
        self.buffered = []
        self.showProgress()
        return true
    }

    private func startOffset() async throws -> Int64 {
        let position: LogPosition = try await self.log.position(of: self.at.topic, at: self.options.start)
        return position.offsets[self.at.partition]
    }

    private func release() async {
        guard let claim: Claim = self.reader.claim else { return }
        self.reader.lose()
        self.showProgress()
        let at: GroupPartition = self.at
        do {
            try await self.log.store.write(isolation: .readCommitted) { transaction in
                try ConsumerTables.release(at, claim, in: transaction)
            }
        } catch {
            // The next claim takes the partition whatever stands there; this only spares it a wait.
            self.log.logger.debug("a partition was not released", self.fields(["error": .string("\(error)")]))
        }
    }

    // MARK: - Waiting

    private func wait(until due: Timestamp?) async {
        guard let due: Timestamp else { return await self.waitAtEnd() }
        let delay: Duration = due - self.log.clock.now()
        if delay <= .zero { return }
        let timer: Task<Void, Never> = self.log.timer(delay, self.control.signal)
        await self.control.signal.wait()
        timer.cancel()
    }

    /// Nothing is there and nothing to be tried again: until something comes.
    private func waitAtEnd() async {
        guard let seat: EarlySeat = self.seat, let claim: Claim = self.reader.claim, claim.next == self.reader.position
        else { return await self.control.signal.wait() }
        seat.sit(claim)
        await self.control.signal.wait()
        while true {
            if let served: Claim = seat.leave() {
                self.reader.served(to: served.next)
                return self.showProgress()
            }
            // A commit is at it; its end wakes this task.
            await Task.yield()
            await self.control.signal.wait()
        }
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
            "offset": .int(self.reader.position),
        ]
        for member: JSONObject.Member in more.members { fields.append(member.key, member.value) }
        return fields
    }
}
