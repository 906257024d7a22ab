import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Synchronization

/// Carries out what `deploy-requests` and `api-deleted` ask for: sets what is live and numbers the change for the gateways.
///
/// Group `deployer`. Effects commit with the offset, so each request takes effect once. Nothing is waited for here: the tracker
/// follows the gateways.
final class Deployer: Sendable {
    private let services: ServiceEnvironment
    private let consumer: Mutex<Consumer?> = Mutex(nil)

    init(services: ServiceEnvironment) { self.services = services }

    func start() async throws {
        let consumer: Consumer = try self.services.log.consume(
            group: "deployer", topics: [Topics.deployRequests, Topics.apiDeleted],
            handler: .transactional { transaction, record in
                if record.topic == Topics.apiDeleted {
                    try Self.undeployDeleted(record, in: transaction)
                } else {
                    try Self.carryOut(record, in: transaction)
                }
            })
        self.consumer.withLock { $0 = consumer }
    }

    func stop() async { await self.consumer.withLock { $0 }?.stop() }

    private static func author(of record: Record) -> Author {
        let trace: TraceContext = record.traceparent.flatMap { TraceContext(traceparent: $0) } ?? TraceContext.make()
        return Author(caller: .platform("deployments"), trace: trace)
    }

    private static func carryOut(_ record: Record, in transaction: Transaction) throws {
        let event: JSONValue = try JSONReader.parse(record.value)
        guard let tenant: String = event["tenant"]?.text, let id: String = event["deployment_id"]?.text else {
            throw DeliveryError.poison(reason: "expected tenant and deployment_id")
        }
        guard var deployment: Deployment = try DeploymentTable.find(id, tenant: tenant, in: transaction),
            deployment.state == .pending
        else { return }
        let live: LiveTable.Place? = try LiveTable.find(
            apiID: deployment.apiID, tenant: tenant, environment: deployment.environment, in: transaction)
        deployment.previousRevision = live?.revision
        switch deployment.action {
        case .deploy, .rollback:
            try LiveTable.put(
                LiveTable.Place(
                    tenant: tenant, apiID: deployment.apiID, environment: deployment.environment,
                    gatewayGroup: deployment.gatewayGroup, revision: deployment.revision, deploymentID: id),
                in: transaction)
        case .undeploy:
            try LiveTable.delete(
                apiID: deployment.apiID, tenant: tenant, environment: deployment.environment, in: transaction)
        }
        deployment.state = .running
        deployment.startedAt = transaction.now
        deployment.gatewayVersion = try GatewayChanges.touch(
            .api, tenant: tenant, id: deployment.apiID, in: transaction)
        try DeploymentTable.update(deployment, in: transaction)
        try DeploymentsService.audit("deployment.started", deployment, Self.author(of: record), in: transaction)
    }

    /// An API that is gone runs nowhere.
    private static func undeployDeleted(_ record: Record, in transaction: Transaction) throws {
        let event: JSONValue = try JSONReader.parse(record.value)
        guard let tenant: String = event["tenant"]?.text, let api: String = event["api_id"]?.text else {
            throw DeliveryError.poison(reason: "expected tenant and api_id")
        }
        let author: Author = Self.author(of: record)
        for place in try LiveTable.of(apiID: api, tenant: tenant, in: transaction) {
            try LiveTable.delete(apiID: api, tenant: tenant, environment: place.environment, in: transaction)
            try GatewayChanges.touch(.api, tenant: tenant, id: api, in: transaction)
            try author.audit(
                "api.undeployed", tenant: tenant, resource: AuditEntry.Resource(type: "api", id: api),
                changes: ["environment": .string(place.environment), "revision": .int(place.revision)], in: transaction)
        }
    }
}
