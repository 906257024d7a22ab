import JSON
import Store
import Time

/// The table `deployments`.
enum DeploymentTable {
    static func find(_ id: String, tenant: String, in store: any Queryable) throws -> Deployment? {
        try store.first(
            "SELECT \(Deployment.columns) FROM deployments WHERE tenant = $1 AND deployment_id = $2", .text(tenant),
            .text(id), decode: Deployment.init(_:))
    }

    /// Newest first. - Parameter before: only those with smaller ids; ids grow with time.
    static func all(
        apiID: String, tenant: String, before: String, limit: Int, in store: any Queryable
    ) throws -> [Deployment] {
        try store.rows(
            """
            SELECT \(Deployment.columns) FROM deployments WHERE tenant = $1 AND api_id = $2 AND deployment_id < $3
            ORDER BY deployment_id DESC LIMIT $4
            """, .text(tenant), .text(apiID), .text(before), .int(Int64(limit)), decode: Deployment.init(_:))
    }

    /// The running deployments of all tenants: what the tracker watches.
    static func running(in store: any Queryable) throws -> [Deployment] {
        try store.rows(
            "SELECT \(Deployment.columns) FROM deployments WHERE state = 'running' ORDER BY deployment_id",
            decode: Deployment.init(_:))
    }

    /// Those of a tenant that have not ended.
    static func unfinished(tenant: String, limit: Int, in store: any Queryable) throws -> [Deployment] {
        try store.rows(
            """
            SELECT \(Deployment.columns) FROM deployments WHERE tenant = $1 AND state IN ('pending', 'running')
            ORDER BY action, deployment_id LIMIT $2
            """, .text(tenant), .int(Int64(limit)), decode: Deployment.init(_:))
    }

    /// Those of an API that run. - Parameter environment: in this one; nil for all.
    static func running(
        apiID: String, tenant: String, environment: String?, in store: any Queryable
    ) throws -> [Deployment] {
        let all: [Deployment] = try store.rows(
            """
            SELECT \(Deployment.columns) FROM deployments WHERE tenant = $1 AND api_id = $2 AND state = 'running'
            ORDER BY deployment_id
            """, .text(tenant), .text(apiID), decode: Deployment.init(_:))
        return all.filter { environment == nil || $0.environment == environment }
    }

    /// The latest revision that ran in the environment, other than `current`.
    static func lastGood(
        apiID: String, tenant: String, environment: String, otherThan current: Int64, in store: any Queryable
    ) throws -> Int64? {
        try store.first(
            """
            SELECT revision FROM deployments WHERE tenant = $1 AND api_id = $2 AND environment = $3
                AND state = 'success' AND action <> 'undeploy' AND revision <> $4 ORDER BY deployment_id DESC LIMIT 1
            """, .text(tenant), .text(apiID), .text(environment), .int(current)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
    }

    /// Whether the revision ever ran in the environment.
    static func ran(
        _ revision: Int64, apiID: String, tenant: String, environment: String, in store: any Queryable
    ) throws -> Bool {
        try store.first(
            """
            SELECT 1 FROM deployments WHERE tenant = $1 AND api_id = $2 AND environment = $3 AND state = 'success'
                AND action <> 'undeploy' AND revision = $4 LIMIT 1
            """, .text(tenant), .text(apiID), .text(environment), .int(revision)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } != nil
    }

    static func insert(_ deployment: Deployment, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO deployments (tenant, deployment_id, api_id, api_name, revision, environment, action, state,
                requested_by, triggered_by, traceparent, gateway_group, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            """, .text(deployment.tenant), .text(deployment.id), .text(deployment.apiID), .text(deployment.apiName),
            .int(deployment.revision), .text(deployment.environment), .text(deployment.action.rawValue),
            .text(deployment.state.rawValue), .text(deployment.requestedBy), .text(deployment.triggeredBy),
            .text(deployment.traceparent), .text(deployment.gatewayGroup), .int(deployment.createdAt.milliseconds))
    }

    /// Stores the state a deployment has reached.
    static func update(_ deployment: Deployment, in transaction: Transaction) throws {
        try transaction.execute(
            """
            UPDATE deployments SET state = $3, gateway_version = $4, previous_revision = $5, previous_deployment = $6,
                started_at = $7, finished_at = $8, result = $9 WHERE tenant = $1 AND deployment_id = $2
            """, .text(deployment.tenant), .text(deployment.id), .text(deployment.state.rawValue),
            .optional(deployment.gatewayVersion), .optional(deployment.previousRevision),
            .optional(deployment.previousDeployment),
            .optional(deployment.startedAt?.milliseconds), .optional(deployment.finishedAt?.milliseconds),
            .optional(deployment.result.map { JSONValue.object($0).jsonText }))
    }
}
