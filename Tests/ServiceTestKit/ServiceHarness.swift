package import Contracts
import EventLog
package import HTTP
package import JSON
package import REST
package import Store
import Telemetry
package import TestKit

/// Tokens that stand for callers: what identity does, without passwords. `token(…)` makes one.
package final class FixedAuthenticator: Authenticator {
    private let callers: [String: Caller]

    init(_ callers: [String: Caller]) { self.callers = callers }

    package func authenticate(bearer token: String, ip: String) async -> Caller? {
        guard let caller: Caller = self.callers[token] else { return nil }
        return Caller(kind: caller.kind, id: caller.id, grants: caller.grants, sessionID: caller.sessionID, ip: ip)
    }
}

/// An answer of the REST interface with its body read.
package struct TestAnswer: Sendable {
    package let status: Int
    package let fields: HTTPFields
    package let bytes: [UInt8]
    /// The body as JSON; null where it is none.
    package let json: JSONValue
}

/// A service under test: a real store and log in a folder of its own, the real REST layer, callers by fixed tokens.
///
/// Tokens: `admin` (platform-admin), and `<role>@<tenant>` for every tenant role, for example `devops@acme`.
package final class ServiceHarness: Sendable {
    package let folder: TemporaryFolder
    package let clock: ManualClock
    package let services: ServiceEnvironment
    private let authenticator: FixedAuthenticator
    private let handler: RESTHandler
    private let running: [any PlatformService]

    /// - Parameter make: builds the services from their environment; the harness starts them.
    package init(
        migrations: [ServiceMigrations], tenants: [String] = ["acme", "globex"],
        clock: ManualClock = ManualClock(), make: (ServiceEnvironment) async throws -> [any PlatformService]
    ) async throws {
        self.folder = TemporaryFolder()
        self.clock = clock
        let metrics: MetricRegistry = MetricRegistry()
        let writer: LogWriter = try LogWriter(topics: Topics.all)
        let store: Store = try Store.open(
            StoreConfiguration(folder: self.folder.path, clock: clock),
            migrations: [LogMigrations.service, RESTHandler.migrations, GatewayChanges.migrations] + migrations,
            extensions: [writer])
        let log: EventLog = try await EventLog.open(store: store, writer: writer, clock: clock)
        self.services = ServiceEnvironment(
            store: store, log: log, clock: clock, logger: Logger.silent, metrics: metrics)
        let services: [any PlatformService] = try await make(self.services)
        self.authenticator = FixedAuthenticator(Self.callers(tenants: tenants))
        var routes: [Route] = []
        for service in services { routes.append(contentsOf: service.routes) }
        self.handler = RESTHandler(
            routes: routes, authenticator: self.authenticator, services: self.services, version: "0.0.0")
        self.running = services
        for service in services { try await service.start() }
    }

    /// Stops the services, the last one first.
    package func stop() async {
        for service in self.running.reversed() { await service.stop() }
    }

    private static func callers(tenants: [String]) -> [String: Caller] {
        var callers: [String: Caller] = [
            "admin": Caller(kind: .user, id: "usr_admin", grants: [Grant(role: .platformAdmin, tenant: nil)], ip: "")
        ]
        for tenant in tenants {
            for role in Role.allCases where !role.reachesAllTenants {
                callers["\(role.rawValue)@\(tenant)"] = Caller(
                    kind: .user, id: "usr_\(role.rawValue)_\(tenant)", grants: [Grant(role: role, tenant: tenant)],
                    ip: "")
            }
        }
        return callers
    }

    /// Sends a request through the REST layer and reads the answer.
    package func send(
        _ method: String, _ target: String, token: String? = "admin", _ body: JSONValue? = nil,
        fields extra: [(String, String)] = []
    ) async throws -> TestAnswer {
        let response: HTTPResponse = await self.respond(method, target, token: token, body, fields: extra)
        let bytes: [UInt8] = try await response.body.collect()
        return TestAnswer(
            status: response.status, fields: response.fields, bytes: bytes,
            json: (try? JSONReader.parse(bytes)) ?? .null)
    }

    /// Sends a request whose answer streams, and leaves it running: read `received` of the recorder, end it by `disconnect`.
    package func open(
        _ target: String, token: String? = "admin", fields extra: [(String, String)] = []
    ) async -> (status: Int, recorder: ResponseRecorder, producer: Task<Void, any Error>) {
        let response: HTTPResponse = await self.respond("GET", target, token: token, nil, fields: extra)
        let recorder: ResponseRecorder = ResponseRecorder()
        let producer: Task<Void, any Error> = Task {
            switch response.body {
            case .bytes(let bytes): try await recorder.writer.write(bytes)
            case .stream(let produce): try await produce(recorder.writer)
            }
        }
        return (response.status, recorder, producer)
    }

    private func respond(
        _ method: String, _ target: String, token: String?, _ body: JSONValue?, fields extra: [(String, String)]
    ) async -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        if let token: String { fields.append("Authorization", "Bearer \(token)") }
        if body != nil { fields.append("Content-Type", "application/json") }
        for field in extra { fields.set(field.0, field.1) }
        return await self.handler.respond(
            to: HTTPRequest(
                method: HTTPMethod(method), target: target, fields: fields, body: HTTPBody(body?.serialized() ?? [])))
    }

    /// The values of a topic's records, oldest first over all partitions in partition order.
    package func events(_ topic: String) async throws -> [JSONValue] {
        var values: [JSONValue] = []
        let partitions: Int = Topics.all.first { $0.name == topic }?.partitions ?? 0
        for partition in 0..<partitions {
            let fetched: FetchedRecords = try await self.services.log.fetch(topic: topic, partition: partition, from: 0)
            for record in fetched.records { values.append(try JSONReader.parse(record.value)) }
        }
        return values
    }

    /// The audit entries whose `event_type` is the given one, oldest first.
    package func auditEntries(_ eventType: String) async throws -> [JSONValue] {
        try await self.events(Topics.auditLog).filter { $0["event_type"]?.text == eventType }
    }
}
