import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Time

/// Writes the end of a deployment: its state, the topic, the audit log, and what is live again after a failure.
enum DeploymentEnd {
    /// Failed deployments in a row that are gone back over to find what ran before them.
    private static let stepsMax: Int = 1_000

    /// Does nothing when the deployment has ended already. - Returns: the deployment as it ended; nil when it had before.
    @discardableResult
    static func write(
        _ deployment: Deployment, _ state: Deployment.State, _ response: CompletionRules.Response, detail: String?,
        in transaction: Transaction
    ) throws -> Deployment? {
        guard var row: Deployment = try DeploymentTable.find(deployment.id, tenant: deployment.tenant, in: transaction),
            !row.state.isFinal
        else { return nil }
        row.state = state
        row.finishedAt = transaction.now
        var result: JSONObject = ["gateway_response": response.json]
        if let detail: String { result["detail"] = .string(detail) }
        row.result = result
        if state == .failed { try Self.restore(row, in: transaction) }
        try DeploymentTable.update(row, in: transaction)
        let trace: TraceContext = TraceContext(traceparent: row.traceparent) ?? TraceContext.make()
        let author: Author = Author(caller: .platform("deployments"), trace: trace)
        try author.publish(
            Topics.deployResults, key: row.apiID, tenant: row.tenant, Self.event(row, response, trace: trace),
            in: transaction)
        try DeploymentsService.audit("deployment.\(state.rawValue)", row, author, in: transaction)
        return row
    }

    /// What ran before a failed deployment is live again, unless a later deployment has taken the place meanwhile.
    private static func restore(_ deployment: Deployment, in transaction: Transaction) throws {
        let live: LiveTable.Place? = try LiveTable.find(
            apiID: deployment.apiID, tenant: deployment.tenant, environment: deployment.environment, in: transaction)
        guard deployment.action != .undeploy, let live: LiveTable.Place, live.deploymentID == deployment.id else {
            return
        }
        if let good: Deployment = try Self.lastGood(before: deployment, in: transaction) {
            try LiveTable.put(
                LiveTable.Place(
                    tenant: live.tenant, apiID: live.apiID, environment: live.environment,
                    gatewayGroup: live.gatewayGroup, revision: good.revision, deploymentID: good.id), in: transaction)
        } else {
            try LiveTable.delete(
                apiID: live.apiID, tenant: live.tenant, environment: live.environment, in: transaction)
        }
        try GatewayChanges.touch(.api, tenant: live.tenant, id: live.apiID, in: transaction)
    }

    /// The deployment whose revision ran before: not one that failed after this one had taken its place.
    private static func lastGood(before deployment: Deployment, in store: any Queryable) throws -> Deployment? {
        var next: String? = deployment.previousDeployment
        for _ in 0..<Self.stepsMax {
            guard let id: String = next,
                let previous: Deployment = try DeploymentTable.find(id, tenant: deployment.tenant, in: store)
            else { return nil }
            if previous.state != .failed { return previous }
            next = previous.previousDeployment
        }
        return nil
    }

    /// The payload of `deploy-results`.
    private static func event(
        _ deployment: Deployment, _ response: CompletionRules.Response, trace: TraceContext
    ) -> JSONObject {
        let isRollback: Bool = deployment.action == .rollback && deployment.state == .success
        let end: Int64 = deployment.finishedAt?.milliseconds ?? 0
        return [
            "trace_id": .string(trace.traceID), "deployment_id": .string(deployment.id),
            "api_id": .string(deployment.apiID), "tenant": .string(deployment.tenant),
            "environment": .string(deployment.environment),
            "status": .string(isRollback ? "rolled_back" : deployment.state.rawValue),
            "duration_ms": .int(end - deployment.createdAt.milliseconds), "gateway_response": response.json,
        ]
    }
}
