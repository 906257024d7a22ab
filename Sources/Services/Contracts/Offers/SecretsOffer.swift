package import Store

/// What `secrets` lets other services ask. Values go to gateways and nowhere else: into no answer, event, log or table.
package protocol SecretsOffer: Sendable {
    /// The version that `secret://name` means now; nil when there is no such secret.
    func currentVersion(tenant: String, name: String, in store: any Queryable) throws -> Int64?
    /// The value of a version; nil when there is none (any more). - Throws: when the key ring is sealed.
    func value(tenant: String, name: String, version: Int64, in store: any Queryable) throws -> String?
}

/// What refers to a secret.
package struct SecretUse: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        /// An API whose live configuration does.
        case api
        /// A value in the settings of this process, named by its JSON pointer.
        case setting
    }

    package let kind: Kind
    package let name: String

    package init(_ kind: Kind, _ name: String) {
        self.kind = kind
        self.name = name
    }
}

/// Knows what refers to secrets. Offered by `deployments`, and of the platform's own by the composition root.
package protocol SecretUsers: Sendable {
    /// What `secret://name` would be missed by; of the platform's own secrets where the tenant is ''.
    func uses(of secret: String, tenant: String, in store: any Queryable) throws -> [SecretUse]
}
