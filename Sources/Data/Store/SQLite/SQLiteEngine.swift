import Time

/// What an open store on SQLite consists of, in the order it is made; taken down in reverse.
final class SQLiteEngine: StoreEngine {
    /// More threads than this bring nothing: SQLite reads are bound by memory and disk.
    private static let readersMax: Int = 16

    let state: StoreState
    private let writer: Writer
    private let readers: ReaderPool
    private let lock: FolderLock
    private let writerThread: StoreThread
    private let checkpointerThread: StoreThread

    init(
        _ configuration: StoreConfiguration, _ migrations: [ServiceMigrations], _ extensions: [any CommitExtension]
    ) throws(StoreError) {
        guard (1...Self.readersMax).contains(configuration.readers) else {
            throw .misuse("readers: expected 1 to \(Self.readersMax) and found \(configuration.readers)")
        }
        self.state = StoreState(logger: configuration.logger)
        let metrics: StoreMetrics = StoreMetrics(configuration.metrics)
        let folder: DataFolder = DataFolder(path: configuration.folder)
        let makes: Bool = configuration.schema == .migrate
        if makes { try folder.create() }
        self.lock = try FolderLock(folder)
        if makes { try folder.createDatabaseFile() }
        let connection: Connection = try Self.openWriter(folder, configuration)
        try MigrationRunner(.sqlite(connection), migrations, now: configuration.clock.now()).prepare(
            configuration.schema)
        connection.restrict()
        var attachments: [any CommitAttachment] = []
        for item: any CommitExtension in extensions { attachments.append(item.makeAttachment()) }
        let checkpointer: Checkpointer = try Checkpointer(
            path: folder.databasePath, seconds: metrics.checkpointSeconds)
        let writer: Writer = try Writer(
            connection, configuration, metrics: metrics, state: self.state, attachments: attachments,
            checkpointer: checkpointer)
        self.readers = try ReaderPool(
            path: folder.databasePath, configuration, metrics: metrics, state: self.state)
        self.writer = writer
        metrics.watch(configuration.metrics, write: writer.queue, read: self.readers.queue, state: self.state)
        do throws(StoreError) {
            self.checkpointerThread = try StoreThread(name: "store-log-copy") { checkpointer.run() }
            self.writerThread = try StoreThread(name: "store-writer") { writer.run() }
        } catch {
            self.readers.queue.close()
            checkpointer.requests.close()
            throw error
        }
    }

    var kind: StoreEngineKind { .sqlite }
    var writes: JobQueue<WriteJob> { self.writer.queue }
    var reads: JobQueue<ReadJob> { self.readers.queue }

    /// Shuts down on a thread of its own, since it blocks for as long as the waiting closures need.
    func shutDownDetached(_ done: @escaping @Sendable () -> Void) {
        self.writer.queue.close()
        self.readers.queue.close()
        let work: @Sendable () -> Void = {
            self.readers.join()
            self.writerThread.join()
            self.checkpointerThread.join()
            self.writer.closeConnection()
            self.lock.release()
            done()
        }
        // Without a thread the caller's has to wait: better than a store that never closes.
        if (try? StoreThread(name: "store-close", work)) == nil { work() }
    }

    private static func openWriter(
        _ folder: DataFolder, _ configuration: StoreConfiguration
    ) throws(StoreError) -> Connection {
        let connection: Connection = try Connection(path: folder.databasePath, mode: .readWrite)
        try connection.configureWriter()
        if let bytesMax: Int = configuration.bytesMax {
            try connection.pragma("PRAGMA max_page_count = \(max(1, bytesMax / Connection.pageBytes))")
        }
        return connection
    }
}
