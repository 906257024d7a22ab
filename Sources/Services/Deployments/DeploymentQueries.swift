package import Contracts
package import Store

/// What deployments offers other services: questions to its tables. Holds no state, so it needs no running service.
package struct DeploymentQueries: DeploymentsOffer {
    package init() {}

    package func live(tenant: String, apiID: String, in store: any Queryable) throws -> [LiveRevision] {
        try LiveTable.of(apiID: apiID, tenant: tenant, in: store).map {
            LiveRevision(environment: $0.environment, revision: $0.revision, deploymentID: $0.deploymentID)
        }
    }

    package func liveAPIs(tenant: String, environment: String, in store: any Queryable) throws -> [String] {
        try LiveTable.apis(tenant: tenant, environment: environment, in: store)
    }
}
