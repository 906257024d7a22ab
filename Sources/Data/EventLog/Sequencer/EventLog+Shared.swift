import JSON
import Store
import Synchronization
import Telemetry
import Time

extension EventLog {
    /// The channel on which the processes of one database talk about the log.
    private static let channel: String = "passerelle_log"
    /// Pause between two looks at the partitions without a hint.
    private static let headsPollPause: Duration = .seconds(1)
    private static let troublePause: Duration = .milliseconds(500)

    /// What runs where several processes share the log on PostgreSQL: talk, numbering, and following what others numbered.
    func startSharing() throws(StoreError) -> [Task<Void, Never>] {
        let (shared, signal): (SharedLog, WakeSignal) = (self.shared, WakeSignal())
        let signals: StoreSignals? = try self.store.signals(Self.channel) { [weak self] event in
            self?.received(event, signal)
        }
        shared.connect(signals)
        return [
            Task { [weak self] in await self?.follow(signal) },
            Task { [weak self] in
                guard let log: EventLog = self else { return }
                await log.whileHolding(Sequencer.lease) { term in await log.sequencer.run(log, term) }
            },
        ]
    }

    private func received(_ event: StoreSignal, _ headsSignal: WakeSignal) {
        guard case .message(let text) = event else {
            self.groupsMayHaveChanged()
            return headsSignal.wake()
        }
        switch SharedLog.read(text) {
        case .published: self.shared.sequencerSignal.wake()
        case .groupsChanged: self.groupsMayHaveChanged()
        case .headsMoved(let heads) where heads.isEmpty: headsSignal.wake()
        case .headsMoved(let heads):
            for head: SharedLog.Head in heads {
                if let slot: PartitionSlot = self.topics.knownSlot(head.topic, head.partition) {
                    self.heads.follow(slot, first: 0, next: head.next)
                }
            }
        case nil: break
        }
    }

    /// Looks where partitions end, at a hint and now and then.
    private func follow(_ signal: WakeSignal) async {
        while !Task.isCancelled {
            var pause: Duration = Self.headsPollPause
            do {
                try await self.lookAtHeads()
            } catch StoreError.closed {
                return
            } catch {
                pause = Self.troublePause
            }
            let timer: Task<Void, Never> = self.timer(pause, signal)
            await signal.wait()
            timer.cancel()
        }
    }

    private func lookAtHeads() async throws {
        let rows: [PartitionRow] = try await self.store.read { reader in try LogTables.partitions(in: reader) }
        for row: PartitionRow in rows {
            guard let slot: PartitionSlot = self.topics.knownSlot(row.topic, row.partition) else { continue }
            self.heads.follow(slot, first: row.first, next: row.next)
        }
    }

    /// What a partition holds, for a reader that comes with an offset. Where several processes share the log, the offset may be
    /// one that another has told and this one has not heard of: then the database is asked before it counts as beyond the end.
    func range(_ slot: PartitionSlot, knowing offset: Int64) async throws -> Range<Int64> {
        let known: Range<Int64> = self.heads.range(slot)
        guard self.isShared, offset > known.upperBound else { return known }
        try await self.lookAtHeads()
        return self.heads.range(slot)
    }

    /// Shows whether this process numbers events, and whether a long transaction holds it up.
    func registerSharing(in metrics: MetricRegistry) {
        guard self.store.kind == .postgresql else { return }
        metrics.samples(
            "passerelle_log_sequencer_active", kind: .gauge,
            help: "1 where this process numbers the events of a shared log."
        ) { [weak self] in
            let isActive: Bool = self?.shared.isSequencer.load(ordering: .relaxed) ?? false
            return [MetricSample(labels: [:], value: isActive ? 1 : 0)]
        }
        metrics.samples(
            "passerelle_log_sequencer_held_seconds", kind: .gauge,
            help: "How long a running transaction on the database server has kept events from being numbered."
        ) { [weak self] in
            guard let self else { return [] }
            let since: UInt64 = self.sequencer.heldSince.load(ordering: .relaxed)
            let held: Double = since == 0 ? 0 : Double(self.clock.monotonic() &- since) / 1e9
            return [MetricSample(labels: [:], value: held)]
        }
    }
}
