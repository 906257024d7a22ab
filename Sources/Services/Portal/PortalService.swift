package import Contracts
import EventLog
package import REST
import Store

/// Owns applications, their API keys and subscriptions.
///
/// Publishes `application-*`, `subscription-*`, `api-key-rotated`. Other services ask through `PortalQueries`.
package final class PortalService: PlatformService {
    package static let name: String = "portal"

    let services: ServiceEnvironment
    let catalog: any CatalogOffer
    private let deletions: APIDeletions

    package init(services: ServiceEnvironment, catalog: any CatalogOffer) {
        self.services = services
        self.catalog = catalog
        self.deletions = APIDeletions(services: services)
    }

    package var routes: [Route] {
        self.applicationRoutes + self.keyRoutes + self.subscriptionRoutes + self.portalRoutes
    }

    package func start() async throws { try await self.deletions.start() }

    package func stop() async { await self.deletions.stop() }
}
