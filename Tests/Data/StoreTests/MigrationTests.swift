import TestKit
import Testing

@testable import Store

@Suite struct MigrationTests {
    private static let first: Migration = Migration(
        number: 1, name: "one", sql: "CREATE TABLE one (id int64 PRIMARY KEY, note text)")
    private static let second: Migration = Migration(
        number: 2, name: "two", sql: "ALTER TABLE one ADD COLUMN more json; CREATE INDEX one_note ON one (note);")

    private static func service(_ steps: Migration...) -> [ServiceMigrations] {
        [ServiceMigrations(service: "catalog", steps: steps)]
    }

    private static func open(_ folder: TemporaryFolder, _ migrations: [ServiceMigrations]) async throws {
        let test: TestStore = try TestStore(folder: folder, migrations: migrations)
        await test.store.close()
    }

    @Test func appliesOnlyWhatIsMissing() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        try await Self.open(folder, Self.service(Self.first))
        let test: TestStore = try TestStore(folder: folder, migrations: Self.service(Self.first, Self.second))
        let applied: [String] = try await test.store.read { reader in
            try reader.rows("SELECT service, number, name FROM schema_migrations ORDER BY service, number") {
                "\(try $0.text(0)) \(try $0.int(1)) \(try $0.text(2))"
            }
        }
        #expect(applied == ["catalog 1 one", "catalog 2 two", "store 1 probe"])
        try await test.store.write { try $0.execute("INSERT INTO one (id, note, more) VALUES (1, 'a', '{}')") }
        await test.store.close()
    }

    @Test func refusesANewerDatabase() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        try await Self.open(folder, Self.service(Self.first, Self.second))
        await #expect(throws: StoreError.newerDatabase(service: "catalog", number: 2, known: 1)) {
            try await Self.open(folder, Self.service(Self.first))
        }
        await #expect(throws: StoreError.newerDatabase(service: "catalog", number: 2, known: 0)) {
            try await Self.open(folder, [])
        }
        // Nothing was changed and the lock was released: the right binary still opens it.
        try await Self.open(folder, Self.service(Self.first, Self.second))
    }

    @Test func refusesAChangedMigration() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        try await Self.open(folder, Self.service(Self.first))
        let edited: Migration = Migration(
            number: 1, name: "one", sql: "CREATE TABLE one (id int64 PRIMARY KEY, note bytes)")
        await #expect(throws: StoreError.changedMigration(service: "catalog", number: 1, name: "one")) {
            try await Self.open(folder, Self.service(edited))
        }
    }

    @Test func layoutAndCommentsMayChange() {
        let plain: String = MigrationRunner.checksum(Self.first.sql)
        #expect(
            plain == MigrationRunner.checksum("-- why\nCREATE TABLE one\n(id int64 PRIMARY KEY, /* x */ note text)"))
        #expect(plain != MigrationRunner.checksum("CREATE TABLE one (id int64 PRIMARY KEY, notetext)"))
        #expect(plain.utf8.count == 16)
    }

    @Test func aFailingMigrationLeavesNothing() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let broken: Migration = Migration(number: 2, name: "broken", sql: "CREATE INDEX i ON missing (x)")
        let problem: String =
            "migration 2 'broken' of service 'catalog': no such table: main.missing (code 1) in: CREATE INDEX i ON missing (x)"
        await #expect(throws: StoreError.misuse(problem)) {
            try await Self.open(folder, Self.service(Self.first, broken))
        }
        let test: TestStore = try TestStore(folder: folder, migrations: Self.service(Self.first))
        await test.store.close()
    }

    @Test func refusesGapsAndDoubles() async throws {
        await #expect(throws: StoreError.misuse("service 'catalog': expected migration 1 and found 2")) {
            try await Self.open(TemporaryFolder(), Self.service(Self.second))
        }
        await #expect(throws: StoreError.misuse("service 'catalog' is listed twice")) {
            try await Self.open(TemporaryFolder(), Self.service(Self.first) + Self.service(Self.first))
        }
    }

    @Test(arguments: [
        (
            "CREATE TABLE t (a bytes, b int64 NOT NULL, c text, d json, e double, f bool)",
            ["CREATE TABLE t (a BLOB, b INTEGER NOT NULL, c TEXT, d TEXT, e REAL, f INTEGER) STRICT"]
        ),
        (
            "CREATE TABLE IF NOT EXISTS t (json JSON, text TEXT CHECK (text IN ('a, b', 'c')), PRIMARY KEY (json, text)) WITHOUT ROWID;",
            [
                "CREATE TABLE IF NOT EXISTS t (json TEXT, text TEXT CHECK (text IN ('a, b', 'c')), "
                    + "PRIMARY KEY (json, text)) WITHOUT ROWID, STRICT"
            ]
        ),
        (
            "ALTER TABLE t ADD x bytes; ALTER TABLE t RENAME TO u; ; INSERT INTO u (a) VALUES (';')",
            ["ALTER TABLE t ADD x BLOB", "ALTER TABLE t RENAME TO u", "INSERT INTO u (a) VALUES (';')"]
        ),
        ("-- nothing; at all\n/* ; */", []),
    ])
    func mapsTheNeutralTypes(_ sql: String, _ expected: [String]) throws {
        #expect(try SQLiteDialect.statements(sql) == expected)
    }

    @Test(arguments: [
        ("CREATE TABLE t (a INTEGER)", "a", "INTEGER"), ("CREATE TABLE t (a, b text)", "a", ","),
        ("ALTER TABLE t ADD COLUMN a VARCHAR(3)", "a", "VARCHAR"),
    ])
    func refusesOtherTypes(_ sql: String, _ column: String, _ found: String) {
        let problem: String =
            "column '\(column)' of table 't': expected a type of bytes, int64, text, json, double, bool and found '\(found)'"
        #expect(throws: StoreError.misuse(problem)) { try SQLiteDialect.statements(sql) }
    }
}
