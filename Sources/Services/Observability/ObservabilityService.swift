package import Contracts
import JSON
package import REST
package import Store
import Synchronization
import Telemetry
import Time

/// What the platform shows of itself: health, metrics, traffic per minute, and the events of the log.
///
/// Offers the `TrafficSink` that gateways report to. Its telemetry lives in a store of its own.
package final class ObservabilityService: PlatformService, TrafficSink {
    package static let name: String = "observability"
    package static let migrations: ServiceMigrations = ObservabilityMigrations.platform
    /// The schema of the telemetry store.
    package static let telemetryMigrations: ServiceMigrations = ObservabilityMigrations.telemetry

    static let retentionInterval: Duration = .seconds(600)
    /// Rows removed in one transaction.
    static let retentionRowsMax: Int = 2_000

    let services: ServiceEnvironment
    let telemetry: Store
    let readiness: Readiness
    let cursors: EventCursor
    let refusals: RefusalRecorder
    /// For how long traffic is kept.
    private let trafficKept: Duration
    /// Knows the labels of APIs; nil: none is known, and no condition by label holds.
    let catalog: (any CatalogOffer)?
    private let refusedLines: Counter
    private let repeatedReports: Counter
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    private init(
        services: ServiceEnvironment, telemetry: Store, readiness: Readiness, cursors: EventCursor,
        trafficKept: Duration, catalog: (any CatalogOffer)?
    ) {
        self.catalog = catalog
        self.trafficKept = trafficKept
        self.services = services
        self.telemetry = telemetry
        self.readiness = readiness
        self.cursors = cursors
        self.refusals = RefusalRecorder(services: services)
        self.refusedLines = services.metrics.counter(
            "passerelle_traffic_lines_refused_total",
            help: "Lines of gateways' traffic reports that could not be right.")
        self.repeatedReports = services.metrics.counter(
            "passerelle_traffic_reports_repeated_total", help: "Traffic reports that had been counted before.")
    }

    /// - Parameters:
    ///   - telemetry: a store opened with `telemetryMigrations`; the service does not close it.
    ///   - readiness: what `/readyz` answers from.
    ///   - trafficKept: for how long traffic is kept. Default 30 days.
    package static func open(
        services: ServiceEnvironment, telemetry: Store, readiness: Readiness, sealer: any SecretSealer,
        trafficKept: Duration = TrafficRollup.retention, catalog: (any CatalogOffer)? = nil
    ) async throws -> ObservabilityService {
        let key: [UInt8] = try await CursorKey.load(from: services.store, sealer: sealer)
        return ObservabilityService(
            services: services, telemetry: telemetry, readiness: readiness, cursors: EventCursor(key: key),
            trafficKept: trafficKept, catalog: catalog)
    }

    package var routes: [Route] {
        self.healthRoutes + self.trafficRoutes + self.eventRoutes + self.produceRoutes + self.groupRoutes
            + self.deadLetterRoutes
    }

    package func start() async throws {
        self.tasks.withLock { tasks in tasks.append(Task { await self.keepRetention() }) }
    }

    package func stop() async {
        let tasks: [Task<Void, Never>] = self.tasks.withLock { tasks in
            defer { tasks.removeAll() }
            return tasks
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        await self.refusals.flush()
    }

    /// Counts a report, once however often it comes: gateways repeat what was not acknowledged.
    package func accept(_ report: TrafficReport) async throws {
        let rollup: TrafficRollup = TrafficRollup(report, now: self.services.clock.now())
        let isNew: Bool = try await self.telemetry.write { transaction in
            try TrafficTable.add(rollup, gatewayID: report.gatewayID, sequence: report.sequence, in: transaction)
        }
        if !isNew { self.repeatedReports.add() }
        if isNew, rollup.refusedLines > 0 { self.refusedLines.add(UInt64(rollup.refusedLines)) }
    }

    /// Removes traffic older than it is kept, now and then. Until cancelled.
    private func keepRetention() async {
        while !Task.isCancelled {
            do {
                try await self.removeExpired()
            } catch {
                self.services.logger.log(
                    .warning, "expired traffic could not be removed", ["error": .string("\(error)")])
            }
            guard (try? await self.services.clock.sleep(for: Self.retentionInterval)) != nil else { return }
        }
    }

    func removeExpired() async throws {
        let cutoff: Int64 = self.services.clock.now().adding(.zero - self.trafficKept).milliseconds
        var isMore: Bool = true
        while isMore, !Task.isCancelled {
            isMore = try await self.telemetry.write { transaction in
                try TrafficTable.removeExpired(before: cutoff, limit: Self.retentionRowsMax, in: transaction)
            }
        }
    }
}
