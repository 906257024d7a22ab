package import Store

/// Keeps secrets unreadable at rest. Offered by the key ring, handed over by the composition root.
package protocol SecretSealer: Sendable {
    /// Encrypts so that only the same key ring opens it, and only under the same name.
    func seal(_ secret: [UInt8], name: String) throws -> [UInt8]
    /// - Throws: when a bit of it, the name or the key differs.
    func open(_ sealed: [UInt8], name: String) throws -> [UInt8]
}

/// Seals with keys of tenants, and with keys that can be destroyed by themselves, within the transaction of the change.
///
/// A value opens only under the same tenant, key and name. The key '' is the tenant's data key: it rotates, so the column that
/// keeps such values is listed as a `SealedColumn` of its service. Any other key stands until it is destroyed.
package protocol TenantSealer: SecretSealer {
    /// Encrypts; makes the key where it is missing.
    func seal(
        _ secret: [UInt8], name: String, tenant: String, key: String, in transaction: Transaction
    ) throws -> [UInt8]
    /// What was sealed; nil when its key was destroyed. - Throws: when something else differs.
    func open(
        _ sealed: [UInt8], name: String, tenant: String, key: String, in store: any Queryable
    ) throws -> [UInt8]?
    /// Whether there is a key of that name.
    func hasKey(_ key: String, tenant: String, in store: any Queryable) throws -> Bool
    /// Destroys a key with a name: what it sealed never opens again. - Returns: whether there was one.
    func destroyKey(_ key: String, tenant: String, in transaction: Transaction) throws -> Bool
    /// Destroys every key of a tenant.
    func destroyKeys(ofTenant tenant: String, in transaction: Transaction) throws
}
