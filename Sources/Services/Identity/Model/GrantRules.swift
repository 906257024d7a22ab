import Contracts
import Identifiers
import JSON
import REST
import Store

/// Who may give which roles: nobody gives what reaches further than the own authority.
enum GrantRules {
    /// Most grants of one user.
    static let countMax: Int = 64

    static let schema: JSONValue = Schema.array(
        Schema.object(
            ["role": Schema.text(min: 1, max: 63), "tenant": Schema.text(min: 1, max: 63)],
            required: ["role"]), max: countMax)

    /// Reads the roles of a group or a service account: of `tenant`, or of the platform where that is empty. The names stand in
    /// `/roles` of a body that the schema has checked.
    static func roles(_ value: JSONValue?, tenant: String, in store: any Queryable) throws -> [Role] {
        var roles: [Role] = []
        var errors: [InvalidField] = []
        for (index, element) in (value?.elements ?? []).enumerated() {
            let name: String = element.text ?? ""
            guard let role: Role = try RoleTable.find(name, tenant: tenant, in: store) else {
                errors.append(InvalidField("/roles/\(index)", "there is no role '\(name)'"))
                continue
            }
            if role.reachesAllTenants != tenant.isEmpty {
                errors.append(
                    InvalidField(
                        "/roles/\(index)",
                        tenant.isEmpty
                            ? "\(name) holds in a tenant: name one" : "\(name) reaches all tenants: name no tenant"))
            }
            if !roles.contains(role) { roles.append(role) }
        }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The roles are not valid.", errors: errors) }
        return roles
    }

    /// The names of the roles of a group or a service account.
    static let namesSchema: JSONValue = Schema.array(Schema.text(min: 1, max: 63), max: 16)

    /// Refuses tokens where somebody must have signed in: what a token may do must not outlive it.
    static func requireSignIn(_ caller: Caller) throws {
        guard caller.token == nil else {
            throw APIProblem(.forbidden, "A token cannot do this. Sign in.")
        }
    }

    /// Reads grants from a body that the schema has checked.
    static func read(_ value: JSONValue?, pointer: String, in store: any Queryable) throws -> [Grant] {
        var grants: [Grant] = []
        var errors: [InvalidField] = []
        for (index, element) in (value?.elements ?? []).enumerated() {
            let tenant: String? = element["tenant"]?.text
            let name: String = element["role"]?.text ?? ""
            guard let role: Role = try RoleTable.find(name, tenant: tenant ?? "", in: store) else {
                errors.append(InvalidField("\(pointer)/\(index)/role", "there is no role '\(name)'"))
                continue
            }
            if role.reachesAllTenants != (tenant == nil) {
                errors.append(
                    InvalidField(
                        "\(pointer)/\(index)/tenant",
                        role.reachesAllTenants ? "\(role.rawValue) reaches all tenants: leave it out" : "required"))
            } else if let tenant: String, let problem: String = Slug.validate(tenant) {
                errors.append(InvalidField("\(pointer)/\(index)/tenant", problem))
            }
            let grant: Grant = Grant(role: role, tenant: tenant)
            if !grants.contains(grant) { grants.append(grant) }
        }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The grants are not valid.", errors: errors) }
        return grants
    }

    /// The roles of a user that `caller` may know of: those in tenants whose users the caller reads; of the own ones all.
    static func visible(_ grants: [Grant], of userID: String, to caller: Caller) -> [Grant] {
        if userID == caller.id { return grants }
        let read: Permission = Permission("identity", "user", "read")
        return grants.filter { caller.decide(read, tenant: $0.tenant).isAllowed }
    }

    /// Whether `caller` may move a user from the grants `old` to `new`: every grant that is given or taken must be one the
    /// caller decides over. Platform administrators decide over all; a `cpi-tenant` over the roles of the own tenant.
    static func requireAuthority(of caller: Caller, from old: [Grant], to new: [Grant]) throws {
        let changed: [Grant] = old.filter { !new.contains($0) } + new.filter { !old.contains($0) }
        for grant in changed {
            guard Self.decides(caller, over: grant) else {
                throw APIProblem(
                    .forbidden,
                    "You cannot give or take the role \(grant.role.rawValue)\(grant.tenant.map { " in \($0)" } ?? "").")
            }
        }
    }

    /// Whether `caller` may give and take `grant`.
    static func decides(_ caller: Caller, over grant: Grant) -> Bool {
        guard caller.decide(Self.give, tenant: grant.tenant).isAllowed else { return false }
        if caller.decide(Permission("*", "*", "*"), tenant: nil).isAllowed { return true }
        if grant.role.reachesAllTenants { return false }
        // Who manages the tenant decides over the platform's own roles there; beyond that nobody gives what they do not have.
        if grant.role.isBuiltIn, Self.manages(caller, grant.tenant) { return true }
        return grant.role.permissions.allSatisfy { caller.decide($0, tenant: grant.tenant).isAllowed }
    }

    private static func manages(_ caller: Caller, _ tenant: String?) -> Bool {
        Role.cpiTenant.permissions.allSatisfy { caller.decide($0, tenant: tenant).isAllowed }
    }

    /// What one needs, in the tenant, to give and take roles there.
    static let give: Permission = Permission("identity", "grant", "write")

    /// Whether `caller` gives roles anywhere.
    static func givesSome(_ caller: Caller) -> Bool {
        caller.grants.contains { caller.decide(Self.give, tenant: $0.tenant).isAllowed }
    }
}
