import Contracts
import Identifiers
import JSON
import REST

/// Who may give which roles: nobody gives what reaches further than the own authority.
enum GrantRules {
    /// Most grants of one user.
    static let countMax: Int = 64

    static let schema: JSONValue = Schema.array(
        Schema.object(
            ["role": Schema.choice(Role.allCases.map(\.rawValue)), "tenant": Schema.text(min: 1, max: 63)],
            required: ["role"]), max: countMax)

    /// Reads grants from a body that the schema has checked.
    static func read(_ value: JSONValue?, pointer: String) throws -> [Grant] {
        var grants: [Grant] = []
        var errors: [InvalidField] = []
        for (index, element) in (value?.elements ?? []).enumerated() {
            guard let role: Role = Role(rawValue: element["role"]?.text ?? "") else { continue }
            let tenant: String? = element["tenant"]?.text
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
        let isPlatformAdmin: Bool = caller.grants.contains { $0.role == .platformAdmin }
        if isPlatformAdmin { return }
        let changed: [Grant] = old.filter { !new.contains($0) } + new.filter { !old.contains($0) }
        for grant in changed {
            let decides: Bool =
                !grant.role.reachesAllTenants
                && caller.grants.contains {
                    $0.role == .cpiAdmin || ($0.role == .cpiTenant && $0.tenant == grant.tenant)
                }
            guard decides else {
                throw APIProblem(
                    .forbidden,
                    "You cannot give or take the role \(grant.role.rawValue)\(grant.tenant.map { " in \($0)" } ?? "").")
            }
        }
    }
}
