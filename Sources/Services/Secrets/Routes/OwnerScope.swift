import Contracts
import REST

/// Where things of one kind are: a tenant's below `/v1/tenants/{tenant}`, the platform's own below `/v1`.
struct OwnerScope {
    let path: String
    /// In the names of operations.
    let word: String
    let whose: String
    let read: Route.Access
    let write: Route.Access
    /// What lets others in everywhere asks for the second factor again.
    let isCritical: Bool

    /// Both, the tenant's first.
    ///
    /// - Parameters:
    ///   - things: the last part of the path.
    ///   - resource: in permissions; those of the platform's own begin with `platform-`.
    static func both(_ things: String, resource: String) -> [OwnerScope] {
        [
            OwnerScope(
                path: "/v1/tenants/{tenant}/\(things)", word: "", whose: "the tenant's",
                read: .tenant(Permission("secrets", resource, "read")),
                write: .tenant(Permission("secrets", resource, "write")), isCritical: false),
            OwnerScope(
                path: "/v1/\(things)", word: "Platform", whose: "the platform's own",
                read: .platform(Permission("secrets", "platform-\(resource)", "read")),
                write: .platform(Permission("secrets", "platform-\(resource)", "write")), isCritical: true),
        ]
    }

    /// The address of one of them.
    static func location(_ things: String, _ id: String, tenant: String) -> String {
        tenant.isEmpty ? "/v1/\(things)/\(id)" : "/v1/tenants/\(tenant)/\(things)/\(id)"
    }
}
