import Contracts
import JSON
import REST
import ServiceTestKit
import Synchronization
import TestKit
import Testing

@testable import Audit

@Suite struct ErasureKeeperTests {
    private struct Refused: Error {}

    /// Refuses once, then keeps.
    private final class Ledger: ErasureLedger {
        let kept: Mutex<[KeptErasure]> = Mutex([])
        private let refusals: Mutex<Int> = Mutex(1)

        func keep(_ erasures: [KeptErasure]) async throws -> Bool {
            let isRefused: Bool = self.refusals.withLock { left in
                left -= 1
                return left >= 0
            }
            if isRefused { throw Refused() }
            self.kept.withLock { $0 += erasures }
            return true
        }
    }

    @Test func erasuresAreKeptBesideTheBackupsAndRepeatedFromThere() async throws {
        let ledger: Ledger = Ledger()
        let keeper: NameKeeper = NameKeeper(["usr_1": "ada"])
        let fixture: AuditFixture = try await AuditFixture(people: [keeper], ledger: ledger)
        try await fixture.write(1)
        try await fixture.write(1, actor: "usr_2")
        _ = try await fixture.harness.send("POST", "/v1/audit/persons/ada/erasure", ["reason": "r"])
        try await eventually("the ledger to have it") {
            fixture.harness.clock.advance(by: ErasureKeeper.every)
            return ledger.kept.withLock { $0.count } == 1
        }
        let service: AuditService = try #require(fixture.harness.running.first as? AuditService)
        let lines: [[UInt8]] = ledger.kept.withLock { $0.map(\.line) }
        #expect(await service.repeatErasures(lines) == (0, []), "nothing is left to erase")
        // As a restored backup brings them back.
        let back: NameKeeper = NameKeeper(["usr_1": "ada"])
        let restored: AuditFixture = try await AuditFixture(people: [back])
        try await restored.write(1)
        let other: AuditService = try #require(restored.harness.running.first as? AuditService)
        let wrong: [UInt8] = Array("{\"event_type\":\"other\"}".utf8)
        let done: (count: Int, left: [[UInt8]]) = await other.repeatErasures(lines + [wrong])
        #expect(done.count == 1 && done.left == [wrong])
        #expect(back.forgotten.withLock { $0 } == ["usr_1"])
        try await restored.settle()
        let entry: JSONValue = try #require(
            try await restored.harness.send("GET", "/v1/audit/entries?type=api.created").items.first)
        #expect(entry["actor"]?["ip"] == EntryOpener.erased)
        #expect(try await restored.verify().isSound)
        await fixture.harness.stop()
        await restored.harness.stop()
    }
}
