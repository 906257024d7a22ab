import Contracts
import EventLog
import GatewayConfiguration
import HTTP
import Identifiers
import JSON
import REST
import Store

extension DeploymentsService {
    var deploymentRoutes: [Route] {
        let base: String = "/v1/tenants/{tenant}/apis/{api}/deployments"
        let read: Route.Access = .tenant(Permission("deployments", "deployment", "read"))
        return [
            Route(
                "POST", base, operationID: "createDeployment", tag: Self.name,
                summary: "Deploys, undeploys or rolls back an API in an environment",
                access: .tenant(Permission("deployments", "deployment", "write")), labels: .api,
                body: .json(Self.newDeployment),
                answers: [Answer(202, "Recorded; follow the deployment at its Location")]
            ) { [catalog, secrets] in try await Self.createDeployment($0, catalog: catalog, secrets: secrets) },
            Route(
                "GET", base, operationID: "listDeployments", tag: Self.name,
                summary: "The API's deployments, newest first", access: read, labels: .api, query: QueryParameter.page,
                answers: [Answer(200, "Deployments")]
            ) { [catalog] in try await Self.listDeployments($0, catalog: catalog) },
            Route(
                "GET", "\(base)/{deployment}", operationID: "getDeployment", tag: Self.name,
                summary: "One deployment; as server-sent events where those are accepted", access: read, labels: .api,
                answers: [Answer(200, "The deployment")]
            ) { [self] in try await self.getDeployment($0) },
        ]
    }

    private static let newDeployment: JSONValue = Schema.object(
        [
            "environment": Schema.text(min: 1, max: 63), "action": Schema.choice(["deploy", "undeploy", "rollback"]),
            "revision": Schema.integer(1...Int64.max), "to": Schema.integer(1...Int64.max),
            "triggered_by": Schema.choice(["api", "cli", "console"]),
        ], required: ["environment"])

    private static func createDeployment(
        _ context: RequestContext, catalog: any CatalogOffer, secrets: (any SecretsOffer)?
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let name: String = context.body["environment"]?.text ?? ""
        let action: Deployment.Action = Deployment.Action(rawValue: context.body["action"]?.text ?? "") ?? .deploy
        try Self.requireFields(of: action, context.body)
        return try await context.change { transaction in
            let api: APIRecord = try Self.api(context, catalog: catalog, in: transaction)
            guard
                let environment: EnvironmentRecord = try catalog.environment(
                    tenant: context.tenant, name: name, in: transaction)
            else { throw APIProblem.invalid("/environment", "there is no environment '\(name)'") }
            let revision: Int64 = try Self.revision(
                for: action, api: api, environment: environment, context: context, catalog: catalog, in: transaction)
            if action != .undeploy {
                try Self.requireComplete(revision, of: api, catalog: catalog, secrets: secrets, in: transaction)
            }
            let deployment: Deployment = Deployment(
                tenant: context.tenant, id: Identifier.make("dep", now: transaction.now), apiID: api.id,
                apiName: api.name, revision: revision, environment: name, action: action, state: .pending,
                requestedBy: author.caller.id, triggeredBy: context.body["triggered_by"]?.text ?? "api",
                traceparent: author.trace.traceparent, gatewayGroup: environment.gatewayGroup,
                createdAt: transaction.now)
            try Self.request(deployment, author, in: transaction)
            return .accepted(
                deployment.json,
                location: "/v1/tenants/\(context.tenant)/apis/\(api.name)/deployments/\(deployment.id)")
        }
    }

    /// Refuses a revision where the action has no use for it: it would not do what the caller believes.
    private static func requireFields(of action: Deployment.Action, _ body: JSONValue) throws {
        if action != .deploy, body["revision"] != nil {
            throw APIProblem.invalid("/revision", "only for 'deploy'; a rollback names its revision in 'to'")
        }
        if action != .rollback, body["to"] != nil {
            throw APIProblem.invalid("/to", "only for 'rollback'; a deployment names its revision in 'revision'")
        }
    }

