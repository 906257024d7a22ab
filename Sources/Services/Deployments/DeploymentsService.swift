package import Contracts
package import REST
import Store
import Synchronization
import Telemetry
import Time

/// Owns deployments, what is live, the gateways and the link to them.
///
/// Publishes `deploy-requests` and `deploy-results`; consumes `deploy-requests` and `api-deleted`.
package final class DeploymentsService: PlatformService {
    package static let name: String = "deployments"

    let services: ServiceEnvironment
    let catalog: any CatalogOffer
    let tracker: DeploymentTracker
    let publisher: SnapshotPublisher
    let directory: GatewayDirectory = GatewayDirectory()
    let traffic: any TrafficSink
    private let deployer: Deployer
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    package init(
        services: ServiceEnvironment, catalog: any CatalogOffer, portal: any PortalOffer, traffic: any TrafficSink
    ) {
        self.services = services
        self.catalog = catalog
        self.traffic = traffic
        self.tracker = DeploymentTracker(services: services, directory: self.directory)
        self.publisher = SnapshotPublisher(
            services: services, catalog: catalog, portal: portal, tracker: self.tracker, directory: self.directory)
        self.deployer = Deployer(services: services)
    }

    package var routes: [Route] { self.deploymentRoutes + self.gatewayRoutes + self.linkRoutes }

    package func start() async throws {
        self.directory.restore(try await self.services.store.read { try GatewayTable.all(in: $0) })
        try await self.publisher.publish()
        try await self.tracker.refresh()
        try await self.deployer.start()
        let publisher: SnapshotPublisher = self.publisher
        let tracker: DeploymentTracker = self.tracker
        let clock: any WallClock = self.services.clock
        self.tasks.withLock { tasks in
            tasks.append(Task { await publisher.run() })
            tasks.append(
                Task {
                    while (try? await clock.sleep(for: DeploymentTracker.tick)) != nil { await tracker.judge() }
                })
        }
    }

    package func stop() async {
        await self.deployer.stop()
        let tasks: [Task<Void, Never>] = self.tasks.withLock { $0 }
        for task in tasks { task.cancel() }
        await self.publisher.wakeAll()
        for task in tasks { await task.value }
    }
}
