import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Time

/// Whether somebody whom a provider vouches for comes in.
enum ProviderAdmission: Sendable {
    /// - isChanged: whether the user is new or has other roles than before: what is remembered of the user is to be forgotten.
    case user(User, isChanged: Bool)
    /// Nobody here: has no role by the rules, is disabled, or comes too late.
    case refused

    /// Users with the same name that are passed over before the provider's word for the person is given up.
    private static let namesTriedMax: Int = 100

    /// Finds the user of a person, makes one the first time, and gives and takes the roles that the provider says.
    ///
    /// The person is found by issuer and subject only: a name or an address that somebody has at a provider opens nobody's account
    /// here. What was said before the last word on roles changes nothing.
    ///
    /// - Parameter isSignIn: whether the person has just shown who they are; a token that was made before the user's sessions were
    ///   ended does not count.
    static func admit(
        _ person: ProviderPerson, makesUsers: Bool, isSignIn: Bool, ip: String, trace: TraceContext,
        in transaction: Transaction
    ) throws -> ProviderAdmission {
        let roles: [MappedRole] = try Self.usable(person.roles, in: transaction)
        guard let known: ProviderIdentity = try ProviderTable.find(person.identity, in: transaction) else {
            guard makesUsers, !roles.isEmpty else { return .refused }
            return .user(try Self.make(person, roles, ip: ip, trace: trace, in: transaction), isChanged: true)
        }
        guard let user: User = try UserTable.find(known.userID, in: transaction), user.state == .active,
            isSignIn || person.saidAt >= known.tokensAfter
        else { return .refused }
        guard person.saidAt >= known.saidAt else { return .user(user, isChanged: false) }
        let before: Set<MappedRole> = try ProviderTable.roles(
            of: user.id, provider: person.provider, in: transaction)
        if person.saidAt > known.saidAt {
            try ProviderTable.said(person.identity, at: person.saidAt, in: transaction)
        }
        if Set(roles) == before { return .user(user, isChanged: false) }
        try ProviderTable.setRoles(roles, of: user.id, provider: person.provider, in: transaction)
        let author: Author = Self.author(user.id, ip: ip, trace: trace)
        let touched: Set<String> = Set((Array(before) + roles).map { $0.tenant ?? "" })
        for tenant in touched.sorted() {
            try Self.record(
                "role-changed", "user.roles-mapped", user.id, roles, person, tenant, author, in: transaction)
        }
        return .user(try UserTable.find(user.id, in: transaction) ?? user, isChanged: true)
    }

    /// Roles that are there and hold where the rules say.
    private static func usable(_ roles: [MappedRole], in store: any Queryable) throws -> [MappedRole] {
        try roles.filter { mapped in
            if let tenant: String = mapped.tenant, Slug.validate(tenant) != nil { return false }
            let role: Role? = try RoleTable.find(mapped.role, tenant: mapped.tenant ?? "", in: store)
            return role.map { $0.reachesAllTenants == (mapped.tenant == nil) } ?? false
        }
    }

    private static func make(
        _ person: ProviderPerson, _ roles: [MappedRole], ip: String, trace: TraceContext, in transaction: Transaction
    ) throws -> User {
        var name: String = person.userName
        var number: Int = 2
        while try UserTable.find(name, in: transaction) != nil {
            guard number <= Self.namesTriedMax else {
                name = "\(Identifier.make("user", now: transaction.now))@\(person.provider)"
                break
            }
            name = "\(person.userName)-\(number)"
            number += 1
        }
        let user: User = User(
            id: Identifier.make("usr", now: transaction.now), name: name, passwordHash: User.noPassword,
            state: .active, grants: [], createdAt: transaction.now, version: 1)
        try UserTable.insert(user, in: transaction)
        try ProviderTable.insert(
            ProviderIdentity(
                identity: person.identity, userID: user.id, provider: person.provider, saidAt: person.saidAt,
                tokensAfter: Timestamp(milliseconds: 0)), in: transaction)
        try ProviderTable.setRoles(roles, of: user.id, provider: person.provider, in: transaction)
        let author: Author = Self.author(user.id, ip: ip, trace: trace)
        for tenant in Set(roles.map { $0.tenant ?? "" }).sorted() {
            try Self.record("user-created", "user.created", user.id, roles, person, tenant, author, in: transaction)
        }
        return try UserTable.find(user.id, in: transaction) ?? user
    }

    private static func author(_ user: String, ip: String, trace: TraceContext) -> Author {
        Author(caller: Caller(kind: .user, id: user, grants: [], ip: ip), trace: trace)
    }

    /// One event and one entry for each tenant that is concerned, each with that tenant's roles only.
    private static func record(
        _ event: String, _ audit: String, _ user: String, _ roles: [MappedRole], _ person: ProviderPerson,
        _ tenant: String, _ author: Author, in transaction: Transaction
    ) throws {
        try author.publish(
            Topics.identityEvents, key: user, tenant: tenant,
            [
                "event": .string(event), "user_id": .string(user), "tenant": .string(tenant),
                "by": .string(author.caller.id),
            ], in: transaction)
        let held: [JSONValue] = roles.filter { ($0.tenant ?? "") == tenant }.map { role in
            var object: JSONObject = ["role": .string(role.role), "provider": .string(person.provider)]
            if let tenant: String = role.tenant { object["tenant"] = .string(tenant) }
            return .object(object)
        }
        let resource: AuditEntry.Resource =
            event == "user-created"
            ? AuditEntry.Resource(type: "user", id: user, version: 1)
            : AuditEntry.Resource(type: "provider-roles", id: "\(person.provider)/\(user)")
        let changes: JSONObject =
            event == "user-created"
            ? ["id": .string(user), "state": "active", "grants": .array([]), "provider_roles": .array(held)]
            : ["user_id": .string(user), "provider": .string(person.provider), "roles": .array(held)]
        try author.audit(audit, tenant: tenant, resource: resource, changes: changes, in: transaction)
    }
}
