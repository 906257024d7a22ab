import Contracts
import EventLog
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Audit

@Suite struct TreeBuilderTests {
    @Test func everyEntryBecomesTheLeafOfItsOffset() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(7)
        #expect(try await fixture.settle() == 7)
        try await fixture.write(300, tenant: "globex")
        #expect(try await fixture.settle() == 307)
        let entries: [[UInt8]] = try await fixture.entries()
        let head: TreeHead = try await fixture.store.read { try TreeTables.head(in: $0) }
        #expect(head.root.bytes == NaiveMerkle.root(entries[...]))
        await fixture.harness.stop()
    }

    @Test func goesOnWhereItWas() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(5)
        try await fixture.settle()
        await fixture.harness.stop()
        try await fixture.write(5)
        let builder: TreeBuilder = TreeBuilder(services: fixture.harness.services)
        #expect(try await builder.takeBatch(from: 5) == 5)
        #expect(try await builder.takeBatch(from: 10) == 0)
        let entries: [[UInt8]] = try await fixture.entries()
        let head: TreeHead = try await fixture.store.read { try TreeTables.head(in: $0) }
        let root: TreeHash = try #require(TreeHash(NaiveMerkle.root(entries[...])))
        #expect(head == TreeHead(size: 10, root: root))
    }

    @Test func ofTwoBuildersOneChangesNothing() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        await fixture.harness.stop()
        try await fixture.write(4)
        let builder: TreeBuilder = TreeBuilder(services: fixture.harness.services)
        #expect(try await builder.takeBatch(from: 0) == 4)
        await #expect(throws: TreeTables.Outrun.self) { try await builder.takeBatch(from: 0) }
        await #expect(throws: TreeTables.Outrun.self) { try await builder.takeBatch(from: 2) }
        #expect(try await fixture.settle() == 4)
        #expect(try await fixture.verify().isSound)
    }

    @Test func aDamagedTreeStopsItAndIsReported() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        await fixture.harness.stop()
        try await fixture.write(4)
        let service: AuditService = try await AuditService.open(
            services: fixture.harness.services, sealer: FixedSealer())
        try await service.start()
        try await fixture.settle()
        try await fixture.store.write { try $0.execute("DELETE FROM audit_tiles WHERE level = 0") }
        try await fixture.write(1)
        try await eventually("the failure to be known") { service.failure != nil }
        #expect(service.failure?.reason.contains("missingNode") == true)
        #expect(try await fixture.store.read { try TreeTables.head(in: $0).size } == 4)
        await service.stop()
    }

    @Test func theIndexForgetsWhatRetentionRemoved() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(9)
        try await fixture.settle()
        let removed: Int = try await fixture.store.write { try EntryIndex.removePurged(before: 6, limit: 4, in: $0) }
        #expect(removed == 4)
        let left: [Int64] = try await fixture.store.read {
            try EntryIndex.leaves(EntryFilter(leaves: 0..<100, isAscending: true), limit: 100, in: $0)
        }
        #expect(left == [4, 5, 6, 7, 8])
        await fixture.harness.stop()
    }
}
