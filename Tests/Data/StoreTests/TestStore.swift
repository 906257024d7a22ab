import Store
import Telemetry
import TestKit
import Time

/// A store in a place of its own with the table `notes (tenant, name, body, size)`.
struct TestStore {
    static let notes: ServiceMigrations = ServiceMigrations(
        service: "notes",
        steps: [
            Migration(
                number: 1, name: "notes",
                sql: """
                    -- One row a note.
                    CREATE TABLE notes (
                        tenant text NOT NULL, name text NOT NULL, body bytes, size int64 NOT NULL DEFAULT 0, weight double,
                        extra json, open bool NOT NULL DEFAULT 1,
                        PRIMARY KEY (tenant, name), CHECK (size >= 0)
                    ) WITHOUT ROWID;
                    CREATE TABLE links (
                        tenant text NOT NULL, id int64 PRIMARY KEY, name text NOT NULL,
                        FOREIGN KEY (tenant, name) REFERENCES notes (tenant, name) DEFERRABLE INITIALLY DEFERRED
                    );
                    """)
        ])

    /// Threads that write on PostgreSQL.
    static let writers: Int = 3

    let place: StorePlace
    let store: Store

    var folder: TemporaryFolder { self.place.folder }

    init(
        folder: TemporaryFolder, migrations: [ServiceMigrations] = [TestStore.notes],
        extensions: [any CommitExtension] = [], bytesMax: Int? = nil, logger: Logger = .silent
    ) throws {
        try self.init(
            at: StorePlace(.sqlite, folder: folder), migrations: migrations, extensions: extensions, bytesMax: bytesMax,
            logger: logger)
    }

    init(
        _ engine: TestEngine = .sqlite, migrations: [ServiceMigrations] = [TestStore.notes],
        extensions: [any CommitExtension] = [], bytesMax: Int? = nil, readTimeMax: Duration = .seconds(5),
        logger: Logger = .silent, metrics: MetricRegistry = MetricRegistry()
    ) throws {
        try self.init(
            at: StorePlace(engine), migrations: migrations, extensions: extensions, bytesMax: bytesMax,
            readTimeMax: readTimeMax, logger: logger, metrics: metrics)
    }

    init(
        at place: StorePlace, migrations: [ServiceMigrations] = [TestStore.notes],
        extensions: [any CommitExtension] = [], bytesMax: Int? = nil, readTimeMax: Duration = .seconds(5),
        schema: SchemaUse = .migrate, clock: any WallClock = ManualClock(),
        logger: Logger = .silent, metrics: MetricRegistry = MetricRegistry()
    ) throws {
        self.place = place
        var configuration: StoreConfiguration = StoreConfiguration(
            folder: place.folder.file("data"), url: place.url, bytesMax: bytesMax, clock: clock, logger: logger,
            metrics: metrics)
        configuration.writers = Self.writers
        configuration.readTimeMax = readTimeMax
        configuration.schema = schema
        self.store = try Store.open(configuration, migrations: migrations, extensions: extensions)
    }

    func insert(_ name: String, size: Int64 = 0) async throws {
        try await self.store.write { (tx: Transaction) in
            try tx.execute("INSERT INTO notes (tenant, name, size) VALUES ($1, $2, $3)", "t", .text(name), .int(size))
        }
    }

    /// The names of all notes, in order.
    func names() async throws -> [String] {
        try await self.store.read { (reader: Reader) in
            try reader.rows("SELECT name FROM notes WHERE tenant = $1 ORDER BY name", "t") { try $0.text(0) }
        }
    }
}
