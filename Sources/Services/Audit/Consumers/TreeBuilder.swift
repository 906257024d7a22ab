import Contracts
import EventLog
import JSON
import REST
import Store
import Synchronization
import Telemetry
import Time

/// Grows the tree over `audit-log`: every record becomes the leaf of its own offset, in order, none skipped.
///
/// Not a consumer group: there a record that fails steps aside for others, and a tree cannot leave one out. The size of the tree
/// is the offset to read from, moved in the transaction that stores the tiles; so each record is a leaf exactly once, also after
/// a crash or with two processes at it.
final class TreeBuilder: Sendable {
    /// Leaves of one transaction: about 5 ms of the store's writer.
    static let batchRecordsMax: Int = 512
    static let batchBytesMax: Int = 1 << 20
    /// After the first new record others are waited for, so that a stream of single changes costs few transactions.
    static let gatherTime: Duration = .milliseconds(10)
    static let backoffMax: Duration = .seconds(5)

    /// Why the tree does not grow, for `/readyz`.
    struct Failure: Sendable, Equatable {
        let reason: String
        let since: Timestamp
    }

    private let services: ServiceEnvironment
    private let state: Mutex<Failure?> = Mutex(nil)
    private let leaves: Counter
    private let unusual: AccessThresholds
    /// By rule.
    private let told: [AccessRule: Counter]

    init(services: ServiceEnvironment, unusual: AccessThresholds = AccessThresholds()) {
        self.unusual = unusual
        var told: [AccessRule: Counter] = [:]
        for rule in AccessRule.allCases {
            told[rule] = services.metrics.counter(
                "passerelle_audit_unusual_access_total", help: "Unusual access that was told of, by rule.",
                labels: ["rule": rule.rawValue])
        }
        self.told = told
        self.services = services
        self.leaves = services.metrics.counter(
            "passerelle_audit_tree_leaves_total", help: "Audit entries taken into the tree.")
    }

    var failure: Failure? { self.state.withLock { $0 } }

    /// Builds until cancelled. Failures are retried with growing pauses and never skipped.
    func run() async {
        var pause: Duration = .seconds(1)
        while !Task.isCancelled {
            do {
                try await self.follow()
            } catch is TreeTables.Outrun {
                continue
            } catch {
                if Task.isCancelled { return }
                self.note(error)
                guard (try? await self.services.clock.sleep(for: pause)) != nil else { return }
                pause = min(pause * 2, Self.backoffMax)
                continue
            }
            pause = .seconds(1)
        }
    }

    /// Takes in batch after batch, and at the end of the log waits for more.
    private func follow() async throws {
        var size: Int64 = try await self.services.store.read { try TreeTables.head(in: $0).size }
        while !Task.isCancelled {
            let taken: Int = try await self.takeBatch(from: size)
            self.noteProgress()
            size += Int64(taken)
            if taken > 0 { continue }
            let isGrown: Bool = try await self.services.log.waitForAppend(
                topic: Topics.auditLog, partition: 0, beyond: size, wait: .seconds(3_600))
            // Pacing, not meaning: real time, so that no test has to move a clock for it.
            if isGrown { try? await Task.sleep(for: Self.gatherTime) }
        }
    }

    /// Appends what the log has from `size` on, up to a batch; returns how many leaves that were.
    func takeBatch(from size: Int64) async throws -> Int {
        let page: FetchedRecords = try await self.services.log.fetch(
            topic: Topics.auditLog, partition: 0, from: size, maxBytes: Self.batchBytesMax,
            maxRecords: Self.batchRecordsMax)
        if page.records.isEmpty { return 0 }
        var hashes: [TreeHash] = []
        var fields: [EntryFields] = []
        var counted: [AccessRule.Count] = []
        for (index, record) in page.records.enumerated() {
            guard record.offset == size + Int64(index) else { throw LeafMissing(leaf: size + Int64(index)) }
            hashes.append(TreeHash(leaf: record.value))
            let entry: EntryFields = EntryFields(entry: record.value)
            fields.append(entry)
            if AccessRule.eventTypes.contains(entry.eventType),
                let value: JSONValue = try? JSONReader.parse(record.value),
                let count: AccessRule.Count = AccessRule.count(of: value)
            {
                counted.append(count)
            }
        }
        let leaves: [TreeHash] = hashes
        let entries: [EntryFields] = fields
        let counts: [AccessRule.Count] = counted
        // The log is on the disk, and the tree follows from it: nobody's commit has to wait for a sync of it.
        let told: [AccessRule] = try await self.services.store.write(durability: .deferred) {
            [unusual = self.unusual] transaction in
            try TreeTables.append(leaves, toTreeOf: size, in: transaction)
            for (index, entry) in entries.enumerated() {
                try EntryIndex.insert(entry, leaf: size + Int64(index), in: transaction)
            }
            var told: [AccessRule] = []
            for count in counts where try AccessCounts.add(count, unusual, in: transaction) { told.append(count.rule) }
            return told
        }
        for rule in told { self.told[rule]?.add() }
        self.leaves.add(UInt64(leaves.count))
        return leaves.count
    }

    private func noteProgress() {
        let earlier: Failure? = self.state.withLock { state in
            defer { state = nil }
            return state
        }
        if earlier != nil { self.services.logger.log(.info, "the audit tree grows again") }
    }

    private func note(_ error: any Error) {
        let reason: String = "\(error)"
        let isNew: Bool = self.state.withLock { state in
            defer { state = Failure(reason: reason, since: state?.since ?? self.services.clock.now()) }
            return state?.reason != reason
        }
        if isNew {
            self.services.logger.log(.error, "the audit tree does not grow", ["error": .string(reason)])
        }
    }
}

/// The log does not hold the record that is the tree's next leaf: it is damaged, or retention has overtaken the tree.
struct LeafMissing: Error, CustomStringConvertible {
    let leaf: Int64

    var description: String { "entry \(self.leaf) of the audit log is not there; run `passerelle audit verify`" }
}
