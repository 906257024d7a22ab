package import Contracts
import EventLog
import HTTP
import JSON
package import REST
package import Store
import Synchronization
import Telemetry
package import Time

/// Proves who did what: the tree over `audit-log`, its checkpoints and proofs, and the entries to those who may read them.
///
/// The entries themselves are the records of the log; this service owns the tree over them and an index to find them by.
package final class AuditService: PlatformService {
    package static let name: String = "audit"
    package static let migrations: ServiceMigrations = AuditMigrations.service

    /// How often a signed checkpoint of a grown tree is kept in the store.
    static let checkpointInterval: Duration = .seconds(600)
    /// By how much the clocks of two processes may differ.
    static let clocksApartMax: Duration = .seconds(3_600)
    /// Index rows of purged entries removed at a time.
    static let purgeRowsMax: Int = 2_000

    let services: ServiceEnvironment
    let signer: NoteSigner
    let builder: TreeBuilder
    /// The keys that seal what entries have of people.
    let subjects: SubjectKeys
    /// The services that keep something about people.
    let people: [any PersonalData]
    let keeper: AnchorKeeper
    let bundleReaders: BundleReaders = BundleReaders()
    private let erasures: ErasureKeeper?
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    private init(
        services: ServiceEnvironment, signer: NoteSigner, subjects: SubjectKeys, people: [any PersonalData],
        anchors: AnchorRules, ledger: (any ErasureLedger)?, unusual: AccessThresholds
    ) {
        self.erasures = ledger.map { ErasureKeeper($0, services: services) }
        self.keeper = AnchorKeeper(anchors, services: services, signer: signer)
        self.services = services
        self.signer = signer
        self.subjects = subjects
        self.people = people
        self.builder = TreeBuilder(services: services, unusual: unusual)
    }

    /// Reads the key that signs checkpoints, or makes it at the first start. From then on what entries have of people is sealed.
    ///
    /// - Parameters:
    ///   - people: the services that keep something about people.
    ///   - anchors: where checkpoints are taken to.
    ///   - ledger: where backups are, and with them who was erased.
    ///   - unusual: from how many accesses on somebody is told.
    package static func open(
        services: ServiceEnvironment, sealer: any SecretSealer, people: [any PersonalData] = [],
        anchors: AnchorRules = AnchorRules(), ledger: (any ErasureLedger)? = nil,
        unusual: AccessThresholds = AccessThresholds()
    ) async throws -> AuditService {
        let subjects: SubjectKeys = SubjectKeys(sealer: sealer, clock: services.clock)
        services.log.sealAudit(with: subjects)
        services.log.witnessRemoval(of: Topics.auditLog) { leaves, transaction in
            try Tombstone.write(leaves, in: transaction)
        }
        return AuditService(
            services: services, signer: try await CheckpointKeys.signer(in: services.store, sealer: sealer),
            subjects: subjects, people: people, anchors: anchors, ledger: ledger, unusual: unusual)
    }

    package var routes: [Route] {
        self.entryRoutes + self.proofRoutes + self.tileRoutes + self.exportRoutes + self.personRoutes
            + self.anchorRoutes
    }

    package func start() async throws {
        let builder: TreeBuilder = self.builder
        self.tasks.withLock { tasks in
            tasks.append(Task { await builder.run() })
            tasks.append(Task { await self.keepHouse() })
            tasks.append(Task { [keeper] in await keeper.run() })
            if let erasures: ErasureKeeper = self.erasures { tasks.append(Task { await erasures.run() }) }
        }
    }

    package func stop() async {
        let tasks: [Task<Void, Never>] = self.tasks.withLock { tasks in
            defer { tasks.removeAll() }
            return tasks
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        if tasks.isEmpty { return }
        // What was taken in since the last one; a process that never lives for ten minutes leaves checkpoints too.
        do {
            try await self.storeCheckpoint()
        } catch {
            self.services.logger.log(.warning, "the last checkpoint could not be kept", ["error": .string("\(error)")])
        }
    }

    /// Why the tree does not grow and since when, in words for `/readyz`; nil while it does.
    package var failure: (reason: String, since: Timestamp)? {
        self.builder.failure.map { (failure: TreeBuilder.Failure) in (failure.reason, failure.since) }
    }

    /// Every ten minutes: a signed checkpoint if the tree has grown, and index rows of what retention removed. Until cancelled.
    private func keepHouse() async {
        while !Task.isCancelled {
            guard (try? await self.services.clock.sleep(for: Self.checkpointInterval)) != nil else { return }
            do {
                try await self.storeCheckpoint()
                try await self.forgetPurged()
            } catch {
                self.services.logger.log(.warning, "audit housekeeping failed", ["error": .string("\(error)")])
            }
        }
    }

    /// Signs the present head and keeps it, unless that was done for this size.
    package func storeCheckpoint() async throws {
        let (head, last): (TreeHead, Int64?) = try await self.services.store.read { reader in
            (try TreeTables.head(in: reader), try TreeTables.lastCheckpointSize(in: reader))
        }
        guard head.size > last ?? 0 else { return }
        let note: String = try self.checkpoint(of: head).noteText
        try await self.services.store.write { transaction in
            try TreeTables.storeCheckpoint(note, size: head.size, in: transaction)
        }
    }

    /// The present head of the tree.
    package func head() async throws -> TreeHead {
        try await self.services.store.read { try TreeTables.head(in: $0) }
    }

    func checkpoint(of head: TreeHead) throws -> SignedNote {
        try self.signer.sign(Checkpoint(origin: self.signer.verifier.name, head: head).text)
    }

    private func forgetPurged() async throws {
        let first: Int64 = try self.services.log.offsets(topic: Topics.auditLog, partition: 0).lowerBound
        var removed: Int = 0
        repeat {
            removed = try await self.services.store.write { transaction in
                try EntryIndex.removePurged(before: first, limit: Self.purgeRowsMax, in: transaction)
            }
        } while removed == Self.purgeRowsMax && !Task.isCancelled
        let past: Timestamp = self.services.clock.now().adding(.zero - AccessRule.window - AccessCounts.keptFor)
        repeat {
            removed = try await self.services.store.write { transaction in
                try AccessCounts.forget(before: past, limit: Self.purgeRowsMax, in: transaction)
            }
        } while removed == Self.purgeRowsMax && !Task.isCancelled
        guard let oldest: Timestamp = try await self.oldestEntry(first) else { return }
        // Not by age alone: what an entry that is still there has sealed must open.
        let time: Timestamp = oldest.adding(.zero - SubjectKeys.period - Self.clocksApartMax)
        repeat {
            removed = try await self.services.store.write { transaction in
                try SubjectKeyTable.destroy(madeBefore: time, limit: Self.purgeRowsMax, in: transaction)
            }
        } while removed == Self.purgeRowsMax && !Task.isCancelled
    }

    /// When the oldest entry that retention left was written; nil without one.
    private func oldestEntry(_ first: Int64) async throws -> Timestamp? {
        do {
            return try await self.services.log.fetch(
                topic: Topics.auditLog, partition: 0, from: first, maxBytes: 1, maxRecords: 1
            ).records.first?.timestamp
        } catch LogError.offsetOutOfRange {
            return nil
        }
    }
}
