package import Store

/// What `secrets` lets other services ask. Values go to gateways and nowhere else: into no answer, event, log or table.
package protocol SecretsOffer: Sendable {
    /// The version that `secret://name` means now; nil when there is no such secret.
    func currentVersion(tenant: String, name: String, in store: any Queryable) throws -> Int64?
    /// The value of a version; nil when there is none (any more). - Throws: when the key ring is sealed.
    func value(tenant: String, name: String, version: Int64, in store: any Queryable) throws -> String?
}

/// What refers to secrets. Offered by `deployments`.
package protocol SecretUsers: Sendable {
    /// The names of the APIs whose live configuration refers to `secret://name`.
    func liveAPIs(tenant: String, referringTo secret: String, in store: any Queryable) throws -> [String]
}
