import JSON
import Store
import Synchronization
import Telemetry
import Time

/// Gives the records of a shared log their offsets and forms the batches: one process at a time, under a lease.
///
/// ```
/// publishers: transactions insert into log_outbox ─► commit ─► a hint
/// sequencer:  look (one snapshot) ─► SequencerRules.ripe ─► one transaction, fenced by the lease:
///             take the rows, number, write log_batches, move log_partitions ─► commit ─► heads in every process
/// ```
/// A reader sees a partition's end and its batches in one commit, so it never sees n+1 before n. A sequencer that lost its
/// lease fails at the fence, and at the partition's end besides.
final class Sequencer: Sendable {
    static let lease: String = "log-sequencer"
    /// Rows looked at, and bytes numbered, in one round.
    private static let rowsMax: Int = 2000
    private static let bytesMax: Int64 = 8 << 20
    /// Pause between two looks without a hint.
    private static let pollPause: Duration = .milliseconds(100)
    private static let troublePause: Duration = .milliseconds(100)
    private static let troublePauseMax: Duration = .seconds(1)
    /// Pause while a running transaction holds ripe rows back: its end sends no hint.
    private static let heldPause: Duration = .milliseconds(2)
    private static let heldPauseMax: Duration = .milliseconds(50)
    /// Rows held back for so long are worth a line in the log, and another one after ten times as long.
    private static let heldTimeLogged: Duration = .seconds(5)

    /// When the first row was found that a running transaction holds back, monotonic nanoseconds; 0: none is.
    let heldSince: Atomic<UInt64> = Atomic(0)
    let rounds: Atomic<Int> = Atomic(0)

    private enum Round {
        case numbered, idle, held
    }

    /// Where a partition ends, remembered from round to round: nobody else moves it while the lease is held, and moving it fails
    /// where it does not stand as expected.
    private struct End: Sendable {
        var next: Int64 = 0
        var seekTimestamp: Int64 = Int64.min
        /// It has a row.
        var isStored: Bool = false
    }

    private typealias Ends = [TopicPartition: End]

    /// Until the task is cancelled, the lease is lost, or the store is closed.
    func run(_ log: EventLog, _ term: LeaseTerm) async {
        log.shared.isSequencer.store(true, ordering: .sequentiallyConsistent)
        defer {
            log.shared.isSequencer.store(false, ordering: .sequentiallyConsistent)
            self.heldSince.store(0, ordering: .relaxed)
        }
        var heldPause: Duration = Self.heldPause
        var loggedAt: UInt64 = 0
        var troublePause: Duration = Self.troublePause
        var ends: Ends = [:]
        while !Task.isCancelled {
            do {
                let round: Round = try await self.round(log, term, &ends)
                troublePause = Self.troublePause
                switch round {
                case .numbered: heldPause = Self.heldPause
                case .idle:
                    heldPause = Self.heldPause
                    await self.wait(log, Self.pollPause)
                case .held:
                    await self.noteHeld(log, &loggedAt)
                    await self.wait(log, heldPause)
                    heldPause = min(heldPause * 2, Self.heldPauseMax)
                }
            } catch is FencedError {
                log.logger.warning("the sequencer's lease was lost", ["epoch": .int(term.epoch)])
                return
            } catch StoreError.closed {
                return
            } catch {
                ends = [:]
                // The store tells of its own trouble, for as long as it lasts: once is enough here.
                let level: LogLevel = troublePause == Self.troublePause ? .warning : .debug
                log.logger.log(level, "events could not be numbered", ["error": .string("\(error)")])
                try? await Task.sleep(for: troublePause)
                troublePause = min(troublePause * 2, Self.troublePauseMax)
            }
        }
    }

    /// Until a hint comes. Pacing, not meaning: real time, so that no test has to move a clock for it.
    private func wait(_ log: EventLog, _ pause: Duration) async {
        let signal: WakeSignal = log.shared.sequencerSignal
        let timer: Task<Void, Never> = Task {
            do { try await Task.sleep(for: pause) } catch { return }
            signal.wake()
        }
        await signal.wait()
        timer.cancel()
    }

    private func round(_ log: EventLog, _ term: LeaseTerm, _ ends: inout Ends) async throws -> Round {
        let look: OutboxLook = try await log.store.read { reader in
            try OutboxTable.look(limit: Self.rowsMax, in: reader)
        }
        let ripe: ArraySlice<OutboxRow> = SequencerRules.ripe(
            look.rows, oldestRunning: look.oldestRunning, bytesMax: Self.bytesMax)
        if ripe.count == look.rows.count { self.heldSince.store(0, ordering: .relaxed) }
        guard let last: OutboxRow = ripe.last else { return look.rows.isEmpty ? .idle : .held }
        let oldestRunning: Int64 = look.oldestRunning
        let topics: TopicTable = log.topics
        let known: Ends = ends
        let numbered: (appended: [AppendedBatch], ends: Ends) = try await log.store.write(isolation: .readCommitted) {
            transaction in
            try term.fence(transaction)
            let taken: [OutboxBatch] = try OutboxTable.take(upTo: last.id, below: oldestRunning, in: transaction)
            return try Self.number(taken, topics, known, in: transaction)
        }
        ends = numbered.ends
        let appended: [AppendedBatch] = numbered.appended
        self.rounds.add(1, ordering: .relaxed)
        log.heads.committed(appended)
        var heads: [(topic: String, partition: Int, next: Int64)] = []
        for batch: AppendedBatch in appended {
            heads.append(
                (topics.topic(of: batch.slot).name, topics.partition(of: batch.slot), batch.batch.nextOffset))
        }
        log.shared.headsMoved(heads)
        return .numbered
    }

