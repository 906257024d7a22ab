import Audit
import Backup
import Backups
import Catalog
import Contracts
import Crypto
import Deployments
import EventLog
import EventLoops
import Files
import Gateway
import Geolocation
import HTTP
import Identity
import JSON
import KeyRing
import Observability
import Portal
import REST
import Secrets
import Store
import Synchronization
import TLS
import Telemetry
import Time

/// The composition root: the one place that knows every service. Opens the store, makes the services, hands each what it needs of
/// the others, and starts what the settings name.
final class Platform: Sendable {
    /// The token of gateways on the same machine, in the data folder.
    static let gatewayTokenFile: String = "gateway.token"
    private static let gatewayService: String = "gateway"

    let settings: Settings
    let listeners: Listeners
    let services: ServiceEnvironment
    let keys: KeyRing
    let identity: IdentityService
    let deployments: DeploymentsService
    private let audit: AuditService
    private let telemetry: Store
    private let readiness: Observability.Readiness
    /// The services whose routes, consumers and jobs run here.
    private let chosen: [any PlatformService]
    private let handler: RESTHandler
    private let geolocation: GeolocationService
    /// Of the control plane, where it speaks TLS.
    private let tls: ControlPlaneTLS?
    private let servers: Mutex<[HTTPServer]> = Mutex([])
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    /// Opens everything and serves nothing yet.
    ///
    /// - Parameter listeners: where listening sockets come from.
    /// - Parameter metrics: where its numbers go, beside others that are there. Default: nobody else's.
    /// - Parameter unseal: opens the key ring, and waits where its master key cannot be reached.
    /// - Throws: `CommandError.failed` with what to do when the folder or its files cannot be used.
    static func open(
        _ settings: Settings, listeners: Listeners = Listeners(), logger: Logger, metrics: MetricRegistry? = nil,
        unseal: (KeyRing, Logger) async throws -> Void = { keys, _ in try await keys.unseal() }
    ) async throws -> Platform {
        let metrics: MetricRegistry = metrics ?? MetricRegistry()
        let clock: SystemClock = SystemClock()
        ProcessMetrics.register(in: metrics, clock: clock)
        let writer: LogWriter = try LogWriter(topics: Topics.all(auditKeptFor: settings.retention.audit))
        var configuration: StoreConfiguration = StoreConfiguration(
            folder: settings.data, url: settings.storeURL, clock: clock, logger: logger, metrics: metrics)
        if settings.storeURL != nil {
            configuration.writers = settings.storeWriters
            configuration.readers = settings.storeReaders
        }
        let store: Store = try Store.open(configuration, migrations: Self.migrations, extensions: [writer])
        let log: EventLog = try await EventLog.open(store: store, writer: writer, clock: clock, logger: logger)
        log.register(in: metrics)
        let services: ServiceEnvironment = ServiceEnvironment(
            store: store, log: log, clock: clock, logger: logger, metrics: metrics)
        // Traffic is written every second and may be lost with its file: it does not share the log's store and its syncs.
        let telemetry: Store = try Store.open(
            StoreConfiguration(folder: "\(settings.data)/telemetry", readers: 1, clock: clock, logger: logger),
            migrations: [ObservabilityService.telemetryMigrations], extensions: [])
        let keys: KeyRing = KeyRing(
            store: store,
            configuration: try settings.keys.configuration(data: settings.data, isShared: settings.storeURL != nil),
            clock: clock)
        try await unseal(keys, logger)
        let settings: Settings = try await SettingsSecrets.opened(settings, in: store, KeyRingSealer(keys: keys))
        return try await Platform(settings, services, telemetry, keys: keys, listeners: listeners)
    }

    /// The schema of everything in the data folder's database.
    static let migrations: [ServiceMigrations] = [
        LogMigrations.service, KeyRing.migrations, RESTHandler.migrations, TaskTable.migrations,
        GatewayChanges.migrations,
        CatalogService.migrations,
        PortalService.migrations, IdentityService.migrations, SecretsService.migrations, DeploymentsService.migrations,
        AuditService.migrations,
        GeolocationService.migrations, ObservabilityService.migrations, BackupsService.migrations,
    ]

