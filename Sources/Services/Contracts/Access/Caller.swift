package import EventLog

/// A role held somewhere: in one tenant, or in all of them.
package struct Grant: Sendable, Hashable {
    package let role: Role
    /// The tenant the role holds in; nil is every tenant and only roles that reach all tenants have it.
    package let tenant: String?
    /// The group by which it is held; nil when it was given to the caller.
    package let group: String?
    /// The identity provider that says so; nil when it was given here.
    package let provider: String?

    package init(role: Role, tenant: String?, group: String? = nil, provider: String? = nil) {
        self.role = role
        self.tenant = role.reachesAllTenants ? nil : tenant
        self.group = group
        self.provider = provider
    }

    /// How a decision names it.
    package var description: String {
        let scope: String = self.tenant.map { "tenant \($0)" } ?? "all tenants"
        let source: String =
            self.group.map { " by group \($0)" } ?? self.provider.map { " by identity provider \($0)" } ?? ""
        return "role \(self.role.rawValue) in \(scope)\(source)"
    }
}

/// Who sends a request, as established by authentication. Carries no credential.
package struct Caller: Sendable {
    package enum Kind: String, Sendable {
        case user
        case serviceAccount = "service-account"
        case gateway
        /// A gateway whose token only lets it ask for its certificate.
        case enrollingGateway = "enrolling-gateway"
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
    /// The token that was presented in place of a sign-in, and what it is limited to.
    package let token: TokenLimits?
    /// The one gateway that a gateway's certificate is for; nil: any of its group, by a token.
    package let gateway: String?
    /// Roles that count once a second factor was shown, by a policy: nothing is allowed by them now.
    package let withheld: [Grant]

    package init(
        kind: Kind, id: String, grants: [Grant], sessionID: String? = nil, ip: String, token: TokenLimits? = nil,
        gateway: String? = nil, withheld: [Grant] = []
    ) {
        self.gateway = gateway
        self.withheld = withheld
        self.kind = kind
        self.id = id
        self.grants = grants
        self.sessionID = sessionID
        self.ip = ip
        self.token = token
    }

    /// The platform acting on its own behalf (consumers, jobs, the demo's set-up).
    package static func platform(_ part: String) -> Caller {
        Caller(kind: .platform, id: part, grants: [Grant(role: .platformAdmin, tenant: nil)], ip: "")
    }

    /// How this caller appears in an audit entry about something of `tenant`.
    package func actor(tenant: String) -> AuditEntry.Actor {
        AuditEntry.Actor(
            userID: self.id, ip: self.ip.isEmpty ? nil : self.ip, tenant: tenant,
            subject: self.id == Self.anonymousID ? Self.subject(ofAddress: self.ip) : nil)
    }

    /// Who sends a request without a credential.
    package static let anonymousID: String = "anonymous"

    /// Under what an address that nobody signed in from is known: its owner may ask for erasure like a user.
    package static func subject(ofAddress ip: String) -> String { "address:\(ip)" }

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
    /// - Parameters:
    ///   - tenant: the tenant of what is touched; nil for platform-wide things, which only grants over all tenants reach.
    ///   - environment: the environment of what is touched, where it has one.
    ///   - labels: those of the API that is touched, read in the transaction or snapshot of what the decision is for; nil where it is
    ///     about no one API, or not known yet: then no condition by label holds.
    package func decide(
        _ permission: Permission, tenant: String?, environment: String? = nil, labels: APILabels? = nil
    ) -> AccessDecision {
        if let token: TokenLimits = self.token, !token.allow(permission) {
            return AccessDecision(isAllowed: false, rule: "the token \(token.id) is not for \(permission)")
        }
        return Self.decide(permission, by: self.grants, tenant: tenant, environment: environment, labels: labels)
    }

    private static func decide(
        _ permission: Permission, by grants: [Grant], tenant: String?, environment: String?, labels: APILabels?
    ) -> AccessDecision {
        var refusal: String?
        for grant in grants where grant.tenant == nil || grant.tenant == tenant {
            let conditions: RoleConditions = grant.role.conditions
            for pattern in grant.role.permissions where pattern.covers(permission) {
                guard let condition: String = conditions.refusal(environment: environment, labels: labels) else {
                    let limit: String = conditions.labels.isEmpty ? "" : " \(conditions.labelsText)"
                    return AccessDecision(isAllowed: true, rule: "\(grant.description) allows \(pattern)\(limit)")
                }
                refusal = refusal ?? "\(grant.description) allows \(pattern) \(condition)"
            }
        }
        return AccessDecision(
            isAllowed: false, rule: refusal ?? "no role of the caller allows \(permission) (default deny)")
    }

    /// Whether it is the same one as before, with the same roles: what was decided then still holds.
    package func isAs(_ before: Caller) -> Bool {
        self.kind == before.kind && self.id == before.id && Set(self.grants) == Set(before.grants)
    }

    /// The caller as it would be, had it shown a second factor.
    package var afterSecondFactor: Caller {
        Caller(
            kind: self.kind, id: self.id, grants: self.grants + self.withheld, sessionID: self.sessionID, ip: self.ip,
            token: self.token)
    }

    // MARK: Labels

    /// Whether what the caller may do in the tenant can depend on the labels of an API: for others none are looked at.
    package func dependsOnLabels(in tenant: String?) -> Bool {
        for grant in self.grants where grant.tenant == nil || grant.tenant == tenant {
            if !grant.role.conditions.labels.isEmpty { return true }
        }
        return false
    }

    /// Whether some grant allows it there for APIs with some labels: what can be said before they are known.
    package func mayBeAllowed(_ permission: Permission, tenant: String?, environment: String?) -> Bool {
        if let token: TokenLimits = self.token, !token.allow(permission) { return false }
        for grant in self.grants where grant.tenant == nil || grant.tenant == tenant {
            guard grant.role.conditions.refusal(environment: environment) == nil else { continue }
            if grant.role.permissions.contains(where: { $0.covers(permission) }) { return true }
        }
        return false
    }

    /// Whether an API with these labels is there for the caller. Without conditions by label it is for everybody with a role in the
    /// tenant; else for whom one of those conditions holds, or who may do something to every API.
    package func sees(_ labels: APILabels, tenant: String) -> Bool {
        var (isThere, isConditional): (Bool, Bool) = (false, false)
        for grant in self.grants where grant.tenant == nil || grant.tenant == tenant {
            isThere = true
            let conditions: RoleConditions = grant.role.conditions
            if conditions.labels.isEmpty {
                if grant.role.permissions.contains(where: { $0.concernsAPIs }) { return true }
            } else {
                if conditions.refusal(labels: labels) == nil { return true }
                isConditional = true
            }
        }
        return isThere && !isConditional
    }

    /// What the caller could do to an API with the labels `new` that they cannot do with `old`, as a rule; nil: nothing. Nobody widens
    /// their own reach by giving an API other labels, also not what a second factor or another token would add to it.
    package func gain(from old: APILabels, to new: APILabels, tenant: String) -> String? {
        let grants: [Grant] = self.grants + self.withheld
        for grant in grants where grant.tenant == nil || grant.tenant == tenant {
            let conditions: RoleConditions = grant.role.conditions
            guard conditions.refusal(labels: new) == nil, conditions.refusal(labels: old) != nil else { continue }
            let environments: [String?] = conditions.environments.isEmpty ? [nil] : conditions.environments
            for pattern in grant.role.permissions {
                for environment in environments {
                    let before: AccessDecision = Self.decide(
                        pattern, by: grants, tenant: tenant, environment: environment, labels: old)
                    if !before.isAllowed {
                        return "\(grant.description) would allow \(pattern) \(conditions.labelsText)"
                    }
                }
            }
        }
        return nil
    }

    /// Whether some grant allows it in some environment and for some API: what can be said before these are known.
    package func mayBeAllowed(_ permission: Permission, tenant: String?) -> Bool {
        if let token: TokenLimits = self.token, !token.allow(permission) { return false }
        for grant in self.grants where grant.tenant == nil || grant.tenant == tenant {
            if grant.role.permissions.contains(where: { $0.covers(permission) }) { return true }
        }
        return false
    }
}

/// What a personal token or one of a service account is limited to.
package struct TokenLimits: Sendable {
    package let id: String
    /// Patterns; what none covers is refused, whatever the roles of its owner allow.
    package let scopes: [Permission]

    package init(id: String, scopes: [Permission]) {
        self.id = id
        self.scopes = scopes
    }

    /// Whether some scope is for something of a service: what is asked where an operation shows each caller their own.
    package func reach(service: String) -> Bool {
        self.scopes.contains { $0.service == "*" || $0.service == service }
    }

    func allow(_ permission: Permission) -> Bool { self.scopes.contains { $0.covers(permission) } }
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

    /// Who shows a certificate with this SHA-256 on the connection; TLS has checked by whom it was issued.
    ///
    /// - Returns: the caller, or nil when it is nobody's here, has ended or was revoked.
    func authenticate(certificate fingerprint: [UInt8], ip: String) async -> Caller?

    /// Whether a certificate that is shown on the connection was revoked here: TLS goes by who issued it, and when it ends.
    ///
    /// - Throws: when it cannot be looked up.
    func isRevoked(certificate fingerprint: [UInt8]) async throws -> Bool

    /// Whether the caller has a second factor, or needs one, and has not shown it lately: critical operations wait for it.
    ///
    /// - Parameter enrolling: whether the operation sets up factors: then who has none must have signed in lately.
    func isStepUpDue(for caller: Caller, enrolling: Bool) async -> Bool
}

extension Authenticator {
    package func authenticate(certificate fingerprint: [UInt8], ip: String) async -> Caller? { nil }

    package func isRevoked(certificate fingerprint: [UInt8]) async throws -> Bool { false }

    package func isStepUpDue(for caller: Caller, enrolling: Bool) async -> Bool { false }
}
