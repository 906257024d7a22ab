package import Telemetry
package import Time

/// What opening a store does about a schema that is not this binary's.
package enum SchemaUse: Sendable {
    /// Brings it up to date, and makes it where there is none: for who serves the database.
    case migrate
    /// Takes it only if it is exactly this binary's: for who changes what others serve.
    case complete
    /// Takes it if it has what the given services need of theirs, whatever else there is, older or newer: for who only reads that.
    case partial
}

/// How to open a store.
package struct StoreConfiguration: Sendable {
    /// Where PostgreSQL is, as a connection URI (`postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full`); nil is SQLite in
    /// `folder`. It may hold a password, so it is never shown or logged.
    package var url: String?
    /// The data folder; made with mode 0700 when missing. PostgreSQL needs none.
    package var folder: String
    /// Reader threads, each with a connection: 1…16, default 2, on SQLite some 2 MB each; 1…64 on PostgreSQL.
    package var readers: Int
    /// Writer threads on PostgreSQL, each with a connection. 1…64, default 8.
    package var writers: Int = 8
    /// Largest size of the database file in bytes; beyond it writes fail as on a full disk. Default: none.
    package var bytesMax: Int?
    /// The longest a read may take, from its first query; then it fails with `.timedOut`. 5 s is the default: on SQLite a
    /// snapshot keeps the write-ahead log from starting over. Longer is for who reads alone, such as a replay.
    package var readTimeMax: Duration = ReaderPool.snapshotTimeMax
    /// The longest a statement of a write may take on PostgreSQL.
    var writeTimeMax: Duration = .milliseconds(PostgresLimits.writeMillisecondsMax)
    /// Nanoseconds after which a transaction takes no further closures on PostgreSQL.
    var groupTimeMax: UInt64 = PostgresLimits.groupTimeMax
    /// Time beyond a statement's own limit after which a silent PostgreSQL counts as lost.
    var silenceMax: Duration = .milliseconds(PostgresLimits.silenceMilliseconds)
    /// The oldest PostgreSQL that is taken, as libpq writes versions.
    var serverVersionMin: Int32 = PostgresLimits.serverVersionMin
    /// Whether the schema is brought up to date. Unless it is, nothing is made: no folder, no file, no table.
    package var schema: SchemaUse = .migrate
    /// Where `Transaction.now` comes from.
    package var clock: any WallClock
    package var logger: Logger
    package var metrics: MetricRegistry

    package init(
        folder: String, url: String? = nil, readers: Int = 2, bytesMax: Int? = nil,
        clock: any WallClock = SystemClock(),
        logger: Logger = .silent, metrics: MetricRegistry = MetricRegistry()
    ) {
        self.folder = folder
        self.url = url
        self.readers = readers
        self.bytesMax = bytesMax
        self.clock = clock
        self.logger = logger
        self.metrics = metrics
    }
}
