/// The roles of the platform. `platform-admin` and `cpi-admin` reach all tenants; the others hold in the tenant of their grant.
package enum Role: String, Sendable, CaseIterable {
    /// Tenants, identity providers, secrets, quotas, environments; everything else too.
    case platformAdmin = "platform-admin"
    /// Approves promotions and manages APIs in all tenants.
    case cpiAdmin = "cpi-admin"
    /// Approves promotions and manages APIs in one tenant.
    case cpiTenant = "cpi-tenant"
    /// Imports, deploys, watches, rolls back.
    case devops
    /// Finds APIs, creates applications, subscribes, calls.
    case developer
    /// Runs operations and workflows; sees traffic and deployments.
    case operatorRole = "operator"
    /// Reads and verifies the audit log.
    case auditor
    /// Reads what is not sensitive.
    case viewer

    /// Whether a grant of this role names no tenant and reaches all of them.
    package var reachesAllTenants: Bool { self == .platformAdmin || self == .cpiAdmin }

    /// What the role allows. Default deny: what no pattern covers is refused.
    package var permissions: [Permission] {
        switch self {
        case .platformAdmin: [Permission("*", "*", "*")]
        case .cpiAdmin:
            Self.tenantManagement + [Permission("audit", "entry", "read"), Permission("identity", "user", "read")]
        case .cpiTenant: Self.tenantManagement + [Permission("identity", "user", "read")]
        case .devops:
            Self.reading + [
                Permission("catalog", "api", "*"), Permission("catalog", "plan", "*"), Permission("portal", "*", "*"),
                Permission("deployments", "deployment", "*"),
            ]
        case .developer:
            [
                Permission("catalog", "tenant", "read"), Permission("catalog", "environment", "read"),
                Permission("catalog", "api", "read"), Permission("catalog", "plan", "read"),
                Permission("portal", "*", "*"),
                Permission("deployments", "deployment", "read"), Permission("observability", "traffic", "read"),
            ]
        case .operatorRole: Self.reading + [Permission("observability", "*", "*")]
        case .auditor: Self.reading + [Permission("audit", "*", "*")]
        case .viewer: Self.reading
        }
    }

    private static let reading: [Permission] = [
        Permission("catalog", "*", "read"), Permission("portal", "*", "read"), Permission("deployments", "*", "read"),
        Permission("events", "topic", "read"), Permission("observability", "*", "read"),
    ]

    private static let tenantManagement: [Permission] =
        reading + [
            Permission("catalog", "api", "*"), Permission("catalog", "plan", "*"),
            Permission("catalog", "variable", "*"),
            Permission("portal", "*", "*"), Permission("deployments", "*", "*"), Permission("promotions", "*", "*"),
        ]
}
