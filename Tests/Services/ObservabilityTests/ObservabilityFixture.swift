import Contracts
import EventLog
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Time

@testable import Observability

/// The observability service on real stores, with what it needs to be asked for.
struct ObservabilityFixture {
    let harness: ServiceHarness
    let service: ObservabilityService
    let readiness: Readiness
    let telemetry: Store

    init() async throws {
        let made: Mutex<(ObservabilityService, Readiness, Store)?> = Mutex(nil)
        let folder: TemporaryFolder = TemporaryFolder()
        self.harness = try await ServiceHarness(migrations: [ObservabilityService.migrations]) { services in
            let telemetry: Store = try Store.open(
                StoreConfiguration(folder: folder.path, clock: services.clock),
                migrations: [ObservabilityService.telemetryMigrations])
            let readiness: Readiness = Readiness(clock: services.clock)
            let service: ObservabilityService = try await ObservabilityService.open(
                services: services, telemetry: telemetry, readiness: readiness, sealer: FixedSealer())
            made.withLock { $0 = (service, readiness, telemetry) }
            return [service]
        }
        guard let (service, readiness, telemetry) = made.withLock({ $0 }) else { preconditionFailure("made above") }
        self.service = service
        self.readiness = readiness
        self.telemetry = telemetry
        self.folder = folder
    }

    private let folder: TemporaryFolder

    func stop() async {
        await self.harness.stop()
        await self.telemetry.close()
    }

    /// Publishes events of a tenant, one transaction each: values `{"n": number}`, keys in turn over all partitions. They can be read when it returns.
    func publish(_ count: Int, tenant: String, topic: String = Topics.deployResults, from first: Int = 0) async throws {
        for number in first..<(first + count) {
            try await self.harness.services.store.write { transaction in
                try transaction.publish(
                    Event(
                        topic: topic, key: "api_\(number)", tenant: tenant, type: topic, actor: "usr_1",
                        value: .object(["n": .int(Int64(number))])))
            }
        }
        try await self.harness.waitForNumbers(topic)
    }

    /// Writes one audit entry of a tenant.
    func audit(tenant: String) async throws {
        let author: Author = Author(
            caller: Caller(kind: .user, id: "usr_1", grants: [], ip: ""), trace: TraceContext.make())
        try await self.harness.services.store.write { transaction in
            try author.audit(
                "api.created", tenant: tenant, resource: AuditEntry.Resource(type: "api", id: "api_1"), changes: [:],
                in: transaction)
        }
        try await self.harness.waitForNumbers(Topics.auditLog)
    }
}

/// One line of a traffic report, with what most tests do not care about filled in.
func trafficLine(
    tenant: String = "acme", api: String = "api_1", environment: String = "dev", route: String = "/pets",
    application: String = "app_1", minute: Int64 = 1_767_225_600_000, statusClass: Int = 2, requests: Int64 = 10,
    duration: Int64 = 5_000, durationMax: Int64 = 900, bytesIn: Int64 = 100, bytesOut: Int64 = 2_000
) -> TrafficReport.Line {
    TrafficReport.Line(
        tenant: tenant, apiID: api, environment: environment, route: route, applicationID: application, minute: minute,
        statusClass: statusClass, requests: requests, durationMicroseconds: duration,
        durationMicrosecondsMax: durationMax,
        bytesIn: bytesIn, bytesOut: bytesOut)
}