    /// Everything that is sealed with keys that rotate.
    static let sealedColumns: [SealedColumn] =
        IdentityService.sealedColumns + AuditService.sealedColumns + ObservabilityService.sealedColumns
        + SecretsService.sealedColumns

    private init(
        _ settings: Settings, _ services: ServiceEnvironment, _ telemetry: Store, keys: KeyRing, listeners: Listeners
    ) async throws {
        self.listeners = listeners
        self.keys = keys
        let sealer: KeyRingSealer = KeyRingSealer(keys: keys)
        let catalog: CatalogQueries = CatalogQueries()
        let portal: PortalQueries = PortalQueries(clock: services.clock)
        let readiness: Observability.Readiness = Observability.Readiness(clock: services.clock)
        readiness.add("store", store: services.store)
        readiness.add("telemetry", store: telemetry)
        let observability: ObservabilityService = try await ObservabilityService.open(
            services: services, telemetry: telemetry, readiness: readiness, sealer: sealer,
            trafficKept: settings.retention.traffic, catalog: catalog)
        let certificates: PlatformCertificates = PlatformCertificates(
            sealer: sealer, publicURL: settings.publicURL,
            lifetime: settings.tls?.lifetime ?? TLSSettings(certificate: .own).lifetime)
        self.tls = settings.tls.map {
            ControlPlaneTLS(
                $0, names: settings.controlPlaneNames, data: settings.data, services: services,
                certificates: certificates, secrets: SecretQueries(sealer: sealer))
        }
        self.telemetry = telemetry
        self.readiness = readiness
        self.settings = settings
        self.services = services
        self.identity = try await IdentityService.open(
            services: services, sealer: sealer, issuer: settings.issuer ?? settings.publicURL, catalog: catalog,
            providers: settings.identityProviders,
            calls: settings.identityProviders.isEmpty
                ? nil : try Self.outgoingCalls(settings, for: "identity-providers", services))
        self.deployments = DeploymentsService(
            services: services, catalog: catalog, portal: portal,
            traffic: TenantTraffic(sink: observability, services: services),
            revocations: RevocationQueries(), secrets: SecretQueries(sealer: sealer),
            certificates: settings.tls.map { $0.gateways != .token } ?? false ? certificates : nil)
        self.geolocation = GeolocationService(services: services)
        let place: BackupsService.Place? = Self.backupPlace(settings)
        let backups: BackupsService = BackupsService(
            services: services, data: settings.data, place: place, version: Version.text)
        let applications: PortalService = PortalService(services: services, catalog: catalog)
        let audit: AuditService = try await AuditService.open(
            services: services, sealer: sealer, people: [self.identity, applications],
            anchors: try settings.audit.rules { try Self.outgoingCalls(settings, for: "audit-anchors", services) },
            ledger: place == nil ? nil : backups, unusual: settings.audit.unusual)
        self.audit = audit
        let secrets: SecretsService = SecretsService(
            services: services, keys: keys, columns: Self.sealedColumns,
            users: SettingsAndLive(settings: settings, live: LiveSecrets(catalog: catalog)),
            publicURL: settings.publicURL, gateways: RevocationQueries(), rotateEvery: settings.keys.rotateEvery)
        let tenancy: TenancyRules = TenancyRules(
            deletionGrace: settings.tenants.deletionGrace,
            exports: TenantExportRules(sealer: sealer, keptFor: settings.tenants.exportsKept),
            others: [
                applications, self.deployments, self.identity, secrets, observability, audit, self.geolocation,
                SharedTenantData(),
            ])
        // Every service, for what they offer one another; those of other processes answer from the database they share.
        let all: [any PlatformService] = [
            observability,
            CatalogService(
                services: services, deployments: DeploymentQueries(), portal: portal, tenancy: tenancy),
            applications, self.identity, self.deployments, audit, self.geolocation, secrets,
            backups,
        ]
        readiness.add("audit") { audit.failure.map { Unreadiness(reason: $0.reason, since: $0.since) } }
        let chosen: [any PlatformService] = all.filter {
            // Health, metrics and what backs up this process's data are every process's own.
            settings.runs(type(of: $0).name)
                || [ObservabilityService.name, BackupsService.name].contains(type(of: $0).name)
        }
        self.chosen = chosen
        for service in chosen { readiness.expect(service: type(of: service).name) }
        if settings.runs(Self.gatewayService) { readiness.expect(service: Self.gatewayService) }
        var routes: [Route] = TaskRoutes.routes
        for service in chosen { routes += service.routes }
        let tls: ControlPlaneTLS? = self.tls
        let refuses: @Sendable (Certificate) -> Bool = { tls?.refuses($0) ?? false }
        self.handler = RESTHandler(
            routes: routes,
            authenticator: GatewayAuthenticator(
                services: services, others: self.identity.authenticator, certificates: certificates,
                accepts: settings.tls?.gateways ?? .either),
            services: services, version: Version.text, catalog: catalog, refuses: refuses,
            edge: settings.edge.edge(clients: self.identity.clientOrigins))
    }

