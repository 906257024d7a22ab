import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Synchronization
import Telemetry
import Time

/// Takes checkpoints to places outside of the platform, and looks there whether the log still continues what they have.
final class AnchorKeeper: Sendable {
    /// Between two tries after one that failed.
    static let againAfter: Duration = .seconds(60)
    /// Between two looks at a log without entries, of which there is no checkpoint yet.
    private static let beginAfter: Duration = .seconds(1)

    private let anchors: [any CheckpointAnchor]
    private let every: Duration
    private let services: ServiceEnvironment
    private let signer: NoteSigner
    /// Milliseconds of the latest success, for the metric.
    private let anchored: Mutex<[String: Int64]> = Mutex([:])
    private let failures: [String: Counter]

    init(_ rules: AnchorRules, services: ServiceEnvironment, signer: NoteSigner) {
        self.anchors = rules.anchors
        self.every = rules.every
        self.services = services
        self.signer = signer
        var failures: [String: Counter] = [:]
        for anchor in rules.anchors {
            failures[anchor.name] = services.metrics.counter(
                "passerelle_audit_anchor_failures_total", help: "Checkpoints that an anchor did not take.",
                labels: ["anchor": anchor.name])
        }
        self.failures = failures
        if rules.anchors.isEmpty { return }
        services.metrics.samples(
            "passerelle_audit_anchored_timestamp_seconds", kind: .gauge,
            help: "When an anchor was last known to have the newest checkpoint, since 1970."
        ) { [weak self] in
            let anchored: [String: Int64] = self?.anchored.withLock { $0 } ?? [:]
            return anchored.map { MetricSample(labels: ["anchor": $0.key], value: Double($0.value) / 1000) }
        }
    }

    /// Until cancelled.
    func run() async {
        if self.anchors.isEmpty { return }
        var pause: Duration = Self.beginAfter
        repeat {
            do {
                guard try await self.services.store.read({ try TreeTables.head(in: $0) }).size > 0 else { continue }
                pause = min(self.every, Self.againAfter)
                for anchor in self.anchors where !Task.isCancelled { try await self.visit(anchor) }
            } catch {
                if Task.isCancelled { return }
                self.services.logger.log(
                    .warning, "checkpoints could not be anchored", ["error": .string("\(error)")])
            }
        } while (try? await self.services.clock.sleep(for: pause)) != nil
    }

    /// How it stands with all of them.
    func states(in store: some Queryable) throws(StoreError) -> [AnchorState] {
        var states: [AnchorState] = []
        for anchor in self.anchors { states.append(try AnchorTable.find(anchor.name, in: store)) }
        return states
    }

    private func visit(_ anchor: any CheckpointAnchor) async throws {
        let (name, every): (String, Duration) = (anchor.name, self.every)
        let (isOurs, before): (Bool, AnchorState) = try await self.services.store.write { transaction in
            let isOurs: Bool = try AnchorTable.claim(
                name, every: every, again: Self.againAfter, in: transaction)
            return (isOurs, try AnchorTable.find(name, in: transaction))
        }
        guard isOurs else { return self.note(before) }
        var state: AnchorState = before
        do throws(AnchorError) {
            state.size = try await self.settle(anchor, before)
            state.anchoredAt = self.services.clock.now()
            state.failure = nil
            state.failingSince = nil
        } catch {
            state.failure = error.description
            state.failingSince = before.failingSince ?? self.services.clock.now()
            self.failures[name]?.add()
            if before.failure != state.failure {
                self.services.logger.log(
                    error.isDispute ? .error : .warning, "an anchor did not take the checkpoint",
                    ["anchor": .string(name), "error": .string(error.description)])
            }
        }
        let after: AnchorState = state
        try await self.services.store.write { transaction in
            try AnchorTable.update(after, in: transaction)
            // Once, though what is found may change while somebody is at it.
            let wasDisputed: Bool = before.failure?.hasPrefix(Self.dispute) ?? false
            if after.failure?.hasPrefix(Self.dispute) ?? false, !wasDisputed { try Self.tell(after, in: transaction) }
        }
        self.note(after)
    }

    private static let dispute: String = AnchorError.disputed("").description

