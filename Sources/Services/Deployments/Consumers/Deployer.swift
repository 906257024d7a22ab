import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Synchronization

/// Carries out what `deploy-requests` and `api-deleted` ask for, and gives what is live the new versions of secrets: sets what is
/// live and numbers the change for the gateways.
///
/// Group `deployer`. Effects commit with the offset, so each request takes effect once. Nothing is waited for here: the tracker
/// follows the gateways.
final class Deployer: Sendable {
    private static let deletedMeanwhile: String = "The API was deleted meanwhile."

    private let services: ServiceEnvironment
    private let catalog: any CatalogOffer
    private let prepared: PreparedEntries
    private let consumer: Mutex<Consumer?> = Mutex(nil)

    init(services: ServiceEnvironment, catalog: any CatalogOffer, prepared: PreparedEntries) {
        self.services = services
        self.catalog = catalog
        self.prepared = prepared
    }

    func start() async throws {
        let catalog: any CatalogOffer = self.catalog
        let prepared: PreparedEntries = self.prepared
        // People wait for a deployment: it is carried out in the commit that records it. A secret may be in many APIs.
        var options: ConsumerOptions = ConsumerOptions()
        options.earlyTopics = [Topics.deployRequests, Topics.apiDeleted]
        let consumer: Consumer = try self.services.log.consume(
            group: "deployer", topics: [Topics.deployRequests, Topics.apiDeleted, Topics.secretRotated],
            handler: .transactional { transaction, record in
                switch record.topic {
                case Topics.apiDeleted: try Self.undeployDeleted(record, in: transaction)
                case Topics.secretRotated: try Self.renewSecret(record, catalog: catalog, in: transaction)
                default: try Self.carryOut(record, catalog: catalog, prepared: prepared, in: transaction)
                }
            }, options: options)
        self.consumer.withLock { $0 = consumer }
    }

    func stop() async { await self.consumer.withLock { $0 }?.stop() }

    private static func author(of record: Record) -> Author {
        let trace: TraceContext = record.traceparent.flatMap { TraceContext(traceparent: $0) } ?? TraceContext.make()
        return Author(caller: .platform("deployments"), trace: trace)
    }

    /// What is live and refers to the secret goes to the gateways again, with its new version.
    private static func renewSecret(
        _ record: Record, catalog: any CatalogOffer, in transaction: Transaction
    ) throws {
        guard let event: JSONValue = try? JSONReader.parse(record.value), let tenant: String = event["tenant"]?.text,
            let name: String = event["name"]?.text
        else { throw DeliveryError.poison(reason: "expected tenant and name in \(Topics.secretRotated)") }
        let apis: [APIRecord] = try LiveSecrets(catalog: catalog).apis(
            tenant: tenant, referringTo: name, in: transaction)
        if apis.isEmpty { return }
        for api in apis { try GatewayChanges.touch(.api, tenant: tenant, id: api.id, in: transaction) }
        try Self.author(of: record).audit(
            "secret.delivered", tenant: tenant, resource: AuditEntry.Resource(type: "secret", id: name),
            changes: ["version": event["version"] ?? .null, "apis": .array(apis.map { .string($0.id) })],
            in: transaction)
    }

    private static func carryOut(
        _ record: Record, catalog: any CatalogOffer, prepared: PreparedEntries, in transaction: Transaction
    ) throws {
        guard let event: JSONValue = try? JSONReader.parse(record.value), let tenant: String = event["tenant"]?.text,
            let id: String = event["deployment_id"]?.text
        else { throw DeliveryError.poison(reason: "expected tenant and deployment_id") }
        guard var deployment: Deployment = try DeploymentTable.find(id, tenant: tenant, in: transaction),
            deployment.state == .pending
        else { return }
        // Deleted between request and now: `api-deleted` may have been handled before, and nothing may be put in place after it.
        if deployment.action != .undeploy,
            try catalog.tenant(tenant, in: transaction) == nil
                || catalog.api(tenant: tenant, reference: deployment.apiID, in: transaction) == nil
        {
            try DeploymentEnd.write(
                deployment, .failed, CompletionRules.Response(version: 0), detail: Self.deletedMeanwhile,
                in: transaction)
            return
        }
        let live: LiveTable.Place? = try LiveTable.find(
            apiID: deployment.apiID, tenant: tenant, environment: deployment.environment, in: transaction)
        deployment.previousRevision = live?.revision
        deployment.previousDeployment = live?.deploymentID
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
        try Self.endOthers(than: deployment, in: transaction)
        deployment.state = .running
        deployment.startedAt = transaction.now
        deployment.gatewayVersion = try GatewayChanges.touch(
            .api, tenant: tenant, id: deployment.apiID, in: transaction)
        try DeploymentTable.update(deployment, in: transaction)
        try DeploymentsService.audit("deployment.started", deployment, Self.author(of: record), in: transaction)
        // The processor has nothing else to do while the disk takes the commit.
        if deployment.action != .undeploy {
            prepared.begin(
                tenant: tenant, apiID: deployment.apiID, revision: deployment.revision,
                environment: deployment.environment)
        }
    }

    /// Ends what still runs where `deployment` has just taken the place: nobody can confirm it any more. Another deployment of the
    /// same revision goes on, because what it waits for is still there.
    private static func endOthers(than deployment: Deployment, in transaction: Transaction) throws {
        let others: [Deployment] = try DeploymentTable.running(
            apiID: deployment.apiID, tenant: deployment.tenant, environment: deployment.environment, in: transaction)
        for other in others {
            let isSame: Bool =
                other.revision == deployment.revision && other.action != .undeploy && deployment.action != .undeploy
            if isSame { continue }
            try DeploymentEnd.write(
                other, .failed, CompletionRules.Response(version: other.gatewayVersion ?? 0),
                detail: "Deployment \(deployment.id) took its place before the gateways had confirmed it.",
                in: transaction)
        }
    }

    /// An API that is gone runs nowhere.
    private static func undeployDeleted(_ record: Record, in transaction: Transaction) throws {
        guard let event: JSONValue = try? JSONReader.parse(record.value), let tenant: String = event["tenant"]?.text,
            let api: String = event["api_id"]?.text
        else { throw DeliveryError.poison(reason: "expected tenant and api_id") }
        let author: Author = Self.author(of: record)
        for place in try LiveTable.of(apiID: api, tenant: tenant, in: transaction) {
            try LiveTable.delete(apiID: api, tenant: tenant, environment: place.environment, in: transaction)
            try GatewayChanges.touch(.api, tenant: tenant, id: api, in: transaction)
            try author.audit(
                "api.undeployed", tenant: tenant, resource: AuditEntry.Resource(type: "api", id: api),
                changes: [
                    "environment": .string(place.environment), "revision": .int(place.revision), "live": .null,
                ], in: transaction)
        }
        // After the places are empty: nothing is put back for a deployment that ends now.
        for deployment in try DeploymentTable.running(apiID: api, tenant: tenant, environment: nil, in: transaction)
        where deployment.action != .undeploy {
            try DeploymentEnd.write(
                deployment, .failed, CompletionRules.Response(version: deployment.gatewayVersion ?? 0),
                detail: Self.deletedMeanwhile, in: transaction)
        }
    }
}
