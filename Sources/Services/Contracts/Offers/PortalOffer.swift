package import JSON
package import Store

/// What `portal` lets other services ask.
package protocol PortalOffer: Sendable {
    /// An application with its usable key hashes and its subscriptions, as an entry of the gateway document's `applications`;
    /// nil when it does not exist (any more).
    func gatewayApplication(tenant: String, id: String, in store: any Queryable) throws -> JSONValue?
    /// Whether the tenant has any application: such a tenant is not deleted.
    func hasApplications(tenant: String, in store: any Queryable) throws -> Bool
    /// Whether a subscription of the tenant is on the plan: such a plan is not deleted.
    func isPlanInUse(tenant: String, plan: String, in store: any Queryable) throws -> Bool
}