    /// How identity providers are called; nil where there is none, and no thread is needed for it.
    private static func outgoingCalls(
        _ settings: Settings, for use: String, _ services: ServiceEnvironment
    ) throws -> any OutgoingCalls {
        let rules: EgressRules = EgressRules(allowed: settings.egressAllowed)
        let calls: HTTPOutgoingCalls = HTTPOutgoingCalls(
            group: EventLoopGroup(count: 1, name: "outgoing"), tls: try TLSContext.client(TLSClientConfiguration()),
            egress: { rules.verdict($0) })
        services.metrics.gauge(
            "passerelle_outgoing_circuits_open",
            help: "Servers of others that fail so often that they are not called for now.", labels: ["use": use]
        ) { Double(calls.circuits.open) }
        services.metrics.gauge(
            "passerelle_outgoing_servers_failing", help: "Servers of others whose last call failed.",
            labels: ["use": use]
        ) { Double(calls.circuits.failing) }
        return calls
    }

    private static func backupPlace(_ settings: Settings) -> BackupsService.Place? {
        guard let folder: String = settings.backupFolder, let file: String = settings.backupKeyFile else { return nil }
        return BackupsService.Place(folder: folder, keyFile: file)
    }

    /// Starts the services, then listens. - Returns: the control plane's address.
    func start() async throws -> SocketAddress {
        if self.services.store.kind == .postgresql { self.learnKeys() }
        try await self.repeatErasures()
        for service in self.chosen {
            try await service.start()
            self.readiness.started(service: type(of: service).name)
        }
        let log: EventLog = self.services.log
        self.tasks.withLock { $0.append(Task { await log.keepRetention() }) }
        let handler: RESTHandler = self.handler
        self.tasks.withLock { $0.append(Task { await handler.run() }) }
        try await self.keepGatewayToken()
        let (server, address): (HTTPServer, SocketAddress) = try self.serve(
            handler, at: self.settings.controlPlaneAddress, name: "control plane", tls: try await self.tls?.first())
        if let tls: ControlPlaneTLS = self.tls {
            self.tasks.withLock { $0.append(Task { await tls.keep { server.use($0) } }) }
        }
        if self.settings.runs("geolocation") {
            _ = try self.serve(
                self.geolocation.upstream(version: Version.text), at: self.settings.geolocationAddress,
                name: "geolocation")
        }
        return address
    }

