package import Contracts
import JSON
package import REST
import Store
import Synchronization
import Telemetry
import Time

/// Owns deployments, what is live, the gateways and the link to them.
///
/// Publishes `deploy-requests` and `deploy-results`; consumes `deploy-requests`, `api-deleted` and `secret-rotated`.
package final class DeploymentsService: PlatformService {
    package static let name: String = "deployments"

    let services: ServiceEnvironment
    let catalog: any CatalogOffer
    let tracker: DeploymentTracker
    let publisher: SnapshotPublisher
    let revocations: RevocationNews
    let directory: GatewayDirectory = GatewayDirectory()
    /// What gateways and deployments are timed by: a clock that is set makes nobody seem away, or late.
    let time: SteadyTime
    let traffic: any TrafficSink
    /// What references in API definitions stand for; without it none can be deployed.
    let secrets: (any SecretsOffer)?
    /// What issues certificates to gateways; without it they have tokens alone.
    let certificates: (any CertificatesOffer)?
    let purges: PurgeBoard
    private let deployer: Deployer
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    package init(
        services: ServiceEnvironment, catalog: any CatalogOffer, portal: any PortalOffer, traffic: any TrafficSink,
        revocations: any RevocationsOffer, secrets: (any SecretsOffer)? = nil,
        certificates: (any CertificatesOffer)? = nil
    ) {
        self.certificates = certificates
        self.secrets = secrets
        self.revocations = RevocationNews(services: services, offer: revocations)
        self.services = services
        self.catalog = catalog
        self.traffic = traffic
        self.purges = PurgeBoard(services: services)
        self.time = SteadyTime(services.clock)
        self.tracker = DeploymentTracker(services: services, directory: self.directory, time: self.time)
        let prepared: PreparedEntries = PreparedEntries(services: services, catalog: catalog)
        self.publisher = SnapshotPublisher(
            services: services, catalog: catalog, portal: portal, secrets: secrets, tracker: self.tracker,
            directory: self.directory, prepared: prepared)
        self.deployer = Deployer(services: services, catalog: catalog, prepared: prepared)
    }

    package var routes: [Route] {
        self.deploymentRoutes + self.gatewayRoutes + self.linkRoutes + self.cacheRoutes
    }

    package func start() async throws {
        self.directory.restore(
            try await self.services.store.read { try GatewayTable.all(in: $0) },
            now: self.time.milliseconds)
        try await self.publisher.publish()
        try await self.tracker.refresh()
        try await self.deployer.start()
        let publisher: SnapshotPublisher = self.publisher
        let revocations: RevocationNews = self.revocations
        let tracker: DeploymentTracker = self.tracker
        let clock: any WallClock = self.services.clock
        self.tasks.withLock { tasks in
            tasks.append(Task { await publisher.run() })
            tasks.append(Task { await revocations.run() })
            tasks.append(
                Task {
                    while (try? await clock.sleep(for: DeploymentTracker.tick)) != nil {
                        if self.services.store.kind == .postgresql {
                            await self.shareGateways()
                            await self.purges.look()
                        }
                        await tracker.judge()
                    }
                })
            tasks.append(
                Task {
                    while (try? await clock.sleep(for: Self.storeGatewaysEvery)) != nil { await self.keepGateways() }
                })
        }
    }

    /// How often what is known of the gateways is stored where nothing asks for it sooner.
    static let storeGatewaysEvery: Duration = .seconds(60)

    /// Tells the other processes on this database which gateways were heard here, and learns which they heard: a deployment
    /// waits for the gateways of all processes, and any of them may see it end.
    func shareGateways() async {
        do {
            let news: [GatewayStatus] = self.directory.unshared()
            if !news.isEmpty {
                try await self.services.store.write { transaction in
                    for gateway in news { try GatewayTable.update(gateway, in: transaction) }
                }
                self.directory.told(news)
            }
            let rows: [GatewayStatus] = try await self.services.store.read { try GatewayTable.all(in: $0) }
            self.directory.merge(rows, now: self.time.milliseconds)
        } catch {
            // The store's health tells; the next tick tries again.
        }
    }

    private func keepGateways() async {
        do {
            try await self.storeGateways()
        } catch {
            self.services.logger.log(.warning, "gateways could not be stored", ["error": .string("\(error)")])
        }
    }

    /// Stores what is known of all gateways, so that the next process knows who was live and what they run. Of processes that
    /// share a database each stores those that it heard itself.
    func storeGateways() async throws {
        let isShared: Bool = self.services.store.kind == .postgresql
        let gateways: [GatewayStatus] = isShared ? self.directory.heardHere() : self.directory.gateways()
        if gateways.isEmpty { return }
        try await self.services.store.write { transaction in
            for gateway in gateways { try GatewayTable.put(gateway, in: transaction) }
            try CounterTable.removeEnded(before: transaction.now, in: transaction)
        }
        self.directory.told(gateways)
    }

    package func stop() async {
        await self.deployer.stop()
        let tasks: [Task<Void, Never>] = self.tasks.withLock { $0 }
        for task in tasks { task.cancel() }
        await self.publisher.wakeAll()
        self.purges.wakeAll()
        await self.revocations.wakeAll()
        for task in tasks { await task.value }
        await self.keepGateways()
    }
}
