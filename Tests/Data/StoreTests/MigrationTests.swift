import Glibc
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

    private static func open(
        _ place: StorePlace, _ migrations: [ServiceMigrations], _ schema: SchemaUse = .migrate
    ) async throws {
        let test: TestStore = try TestStore(at: place, migrations: migrations, schema: schema)
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func appliesOnlyWhatIsMissing(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        try await Self.open(place, Self.service(Self.first))
        let test: TestStore = try TestStore(at: place, migrations: Self.service(Self.first, Self.second))
        let applied: [String] = try await test.store.read { reader in
            try reader.rows("SELECT service, number, name FROM schema_migrations ORDER BY service, number") {
                "\(try $0.text(0)) \(try $0.int(1)) \(try $0.text(2))"
            }
        }
        #expect(applied == ["catalog 1 one", "catalog 2 two", "store 1 probe"])
        try await test.store.write { try $0.execute("INSERT INTO one (id, note, more) VALUES (1, 'a', '{}')") }
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func refusesANewerDatabase(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        try await Self.open(place, Self.service(Self.first, Self.second))
        await #expect(throws: StoreError.newerDatabase(service: "catalog", number: 2, known: 1)) {
            try await Self.open(place, Self.service(Self.first))
        }
        await #expect(throws: StoreError.newerDatabase(service: "catalog", number: 2, known: 0)) {
            try await Self.open(place, [])
        }
        // Nothing was changed and the lock was released: the right binary still opens it.
        try await Self.open(place, Self.service(Self.first, Self.second))
    }

    @Test(arguments: TestEngine.allCases)
    func whoMayNotMigrateLeavesAnOlderDatabaseAlone(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        try await Self.open(place, Self.service(Self.first))
        for schema: SchemaUse in [.complete, .partial] {
            await #expect(throws: StoreError.olderDatabase(service: "catalog", number: 1, needed: 2)) {
                try await Self.open(place, Self.service(Self.first, Self.second), schema)
            }
        }
        // Nothing was changed: to the older binary it is what it was.
        try await Self.open(place, Self.service(Self.first), .complete)
        await #expect(throws: StoreError.newerDatabase(service: "catalog", number: 1, known: 0)) {
            try await Self.open(place, [], .complete)
        }
    }

    @Test(arguments: TestEngine.allCases)
    func whoReadsLittleNeedsLittle(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        try await Self.open(place, Self.service(Self.first) + [TestStore.notes])
        // A step that is not needed is missing, and nothing is known of another service.
        let test: TestStore = try TestStore(
            at: place, migrations: [Self.service(Self.first, Self.second)[0].needing(1)], schema: .partial)
        #expect(try await test.store.read { try $0.first("SELECT count(*) FROM one") { try $0.int(0) } } == 0)
        await test.store.close()
        await #expect(throws: StoreError.olderDatabase(service: "log", number: 0, needed: 1)) {
            let log: ServiceMigrations = ServiceMigrations(service: "log", steps: [Self.first])
            try await Self.open(place, [log], .partial)
        }
        // A newer version may have changed what is read.
        try await Self.open(place, Self.service(Self.first, Self.second) + [TestStore.notes])
        await #expect(throws: StoreError.newerDatabase(service: "catalog", number: 2, known: 1)) {
            try await Self.open(place, Self.service(Self.first), .partial)
        }
    }

    @Test(arguments: TestEngine.allCases, [SchemaUse.complete, .partial])
    func whoMayNotMigrateMakesNothing(_ engine: TestEngine, _ schema: SchemaUse) async throws {
        let place: StorePlace = StorePlace(engine)
        await #expect(throws: StoreError.self) { try await Self.open(place, Self.service(Self.first), schema) }
        #expect(access(place.folder.file("data"), F_OK) != 0)
        // Whoever comes next finds nothing, and may make it.
        try await Self.open(place, Self.service(Self.first))
    }

    @Test func aPictureIsHeldAgainstWhatIsReadOfIt() async throws {
        let place: StorePlace = StorePlace(.sqlite)
        let test: TestStore = try TestStore(at: place, migrations: Self.service(Self.first))
        let picture: DatabasePicture = try DatabasePicture(ofOpenStoreIn: place.folder.file("data"))
        #expect(throws: StoreError.olderDatabase(service: "catalog", number: 1, needed: 2)) {
            try picture.require(Self.service(Self.first, Self.second))
        }
        try picture.require([Self.service(Self.first, Self.second)[0].needing(1)])
        picture.end()
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func refusesAChangedMigration(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        try await Self.open(place, Self.service(Self.first))
        let edited: Migration = Migration(
            number: 1, name: "one", sql: "CREATE TABLE one (id int64 PRIMARY KEY, note bytes)")
        await #expect(throws: StoreError.changedMigration(service: "catalog", number: 1, name: "one")) {
            try await Self.open(place, Self.service(edited))
        }
    }

    @Test func layoutAndCommentsMayChange() {
        let plain: String = MigrationRunner.checksum(Self.first.sql(for: .sqlite))
        #expect(
            plain == MigrationRunner.checksum("-- why\nCREATE TABLE one\n(id int64 PRIMARY KEY, /* x */ note text)"))
        #expect(plain != MigrationRunner.checksum("CREATE TABLE one (id int64 PRIMARY KEY, notetext)"))
        #expect(plain.utf8.count == 16)
    }

    @Test(arguments: TestEngine.allCases)
    func aFailingMigrationLeavesNothing(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        let broken: Migration = Migration(number: 2, name: "broken", sql: "CREATE INDEX i ON missing (x)")
        let words: String =
            engine == .sqlite
            ? "no such table: main.missing (code 1)" : "relation \"missing\" does not exist (42P01)"
        let problem: String =
            "migration 2 'broken' of service 'catalog': \(words) in: CREATE INDEX i ON missing (x)"
        await #expect(throws: StoreError.misuse(problem)) {
            try await Self.open(place, Self.service(Self.first, broken))
        }
        let test: TestStore = try TestStore(at: place, migrations: Self.service(Self.first))
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func anEngineMayHaveItsOwnText(_ engine: TestEngine) async throws {
        let own: Migration = Migration(
            number: 1, name: "own", sql: "CREATE TABLE one (id int64 PRIMARY KEY)",
            postgresql: "CREATE TABLE one (id int64 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)")
        let place: StorePlace = StorePlace(engine)
        let test: TestStore = try TestStore(at: place, migrations: Self.service(own))
        try await test.store.write { tx in
            #expect(tx.engine == (engine == .sqlite ? .sqlite : .postgresql))
            try tx.execute(
                tx.engine == .sqlite ? "INSERT INTO one (id) VALUES (1)" : "INSERT INTO one (note) VALUES ('a')")
        }
        await test.store.close()
        try await Self.open(place, Self.service(own))
    }

    @Test func anotherProductsDatabaseIsRefused() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        func refused(_ words: String) async {
            await #expect {
                try await Self.open(place, [])
            } throws: { error in
                guard case StoreError.foreignDatabase(let reason) = error else { return false }
                return reason.hasPrefix("app@127.0.0.1:") && reason.hasSuffix(words)
            }
        }
        place.run("CREATE TABLE orders (id integer)")
        await refused("has tables but no list of migrations")
        place.run("CREATE TABLE schema_migrations (version text)")
        await refused("has tables but no list of migrations")
        place.run("DROP TABLE schema_migrations; CREATE TABLE schema_migrations (version text, name text)")
        await refused("has another product's table schema_migrations")
    }

    @Test func refusesGapsAndDoubles() async throws {
        await #expect(throws: StoreError.misuse("service 'catalog': expected migration 1 and found 2")) {
            try await Self.open(StorePlace(.sqlite), Self.service(Self.second))
        }
        await #expect(throws: StoreError.misuse("service 'catalog' is listed twice")) {
            try await Self.open(StorePlace(.sqlite), Self.service(Self.first) + Self.service(Self.first))
        }
    }

    @Test(arguments: [
        (
            "CREATE TABLE t (a bytes, b int64 NOT NULL, c text, d json, e double, f bool)",
            [
                "CREATE TABLE t (a bytea, b bigint NOT NULL, c text COLLATE \"C\", d text COLLATE \"C\", "
                    + "e double precision, f bigint)"
            ]
        ),
        (
            "CREATE TABLE t (json JSON, PRIMARY KEY (json)) WITHOUT ROWID; ALTER TABLE t ADD x bool NOT NULL DEFAULT 0",
            [
                "CREATE TABLE t (json text COLLATE \"C\", PRIMARY KEY (json))",
                "ALTER TABLE t ADD x bigint NOT NULL DEFAULT 0",
            ]
        ),
    ])
    func mapsTheNeutralTypesForPostgreSQL(_ sql: String, _ expected: [String]) throws {
        #expect(try SchemaDialect.postgresql.statements(sql) == expected)
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
        #expect(try SchemaDialect.sqlite.statements(sql) == expected)
    }

    @Test(arguments: [
        ("CREATE TABLE t (a INTEGER)", "a", "INTEGER"), ("CREATE TABLE t (a, b text)", "a", ","),
        ("ALTER TABLE t ADD COLUMN a VARCHAR(3)", "a", "VARCHAR"),
    ])
    func refusesOtherTypes(_ sql: String, _ column: String, _ found: String) {
        let problem: String =
            "column '\(column)' of table 't': expected a type of bytes, int64, text, json, double, bool and found '\(found)'"
        #expect(throws: StoreError.misuse(problem)) { try SchemaDialect.sqlite.statements(sql) }
    }
}
