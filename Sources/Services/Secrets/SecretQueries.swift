package import Contracts
package import Store

/// What `secrets` offers other services. Holds no state of its own, so it needs no running service.
package struct SecretQueries: SecretsOffer {
    private let sealer: any TenantSealer

    package init(sealer: any TenantSealer) { self.sealer = sealer }

    package func currentVersion(tenant: String, name: String, in store: any Queryable) throws -> Int64? {
        try SecretTable.find(name, tenant: tenant, in: store)?.version
    }

    package func value(tenant: String, name: String, version: Int64, in store: any Queryable) throws -> String? {
        try SecretTable.value(name, version: version, tenant: tenant, self.sealer, in: store)
    }
}
