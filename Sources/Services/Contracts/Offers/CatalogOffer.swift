package import JSON
package import Store

/// A tenant: an organisation on the platform.
package struct TenantRecord: Sendable {
    package let name: String
    package let displayName: String

    package init(name: String, displayName: String) {
        self.name = name
        self.displayName = displayName
    }
}

/// An API of a tenant: the named product, without its revisions.
package struct APIRecord: Sendable {
    package let tenant: String
    package let id: String
    package let name: String
    package let latestRevision: Int64
    package let labels: APILabels
    /// Whether applications may subscribe to it now: it is published, or deprecated and still served.
    package let takesSubscriptions: Bool

    package init(
        tenant: String, id: String, name: String, latestRevision: Int64, labels: APILabels,
        takesSubscriptions: Bool
    ) {
        self.labels = labels
        self.tenant = tenant
        self.id = id
        self.name = name
        self.latestRevision = latestRevision
        self.takesSubscriptions = takesSubscriptions
    }
}

/// An immutable revision: the hash of its OpenAPI document and the gateway configuration made from it.
package struct RevisionRecord: Sendable {
    package let tenant: String
    package let apiID: String
    package let revision: Int64
    /// SHA-256 of the document's bytes, lower-case hex.
    package let documentHash: String
    /// One entry of the gateway document's `apis`, without `id`, `tenant` and `hosts`: those come from where it is deployed.
    package let gateway: JSONValue

    package init(tenant: String, apiID: String, revision: Int64, documentHash: String, gateway: JSONValue) {
        self.tenant = tenant
        self.apiID = apiID
        self.revision = revision
        self.documentHash = documentHash
        self.gateway = gateway
    }
}

/// An environment of a tenant and the target its deployments go to.
package struct EnvironmentRecord: Sendable {
    package let tenant: String
    package let name: String
    package let target: String
    package let targetKind: String
    /// The gateways that run the target's snapshot (`passerelle serve --services gateway --gateway-group NAME`).
    package let gatewayGroup: String
    /// Host names under which the environment's APIs answer; empty is any host.
    package let hosts: [String]
    package let requiresPromotion: Bool

    package init(
        tenant: String, name: String, target: String, targetKind: String, gatewayGroup: String, hosts: [String],
        requiresPromotion: Bool
    ) {
        self.tenant = tenant
        self.name = name
        self.target = target
        self.targetKind = targetKind
        self.gatewayGroup = gatewayGroup
        self.hosts = hosts
        self.requiresPromotion = requiresPromotion
    }
}

/// An API as the portal shows it.
package struct PublishedAPI: Sendable {
    package let record: APIRecord
    package let title: String
    package let basePath: String

    package init(record: APIRecord, title: String, basePath: String) {
        self.record = record
        self.title = title
        self.basePath = basePath
    }
}

/// What `catalog` lets other services ask. Every call runs in the caller's transaction or snapshot and is scoped by tenant.
package protocol CatalogOffer: Sendable {
    func tenant(_ name: String, in store: any Queryable) throws -> TenantRecord?
    /// - Parameter reference: the API's name or its id.
    func api(tenant: String, reference: String, in store: any Queryable) throws -> APIRecord?
    func revision(tenant: String, apiID: String, number: Int64, in store: any Queryable) throws -> RevisionRecord?
    func environment(tenant: String, name: String, in store: any Queryable) throws -> EnvironmentRecord?
    func environments(tenant: String, in store: any Queryable) throws -> [EnvironmentRecord]
    func hasPlan(tenant: String, name: String, in store: any Queryable) throws -> Bool
    /// Whether subscriptions to the plan wait for approval.
    func planNeedsApproval(tenant: String, name: String, in store: any Queryable) throws -> Bool
    /// A plan as an entry of the gateway document's `plans`; nil when it does not exist (any more).
    func gatewayPlan(tenant: String, name: String, in store: any Queryable) throws -> JSONValue?
    /// The limits of a whole tenant as an entry of the gateway document's `tenants`; nil when it has none (any more).
    func gatewayTenant(_ name: String, in store: any Queryable) throws -> JSONValue?
    /// The APIs the portal shows: those of the tenants that are published.
    func publishedAPIs(tenants: [String]?, after: String, limit: Int, in store: any Queryable) throws -> [PublishedAPI]
}
