package import EventLog

/// A role held somewhere: in one tenant, or in all of them.
package struct Grant: Sendable, Hashable {
    package let role: Role
    /// The tenant the role holds in; nil is every tenant and only roles that reach all tenants have it.
    package let tenant: String?

    package init(role: Role, tenant: String?) {
        self.role = role
        self.tenant = role.reachesAllTenants ? nil : tenant
    }
}

/// Who sends a request, as established by authentication. Carries no credential.
package struct Caller: Sendable {
    package enum Kind: String, Sendable {
        case user
        case serviceAccount = "service-account"
        case gateway
        case platform
    }

    package let kind: Kind
    /// Opaque id: `usr_…` for people; the id of the gateway or the service otherwise.
    package let id: String
    package let grants: [Grant]
    /// The session the credential belongs to, where there is one.
    package let sessionID: String?
    /// Address the request came from, as text without port.
    package let ip: String

    package init(kind: Kind, id: String, grants: [Grant], sessionID: String? = nil, ip: String) {
        self.kind = kind
        self.id = id
        self.grants = grants
        self.sessionID = sessionID
        self.ip = ip
    }

    /// The platform acting on its own behalf (consumers, jobs, the demo's set-up).
    package static func platform(_ part: String) -> Caller {
        Caller(kind: .platform, id: part, grants: [Grant(role: .platformAdmin, tenant: nil)], ip: "")
    }

    /// How this caller appears in an audit entry about something of `tenant`.
    package func actor(tenant: String) -> AuditEntry.Actor {
        AuditEntry.Actor(userID: self.id, ip: self.ip.isEmpty ? nil : self.ip, tenant: tenant)
    }

    /// Whether the caller holds any role that reaches `tenant`. Without one the tenant does not exist for the caller.
    package func reaches(tenant: String) -> Bool {
        for grant in self.grants where grant.tenant == nil || grant.tenant == tenant { return true }
        return false
    }

    /// Whether the caller reaches every tenant.
    package var reachesAllTenants: Bool {
        for grant in self.grants where grant.tenant == nil { return true }
        return false
    }

    /// The tenants the caller's grants name; meaningless when `reachesAllTenants`.
    package var tenants: [String] {
        var names: Set<String> = []
        for grant in self.grants { if let tenant: String = grant.tenant { names.insert(tenant) } }
        return names.sorted()
    }

    /// Decides, and says by which rule. This is the one place where access is decided.
    ///
    /// - Parameter tenant: the tenant of what is touched; nil for platform-wide things, which only grants over all tenants reach.
    package func decide(_ permission: Permission, tenant: String?) -> AccessDecision {
        for grant in self.grants where grant.tenant == nil || grant.tenant == tenant {
            for pattern in grant.role.permissions where pattern.covers(permission) {
                let scope: String = grant.tenant.map { "tenant \($0)" } ?? "all tenants"
                return AccessDecision(
                    isAllowed: true, rule: "role \(grant.role.rawValue) in \(scope) allows \(pattern)")
            }
        }
        return AccessDecision(isAllowed: false, rule: "no role of the caller allows \(permission) (default deny)")
    }
}

/// The answer to "may this caller do that", with the rule that decided.
package struct AccessDecision: Sendable, Equatable {
    package let isAllowed: Bool
    package let rule: String

    package init(isAllowed: Bool, rule: String) {
        self.isAllowed = isAllowed
        self.rule = rule
    }
}

/// Turns a bearer token into a caller. Offered by `identity`, used by the REST layer.
package protocol Authenticator: Sendable {
    /// - Returns: the caller, or nil when the token is unknown, expired, revoked or malformed (the caller learns no more).
    func authenticate(bearer token: String, ip: String) async -> Caller?
}
