import Contracts
import EventLog
import Files
package import REST
package import Store
import Telemetry
import Time

/// Seals nothing: benchmarks keep no secrets.
package struct OpenSealer: SecretSealer {
    package init() {}

    package func seal(_ secret: [UInt8], name: String) throws -> [UInt8] { secret }
    package func open(_ sealed: [UInt8], name: String) throws -> [UInt8] { sealed }
}

/// What services work with, on a durable store with its log in a folder of their own.
package enum BenchServices {
    /// - Parameter migrations: those of the services under test, beside those that every service needs.
    package static func open(path: String, migrations: [ServiceMigrations]) async throws -> ServiceEnvironment {
        let writer: LogWriter = try LogWriter(topics: Topics.all)
        let store: Store = try Store.open(
            StoreConfiguration(folder: path),
            migrations: [LogMigrations.service, RESTHandler.migrations] + migrations, extensions: [writer])
        let log: EventLog = try await EventLog.open(store: store, writer: writer)
        return ServiceEnvironment(
            store: store, log: log, clock: SystemClock(), logger: Logger.silent, metrics: MetricRegistry())
    }

    /// Stops them and removes the folder.
    package static func close(_ services: ServiceEnvironment, path: String) async {
        await services.log.stop()
        await services.store.close()
        try? Folders.remove(path)
    }
}