    /// The revision must be there, and everything it refers to by `secret://`.
    private static func requireComplete(
        _ number: Int64, of api: APIRecord, catalog: any CatalogOffer, secrets: (any SecretsOffer)?,
        in store: any Queryable
    ) throws {
        guard
            let revision: RevisionRecord = try catalog.revision(
                tenant: api.tenant, apiID: api.id, number: number, in: store)
        else {
            throw APIProblem.invalid(
                "/revision", "there is no revision \(number); the latest is \(api.latestRevision)")
        }
        for name in SecretReference.names(in: revision.gateway).sorted() {
            if try secrets?.currentVersion(tenant: api.tenant, name: name, in: store) != nil { continue }
            throw APIProblem.conflict(
                "Revision \(number) of '\(api.name)' refers to secret://\(name), and there is no such secret. Create it first: passerelle secrets set \(name)."
            )
        }
    }

    /// Records what is to be carried out.
    static func request(_ deployment: Deployment, _ author: Author, in transaction: Transaction) throws {
        try DeploymentTable.insert(deployment, in: transaction)
        try author.publish(
            Topics.deployRequests, key: deployment.apiID, tenant: deployment.tenant,
            Self.payload(deployment, author), in: transaction)
        try Self.audit("deployment.requested", deployment, author, in: transaction)
    }

    /// The payload of `deploy-requests`.
    private static func payload(_ deployment: Deployment, _ author: Author) -> JSONObject {
        [
            "trace_id": .string(author.trace.traceID), "deployment_id": .string(deployment.id),
            "api_id": .string(deployment.apiID), "tenant": .string(deployment.tenant),
            "revision": .int(deployment.revision), "environment": .string(deployment.environment),
            "action": .string(deployment.action.rawValue), "triggered_by": .string(deployment.triggeredBy),
        ]
    }

    /// The after-image: the deployment, and as `live` what its API has in its environment now (null for nothing).
    static func audit(
        _ event: String, _ deployment: Deployment, _ author: Author, in transaction: Transaction
    ) throws {
        var changes: JSONObject = deployment.json.object ?? [:]
        let live: LiveTable.Place? = try LiveTable.find(
            apiID: deployment.apiID, tenant: deployment.tenant, environment: deployment.environment, in: transaction)
        changes["live"] =
            live.map {
                .object([
                    "revision": .int($0.revision), "deployment_id": .string($0.deploymentID),
                    "gateway_group": .string($0.gatewayGroup),
                ])
            } ?? .null
        try author.audit(
            event, tenant: deployment.tenant, resource: AuditEntry.Resource(type: "deployment", id: deployment.id),
            changes: changes, in: transaction)
    }

    static func api(_ context: RequestContext, catalog: any CatalogOffer, in store: any Queryable) throws -> APIRecord {
        let reference: String = context.parameter("api")
        let found: APIRecord? = try catalog.api(tenant: context.tenant, reference: reference, in: store)
        try context.requireAccess(found?.labels, unknown: .notFound("API", reference))
        guard let api: APIRecord = found else { throw APIProblem.notFound("API", reference) }
        return api
    }

    /// Which revision an action is about, and whether it is allowed there.
    private static func revision(
        for action: Deployment.Action, api: APIRecord, environment: EnvironmentRecord, context: RequestContext,
        catalog: any CatalogOffer, in store: any Queryable
    ) throws -> Int64 {
        let live: LiveTable.Place? = try LiveTable.find(
            apiID: api.id, tenant: api.tenant, environment: environment.name, in: store)
        switch action {
        case .deploy:
            if environment.requiresPromotion { throw Self.promotionRequired(environment, tenant: api.tenant) }
            return context.body["revision"]?.integer ?? api.latestRevision
        case .undeploy:
            guard let live: LiveTable.Place else {
                throw APIProblem.conflict("'\(api.name)' is not live in '\(environment.name)'.")
            }
            return live.revision
        case .rollback:
            return try Self.rollbackRevision(
                to: context.body["to"]?.integer, api: api, environment: environment.name, live: live, in: store)
        }
    }

