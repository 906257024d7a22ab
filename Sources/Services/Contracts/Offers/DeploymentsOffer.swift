package import Store

/// Where a revision runs at this moment.
package struct LiveRevision: Sendable {
    package let environment: String
    package let revision: Int64
    package let deploymentID: String

    package init(environment: String, revision: Int64, deploymentID: String) {
        self.environment = environment
        self.revision = revision
        self.deploymentID = deploymentID
    }
}

/// What `deployments` lets other services ask.
package protocol DeploymentsOffer: Sendable {
    /// Where an API is live.
    func live(tenant: String, apiID: String, in store: any Queryable) throws -> [LiveRevision]
    /// The ids of the APIs that are live in an environment.
    func liveAPIs(tenant: String, environment: String, in store: any Queryable) throws -> [String]
}
