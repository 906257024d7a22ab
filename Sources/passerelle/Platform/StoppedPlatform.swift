import Contracts
import EventLog
import Files
import REST
import Store
import Telemetry
import Time

/// The state of a platform that no process serves, opened for one piece of work.
enum StoppedPlatform {
    static let options: [Command.Option] = [
        .init("data", "FOLDER", "the data folder (./data)"),
        .init("store-url-file", "FILE", "on PostgreSQL: the file with its address (PASSERELLE_STORE_URL)"),
    ]

    /// The folder or server that the arguments name.
    static func use<Result: Sendable>(
        _ arguments: Arguments, _ work: (ServiceEnvironment) async throws -> Result
    ) async throws -> Result {
        var url: String? = Login.environment("PASSERELLE_STORE_URL")
        if let file: String = arguments["store-url-file"] { url = try Settings.storeURL(inFile: file) }
        return try await Self.use(folder: arguments["data"] ?? "./data", url: url, work)
    }

    /// Opens store and log, works, and closes them whatever happened.
    ///
    /// - Throws: `CommandError.failed` when the folder is none, or in use; what `work` throws.
    private static func use<Result: Sendable>(
        folder: String, url: String?, _ work: (ServiceEnvironment) async throws -> Result
    ) async throws -> Result {
        guard url != nil || Files.exists("\(folder)/passerelle.db") else {
            throw CommandError.failed("\(folder) is no data folder: there is no passerelle.db in it.")
        }
        let writer: LogWriter = try LogWriter(topics: Topics.all)
        var configuration: StoreConfiguration = StoreConfiguration(folder: folder, url: url, readers: 1)
        // A newer binary must not change the schema under the platform that it is used beside, or before one was upgraded.
        configuration.schema = .complete
        let store: Store
        do {
            store = try Store.open(configuration, migrations: Platform.migrations, extensions: [writer])
        } catch {
            throw CommandError.failed("\(error)")
        }
        do {
            let log: EventLog = try await EventLog.open(store: store, writer: writer)
            let result: Result = try await work(
                ServiceEnvironment(
                    store: store, log: log, clock: SystemClock(), logger: .silent, metrics: MetricRegistry()))
            await store.close()
            return result
        } catch {
            await store.close()
            throw error
        }
    }
}