    // MARK: - Numbering

    /// Writes what was taken from the outbox where it belongs. Topics that this binary does not know are numbered, too.
    private static func number(
        _ taken: [OutboxBatch], _ topics: TopicTable, _ known: Ends, in transaction: Transaction
    ) throws -> (appended: [AppendedBatch], ends: Ends) {
        var ends: Ends = known
        var byPartition: [TopicPartition: [RecordBatch]] = [:]
        for row: OutboxBatch in taken {
            let at: TopicPartition = TopicPartition(topic: row.topic, partition: Int(row.partition))
            byPartition[at, default: []].append(try Self.batch(row))
        }
        var appended: [AppendedBatch] = []
        // In one order everywhere, so that two processes cannot wait for each other.
        for (at, batches): (TopicPartition, [RecordBatch]) in byPartition.sorted(by: { $0.key < $1.key }) {
            for batch: RecordBatch in try Self.append(batches, to: at, &ends, in: transaction) {
                if let slot: PartitionSlot = topics.knownSlot(at.topic, Int64(at.partition)) {
                    appended.append(AppendedBatch(slot: slot, batch: batch))
                }
            }
        }
        return (appended, ends)
    }

    private static func batch(_ row: OutboxBatch) throws(LogError) -> RecordBatch {
        do throws(RecordBatchError) {
            return try RecordBatch(row.bytes)
        } catch {
            throw .corrupt(
                topic: row.topic, partition: Int(row.partition), offset: 0,
                problem: "row \(row.id) of the outbox: \(error.explanation)")
        }
    }

    private static func append(
        _ batches: [RecordBatch], to at: TopicPartition, _ ends: inout Ends, in transaction: Transaction
    ) throws -> [RecordBatch] {
        var end: End = try ends[at] ?? self.storedEnd(at, in: transaction)
        let start: Int64 = end.next
        let numbered: [RecordBatch] = try BatchMerger.number(batches, baseOffset: start)
        let moved: Bool
        if numbered.count == 1, end.isStored {
            end.seekTimestamp = max(end.seekTimestamp, numbered[0].maxTimestamp)
            moved = try LogTables.append(
                numbered[0], topic: at.topic, partition: at.partition, seekTimestamp: end.seekTimestamp, in: transaction
            )
        } else {
            var bytes: Int = 0
            for batch: RecordBatch in numbered {
                bytes += batch.bytes.count
                end.seekTimestamp = max(end.seekTimestamp, batch.maxTimestamp)
                try LogTables.insert(
                    batch, topic: at.topic, partition: at.partition, seekTimestamp: end.seekTimestamp, in: transaction)
            }
            moved = try LogTables.moveNext(
                topic: at.topic, partition: at.partition, from: start, to: numbered[numbered.count - 1].nextOffset,
                adding: bytes, seekTimestamp: end.seekTimestamp, isStored: end.isStored, in: transaction)
        }
        guard moved else { throw LogError.conflict(topic: at.topic, partition: at.partition) }
        end.next = numbered[numbered.count - 1].nextOffset
        end.isStored = true
        ends[at] = end
        return numbered
    }

    private static func storedEnd(_ at: TopicPartition, in transaction: Transaction) throws(StoreError) -> End {
        guard let row: PartitionRow = try LogTables.partition(at.topic, at.partition, in: transaction) else {
            return End()
        }
        return End(next: row.next, seekTimestamp: row.seekTimestamp, isStored: true)
    }

    // MARK: - Held back

    /// A transaction of somebody runs on and on, on this server: nothing that began after it can be numbered.
    private func noteHeld(_ log: EventLog, _ loggedAt: inout UInt64) async {
        let now: UInt64 = log.clock.monotonic()
        let since: UInt64 = self.heldSince.load(ordering: .relaxed)
        if since == 0 { return self.heldSince.store(max(1, now), ordering: .relaxed) }
        let limit: UInt64 = UInt64(clamping: Self.heldTimeLogged.nanosecondsClamped)
        guard now - since > limit, now - loggedAt > limit * 10 else { return }
        loggedAt = now
        let holders: [String] = (try? await log.store.read { try OutboxTable.oldTransactions(in: $0) }) ?? []
        log.logger.warning(
            "a long transaction on the database server holds events back",
            [
                "seconds": .int(Int64((now - since) / 1_000_000_000)),
                "sessions": .string(holders.joined(separator: "; ")),
            ])
    }
}
