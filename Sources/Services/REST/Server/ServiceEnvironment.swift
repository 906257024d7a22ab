package import EventLog
package import Store
package import Telemetry
package import Time

/// What the composition root hands every service.
package struct ServiceEnvironment: Sendable {
    package let store: Store
    package let log: EventLog
    package let clock: any WallClock
    package let logger: Logger
    package let metrics: MetricRegistry

    package init(store: Store, log: EventLog, clock: any WallClock, logger: Logger, metrics: MetricRegistry) {
        self.store = store
        self.log = log
        self.clock = clock
        self.logger = logger
        self.metrics = metrics
    }
}

/// The face of a service: the one shape all of them have.
package protocol PlatformService: Sendable {
    /// The service's name in `--services`, in metrics and as OpenAPI tag.
    static var name: String { get }
    static var migrations: ServiceMigrations { get }
    var routes: [Route] { get }
    /// Starts consumers and jobs. Called once, after the routes of all services are known.
    func start() async throws
    /// Stops them; returns when nothing of the service runs any more.
    func stop() async
}
