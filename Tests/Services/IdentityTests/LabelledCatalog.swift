import Contracts
import JSON
import Store

/// A catalogue that knows the labels of some APIs of the tenant `acme`, and nothing else.
struct LabelledCatalog: CatalogOffer {
    let apis: [String: APILabels]

    func api(tenant: String, reference: String, in store: any Queryable) throws -> APIRecord? {
        guard tenant == "acme", let labels: APILabels = self.apis[reference] else { return nil }
        return APIRecord(
            tenant: tenant, id: "api_\(reference)", name: reference, latestRevision: 1, labels: labels,
            takesSubscriptions: true)
    }

    func tenant(_ name: String, in store: any Queryable) throws -> TenantRecord? { nil }
    func revision(tenant: String, apiID: String, number: Int64, in store: any Queryable) throws -> RevisionRecord? {
        nil
    }
    func environment(tenant: String, name: String, in store: any Queryable) throws -> EnvironmentRecord? { nil }
    func environments(tenant: String, in store: any Queryable) throws -> [EnvironmentRecord] { [] }
    func hasPlan(tenant: String, name: String, in store: any Queryable) throws -> Bool { false }
    func planNeedsApproval(tenant: String, name: String, in store: any Queryable) throws -> Bool { true }
    func gatewayPlan(tenant: String, name: String, in store: any Queryable) throws -> JSONValue? { nil }
    func gatewayTenant(_ name: String, in store: any Queryable) throws -> JSONValue? { nil }
    func publishedAPIs(
        tenants: [String]?, after: String, limit: Int, in store: any Queryable
    ) throws -> [PublishedAPI] { [] }
}
