package import Contracts
package import JSON
import REST
package import Store

/// What the catalogue offers other services: questions to its tables. Holds no state, so it needs no running service.
package struct CatalogQueries: CatalogOffer {
    package init() {}

    package func tenant(_ name: String, in store: any Queryable) throws -> TenantRecord? {
        try TenantTable.find(name, in: store).map { TenantRecord(name: $0.name, displayName: $0.displayName) }
    }

    package func api(tenant: String, reference: String, in store: any Queryable) throws -> APIRecord? {
        try APITable.find(reference, tenant: tenant, in: store)?.record
    }

    package func revision(tenant: String, apiID: String, number: Int64, in store: any Queryable) throws
        -> RevisionRecord?
    {
        guard let revision: Revision = try RevisionTable.find(number, apiID: apiID, tenant: tenant, in: store) else {
            return nil
        }
        return RevisionRecord(
            tenant: tenant, apiID: apiID, revision: revision.number, documentHash: revision.documentHash,
            gateway: try JSONReader.parse(revision.gateway))
    }

    package func environment(tenant: String, name: String, in store: any Queryable) throws -> EnvironmentRecord? {
        guard let environment: Environment = try EnvironmentTable.find(name, tenant: tenant, in: store) else {
            return nil
        }
        return try self.record(of: environment, tenant: tenant, in: store)
    }

    package func environments(tenant: String, in store: any Queryable) throws -> [EnvironmentRecord] {
        var records: [EnvironmentRecord] = []
        for environment in try EnvironmentTable.all(tenant: tenant, after: "", limit: Environment.countMax, in: store) {
            records.append(try self.record(of: environment, tenant: tenant, in: store))
        }
        return records
    }

    package func hasPlan(tenant: String, name: String, in store: any Queryable) throws -> Bool {
        try PlanTable.find(name, tenant: tenant, in: store) != nil
    }

    package func planNeedsApproval(tenant: String, name: String, in store: any Queryable) throws -> Bool {
        try PlanTable.find(name, tenant: tenant, in: store)?.approval ?? true
    }

    package func gatewayPlan(tenant: String, name: String, in store: any Queryable) throws -> JSONValue? {
        try PlanTable.find(name, tenant: tenant, in: store)?.gatewayEntry(tenant: tenant)
    }

    package func gatewayTenant(_ name: String, in store: any Queryable) throws -> JSONValue? {
        guard try TenantTable.find(name, in: store) != nil else { return nil }
        return Tenant.gatewayEntry(tenant: name, quotas: try TenantQuota.ofRequests(tenant: name, in: store))
    }

    package func publishedAPIs(
        tenants: [String]?, after: String, limit: Int, in store: any Queryable
    ) throws -> [PublishedAPI] {
        var found: [PublishedAPI] = []
        for api in try APITable.published(after: after, tenants: tenants, limit: limit, in: store) {
            found.append(PublishedAPI(record: api.record, title: api.title, basePath: api.basePath))
        }
        return found
    }

    private func record(of environment: Environment, tenant: String, in store: any Queryable) throws
        -> EnvironmentRecord
    {
        let target: Target? = try TargetTable.find(environment.target, tenant: tenant, in: store)
        return EnvironmentRecord(
            tenant: tenant, name: environment.name, target: environment.target, targetKind: target?.kind ?? "own",
            gatewayGroup: target?.gatewayGroup ?? TenantDefaults.gatewayGroup, hosts: environment.hosts,
            requiresPromotion: environment.requiresPromotion)
    }
}
