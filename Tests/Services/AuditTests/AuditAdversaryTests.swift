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

/// Somebody who writes the database: everything the platform stores to prove the audit log, altered at each position, and found each time.
@Suite struct AuditAdversaryTests {
    /// One alteration and how it is undone.
    private struct Change: Sendable {
        let what: String
        let make: [Statement]
        let undo: [Statement]
    }

    private struct Statement: Sendable {
        let sql: String
        let values: [SQLValue]

        init(_ sql: String, _ values: SQLValue...) {
            self.sql = sql
            self.values = values
        }
    }

    /// A stopped platform with entries of two tenants, by people with addresses, and a stored checkpoint.
    private func fixture(_ count: Int = 4) async throws -> AuditFixture {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(count)
        try await fixture.write(count, tenant: "globex", actor: "usr_2", type: "api.deleted")
        try await fixture.settle()
        await fixture.harness.stop()
        #expect(try await fixture.verify().isSound)
        return fixture
    }

    private func run(_ statements: [Statement], in fixture: AuditFixture) async throws {
        try await fixture.store.write { transaction in
            for statement in statements {
                switch statement.values.count {
                case 0: try transaction.execute(statement.sql)
                case 1: try transaction.execute(statement.sql, statement.values[0])
                case 2: try transaction.execute(statement.sql, statement.values[0], statement.values[1])
                default:
                    try transaction.execute(
                        statement.sql, statement.values[0], statement.values[1], statement.values[2])
                }
            }
        }
    }

    /// Makes each change alone: each is found.
    private func expectFound(_ changes: [Change], in fixture: AuditFixture) async throws {
        #expect(!changes.isEmpty)
        var unseen: [String] = []
        for change in changes {
            try await self.run(change.make, in: fixture)
            let verdict: AuditVerdict = try await AuditVerification.run(on: fixture.store, checkpoint: nil)
            if verdict.isSound { unseen.append(change.what) }
            try await self.run(change.undo, in: fixture)
        }
        #expect(unseen == [])
        #expect(try await fixture.verify().isSound, "everything was undone")
    }

    private func batches(_ fixture: AuditFixture) async throws -> [(offset: Int64, bytes: [UInt8])] {
        try await fixture.store.read { reader in
            try reader.rows("SELECT base_offset, batch FROM log_batches WHERE topic = 'audit-log' ORDER BY base_offset")
            {
                (row: Row) throws(StoreError) -> (offset: Int64, bytes: [UInt8]) in (try row.int(0), try row.bytes(1))
            }
        }
    }

    private func putting(_ bytes: [UInt8], at offset: Int64) -> Statement {
        Statement(
            "UPDATE log_batches SET batch = $1 WHERE topic = 'audit-log' AND base_offset = $2", .bytes(bytes),
            .int(offset))
    }

    /// Bytes of a batch before its records.
    private static let headerBytes: Int = 61
    /// What means nothing here: the epoch of a leader, which Kafka leaves out of its checksum, and the attributes of a record, after
    /// its length.
    private static let unused: Set<Int> = [12, 13, 14, 15, 63]

    /// The span of the header `traceparent`, at the end of each record: no entry has it.
    private static let spanBytes: Int = 20

    @Test func everyByteOfARecordAndOfWhatStandsBesideIt() async throws {
        let fixture: AuditFixture = try await self.fixture()
        var changes: [Change] = []
        for (number, batch) in try await self.batches(fixture).enumerated() {
            // Another residue in each batch: all are alike, so each byte of one is met in some.
            for place in stride(from: 2 * number, to: batch.bytes.count - Self.spanBytes, by: 16)
            where !Self.unused.contains(place) {
                var bytes: [UInt8] = batch.bytes
                bytes[place] ^= 0x01
                if place >= Self.headerBytes { bytes.mendChecksum() }
                changes.append(
                    Change(
                        what: "byte \(place) of batch \(batch.offset)", make: [self.putting(bytes, at: batch.offset)],
                        undo: [self.putting(batch.bytes, at: batch.offset)]))
            }
        }
        try await self.expectFound(changes, in: fixture)
    }

