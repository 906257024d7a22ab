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

/// `audit verify` against stores that somebody with the file has changed.
@Suite struct AuditVerificationTests {
    private func fixture(_ count: Int = 12) async throws -> AuditFixture {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(count)
        try await fixture.settle()
        await fixture.harness.stop()
        return fixture
    }

    @Test func aSoundStoreIsSound() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let plain: AuditVerdict = try await fixture.verify()
        #expect(plain.isSound && !plain.isTailJudged && plain.head.size == 12)
        let judged: AuditVerdict = try await fixture.verify(checkpoint: fixture.checkpoint())
        #expect(judged.isSound && judged.isTailJudged)
        #expect(try await AuditFixture().verify().isSound, "an empty log")
    }

    @Test func anAlteredEntryIsNamedThoughItsBatchFailsItsChecksum() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await fixture.tamper(batchAt: 4) { $0.replace(#""user_id":"usr_1""#, by: #""user_id":"usr_9""#) }
        #expect(try await fixture.verify().findings == [.badEntry(leaf: 4, .altered, more: 0)])
    }

    @Test func anUnreadableEntryIsNamed() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await fixture.tamper(batchAt: 4) { $0 = Array($0.prefix(70)) }
        let verdict: AuditVerdict = try await fixture.verify()
        #expect(verdict.findings == [.badEntry(leaf: 4, .unreadable, more: 0)])
        try await fixture.tamper(batchAt: 11) { $0 = [] }
        #expect(try await fixture.verify().findings.first == .badEntry(leaf: 4, .unreadable, more: 1))
    }

    @Test func aRemovedEntryIsNamed() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await fixture.store.write {
            try $0.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset IN (5, 6)")
        }
        #expect(try await fixture.verify().findings == [.badEntry(leaf: 5, .missing, more: 1)])
    }

    @Test func aShortenedTailIsToldWithTheCheckpoint() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let checkpoint: String = try await fixture.checkpoint()
        try await fixture.store.write {
            try $0.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset >= 9")
            try $0.execute("UPDATE log_partitions SET next_offset = 9 WHERE topic = 'audit-log'")
        }
        #expect(try await fixture.verify().findings == [.shortenedTail(entries: 9, promised: 12, by: .recorded)])
        try await self.shortenTree(fixture, to: 9)
        let unjudged: AuditVerdict = try await fixture.verify()
        #expect(unjudged.isSound && !unjudged.isTailJudged)
        #expect(
            try await fixture.verify(checkpoint: checkpoint).findings == [
                .shortenedTail(entries: 9, promised: 12, by: .checkpoint)
            ])
    }

    /// Makes one entry another, everywhere where it stands, with a checksum that is right again.
    private func rewrite(_ leaf: Int64, in fixture: AuditFixture) async throws {
        try await fixture.tamper(batchAt: leaf) { bytes in
            bytes.replace("api.created", by: "api.deleted")
            bytes.replace("api.created", by: "api.deleted")
            bytes.mendChecksum()
        }
        try await fixture.store.write {
            try $0.execute("UPDATE audit_entries SET event_type = 'api.deleted' WHERE leaf = $1", .int(leaf))
        }
    }

    /// Builds the tree anew over the first entries, as somebody would who covers traces.
    private func shortenTree(
        _ fixture: AuditFixture, to size: Int, keepingCheckpoints isKept: Bool = false
    ) async throws {
        let entries: [[UInt8]] = Array(try await StoredEntries.all(in: fixture.store).prefix(size))
        try await fixture.store.write { transaction in
            try transaction.execute("DELETE FROM audit_tiles")
            try transaction.execute("DELETE FROM audit_tree")
            try transaction.execute("DELETE FROM audit_entries WHERE leaf >= $1", .int(Int64(size)))
            if !isKept { try transaction.execute("DELETE FROM audit_checkpoints") }
            try TreeTables.append(entries.map { TreeHash(leaf: $0) }, toTreeOf: 0, in: transaction)
        }
    }

    @Test func aRewrittenLogIsAForkAgainstTheCheckpoint() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let service: AuditService = try await AuditService.open(
            services: fixture.harness.services, sealer: FixedSealer())
        let checkpoint: String = try await fixture.checkpoint()
        try await self.rewrite(2, in: fixture)
        try await self.shortenTree(fixture, to: 12)
        #expect(try await fixture.verify().isSound, "nothing inside tells")
        #expect(
            try await fixture.verify(checkpoint: checkpoint).findings == [
                .fork(size: 12, between: 0..<12, by: .checkpoint)
            ])
        _ = service
    }

    @Test func storedCheckpointsNarrowAForkAndCannotBeForged() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        let service: AuditService = try await AuditService.open(
            services: fixture.harness.services, sealer: FixedSealer())
        for _ in 0..<3 {
            try await fixture.write(4)
            try await fixture.settle()
            try await service.storeCheckpoint()
        }
        await fixture.harness.stop()
        try await self.rewrite(6, in: fixture)
        try await self.shortenTree(fixture, to: 12, keepingCheckpoints: true)
        #expect(try await fixture.verify().findings == [.fork(size: 8, between: 4..<8, by: .recorded)])
        try await fixture.store.write {
            try $0.execute("UPDATE audit_checkpoints SET note = replace(note, '8', '7') WHERE size = 8")
        }
        let findings: [AuditFinding] = try await fixture.verify().findings
        #expect(findings.contains { if case .forgedCheckpoint = $0 { true } else { false } })
    }

    @Test func stoppingLeavesACheckpoint() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let notes: [(size: Int64, note: String)] = try await fixture.store.read { try TreeTables.checkpoints(in: $0) }
        #expect(notes.map(\.size) == [12])
        try await fixture.store.write {
            try $0.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset >= 9")
            try $0.execute("UPDATE log_partitions SET next_offset = 9 WHERE topic = 'audit-log'")
        }
        try await self.shortenTree(fixture, to: 9, keepingCheckpoints: true)
        #expect(try await fixture.verify().findings == [.shortenedTail(entries: 9, promised: 12, by: .recorded)])
    }

    @Test func aCheckpointOfAnotherLogIsRefused() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let other: AuditFixture = try await self.fixture()
        let checkpoint: String = try await other.checkpoint()
        await #expect(throws: NoteError.self) { try await fixture.verify(checkpoint: checkpoint) }
        await #expect(throws: NoteError.self) { try await fixture.verify(checkpoint: "hello\n") }
    }

    /// A log whose first seven entries retention removed.
    private func purged() async throws -> (fixture: AuditFixture, checkpoint: String) {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(7)
        try await fixture.settle()
        let checkpoint: String = try await fixture.checkpoint()
        fixture.harness.clock.advance(by: .seconds(366 * 86_400))
        try await fixture.write(5)
        try await fixture.settle()
        try await fixture.harness.services.log.removeExpired()
        try await fixture.settle()
        return (fixture, checkpoint)
    }

    @Test func whatRetentionRemovedHasATombstoneAndIsVerifiedByItsHashes() async throws {
        let (fixture, checkpoint): (AuditFixture, String) = try await self.purged()
        let entry: JSONValue = try #require(
            try await fixture.harness.send("GET", "/v1/audit/entries?type=audit.purged").items.first)
        #expect(entry["changes"]?["first"]?.integer == 0 && entry["changes"]?["end"]?.integer == 7)
        #expect(checkpoint.contains("\n7\n\(entry["changes"]?["root"]?.text ?? "-")\n"), "the tombstone has the root")
        let proof: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/proofs?leaf=3")
        #expect(proof.status == 200 && proof.json["leaf_hash"]?.text != nil, "what is gone can still be proven")
        let export: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export", token: "auditor@globex")
        await fixture.harness.stop()
        let verdict: AuditVerdict = try await fixture.verify(checkpoint: checkpoint)
        #expect(verdict.isSound && verdict.purged == 7 && verdict.isTailJudged)
        var reader: AuditExportReader = AuditExportReader(checkpoint: Array(checkpoint.utf8))
        try reader.feed(export.bytes)
        #expect(try reader.verdict().isSound, "an auditor of a tenant sees the tombstones")
    }

    @Test(arguments: 8..<13) func entriesTakenFromTheFrontAreNoPurge(first: Int) async throws {
        let (fixture, checkpoint): (AuditFixture, String) = try await self.purged()
        await fixture.harness.stop()
        try await fixture.store.write {
            try $0.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset < $1", .int(Int64(first)))
            try $0.execute(
                "UPDATE log_partitions SET first_offset = $1 WHERE topic = 'audit-log'", .int(Int64(first)))
        }
        // The tombstone is the thirteenth entry: with it goes what it says.
        let told: Int64 = 7
        #expect(try await fixture.verify(checkpoint: checkpoint).findings == [.untoldPurge(told..<Int64(first))])
    }

    @Test func retentionWaitsForTheTree() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await fixture.harness.services.store.write { transaction in
            for _ in 0..<3 {
                try Author(caller: .platform("test"), trace: TraceContext.make()).audit(
                    "a", tenant: "acme", resource: AuditEntry.Resource(type: "a", id: "a"), changes: [:],
                    in: transaction)
            }
        }
        try await fixture.harness.waitForNumbers(Topics.auditLog)
        fixture.harness.clock.advance(by: .seconds(366 * 86_400))
        let report: RetentionReport = try await fixture.harness.services.log.removeExpired()
        #expect(report.batches == 0, "the tree does not have the last three, so none of the step may go")
    }

    @Test func madeUpOffsetsDoNotKeepItBusy() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await fixture.store.write {
            try $0.execute(
                "UPDATE log_batches SET base_offset = 1000000000000 WHERE topic = 'audit-log' AND base_offset = 8")
        }
        #expect(try await fixture.verify().findings.first == .badEntry(leaf: 8, .missing, more: 1))
        try await fixture.store.write {
            try $0.execute(
                "UPDATE log_partitions SET first_offset = 1000000000000, next_offset = 1000000000001 WHERE topic = 'audit-log'"
            )
        }
        #expect(try await !fixture.verify(checkpoint: fixture.checkpoint()).lines.isEmpty)
    }
}

/// The values of the stored audit entries, read without believing a checksum.
enum StoredEntries {
    static func all(in store: Store) async throws -> [[UInt8]] {
        var reader: LeafReader = LeafReader(store: store)
        var entries: [[UInt8]] = []
        while true {
            let page: [AuditVerifier.Leaf] = try await reader.page()
            if page.isEmpty { return entries }
            for leaf in page { if case .bytes(let bytes) = leaf.content { entries.append(bytes) } }
        }
    }
}