    private static func promotionRequired(_ environment: EnvironmentRecord, tenant: String) -> APIProblem {
        var problem: APIProblem = APIProblem.conflict(
            "'\(environment.name)' takes promotions only. Request one; an approver deploys it.")
        problem.members["promotions"] = .string("/v1/tenants/\(tenant)/promotions")
        return problem
    }

    /// A rollback goes to a revision that ran there: the wanted one, or the last other than what is live.
    private static func rollbackRevision(
        to wanted: Int64?, api: APIRecord, environment: String, live: LiveTable.Place?, in store: any Queryable
    ) throws -> Int64 {
        if let wanted: Int64 {
            guard
                try DeploymentTable.ran(
                    wanted, apiID: api.id, tenant: api.tenant, environment: environment, in: store)
            else { throw APIProblem.invalid("/to", "revision \(wanted) never ran in '\(environment)'") }
            return wanted
        }
        let last: Int64? = try DeploymentTable.lastGood(
            apiID: api.id, tenant: api.tenant, environment: environment, otherThan: live?.revision ?? 0, in: store)
        guard let last: Int64 else {
            throw APIProblem.conflict("Nothing else ran in '\(environment)' before: there is nothing to go back to.")
        }
        return last
    }

    private static func listDeployments(
        _ context: RequestContext, catalog: any CatalogOffer
    ) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let found: [Deployment] = try await context.read { reader in
            let api: APIRecord = try Self.api(context, catalog: catalog, in: reader)
            return try DeploymentTable.all(
                apiID: api.id, tenant: api.tenant, before: page.after ?? "dep_g", limit: page.limit + 1, in: reader)
        }
        return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
    }

    // MARK: Following

    private func getDeployment(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = context.parameter("deployment")
        let tenant: String = context.tenant
        let deployment: Deployment = try await Self.deployment(context, id: id, catalog: self.catalog)
        guard context.request.fields["Accept"]?.contains(ServerSentEvent.mediaType) == true else {
            return .json(deployment.json)
        }
        let services: ServiceEnvironment = self.services
        let tracker: DeploymentTracker = self.tracker
        let catalog: any CatalogOffer = self.catalog
        return HTTPResponse.events { writer in
            var changes: Int64 = await tracker.changes
            var shown: Deployment.State?
            while true {
                // Whoever may read it no more while they follow it is told nothing more.
                let latest: Deployment? = try await services.store.read { reader in
                    try Self.requireAccess(context, id: id, catalog: catalog, in: reader)
                    return try DeploymentTable.find(id, tenant: tenant, in: reader)
                }
                guard let latest: Deployment else { return }
                if latest.state != shown {
                    shown = latest.state
                    try await writer.send(ServerSentEvent(type: "deployment", data: latest.json.jsonText))
                }
                if latest.state.isFinal || writer.isDisconnected { return }
                changes = await tracker.waitForChange(after: changes, atMost: .seconds(10))
            }
        }
    }

    private static func deployment(
        _ context: RequestContext, id: String, catalog: any CatalogOffer
    ) async throws -> Deployment {
        let found: Deployment? = try await context.read { reader in
            let known: APIRecord? = try Self.requireAccess(context, id: id, catalog: catalog, in: reader)
            let found: Deployment? = try DeploymentTable.find(id, tenant: context.tenant, in: reader)
            let reference: String = context.parameter("api")
            guard let found: Deployment, found.apiID == reference || found.apiName == reference else { return nil }
            // Of an API that had the name before nobody knows the labels.
            if let known: APIRecord, known.id != found.apiID { return nil }
            return found
        }
        guard let found: Deployment else { throw APIProblem.notFound("deployment", id) }
        return found
    }

    /// Decides where it depends on the labels of the API of the path. - Returns: that API; nil where nothing depends on them, and
    /// nothing is looked up: then also deployments of APIs that are gone are shown.
    @discardableResult
    private static func requireAccess(
        _ context: RequestContext, id: String, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> APIRecord? {
        guard context.dependsOnLabels else { return nil }
        let api: APIRecord? = try catalog.api(
            tenant: context.tenant, reference: context.parameter("api"), in: store)
        try context.requireAccess(api?.labels, unknown: .notFound("deployment", id))
        return api
    }
}
