import Contracts
import JSON
import Time

/// A program that calls the platform with tokens of its own. It belongs to a tenant, or to the platform, and never signs in.
struct ServiceAccount: Sendable {
    static let idPrefix: String = "sva_"

    /// Empty: the platform's.
    let tenant: String
    let id: String
    let name: String
    let state: User.State
    let roles: [Role]
    /// Who made it: whoever may not approve something may not have an account of theirs approve it.
    let createdBy: String
    let createdAt: Timestamp
    let version: Int64

    var grants: [Grant] { self.roles.map { Grant(role: $0, tenant: self.tenant.isEmpty ? nil : self.tenant) } }

    var json: JSONValue {
        .object([
            "id": .string(self.id), "tenant": self.tenant.isEmpty ? .null : .string(self.tenant),
            "name": .string(self.name), "state": .string(self.state.rawValue),
            "roles": .array(self.roles.map { JSONValue.string($0.rawValue) }), "created_by": .string(self.createdBy),
            "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    var audited: JSONObject {
        [
            "id": .string(self.id), "name": .string(self.name), "state": .string(self.state.rawValue),
            "roles": .array(self.roles.map { JSONValue.string($0.rawValue) }),
        ]
    }

    func changed(state: User.State?, roles: [Role]?) -> ServiceAccount {
        ServiceAccount(
            tenant: self.tenant, id: self.id, name: self.name, state: state ?? self.state, roles: roles ?? self.roles,
            createdBy: self.createdBy, createdAt: self.createdAt, version: self.version + 1)
    }
}

/// People who hold roles together: of a tenant with roles there, or of the platform with roles that reach all tenants.
struct Group: Sendable {
    static let idPrefix: String = "grp_"
    /// Members of one group at most.
    static let membersMax: Int = 10_000

    /// Empty: the platform's.
    let tenant: String
    let id: String
    let name: String
    let roles: [Role]
    let createdAt: Timestamp
    let version: Int64

    /// What each member holds by it.
    var grants: [Grant] {
        self.roles.map { Grant(role: $0, tenant: self.tenant.isEmpty ? nil : self.tenant, group: self.name) }
    }

    var json: JSONValue {
        .object([
            "id": .string(self.id), "tenant": self.tenant.isEmpty ? .null : .string(self.tenant),
            "name": .string(self.name), "roles": .array(self.roles.map { JSONValue.string($0.rawValue) }),
            "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    var audited: JSONObject {
        [
            "id": .string(self.id), "name": .string(self.name),
            "roles": .array(self.roles.map { JSONValue.string($0.rawValue) }),
        ]
    }
}