    /// Erases again whom a restored backup has brought back, before anybody is served.
    private func repeatErasures() async throws {
        let path: String = "\(self.settings.data)/\(Restore.erasuresFile)"
        guard Files.exists(path) else { return }
        let lines: [[UInt8]] = try Files.read(path, bytesMax: Self.erasuresBytesMax).split(
            separator: UInt8(ascii: "\n")
        ).map { Array($0) }
        let done: (count: Int, left: [[UInt8]]) = await self.audit.repeatErasures(lines)
        self.services.logger.log(
            .info, "erasures of before the restore were repeated",
            ["repeated": .int(Int64(done.count)), "left": .int(Int64(done.left.count))])
        if done.left.isEmpty { return try Files.remove(path) }
        var left: [UInt8] = []
        for line in done.left { left += line + [UInt8(ascii: "\n")] }
        try Files.replace(path, with: left)
    }

    /// Largest list of erasures that is read, bytes: some hundred thousand people.
    private static let erasuresBytesMax: Int = 128 << 20

    /// Follows the keys that other processes on the same database make: what they seal with them has to open here.
    private func learnKeys() {
        let (keys, logger): (KeyRing, Logger) = (self.keys, self.services.logger)
        self.tasks.withLock { tasks in
            tasks.append(
                Task {
                    await keys.keepFresh { error in
                        logger.log(
                            .warning, "keys of other processes could not be learnt", ["error": .string("\(error)")])
                    }
                })
        }
    }

    private func serve(
        _ handler: RESTHandler, at text: String, name: String, tls: TLSContext? = nil
    ) throws -> (HTTPServer, SocketAddress) {
        guard let address: SocketAddress = SocketAddress(text) else {
            throw CommandError.usage("'\(text)' is not an address.")
        }
        let server: HTTPServer = HTTPServer(
            configuration: HTTPServerConfiguration(address: address, tls: tls, listeners: self.listeners),
            group: EventLoopGroup(count: 1, name: name)
        ) { await handler.respond(to: $0) }
        do {
            let bound: SocketAddress = try server.start()
            self.servers.withLock { $0.append(server) }
            return (server, bound)
        } catch {
            throw CommandError.failed("The \(name) cannot listen on \(text): \(error)")
        }
    }

    /// The gateway of this process listens: what was waited for until `/readyz` says that all is ready.
    ///
    /// - Parameter hasSnapshot: whether it knows what to serve.
    func gatewayStarted(_ hasSnapshot: @escaping @Sendable () -> Bool) {
        self.readiness.started(service: Self.gatewayService)
        let since: Timestamp = self.services.clock.now()
        self.readiness.add("snapshot") {
            hasSnapshot() ? nil : Unreadiness(reason: "the gateway waits for its first snapshot", since: since)
        }
    }

    /// Says that the process is about to stop, before anything does.
    func announceStop() { self.readiness.drain() }

    /// Keeps the token with which gateways of this machine call in, and makes sure that it is known.
    private func keepGatewayToken() async throws {
        let path: String = "\(self.settings.data)/\(Self.gatewayTokenFile)"
        var token: String = ""
        if Files.exists(path) {
            let bytes: [UInt8] = try Files.read(path, bytesMax: 1_024)
            token = String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self)
        } else {
            token = DeploymentsService.makeToken()
            try Files.replace(path, with: Array((token + "\n").utf8))
        }
        try await self.deployments.registerToken(token, group: self.settings.gatewayGroup)
    }

    /// Stops in reverse: no new requests, handlers end, services stop, the store closes.
    ///
    /// - Parameter idleGrace: see `HTTPServer.drain`.
    func stop(within limit: Duration, idleGrace: Duration = .zero) async {
        self.readiness.drain()
        await withTaskGroup(of: Void.self) { group in
            for server in self.servers.withLock({ $0 }) {
                group.addTask { await server.drain(deadline: limit, idleGrace: idleGrace) }
            }
        }
        for task in self.tasks.withLock({ $0 }) { task.cancel() }
        for service in self.chosen.reversed() { await service.stop() }
        await self.services.log.stop()
        await self.telemetry.close()
        await self.services.store.close()
    }
}
