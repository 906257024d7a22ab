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
    private let tenancy: Tenancy?

    /// - Parameter tenancy: how tenants end and are archived; nil: neither can be asked for here.
    package init(
        services: ServiceEnvironment, deployments: any DeploymentsOffer, portal: any PortalOffer,
        tenancy: TenancyRules? = nil
    ) {
        self.tenancy = tenancy.map { Tenancy(services: services, rules: $0) }
        self.services = services
        self.deployments = deployments
        self.portal = portal
    }

    package var routes: [Route] {
        self.tenantRoutes + self.targetRoutes + self.environmentRoutes + self.planRoutes + self.apiRoutes
            + self.revisionRoutes + (self.tenancy.map { self.tenancyRoutes($0) } ?? [])
    }

    package func start() async throws { self.tenancy?.work.start() }

    package func stop() async { await self.tenancy?.work.stop() }
}