    @Test func everyRecordDroppedAndEveryPairExchanged() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let batches: [(offset: Int64, bytes: [UInt8])] = try await self.batches(fixture)
        var changes: [Change] = []
        for batch in batches {
            // Out of the reader's sight: the row stays for the way back.
            changes.append(
                Change(
                    what: "batch \(batch.offset) dropped",
                    make: [
                        Statement(
                            "UPDATE log_batches SET topic = 'gone' WHERE topic = 'audit-log' AND base_offset = $1",
                            .int(batch.offset))
                    ], undo: [Statement("UPDATE log_batches SET topic = 'audit-log' WHERE topic = 'gone'")]))
        }
        for (first, second) in zip(batches, batches.dropFirst()) {
            changes.append(
                Change(
                    what: "\(first.offset) and its neighbour",
                    make: [
                        self.putting(Self.moved(second.bytes, to: first.offset), at: first.offset),
                        self.putting(Self.moved(first.bytes, to: second.offset), at: second.offset),
                    ],
                    undo: [
                        self.putting(first.bytes, at: first.offset), self.putting(second.bytes, at: second.offset),
                    ]))
        }
        try await self.expectFound(changes, in: fixture)
    }

    private static func moved(_ batch: [UInt8], to offset: Int64) -> [UInt8] {
        var bytes: [UInt8] = batch
        for byte in 0..<8 { bytes[byte] = UInt8(truncatingIfNeeded: offset >> Int64(56 - 8 * byte)) }
        return bytes
    }

    @Test func everyNodeOfTheTree() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        // More than a tile: so that there is a level above it.
        try await self.fill(fixture, 300)
        let tiles: [(level: Int64, index: Int64, hashes: [UInt8])] = try await fixture.store.read { reader in
            try reader.rows("SELECT level, tile_index, hashes FROM audit_tiles ORDER BY level, tile_index") {
                (row: Row) throws(StoreError) -> (level: Int64, index: Int64, hashes: [UInt8]) in
                (try row.int(0), try row.int(1), try row.bytes(2))
            }
        }
        #expect(tiles.map(\.level) == [0, 0, 1])
        func put(_ hashes: [UInt8], _ level: Int64, _ index: Int64) -> Statement {
            Statement(
                "UPDATE audit_tiles SET hashes = $1 WHERE level = $2 AND tile_index = $3", .bytes(hashes), .int(level),
                .int(index))
        }
        var changes: [Change] = []
        for tile in tiles {
            let undo: [Statement] = [put(tile.hashes, tile.level, tile.index)]
            // Every hash of a small tile, some of a full one.
            for place in stride(from: 0, to: tile.hashes.count, by: tile.hashes.count > 4_000 ? 32 * 16 : 32) {
                var hashes: [UInt8] = tile.hashes
                hashes[place + place / 32 % 32] ^= 0x80
                changes.append(
                    Change(
                        what: "hash \(place / 32) of \(tile.level)/\(tile.index)",
                        make: [put(hashes, tile.level, tile.index)], undo: undo))
            }
            for hashes in [Array(tile.hashes.dropLast(32)), tile.hashes + [UInt8](repeating: 7, count: 32)] {
                changes.append(
                    Change(
                        what: "\(tile.level)/\(tile.index) of \(hashes.count) bytes",
                        make: [put(hashes, tile.level, tile.index)], undo: undo))
            }
            changes.append(
                Change(
                    what: "\(tile.level)/\(tile.index) dropped",
                    make: [
                        Statement(
                            "UPDATE audit_tiles SET tile_index = 99 WHERE level = $1 AND tile_index = $2",
                            .int(tile.level), .int(tile.index))
                    ],
                    undo: [
                        Statement(
                            "UPDATE audit_tiles SET tile_index = $2 WHERE level = $1 AND tile_index = 99",
                            .int(tile.level), .int(tile.index))
                    ]))
        }
        try await self.expectFound(changes, in: fixture)
        try await self.run([put(Array(repeating: 1, count: 32), 1, 0)], in: fixture)
        #expect(try await fixture.verify().findings == [.badTile(level: 1, index: 0, more: 0)])
    }

    /// Many entries in few batches, and the service stopped.
    private func fill(_ fixture: AuditFixture, _ count: Int) async throws {
        try await fixture.store.write { transaction in
            for number in 0..<count {
                try Author(caller: .platform("test"), trace: TraceContext.make()).audit(
                    "a", tenant: "acme", resource: AuditEntry.Resource(type: "a", id: "a\(number)"), changes: [:],
                    in: transaction)
            }
        }
        try await fixture.settle()
        await fixture.harness.stop()
        #expect(try await fixture.verify().isSound)
    }

    @Test func theHeadAndEveryByteOfACheckpoint() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let head: TreeHead = try await fixture.store.read { try TreeTables.head(in: $0) }
        let notes: [(size: Int64, note: String)] = try await fixture.store.read { try TreeTables.checkpoints(in: $0) }
        let note: [UInt8] = Array(try #require(notes.first).note.utf8)
        func put(_ size: Int64, _ root: [UInt8]) -> [Statement] {
            [Statement("UPDATE audit_tree SET size = $1, root = $2", .int(size), .bytes(root))]
        }
        var changes: [Change] = []
        for place in 0..<32 {
            var root: [UInt8] = head.root.bytes
            root[place] ^= 1
            changes.append(
                Change(
                    what: "byte \(place) of the root", make: put(head.size, root),
                    undo: put(head.size, head.root.bytes)))
        }
        for size in [head.size - 1, head.size + 1] {
            changes.append(
                Change(
                    what: "a head of \(size)", make: put(size, head.root.bytes),
                    undo: put(head.size, head.root.bytes)))
        }
        for place in 0..<note.count {
            var bytes: [UInt8] = note
            bytes[place] = bytes[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            changes.append(
                Change(
                    what: "byte \(place) of a checkpoint",
                    make: [
                        Statement(
                            "UPDATE audit_checkpoints SET note = $1", .text(String(decoding: bytes, as: UTF8.self)))
                    ],
                    undo: [
                        Statement(
                            "UPDATE audit_checkpoints SET note = $1", .text(String(decoding: note, as: UTF8.self)))
                    ]))
        }
        try await self.expectFound(changes, in: fixture)
    }

    @Test func everyRowOfTheIndex() async throws {
        let fixture: AuditFixture = try await self.fixture()
        var changes: [Change] = []
        for leaf in Int64(0)..<8 {
            for column in ["tenant", "event_type", "resource_type", "resource_id", "actor"] {
                changes.append(
                    Change(
                        what: "\(column) of \(leaf)",
                        make: [
                            Statement(
                                "UPDATE audit_entries SET \(column) = \(column) || 'x' WHERE leaf = $1", .int(leaf))
                        ],
                        undo: [
                            Statement(
                                "UPDATE audit_entries SET \(column) = substr(\(column), 1, length(\(column)) - 1) WHERE leaf = $1",
                                .int(leaf))
                        ]))
            }
            changes.append(
                Change(
                    what: "\(leaf) hidden",
                    make: [Statement("UPDATE audit_entries SET leaf = 1000 WHERE leaf = $1", .int(leaf))],
                    undo: [Statement("UPDATE audit_entries SET leaf = $1 WHERE leaf = 1000", .int(leaf))]))
            changes.append(
                Change(
                    what: "\(leaf) shown to another tenant",
                    make: [
                        Statement(
                            """
                            INSERT INTO audit_entries (tenant, leaf, event_type, resource_type, resource_id, actor)
                            SELECT 'initech', leaf, event_type, resource_type, resource_id, actor FROM audit_entries WHERE leaf = $1
                            """, .int(leaf))
                    ], undo: [Statement("DELETE FROM audit_entries WHERE tenant = 'initech'")]))
        }
        try await self.expectFound(changes, in: fixture)
        try await self.run([Statement("DELETE FROM audit_entries WHERE leaf = 3")], in: fixture)
        #expect(try await fixture.verify().findings == [.badIndex(leaf: 3, more: 0)])
    }

    @Test func everyKeyOfSealedPersonalData() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let keys: [String] = try await fixture.store.read { reader in
            try reader.rows("SELECT key_id FROM audit_subject_keys ORDER BY created_at, key_id") {
                (row: Row) throws(StoreError) -> String in try row.text(0)
            }
        }
        #expect(keys.count == 2)
        for (number, key) in keys.enumerated() {
            try await self.run([Statement("DELETE FROM audit_subject_keys WHERE key_id = $1", .text(key))], in: fixture)
            // The first entry that the first lost key seals, and how many others are lost.
            #expect(
                try await fixture.verify().findings == [.lostKey(id: keys[0], leaf: 0, more: Int64(number))])
        }
    }

    @Test func aTombstoneHoldsWhatItBuried() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(5)
        try await fixture.settle()
        fixture.harness.clock.advance(by: .seconds(366 * 86_400))
        try await fixture.write(3)
        try await fixture.settle()
        try await fixture.harness.services.log.removeExpired()
        try await fixture.settle()
        await fixture.harness.stop()
        #expect(try await fixture.verify().isSound)
        let batches: [(offset: Int64, bytes: [UInt8])] = try await self.batches(fixture)
        #expect(batches.map(\.offset) == [5, 6, 7, 8])
        var changes: [Change] = []
        let end: Int = batches[3].bytes.count - Self.spanBytes
        for place in stride(from: Self.headerBytes, to: end, by: 5) {
            var bytes: [UInt8] = batches[3].bytes
            bytes[place] ^= 0x02
            bytes.mendChecksum()
            changes.append(
                Change(
                    what: "byte \(place) of the tombstone", make: [self.putting(bytes, at: 8)],
                    undo: [self.putting(batches[3].bytes, at: 8)]))
        }
        try await self.expectFound(changes, in: fixture)
        // What was removed is replaced, the whole tree made anew, every checkpoint forgotten: the tombstone remembers.
        for leaf in 0..<5 {
            let copy: AuditFixture = fixture
            let tile: [UInt8] = try await copy.store.read {
                try TreeTables.tile(TileCoordinate(level: 0, index: 0), in: $0) ?? []
            }
            var changed: [UInt8] = tile
            changed[leaf * 32] ^= 1
            try await self.rebuild(copy, over: changed)
            #expect(try await copy.verify().findings == [.badTombstone(leaf: 8)])
            try await self.rebuild(copy, over: tile)
        }
    }

    /// Builds the tree anew over leaf hashes, and forgets every checkpoint.
    private func rebuild(_ fixture: AuditFixture, over hashes: [UInt8]) async throws {
        var leaves: [TreeHash] = []
        for start in stride(from: 0, to: hashes.count, by: 32) {
            leaves.append(try #require(TreeHash(Array(hashes[start..<(start + 32)]))))
        }
        let all: [TreeHash] = leaves
        try await fixture.store.write { transaction in
            for table in ["audit_tiles", "audit_tree", "audit_checkpoints"] {
                try transaction.execute("DELETE FROM \(table)")
            }
            try TreeTables.append(all, toTreeOf: 0, in: transaction)
        }
    }
}
