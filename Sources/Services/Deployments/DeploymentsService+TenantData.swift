package import Contracts
import Identifiers
package import Store

/// What `deployments` keeps of tenants.
extension DeploymentsService: TenantData {
    /// Deployments begun or ended in one transaction.
    private static let endedMax: Int = 50
    private static let endingDetail: String = "The tenant is being deleted."

    package var tenantDataName: String { Self.name }

    package var tenantCounts: [String: String] { ["requests_per_month": CounterTable.countedOfTenant] }

    package var tenantTables: [TenantRows] {
        [
            TenantRows(
                "live", keys: "api_id environment", columns: "gateway_group revision deployment_id"),
            TenantRows(
                "deployments", keys: "deployment_id",
                columns: """
                    api_id api_name revision environment action state requested_by triggered_by traceparent gateway_group
                    gateway_version previous_revision previous_deployment created_at:time started_at:time finished_at:time
                    result:json
                    """),
            TenantRows("gateway_counters", keys: "counter", columns: "counted_window total ends_at:time"),
            TenantRows("cache_purges", keys: "number", columns: "purge_order:json created_at:time"),
        ]
    }

    /// Takes everything off the gateways, each API by an undeployment that they confirm like any other.
    package func end(
        _ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction
    ) throws -> TenantStep {
        guard stage == .traffic else { return TenantStep() }
        let tenant: String = ending.tenant
        for deployment in try DeploymentTable.unfinished(tenant: tenant, limit: Self.endedMax, in: transaction)
        where deployment.action != .undeploy {
            try DeploymentEnd.write(
                deployment, .failed, CompletionRules.Response(version: deployment.gatewayVersion ?? 0),
                detail: Self.endingDetail, in: transaction)
        }
        let places: [LiveTable.Place] = try LiveTable.undisturbed(
            tenant: tenant, limit: Self.endedMax, in: transaction)
        for place in places { try self.undeploy(place, ending.author, in: transaction) }
        if places.count == Self.endedMax { return .more }
        let isOver: Bool =
            try places.isEmpty && DeploymentTable.unfinished(tenant: tenant, limit: 1, in: transaction).isEmpty
        return isOver ? TenantStep() : .waiting
    }

    private func undeploy(_ place: LiveTable.Place, _ author: Author, in transaction: Transaction) throws {
        let api: APIRecord? = try self.catalog.api(tenant: place.tenant, reference: place.apiID, in: transaction)
        let deployment: Deployment = Deployment(
            tenant: place.tenant, id: Identifier.make("dep", now: transaction.now), apiID: place.apiID,
            apiName: api?.name ?? place.apiID, revision: place.revision, environment: place.environment,
            action: .undeploy, state: .pending, requestedBy: author.caller.id, triggeredBy: "api",
            traceparent: author.trace.traceparent, gatewayGroup: place.gatewayGroup, createdAt: transaction.now)
        try Self.request(deployment, author, in: transaction)
    }
}
