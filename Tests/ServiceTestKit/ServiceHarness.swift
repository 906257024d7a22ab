package import Contracts
package import EventLog
package import EventLoops
package import HTTP
package import JSON
package import REST
package import Store
import Synchronization
package import Telemetry
package import TestKit

/// Tokens that stand for callers: what identity does, without passwords. `token(…)` makes one.
package final class FixedAuthenticator: Authenticator {
    private let callers: Mutex<[String: Caller]>

    init(_ callers: [String: Caller]) { self.callers = Mutex(callers) }

    func add(_ caller: Caller, token: String) { self.callers.withLock { $0[token] = caller } }

    package func authenticate(bearer token: String, ip: String) async -> Caller? {
        guard let caller: Caller = self.callers.withLock({ $0[token] }) else { return nil }
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

/// A service under test: a real store and log in a place of their own, the real REST layer, callers by fixed tokens.
///
/// `PASSERELLE_TEST_STORE=postgresql` runs it on PostgreSQL.
///
/// Tokens: `admin` (platform-admin), `cpi-admin`, and `<role>@<tenant>` for every tenant role, for example `devops@acme`.
package final class ServiceHarness: Sendable {
    /// Makes the authenticator: from the environment, the one that knows the fixed tokens, and the services.
    package typealias MakeAuthenticator =
        @Sendable (ServiceEnvironment, any Authenticator, [any PlatformService]) -> any Authenticator

    package var place: StorePlace { self.ground.place }
    package var folder: TemporaryFolder { self.place.folder }
    private let ground: Ground
    package let clock: ManualClock
    package let services: ServiceEnvironment
    /// The routes of all services, as they are served.
    package let routes: [Route]
    private let tenants: [String]
    private let authenticator: MakeAuthenticator
    private let edge: Edge
    private let handler: RESTHandler
    private let fixed: FixedAuthenticator
    /// The services, in the order they were made.
    package let running: [any PlatformService]

    /// - Parameters:
    ///   - edge: what happens to every request before it finds its route.
    ///   - authenticator: for services that know tokens of their own; the fixed ones work when it is left out.
    ///   - make: builds the services from their environment; the harness starts them.
    package convenience init(
        migrations: [ServiceMigrations], tenants: [String] = ["acme", "globex"],
        clock: ManualClock = ManualClock(), logger: Logger = Logger.silent, edge: Edge = Edge(),
        authenticator: @escaping MakeAuthenticator = { _, fixed, _ in fixed },
        make: (ServiceEnvironment) async throws -> [any PlatformService]
    ) async throws {
        let ground: Ground = try await Ground(migrations, clock: clock)
        try await self.init(
            services: ServiceEnvironment(
                store: ground.store, log: ground.log, clock: clock, logger: logger, metrics: MetricRegistry()),
            ground: ground, clock: clock, tenants: tenants, edge: edge, authenticator: authenticator, make: make)
    }

    private init(
        services: ServiceEnvironment, ground: Ground, clock: ManualClock, tenants: [String], edge: Edge,
        authenticator: @escaping MakeAuthenticator, make: (ServiceEnvironment) async throws -> [any PlatformService]
    ) async throws {
        self.ground = ground
        self.clock = clock
        self.services = services
        self.tenants = tenants
        self.authenticator = authenticator
        self.edge = edge
        let made: [any PlatformService] = try await make(services)
        self.running = made
        var routes: [Route] = []
        for service in made { routes.append(contentsOf: service.routes) }
        self.routes = routes
        let fixed: FixedAuthenticator = FixedAuthenticator(Self.callers(tenants: tenants))
        self.fixed = fixed
        self.handler = RESTHandler(
            routes: routes, authenticator: authenticator(services, fixed, made), services: services, version: "0.0.0",
            edge: edge)
        for service in made { try await service.start() }
    }

    /// Lets somebody in by a token of their own: `usr_<token>`, with these grants.
    package func add(_ grants: [Grant], token: String) {
        self.fixed.add(Caller(kind: .user, id: "usr_\(token)", grants: grants, ip: ""), token: token)
    }

    /// As after a restart: stops these services and starts others on the same store, log and clock.
    package func restarted(
        make: (ServiceEnvironment) async throws -> [any PlatformService]
    ) async throws -> ServiceHarness {
        await self.stop()
        let services: ServiceEnvironment = ServiceEnvironment(
            store: self.services.store, log: self.services.log, clock: self.clock, logger: self.services.logger,
            metrics: MetricRegistry())
        return try await ServiceHarness(
            services: services, ground: self.ground, clock: self.clock, tenants: self.tenants, edge: self.edge,
            authenticator: self.authenticator, make: make)
    }

    /// Stops the services, the last one first.
    package func stop() async {
        for service in self.running.reversed() { await service.stop() }
    }

    private static func callers(tenants: [String]) -> [String: Caller] {
        var callers: [String: Caller] = [
            "admin": Caller(kind: .user, id: "usr_admin", grants: [Grant(role: .platformAdmin, tenant: nil)], ip: ""),
            "cpi-admin": Caller(
                kind: .user, id: "usr_cpi-admin", grants: [Grant(role: .cpiAdmin, tenant: nil)], ip: ""),
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
        fields extra: [(String, String)] = [], from peer: SocketAddress = .loopback(port: 0)
    ) async throws -> TestAnswer {
        let response: HTTPResponse = await self.respond(method, target, token: token, body, fields: extra, from: peer)
        let bytes: [UInt8] = try await response.body.collect()
        return TestAnswer(
            status: response.status, fields: response.fields, bytes: bytes,
            json: (try? JSONReader.parse(bytes)) ?? .null)
    }

    /// Sends what a browser or an OAuth client sends: without a token, with a form as body.
    package func submit(
        _ method: String, _ target: String, form: String? = nil, fields extra: [(String, String)] = []
    ) async throws -> TestAnswer {
        var fields: HTTPFields = HTTPFields()
        if form != nil { fields.append("Content-Type", "application/x-www-form-urlencoded") }
        for field in extra { fields.append(field.0, field.1) }
        let response: HTTPResponse = await self.handler.respond(
            to: HTTPRequest(
                method: HTTPMethod(method), target: target, fields: fields, body: HTTPBody(Array((form ?? "").utf8))))
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
        _ method: String, _ target: String, token: String?, _ body: JSONValue?, fields extra: [(String, String)],
        from peer: SocketAddress = .loopback(port: 0)
    ) async -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        if let token: String { fields.append("Authorization", "Bearer \(token)") }
        if body != nil { fields.append("Content-Type", "application/json") }
        for field in extra { fields.set(field.0, field.1) }
        return await self.handler.respond(
            to: HTTPRequest(
                method: HTTPMethod(method), target: target, fields: fields, body: HTTPBody(body?.serialized() ?? []),
                remoteAddress: peer))
    }

    /// A topic's records, oldest first in each partition, in partition order.
    package func records(_ topic: String) async throws -> [Record] {
        var records: [Record] = []
        let partitions: Int = Topics.all.first { $0.name == topic }?.partitions ?? 0
        try await self.waitForNumbers(topic)
        for partition in 0..<partitions {
            var next: Int64 = 0
            while true {
                let fetched: FetchedRecords = try await self.services.log.fetch(
                    topic: topic, partition: partition, from: next)
                records += fetched.records
                next = fetched.next
                if fetched.records.isEmpty { break }
            }
        }
        return records
    }

    /// On PostgreSQL events get their numbers soon after their commit: waits until all have, and the log knows.
    package func waitForNumbers(_ topic: String) async throws {
        guard self.services.store.kind == .postgresql else { return }
        let partitions: Int = Topics.all.first { $0.name == topic }?.partitions ?? 0
        try await eventually(within: .seconds(60), "the events are numbered") {
            let (waiting, ends): (Int64?, [Int64]) = try await self.services.store.read { reader in
                (
                    try reader.first("SELECT count(*) FROM log_outbox") { try $0.int(0) },
                    try reader.rows(
                        "SELECT next_offset FROM log_partitions WHERE topic = $1 ORDER BY partition", .text(topic)
                    ) { try $0.int(0) }
                )
            }
            var known: Int64 = 0
            for partition in 0..<partitions {
                known += try self.services.log.offsets(topic: topic, partition: partition).upperBound
            }
            return waiting == 0 && known >= ends.reduce(0, +)
        }
    }

    /// The values of a topic's records, in the order of `records`.
    package func events(_ topic: String) async throws -> [JSONValue] {
        try await self.records(topic).map { try JSONReader.parse($0.value) }
    }

    /// The audit entries whose `event_type` is the given one, oldest first.
    package func auditEntries(_ eventType: String) async throws -> [JSONValue] {
        try await self.events(Topics.auditLog).filter { $0["event_type"]?.text == eventType }
    }

    /// The types of all audit entries, oldest first.
    package func auditTypes() async throws -> [String] {
        try await self.events(Topics.auditLog).map { $0["event_type"]?.text ?? "" }
    }

    /// What was touched for gateways after `version`, as `kind tenant id`, oldest first.
    package func touched(after version: Int64 = 0) async throws -> [String] {
        try await self.services.store.read { reader in
            try GatewayChanges.since(version, limit: 10_000, in: reader).map {
                "\($0.kind.rawValue) \($0.tenant) \($0.id)"
            }
        }
    }

    /// The latest version for gateways.
    package func gatewayVersion() async throws -> Int64 {
        try await self.services.store.read { try GatewayChanges.latest(in: $0) }
    }
}

/// What harnesses stand on, one after the other when services are restarted. Store and log end with the last of them: on
/// PostgreSQL they would go on, look for their database for ever, and slow every later test down.
private final class Ground: Sendable {
    let place: StorePlace
    let store: Store
    let log: EventLog

    init(_ services: [ServiceMigrations], clock: ManualClock) async throws {
        let migrations: [ServiceMigrations] =
            [LogMigrations.service, RESTHandler.migrations, GatewayChanges.migrations] + services
        let key: String = migrations.map { "\($0.service) \($0.steps.count)" }.joined(separator: ", ")
        self.place = try await StorePlace(likeAll: key) { url in
            try await Store.open(StoreConfiguration(folder: "", url: url), migrations: migrations).close()
        }
        let writer: LogWriter = try LogWriter(topics: Topics.all)
        var configuration: StoreConfiguration = StoreConfiguration(
            folder: self.place.folder.path, url: self.place.url, clock: clock)
        configuration.writers = 3
        self.store = try Store.open(configuration, migrations: migrations, extensions: [writer])
        self.log = try await EventLog.open(store: self.store, writer: writer, clock: clock)
    }

    deinit {
        let (place, store, log): (StorePlace, Store, EventLog) = (self.place, self.store, self.log)
        Task {
            await log.stop()
            await store.close()
            // Only now may the database go.
            withExtendedLifetime(place) {}
        }
    }
}

extension TestAnswer {
    /// The pointers of the invalid fields that a problem names, in its order.
    package var pointers: [String] { (self.json["errors"]?.elements ?? []).map { $0["pointer"]?.text ?? "" } }

    /// What a problem says.
    package var detail: String { self.json["detail"]?.text ?? "" }

    /// The items of a list.
    package var items: [JSONValue] { self.json["items"]?.elements ?? [] }

    /// One member of each item of a list, as text.
    package func items(_ member: String) -> [String] { self.items.map { $0[member]?.text ?? "" } }
}
