package import Contracts
import GatewayConfiguration
package import Store

/// Which secrets what is live refers to.
package struct LiveSecrets: SecretUsers {
    private let catalog: any CatalogOffer

    package init(catalog: any CatalogOffer) { self.catalog = catalog }

    package func uses(of secret: String, tenant: String, in store: any Queryable) throws -> [SecretUse] {
        var names: Set<String> = []
        for api in try self.apis(tenant: tenant, referringTo: secret, in: store) { names.insert(api.name) }
        return names.sorted().map { SecretUse(.api, $0) }
    }

    /// The APIs whose live revision, in whichever environment, refers to the secret.
    func apis(tenant: String, referringTo secret: String, in store: any Queryable) throws -> [APIRecord] {
        var found: [APIRecord] = []
        for (id, revision) in try LiveTable.revisions(tenant: tenant, in: store) {
            guard found.last?.id != id,
                let record: RevisionRecord = try self.catalog.revision(
                    tenant: tenant, apiID: id, number: revision, in: store),
                SecretReference.names(in: record.gateway).contains(secret),
                let api: APIRecord = try self.catalog.api(tenant: tenant, reference: id, in: store)
            else { continue }
            found.append(api)
        }
        return found
    }
}
