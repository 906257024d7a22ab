import TestKit
import Testing

@testable import Store

@Suite struct StoreCopyTests {
    /// A store on SQLite with rows of every type, closed, and an empty database.
    private static func fill(_ rows: Int = 3_000) async throws -> (source: TestStore, target: StorePlace) {
        let source: TestStore = try TestStore(.sqlite)
        try await source.store.write { tx in
            for index in 0..<rows {
                try tx.execute(
                    "INSERT INTO notes (tenant, name, body, size, weight, extra, open) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    .text(index % 2 == 0 ? "Acme" : "acme"), .text("n\(index)é"),
                    index % 5 == 0 ? .null : .bytes([UInt8](repeating: UInt8(index % 256), count: index % 40)),
                    .int(Int64(index) << 40), .double(Double(index) / 3),
                    index % 3 == 0 ? .null : "{\"a\": \"\\u0000\"}",
                    .bool(index % 2 == 0))
            }
            try tx.execute("INSERT INTO links (tenant, id, name) VALUES ('Acme', -5, 'n0é')")
        }
        await source.store.close()
        return (source, StorePlace(.postgresql))
    }

    private static func copy(_ source: TestStore, _ target: StorePlace) throws -> StoreCopy {
        try StoreCopy(folder: source.folder.file("data"), to: target.url ?? "", migrations: [TestStore.notes])
    }

    @Test func everyRowArrives() async throws {
        let (source, target): (TestStore, StorePlace) = try await Self.fill()
        let summary: StoreCopy.Summary = try Self.copy(source, target).run()
        #expect(summary.tables.map { "\($0.name) \($0.rows)" } == ["notes 3000", "links 1"])
        let test: TestStore = try TestStore(at: target)
        let found: String? = try await test.store.read { reader in
            try reader.first(
                "SELECT body, size, weight, extra, open FROM notes WHERE tenant = 'acme' AND name = $1", "n1é"
            ) { "\(try $0.bytes(0)) \(try $0.int(1)) \(try $0.double(2)) \(try $0.text(3)) \(try $0.bool(4))" }
        }
        #expect(found == "[1] 1099511627776 \(1.0 / 3) {\"a\": \"\\u0000\"} false")
        await test.store.close()
    }

    @Test func anInterruptedCopyGoesOn() async throws {
        let (source, target): (TestStore, StorePlace) = try await Self.fill()
        var first: StoreCopy? = try Self.copy(source, target)
        // As if it had been killed after a thousand rows: what is there is the beginning of the source.
        _ = try first?.run()
        first = nil
        target.run(
            """
            CREATE TABLE store_copy (source text PRIMARY KEY);
            CREATE TABLE store_copied (table_name text PRIMARY KEY);
            INSERT INTO store_copied VALUES ('notes');
            DELETE FROM notes WHERE (tenant, name) NOT IN (SELECT tenant, name FROM notes ORDER BY tenant, name LIMIT 1000);
            INSERT INTO schema_migrations VALUES ('store-copy', 1, 'unfinished', '\(Self.markerChecksum)', 0);
            """)
        await #expect {
            let test: TestStore = try TestStore(at: target)
            await test.store.close()
        } throws: {
            "\($0)".contains("holds an unfinished copy of an installation: run 'passerelle store migrate' again")
        }
        let summary: StoreCopy.Summary = try Self.copy(source, target).run()
        #expect(summary.rows == 3001)
    }

    private static var markerChecksum: String {
        MigrationRunner.checksum(StoreCopy.marker.steps[0].sql(for: .postgresql))
    }

    @Test func aDifferenceIsNamedAndMendedByTheNextRun() async throws {
        let (source, target): (TestStore, StorePlace) = try await Self.fill(10)
        let isTampered: Done = Done()
        let copy: StoreCopy = try StoreCopy(
            folder: source.folder.file("data"), to: target.url ?? "", migrations: [TestStore.notes]
        ) { progress in
            if case .copied(table: "links", rows: _) = progress, !isTampered.isSet {
                isTampered.set()
                target.run("UPDATE notes SET size = 4711 WHERE name = 'n3é'")
            }
        }
        #expect(
            throws: StoreCopy.Difference(table: "notes", key: "('acme', 'n3é')", problem: "column size differs")
        ) { try copy.run() }
        #expect(try copy.run().rows == 11)
    }

    @Test func onlyAnEmptyDatabaseIsTaken() async throws {
        let (source, target): (TestStore, StorePlace) = try await Self.fill(1)
        let other: TestStore = try TestStore(at: target)
        await other.store.close()
        #expect {
            _ = try Self.copy(source, target)
        } throws: {
            "\($0)".contains("is a store already, and a copy needs an empty database")
        }
    }

    @Test func aFolderOfAnOlderVersionIsRefusedAsItIs() async throws {
        let (source, target): (TestStore, StorePlace) = try await Self.fill(1)
        let newer: ServiceMigrations = ServiceMigrations(
            service: "notes", steps: TestStore.notes.steps + [Migration(number: 2, name: "none", sql: "")])
        #expect(throws: StoreError.olderDatabase(service: "notes", number: 1, needed: 2)) {
            _ = try StoreCopy(folder: source.folder.file("data"), to: target.url ?? "", migrations: [newer])
        }
        #expect(try Self.copy(source, target).run().rows == 2)
    }

    @Test func aFolderInUseIsRefused() async throws {
        let source: TestStore = try TestStore(.sqlite)
        #expect {
            _ = try Self.copy(source, StorePlace(.postgresql))
        } throws: {
            guard case StoreError.locked = $0 else { return false }
            return true
        }
        await source.store.close()
    }
}
