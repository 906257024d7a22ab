import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension PortalService {
    static let applicationRead: Route.Access = .tenant(Permission("portal", "application", "read"))
    static let applicationWrite: Route.Access = .tenant(Permission("portal", "application", "write"))

    var applicationRoutes: [Route] {
        let base: String = "/v1/tenants/{tenant}/applications"
        return [
            Route(
                "POST", base, operationID: "createApplication", tag: Self.name,
                summary: "Creates an application and shows its first API key, this once", access: Self.applicationWrite,
                body: .json(Schema.object(["name": Schema.text(min: 1, max: 63)], required: ["name"])),
                answers: [Answer(201, "The application with its key")]
            ) { [catalog] in try await Self.createApplication($0, catalog: catalog) },
            Route(
                "GET", base, operationID: "listApplications", tag: Self.name,
                summary: "The tenant's applications; a developer sees the own ones", access: Self.applicationRead,
                query: QueryParameter.page, answers: [Answer(200, "Applications by name")]
            ) { [catalog] context in
                let page: Page = try context.page()
                let owner: String? = Self.onlyOwner(context)
                let found: [Application] = try await context.read { reader in
                    try Self.requireTenant(context, catalog: catalog, in: reader)
                    return try ApplicationTable.all(
                        tenant: context.tenant, owner: owner, after: page.after ?? "", limit: page.limit + 1, in: reader
                    )
                }
                return .json(page.envelope(found, key: { $0.name }, json: { .object($0.object) }))
            },
            Route(
                "GET", "\(base)/{application}", operationID: "getApplication", tag: Self.name,
                summary: "One application",
                access: Self.applicationRead, answers: [Answer(200, "The application")]
            ) { context in
                let found: Application = try await context.read { try Self.application(context, in: $0) }
                return .json(.object(found.object), version: found.version)
            },
            Route(
                "DELETE", "\(base)/{application}", operationID: "deleteApplication", tag: Self.name,
                summary: "Deletes an application: its keys and subscriptions end", access: Self.applicationWrite,
                answers: [Answer(204, "Deleted")]
            ) { try await Self.deleteApplication($0) },
        ]
    }

    /// The owner whose applications are all that the caller may see; nil for callers who see the whole tenant's.
    ///
    /// - Parameter labels: those of the API that it is about, where there is one.
    static func onlyOwner(_ context: RequestContext, labels: APILabels? = nil) -> String? {
        let all: Permission = Permission("deployments", "deployment", "write")
        let audit: Permission = Permission("observability", "metric", "read")
        let caller: Caller = context.caller
        let seesAll: Bool =
            caller.decide(all, tenant: context.tenant, labels: labels).isAllowed
            || caller.decide(audit, tenant: context.tenant).isAllowed
        return seesAll ? nil : caller.id
    }

    /// The application of the path, by name or id. Those of others do not exist for a developer.
    static func application(_ context: RequestContext, in store: any Queryable) throws -> Application {
        try Self.application(context.parameter("application"), context, in: store)
    }

    static func application(_ reference: String, _ context: RequestContext, in store: any Queryable) throws
        -> Application
    {
        guard let found: Application = try ApplicationTable.find(reference, tenant: context.tenant, in: store),
            Self.onlyOwner(context).map({ $0 == found.owner }) ?? true
        else { throw APIProblem.notFound("application", reference) }
        return found
    }

    /// The tenant of the path may be missing for callers who reach all tenants.
    static func requireTenant(_ context: RequestContext, catalog: any CatalogOffer, in store: any Queryable) throws {
        guard try catalog.tenant(context.tenant, in: store) != nil else {
            throw APIProblem.notFound("tenant", context.tenant)
        }
    }

    private static func createApplication(
        _ context: RequestContext, catalog: any CatalogOffer
    ) async throws -> HTTPResponse {
        let name: String = context.body["name"]?.text ?? ""
        if let problem: String = Slug.validate(name) { throw APIProblem.invalid("/name", problem) }
        let author: Author = context.author
        return try await context.changeShowingSecret { transaction in
            try Self.requireTenant(context, catalog: catalog, in: transaction)
            guard try ApplicationTable.find(name, tenant: context.tenant, in: transaction) == nil else {
                throw APIProblem.conflict("There is an application '\(name)' already.")
            }
            try TenantQuota.applications.require(
                tenant: context.tenant, counting: "FROM applications WHERE tenant = $1", in: transaction)
            let application: Application = Application(
                tenant: context.tenant, id: Identifier.make("app", now: transaction.now), name: name,
                owner: author.caller.id, createdAt: transaction.now, version: 1)
            let made = APIKey.make(id: Identifier.make("key", now: transaction.now), now: transaction.now)
            try ApplicationTable.insert(application, in: transaction)
            try APIKeyTable.insert(made.key, application: application.id, tenant: context.tenant, in: transaction)
            try GatewayChanges.touch(.application, tenant: context.tenant, id: application.id, in: transaction)
            try author.publish(
                Topics.applicationCreated, key: application.id, tenant: context.tenant, application.event,
                in: transaction)
            try Self.audit("application.created", application, key: made.key, author, in: transaction)
            return Self.answers(application, key: made)
        }
    }

    private static func answers(
        _ application: Application, key: (key: APIKey, text: String)
    ) -> (answer: HTTPResponse, repeated: HTTPResponse) {
        let location: String = "/v1/tenants/\(application.tenant)/applications/\(application.name)"
        var object: JSONObject = application.object
        object["key_id"] = .string(key.key.id)
        let repeated: HTTPResponse = .created(.object(object), location: location, version: application.version)
        object["key"] = .string(key.text)
        return (.created(.object(object), location: location, version: application.version), repeated)
    }

    /// The after-image: the application with the keys that work now, their hashes and never their text. `key_id` is the key that
    /// the change is about.
    static func audit(
        _ event: String, _ application: Application, key: APIKey?, oldKeysEnd: Timestamp? = nil, _ author: Author,
        in transaction: Transaction
    ) throws {
        var changes: JSONObject = application.object
        if let oldKeysEnd: Timestamp { changes["old_keys_expire_at"] = .string(oldKeysEnd.rfc3339) }
        if let key: APIKey {
            changes["key_id"] = .string(key.id)
            changes["key_sha256"] = .string(key.sha256)
        }
        let keys: [APIKey] = try APIKeyTable.usable(
            application: application.id, tenant: application.tenant, now: transaction.now, in: transaction)
        changes["keys"] = .array(keys.map { $0.audited })
        try author.audit(
            event, tenant: application.tenant,
            resource: AuditEntry.Resource(type: "application", id: application.id, version: application.version),
            changes: changes, in: transaction)
    }

    private static func deleteApplication(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let application: Application = try Self.application(context, in: transaction)
            try context.requireMatch(version: application.version)
            try Self.end(application, author, in: transaction)
            return .noContent
        }
    }

    /// Deletes an application: its subscriptions end, its keys work nowhere any more.
    static func end(_ application: Application, _ author: Author, in transaction: Transaction) throws {
        for subscription in try SubscriptionTable.of(
            application: application.id, tenant: application.tenant, in: transaction)
        {
            try Self.end(subscription, author, in: transaction)
        }
        try ApplicationTable.delete(application, in: transaction)
        try GatewayChanges.touch(.application, tenant: application.tenant, id: application.id, in: transaction)
        try author.publish(
            Topics.applicationDeleted, key: application.id, tenant: application.tenant, application.event,
            in: transaction)
        try Self.audit("application.deleted", application, key: nil, author, in: transaction)
    }
}
