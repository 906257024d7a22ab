import Bytes
import Contracts
import EventLog
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Audit

/// The audit service on a real store and log, and entries to fill them with.
struct AuditFixture {
    let harness: ServiceHarness

    init(
        people: [any PersonalData] = [], anchors: [any CheckpointAnchor] = [], ledger: (any ErasureLedger)? = nil,
        unusual: AccessThresholds = AccessThresholds()
    ) async throws {
        self.harness = try await ServiceHarness(migrations: [AuditService.migrations]) {
            [
                try await AuditService.open(
                    services: $0, sealer: FixedSealer(), people: people, anchors: AnchorRules(anchors: anchors),
                    ledger: ledger, unusual: unusual)
            ]
        }
    }

    var store: Store { self.harness.services.store }

    /// Writes entries in one transaction and, on both stores, one batch each: number n of `tenant` about resource `api_n`, by `actor`.
    func write(_ count: Int, tenant: String = "acme", actor: String = "usr_1", type: String = "api.created")
        async throws
    {
        for number in 0..<count {
            let author: Author = Author(
                caller: Caller(kind: .user, id: actor, grants: [], ip: "192.0.2.1"), trace: TraceContext.make())
            try await self.store.write { transaction in
                try author.audit(
                    type, tenant: tenant,
                    resource: AuditEntry.Resource(type: "api", id: "api_\(tenant)_\(number)", version: 1),
                    changes: ["number": .int(Int64(number))], in: transaction)
            }
            try await self.harness.waitForNumbers(Topics.auditLog)
        }
    }

    /// Waits until the tree holds every entry, and returns its size.
    @discardableResult
    func settle() async throws -> Int64 {
        var size: Int64 = 0
        try await eventually("the tree to hold every entry") {
            try await self.harness.waitForNumbers(Topics.auditLog)
            size = try await self.store.read { try TreeTables.head(in: $0).size }
            return size == (try self.harness.services.log.offsets(topic: Topics.auditLog, partition: 0).upperBound)
        }
        return size
    }

    /// The stored bytes of every entry.
    func entries() async throws -> [[UInt8]] {
        try await self.harness.waitForNumbers(Topics.auditLog)
        return try await self.harness.services.log.fetch(
            topic: Topics.auditLog, partition: 0, from: 0, maxBytes: 64 << 20, maxRecords: 1_000_000
        ).records.map(\.value)
    }

    /// Verifies the store as it stands, read at once and batch by batch: the verdict is the same.
    func verify(checkpoint: String? = nil) async throws -> AuditVerdict {
        let note: [UInt8]? = checkpoint.map { Array($0.utf8) }
        let verdict: AuditVerdict = try await AuditVerification.run(on: self.store, checkpoint: note)
        var verification: AuditVerification = try AuditVerification(
            of: try await LeafReader.describe(self.store), checkpoint: note)
        var reader: LeafReader = LeafReader(store: self.store, pageBytesMax: 1)
        while true {
            let page: [AuditVerifier.Leaf] = try await reader.page()
            if page.isEmpty { break }
            for leaf in page { verification.add(leaf) }
        }
        // Only the store itself has anything around the leaves.
        let plain: AuditVerdict = verification.verdict()
        #expect(plain.isSound ? verdict.adding([]) == plain.adding(verdict.findings) : plain == verdict)
        return verdict
    }

    /// The present checkpoint over REST.
    func checkpoint() async throws -> String {
        String(decoding: try await self.harness.send("GET", "/v1/audit/checkpoint").bytes, as: UTF8.self)
    }

    /// Changes the stored bytes of a batch behind the log's back: what somebody with the file can do.
    func tamper(batchAt offset: Int64, _ change: @escaping @Sendable (inout [UInt8]) -> Void) async throws {
        try await self.store.write { transaction in
            var bytes: [UInt8] =
                try transaction.first(
                    "SELECT batch FROM log_batches WHERE topic = 'audit-log' AND base_offset = $1", .int(offset)
                ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) } ?? []
            change(&bytes)
            try transaction.execute(
                "UPDATE log_batches SET batch = $1 WHERE topic = 'audit-log' AND base_offset = $2", .bytes(bytes),
                .int(offset))
        }
    }
}

extension [UInt8] {
    /// Makes the checksum of a record batch right again.
    mutating func mendChecksum() {
        let checksum: UInt32 = CRC32C.checksum(Array(self[21...]))
        for byte in 0..<4 { self[17 + byte] = UInt8(truncatingIfNeeded: checksum >> UInt32(24 - 8 * byte)) }
    }

    /// Replaces the first occurrence of a text by another of the same length.
    mutating func replace(_ old: String, by new: String) {
        let pattern: [UInt8] = Array<UInt8>(old.utf8)
        precondition(pattern.count == new.utf8.count, "both of one length")
        guard self.count >= pattern.count else { return }
        for start in 0...(self.count - pattern.count) where self[start..<(start + pattern.count)].elementsEqual(pattern)
        {
            self.replaceSubrange(start..<(start + pattern.count), with: new.utf8)
            return
        }
    }
}
