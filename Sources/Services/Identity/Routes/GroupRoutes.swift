import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension IdentityService {
    private static let read: Route.Access = .scoped(Permission("identity", "group", "read"))
    private static let write: Route.Access = .scoped(Permission("identity", "group", "write"))

    var groupRoutes: [Route] {
        let one: String = "/v1/groups/{group}"
        return [
            Route(
                "POST", "/v1/groups", operationID: "createGroup", tag: Self.name,
                summary: "Creates a group of a tenant, or of the platform when none is named", access: Self.write,
                isCritical: true,
                query: [.tenant],
                body: .json(
                    Schema.object(
                        ["name": Schema.text(min: 1, max: 63), "roles": GrantRules.namesSchema],
                        required: ["name", "roles"])), answers: [Answer(201, "The group")]
            ) { try await Self.createGroup($0) },
            Route(
                "GET", "/v1/groups", operationID: "listGroups", tag: Self.name,
                summary: "The groups of a tenant, or the platform's own when none is named", access: Self.read,
                query: [.tenant] + QueryParameter.page, answers: [Answer(200, "Groups by name")]
            ) { context in
                let page: Page = try context.page()
                let tenant: String = context.scope ?? ""
                let found: [Group] = try await context.read {
                    try GroupTable.all(tenant: tenant, after: page.after ?? "", limit: page.limit + 1, in: $0)
                }
                return .json(page.envelope(found, key: { $0.name }, json: { $0.json }))
            },
            Route(
                "GET", one, operationID: "getGroup", tag: Self.name, summary: "One group", access: Self.read,
                query: [.tenant], answers: [Answer(200, "The group")]
            ) { context in
                let group: Group = try await context.read { try Self.group(context, in: $0) }
                return .json(group.json, version: group.version)
            },
            Route(
                "PATCH", one, operationID: "updateGroup", tag: Self.name,
                summary: "Sets the roles that members hold", access: Self.write, isCritical: true, query: [.tenant],
                body: .json(Schema.object(["roles": GrantRules.namesSchema], required: ["roles"])),
                answers: [Answer(200, "The group")]
            ) { [self] in try await self.updateGroup($0) },
            Route(
                "DELETE", one, operationID: "deleteGroup", tag: Self.name,
                summary: "Deletes a group; its members lose what they held by it", access: Self.write, isCritical: true,
                query: [.tenant], answers: [Answer(204, "Deleted")]
            ) { [self] in try await self.deleteGroup($0) },
            Route(
                "GET", "\(one)/members", operationID: "listMembers", tag: Self.name, summary: "Who is in a group",
                access: Self.read, query: [.tenant] + QueryParameter.page, answers: [Answer(200, "Users by id")]
            ) { context in
                let page: Page = try context.page()
                let found: [String] = try await context.read { reader in
                    try GroupTable.members(
                        of: try Self.group(context, in: reader), after: page.after ?? "", limit: page.limit + 1,
                        in: reader)
                }
                return .json(page.envelope(found, key: { $0 }, json: { .object(["user_id": .string($0)]) }))
            },
            Route(
                "PUT", "\(one)/members/{user}", operationID: "addMember", tag: Self.name,
                summary: "Puts a user into a group", access: Self.write, isCritical: true, query: [.tenant],
                answers: [Answer(204, "The user is a member")]
            ) { [self] in try await self.setMember($0, isMember: true) },
            Route(
                "DELETE", "\(one)/members/{user}", operationID: "removeMember", tag: Self.name,
                summary: "Takes a user out of a group", access: Self.write, isCritical: true, query: [.tenant],
                answers: [Answer(204, "The user is no member")]
            ) { [self] in try await self.setMember($0, isMember: false) },
        ]
    }

    private static func group(_ context: RequestContext, in store: any Queryable) throws -> Group {
        let reference: String = context.parameter("group")
        guard let group: Group = try GroupTable.find(reference, tenant: context.scope ?? "", in: store) else {
            throw APIProblem.notFound("group", reference)
        }
        return group
    }

    private static func createGroup(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let tenant: String = context.scope ?? ""
        let name: String = context.body["name"]?.text ?? ""
        if let problem: String = Slug.validate(name) { throw APIProblem.invalid("/name", problem) }
        return try await context.change { transaction in
            let group: Group = Group(
                tenant: tenant, id: Identifier.make("grp", now: transaction.now), name: name,
                roles: try GrantRules.roles(context.body["roles"], tenant: tenant, in: transaction),
                createdAt: transaction.now, version: 1)
            try GrantRules.requireAuthority(of: author.caller, from: [], to: group.grants)
            guard try GroupTable.find(name, tenant: tenant, in: transaction) == nil else {
                throw APIProblem.conflict("There is a group '\(name)' already.")
            }
            try TenantQuota.groups.require(
                tenant: tenant, counting: "FROM user_groups WHERE tenant = $1", in: transaction)
            try GroupTable.insert(group, in: transaction)
            try Self.audit("group.created", group, group.audited, author, in: transaction)
            return .created(group.json, location: "/v1/groups/\(group.id)", version: 1)
        }
    }

    private func updateGroup(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let answer: HTTPResponse = try await self.services.store.write { transaction in
            let old: Group = try Self.group(context, in: transaction)
            try context.requireMatch(version: old.version)
            let group: Group = Group(
                tenant: old.tenant, id: old.id, name: old.name,
                roles: try GrantRules.roles(context.body["roles"], tenant: old.tenant, in: transaction),
                createdAt: old.createdAt, version: old.version + 1)
            try GrantRules.requireAuthority(of: author.caller, from: old.grants, to: group.grants)
            try GroupTable.update(group, in: transaction)
            try Self.audit("group.updated", group, group.audited, author, in: transaction)
            try Self.publishMembers(of: group, author, in: transaction)
            return .json(group.json, version: group.version)
        }
        self.tokens.forgetAllGrants()
        return answer
    }

    private func deleteGroup(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try await self.services.store.write { transaction in
            let group: Group = try Self.group(context, in: transaction)
            try context.requireMatch(version: group.version)
            try GrantRules.requireAuthority(of: author.caller, from: group.grants, to: [])
            try Self.publishMembers(of: group, author, in: transaction)
            try GroupTable.delete(group, in: transaction)
            try Self.audit("group.deleted", group, group.audited, author, in: transaction)
        }
        self.tokens.forgetAllGrants()
        return .noContent
    }

    /// Who puts somebody into a group gives the group's roles, who takes somebody out takes them: the caller decides over them all.
    private func setMember(_ context: RequestContext, isMember: Bool) async throws -> HTTPResponse {
        let author: Author = context.author
        let user: String = try await self.services.store.write { transaction in
            let group: Group = try Self.group(context, in: transaction)
            let user: User = try Self.visibleUser(context, in: transaction)
            try GrantRules.requireAuthority(of: author.caller, from: [], to: group.grants)
            if isMember, try GroupTable.memberCount(of: group, in: transaction) >= Group.membersMax {
                throw APIProblem.conflict("The group has \(Group.membersMax) members already.")
            }
            if isMember, !group.tenant.isEmpty {
                try UserTable.requireRoom(for: user.id, in: [group.tenant], in: transaction)
            }
            let hasChanged: Bool =
                isMember
                ? try GroupTable.add(user.id, to: group, in: transaction)
                : try GroupTable.remove(user.id, from: group, in: transaction)
            guard hasChanged else { return user.id }
            try Self.audit(
                isMember ? "group.member-added" : "group.member-removed", group, ["user_id": .string(user.id)], author,
                in: transaction)
            try Self.publishRoleChange(of: user.id, tenant: group.tenant, author, in: transaction)
            return user.id
        }
        self.tokens.forget(userID: user)
        return .noContent
    }

    /// Takes a user out of every group, whoever may decide about them: the user goes for good.
    static func leaveGroups(_ user: String, _ author: Author, in transaction: Transaction) throws {
        for group in try GroupTable.all(ofMember: user, in: transaction) {
            guard try GroupTable.remove(user, from: group, in: transaction) else { continue }
            try Self.audit("group.member-removed", group, ["user_id": .string(user)], author, in: transaction)
            try Self.publishRoleChange(of: user, tenant: group.tenant, author, in: transaction)
        }
    }

    private static func publishMembers(of group: Group, _ author: Author, in transaction: Transaction) throws {
        for user in try GroupTable.members(of: group, after: "", limit: Group.membersMax, in: transaction) {
            try Self.publishRoleChange(of: user, tenant: group.tenant, author, in: transaction)
        }
    }

    static func publishRoleChange(
        of user: String, tenant: String, _ author: Author, in transaction: Transaction
    ) throws {
        try author.publish(
            Topics.identityEvents, key: user, tenant: tenant,
            [
                "event": "role-changed", "user_id": .string(user), "tenant": .string(tenant),
                "by": .string(author.caller.id),
            ], in: transaction)
    }

    private static func audit(
        _ event: String, _ group: Group, _ changes: JSONObject, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: group.tenant,
            resource: AuditEntry.Resource(type: "group", id: group.id, version: group.version), changes: changes,
            in: transaction)
    }
}
