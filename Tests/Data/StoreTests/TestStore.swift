import Store
import Telemetry
import TestKit
import Time

/// A store in a temporary folder with the table `notes (tenant, name, body, size)`.
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

    let folder: TemporaryFolder
    let store: Store

    init(
        folder: TemporaryFolder = TemporaryFolder(), migrations: [ServiceMigrations] = [TestStore.notes],
        extensions: [any CommitExtension] = [], bytesMax: Int? = nil, readTimeMax: Duration = .seconds(5),
        clock: any WallClock = ManualClock(),
        logger: Logger = .silent, metrics: MetricRegistry = MetricRegistry()
    ) throws {
        self.folder = folder
        var configuration: StoreConfiguration = StoreConfiguration(
            folder: folder.file("data"), bytesMax: bytesMax, clock: clock, logger: logger, metrics: metrics)
        configuration.readTimeMax = readTimeMax
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
