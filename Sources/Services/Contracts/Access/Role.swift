/// What someone may do: permissions under a name, and where they hold. Default deny: what no permission covers is refused.
///
/// The platform's own roles are the constants here. `platform-admin` and `cpi-admin` reach all tenants; the others, and custom roles
/// always, hold in the tenant of their grant.
package struct Role: Sendable, Hashable {
    /// What grants name it by.
    package let rawValue: String
    /// What the role allows.
    package let permissions: [Permission]
    package let conditions: RoleConditions
    /// Whether a grant of this role names no tenant and reaches all of them.
    package let reachesAllTenants: Bool
    /// Whether it is one of the platform's own, which nobody can change.
    package let isBuiltIn: Bool

    /// A custom role.
    package init(custom name: String, permissions: [Permission], conditions: RoleConditions) {
        self.rawValue = name
        self.permissions = permissions
        self.conditions = conditions
        self.reachesAllTenants = false
        self.isBuiltIn = false
    }

    private init(_ name: String, _ permissions: [Permission], reachesAllTenants: Bool = false) {
        self.rawValue = name
        self.permissions = permissions
        self.conditions = RoleConditions()
        self.reachesAllTenants = reachesAllTenants
        self.isBuiltIn = true
    }

    /// One of the platform's own, by its name.
    package init?(rawValue: String) {
        guard let role: Role = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
        self = role
    }

    /// The platform's own roles.
    package static let allCases: [Role] = [
        platformAdmin, cpiAdmin, cpiTenant, devops, developer, operatorRole, auditor, viewer,
    ]

    /// Tenants, identity providers, secrets, quotas, environments; everything else too.
    package static let platformAdmin: Role = Role(
        "platform-admin", [Permission("*", "*", "*")], reachesAllTenants: true)

    /// Approves promotions and manages APIs in all tenants.
    package static let cpiAdmin: Role = Role(
        "cpi-admin", tenantManagement + [Permission("audit", "entry", "read")], reachesAllTenants: true)

    /// Approves promotions and manages APIs in one tenant.
    package static let cpiTenant: Role = Role("cpi-tenant", tenantManagement)

    /// Imports, deploys, watches, rolls back.
    package static let devops: Role = Role(
        "devops",
        reading + [
            Permission("catalog", "api", "*"), Permission("catalog", "plan", "*"), Permission("portal", "*", "*"),
            Permission("deployments", "deployment", "*"), Permission("secrets", "secret", "*"),
            Permission("secrets", "certificate", "*"),
        ])

    /// Finds APIs, creates applications, subscribes, calls.
    package static let developer: Role = Role(
        "developer",
        [
            Permission("catalog", "tenant", "read"), Permission("catalog", "environment", "read"),
            Permission("catalog", "api", "read"), Permission("catalog", "plan", "read"), Permission("portal", "*", "*"),
            Permission("deployments", "deployment", "read"), Permission("observability", "traffic", "read"),
        ])

    /// Runs operations and workflows; sees traffic and deployments.
    package static let operatorRole: Role = Role("operator", reading + [Permission("observability", "*", "*")])

    /// Reads and verifies the audit log.
    package static let auditor: Role = Role("auditor", reading + [Permission("audit", "*", "*")])

    /// Reads what is not sensitive.
    package static let viewer: Role = Role("viewer", reading)

    private static let reading: [Permission] = [
        Permission("catalog", "*", "read"), Permission("portal", "*", "read"), Permission("deployments", "*", "read"),
        Permission("events", "topic", "read"), Permission("observability", "*", "read"),
        Permission("secrets", "certificate", "read"),
    ]

    private static let tenantManagement: [Permission] =
        reading + [
            Permission("catalog", "api", "*"), Permission("catalog", "plan", "*"),
            Permission("catalog", "variable", "*"), Permission("portal", "*", "*"), Permission("deployments", "*", "*"),
            Permission("promotions", "*", "*"), Permission("identity", "user", "read"),
            Permission("identity", "grant", "write"), Permission("identity", "group", "*"),
            Permission("identity", "service-account", "*"), Permission("identity", "role", "*"),
            Permission("identity", "client", "*"), Permission("identity", "second-factor", "*"),
            Permission("secrets", "secret", "*"), Permission("secrets", "certificate", "*"),
            Permission("tasks", "task", "read"),
        ]
}
