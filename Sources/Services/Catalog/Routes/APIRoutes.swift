import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension CatalogService {
    static let apiRead: Route.Access = .tenant(Permission("catalog", "api", "read"))
    static let apiWrite: Route.Access = .tenant(Permission("catalog", "api", "write"))

    var apiRoutes: [Route] {
        [
            Route(
                "POST", "/v1/tenants/{tenant}/apis", operationID: "importAPI", tag: Self.name,
                summary: "Imports an OpenAPI document as a new API", access: Self.apiWrite, labels: .api,
                body: .json(ImportRequest.schema, bytesMax: ImportRequest.bodyBytesMax),
                answers: [Answer(201, "The API, at revision 1")]
            ) { try await Self.importAPI($0) },
            Route(
                "GET", "/v1/tenants/{tenant}/apis", operationID: "listAPIs", tag: Self.name,
                summary: "The tenant's APIs",
                access: Self.apiRead, labels: .list, query: [LabelsField.selector] + QueryParameter.page,
                answers: [Answer(200, "APIs by name")]
            ) { context in
                let page: Page = try context.page()
                let selector: LabelSelector? = try LabelsField.selector(context)
                let apis: [API] = try await context.read { reader in
                    _ = try Self.tenant(context.tenant, in: reader)
                    let isShown: (@Sendable (APILabels) -> Bool)? = context.isShown
                    if selector == nil, isShown == nil {
                        return try APITable.all(
                            tenant: context.tenant, after: page.after ?? "", limit: page.limit + 1, in: reader)
                    }
                    return try page.rows(
                        key: { $0.name },
                        read: { try APITable.all(tenant: context.tenant, after: $0, limit: $1, in: reader) },
                        where: { selector?.matches($0.labels) ?? true && isShown?($0.labels) ?? true })
                }
                return .json(page.envelope(apis, key: { $0.name }, json: { $0.json }))
            },
            Route(
                "GET", "/v1/tenants/{tenant}/apis/{api}", operationID: "getAPI", tag: Self.name,
                summary: "One API and where it is live", access: Self.apiRead, labels: .api,
                answers: [Answer(200, "The API")]
            ) { [deployments] in try await Self.getAPI($0, deployments: deployments) },
            Route(
                "PATCH", "/v1/tenants/{tenant}/apis/{api}", operationID: "updateAPI", tag: Self.name,
                summary: "Changes an API's title, state or labels", access: Self.apiWrite, labels: .api,
                body: .json(Self.apiChange),
                answers: [Answer(200, "The API")]
            ) { try await Self.updateAPI($0) },
            Route(
                "DELETE", "/v1/tenants/{tenant}/apis/{api}", operationID: "deleteAPI", tag: Self.name,
                summary: "Deletes an API; its history stays", access: Self.apiWrite, labels: .api,
                query: [QueryParameter("undeploy", .boolean, "Also where it is live: it is undeployed.")],
                answers: [Answer(204, "Deleted")]
            ) { [deployments] in try await Self.deleteAPI($0, deployments: deployments) },
        ]
    }

    private static let apiChange: JSONValue = Schema.object(
        [
            "title": Schema.text(min: 1, max: 200), "state": Schema.choice(API.states),
            "labels": LabelsField.changeSchema,
        ])

    /// The API of the path, by name or id, where the caller may do to it what the operation is for.
    static func api(_ context: RequestContext, in store: any Queryable) throws -> API {
        let reference: String = context.parameter("api")
        let found: API? = try APITable.find(reference, tenant: context.tenant, in: store)
        try context.requireAccess(found?.labels, unknown: .notFound("API", reference))
        guard let api: API = found else { throw APIProblem.notFound("API", reference) }
        return api
    }

    private static func importAPI(_ context: RequestContext) async throws -> HTTPResponse {
        let draft: APIDefinitionDraft = try APIDefinitionDraft(
            ImportRequest(context.body), tenant: context.tenant, existing: nil)
        let labels: APILabels = try LabelsField.labels(context.body["labels"])
        let author: Author = context.author
        return try await context.change { transaction in
            _ = try Self.tenant(context.tenant, in: transaction)
            try context.requireAccess(toGive: labels, inPlaceOf: nil)
            guard try APITable.find(draft.name, tenant: context.tenant, in: transaction) == nil else {
                throw APIProblem.conflict(
                    "There is an API '\(draft.name)' already. Import a further revision of it, or give another name.")
            }
            try TenantQuota.apis.require(
                tenant: context.tenant, counting: "FROM apis WHERE tenant = $1 AND deleted_at IS NULL", in: transaction)
            let api: API = API(
                tenant: context.tenant, id: Identifier.make("api", now: transaction.now), name: draft.name,
                title: draft.title, state: "published", basePath: draft.basePath, latestRevision: 1,
                createdBy: author.caller.id, createdAt: transaction.now, version: 1, labels: labels)
            try APITable.insert(api, in: transaction)
            try RevisionTable.insert(
                draft, number: 1, apiID: api.id, tenant: api.tenant, author: author.caller.id, in: transaction)
            try author.publish(
                Topics.apiCreated, key: api.id, tenant: api.tenant,
                [
                    "api_id": .string(api.id), "tenant": .string(api.tenant), "name": .string(api.name),
                    "version": .string(draft.apiVersion), "created_by": .string(author.caller.id),
                ], in: transaction)
            try Self.audit("api.created", api, draft: draft, author, in: transaction)
            return .created(api.json, location: "/v1/tenants/\(api.tenant)/apis/\(api.name)", version: 1)
        }
    }

    /// The audit entry of a change to an API: the after-image, with hashes in place of what a revision never changes. A gateway
    /// configuration of thousands of routes would be more than an entry can hold.
    static func audit(
        _ event: String, _ api: API, draft: APIDefinitionDraft?, _ author: Author, in transaction: Transaction
    ) throws {
        var changes: JSONObject = api.object
        if let draft: APIDefinitionDraft {
            changes["document_sha256"] = .string(draft.documentHash)
            changes["gateway_sha256"] = .string(draft.gatewayHash)
            changes["upstream"] = .string(draft.upstream)
            changes["api_version"] = .string(draft.apiVersion)
        }
        try author.audit(
            event, tenant: api.tenant, resource: AuditEntry.Resource(type: "api", id: api.id, version: api.version),
            changes: changes, in: transaction)
    }

    /// Publishes `api-updated` with the names of what changed.
    static func publishUpdate(_ api: API, changes: [String], _ author: Author, in transaction: Transaction) throws {
        try author.publish(
            Topics.apiUpdated, key: api.id, tenant: api.tenant,
            [
                "api_id": .string(api.id), "tenant": .string(api.tenant),
                "changes": .array(changes.map { JSONValue.string($0) }), "updated_by": .string(author.caller.id),
            ], in: transaction)
    }

    private static func getAPI(_ context: RequestContext, deployments: any DeploymentsOffer) async throws
        -> HTTPResponse
    {
        try await context.read { reader in
            let api: API = try Self.api(context, in: reader)
            var object: JSONObject = api.object
            var live: [JSONValue] = []
            for place in try deployments.live(tenant: api.tenant, apiID: api.id, in: reader) {
                live.append(
                    .object([
                        "environment": .string(place.environment), "revision": .int(place.revision),
                        "deployment": .string(place.deploymentID),
                    ]))
            }
            object["live"] = .array(live)
            return .json(.object(object), version: api.version)
        }
    }

    private static func updateAPI(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let old: API = try Self.api(context, in: transaction)
            try context.requireMatch(version: old.version)
            let api: API = old.changed(
                title: context.body["title"]?.text, state: context.body["state"]?.text,
                labels: try LabelsField.labels(context.body["labels"], changing: old.labels))
            try context.requireAccess(toGive: api.labels, inPlaceOf: old.labels)
            var changes: [String] = []
            if api.title != old.title { changes.append("title") }
            if api.state != old.state { changes.append("state") }
            if api.labels != old.labels { changes.append("labels") }
            if changes.isEmpty { return .json(old.json, version: old.version) }
            try APITable.update(api, in: transaction)
            try Self.publishUpdate(api, changes: changes, author, in: transaction)
            try Self.audit("api.updated", api, draft: nil, author, in: transaction)
            return .json(api.json, version: api.version)
        }
    }

    private static func deleteAPI(
        _ context: RequestContext, deployments: any DeploymentsOffer
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let isForced: Bool = context.query["undeploy"] == "true"
        return try await context.change { transaction in
            let api: API = try Self.api(context, in: transaction)
            try context.requireMatch(version: api.version)
            let live: [LiveRevision] = try deployments.live(tenant: api.tenant, apiID: api.id, in: transaction)
            guard live.isEmpty || isForced else {
                let places: String = live.map(\.environment).joined(separator: ", ")
                throw APIProblem.conflict(
                    "The API is live in \(places). Undeploy it first, or delete with undeploy=true.")
            }
            try Self.delete(api, author, in: transaction)
            return .noContent
        }
    }

    /// Deletes an API: whoever consumes `api-deleted` takes it off gateways and ends its subscriptions.
    static func delete(_ api: API, _ author: Author, in transaction: Transaction) throws {
        try APITable.delete(api, in: transaction)
        try author.publish(
            Topics.apiDeleted, key: api.id, tenant: api.tenant,
            [
                "api_id": .string(api.id), "tenant": .string(api.tenant), "deleted_by": .string(author.caller.id),
                "timestamp": .string(transaction.now.rfc3339),
            ], in: transaction)
        try Self.audit("api.deleted", api.changed(), draft: nil, author, in: transaction)
    }
}
