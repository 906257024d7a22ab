package import Telemetry
package import Time

/// How to open a store.
package struct StoreConfiguration: Sendable {
    /// The data folder; made with mode 0700 when missing.
    package var folder: String
    /// Reader threads, each with a connection of some 2 MB. 1…16, default 2.
    package var readers: Int
    /// Largest size of the database file in bytes; beyond it writes fail as on a full disk. Default: none.
    package var bytesMax: Int?
    /// The longest a read may take, from its first query; then it fails with `.timedOut`. At most 5 s, the default: a
    /// snapshot keeps the write-ahead log from starting over.
    package var readTimeMax: Duration = ReaderPool.snapshotTimeMax
    /// Where `Transaction.now` comes from.
    package var clock: any WallClock
    package var logger: Logger
    package var metrics: MetricRegistry

    package init(
        folder: String, readers: Int = 2, bytesMax: Int? = nil, clock: any WallClock = SystemClock(),
        logger: Logger = .silent, metrics: MetricRegistry = MetricRegistry()
    ) {
        self.folder = folder
        self.readers = readers
        self.bytesMax = bytesMax
        self.clock = clock
        self.logger = logger
        self.metrics = metrics
    }
}