    /// Sees to it that the anchor has the present head, and that the log continues what it had. - Returns: the head's size.
    private func settle(_ anchor: any CheckpointAnchor, _ before: AnchorState) async throws(AnchorError) -> Int64 {
        let newest: [UInt8]? = try await anchor.newest()
        let (head, kept): (TreeHead, Int64)
        do {
            (head, kept) = try await self.services.store.read { reader in
                let head: TreeHead = try TreeTables.head(in: reader)
                guard let newest: [UInt8] else { return (head, Self.given(anchor, before)) }
                return (head, try Self.compare(newest, head, in: reader))
            }
        } catch let error as AnchorError {
            throw error
        } catch {
            throw .failed("\(error)")
        }
        if head.size == kept { return kept }
        let note: String
        do {
            note = try self.signer.sign(Checkpoint(origin: self.signer.verifier.name, head: head).text).noteText
        } catch {
            throw .failed("\(error)")
        }
        try await anchor.keep(note, size: head.size)
        return head.size
    }

    /// The size of the checkpoint that an anchor has taken which cannot be asked; 0 where it may have none.
    private static func given(_ anchor: any CheckpointAnchor, _ before: AnchorState) -> Int64 {
        anchor.canBeAsked || before.failure != nil ? 0 : before.size
    }

    /// The size of a checkpoint that the tree continues.
    ///
    /// - Throws: `AnchorError.disputed` when it does not.
    private static func compare(_ note: [UInt8], _ head: TreeHead, in reader: Reader) throws -> Int64 {
        let kept: Checkpoint
        do throws(NoteError) {
            kept = try Checkpoint(verifying: note, trusting: try Self.verifiers(in: reader))
        } catch {
            throw AnchorError.disputed("what it has is no checkpoint of this log: \(error)")
        }
        guard kept.head.size <= head.size else {
            throw AnchorError.disputed(
                "it has a checkpoint of \(kept.head.size) entries, more than there are: the end of the log is gone, or an earlier backup was restored"
            )
        }
        let root: TreeHash = try MerkleTree.root(size: kept.head.size, from: TreeTables.tree(in: reader))
        guard root == kept.head.root else {
            throw AnchorError.disputed(
                "the first \(kept.head.size) entries are not those of the checkpoint it has: history was rewritten")
        }
        return kept.head.size
    }

    private static func verifiers(in reader: Reader) throws(NoteError) -> [NoteVerifier] {
        do {
            return try CheckpointKeys.verifiers(in: reader)
        } catch {
            throw .malformed("\(error)")
        }
    }

    private func note(_ state: AnchorState) {
        guard let time: Timestamp = state.anchoredAt else { return }
        self.anchored.withLock { $0[state.name] = time.milliseconds }
    }

    /// One entry, and one notification for whoever watches.
    private static func tell(_ state: AnchorState, in transaction: Transaction) throws {
        let author: Author = Author(caller: .platform("audit"), trace: TraceContext.make())
        let data: JSONObject = ["anchor": .string(state.name), "reason": .string(state.failure ?? "")]
        try author.audit(
            "audit.anchor-disputed", tenant: "",
            resource: AuditEntry.Resource(type: "audit-anchor", id: state.name), changes: data, in: transaction)
        let id: String = Identifier.make("ntf", now: transaction.now)
        try author.publish(
            Topics.notifications, key: id, tenant: "",
            [
                "notification_id": .string(id), "type": "audit-anchor-disputed",
                "recipients": .array(["role:platform-admin"]), "template": "audit-anchor-disputed",
                "data": .object(data),
            ], in: transaction)
    }
}

/// Where checkpoints are taken to, and how often.
package struct AnchorRules: Sendable {
    package static let everyDefault: Duration = .seconds(3_600)
    package static let everyRange: ClosedRange<Duration> = .seconds(60) ... .seconds(86_400)
    package static let countMax: Int = 16

    let anchors: [any CheckpointAnchor]
    let every: Duration

    package init(anchors: [any CheckpointAnchor] = [], every: Duration = AnchorRules.everyDefault) {
        self.anchors = anchors
        self.every = every
    }
}
