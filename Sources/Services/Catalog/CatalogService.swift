package import Contracts
package import REST
import Store

/// Owns tenants, targets, environments, plans, APIs, revisions and their documents.
///
/// Publishes `api-created`, `api-updated`, `api-deleted`. Other services ask through `CatalogQueries`.
package final class CatalogService: PlatformService {
    package static let name: String = "catalog"

    let services: ServiceEnvironment
    /// Tells where an API is live, so that it is not deleted from under its callers.
    let deployments: any DeploymentsOffer
    /// Tells which plans have subscribers.
    let portal: any PortalOffer

    package init(services: ServiceEnvironment, deployments: any DeploymentsOffer, portal: any PortalOffer) {
        self.services = services
        self.deployments = deployments
        self.portal = portal
    }

    package var routes: [Route] {
        self.tenantRoutes + self.targetRoutes + self.environmentRoutes + self.planRoutes + self.apiRoutes
            + self.revisionRoutes
    }

    package func start() async throws {}

    package func stop() async {}
}
