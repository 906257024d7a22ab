import Contracts
import EventLog
import Files
import REST
import Store
import Telemetry
import Time

/// A data folder that no process serves, opened for one piece of work.
enum StoppedPlatform {
    /// Opens store and log, works, and closes them whatever happened.
    ///
    /// - Throws: `CommandError.failed` when the folder is none, or in use; what `work` throws.
    static func use<Result: Sendable>(
        folder: String, _ work: (ServiceEnvironment) async throws -> Result
    ) async throws -> Result {
        guard Files.exists("\(folder)/passerelle.db") else {
            throw CommandError.failed("\(folder) is no data folder: there is no passerelle.db in it.")
        }
        let writer: LogWriter = try LogWriter(topics: Topics.all)
        let store: Store
        do {
            store = try Store.open(
                StoreConfiguration(folder: folder, readers: 1), migrations: Platform.migrations, extensions: [writer])
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
