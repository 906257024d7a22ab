import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension IdentityService {
    private static let write: Route.Access = .scoped(Permission("identity", "role", "write"))
    /// Patterns of one role, and environments of its condition, at most.
    static let rolePermissionsMax: Int = 64
    static let roleEnvironmentsMax: Int = 16
    /// Labels of its condition, and values of one, at most.
    static let roleLabelsMax: Int = 8
    static let roleLabelValuesMax: Int = 16
    /// Users told of a change of a role they hold, at most; what counts is decided anew for all of them.
    static let roleChangesToldMax: Int = 1_000

    var customRoleRoutes: [Route] {
        [
            Route(
                "GET", "/v1/roles", operationID: "listRoles", tag: Self.name,
                summary: "The roles and what they allow: the platform's own, and the custom ones of a tenant",
                access: .authenticated, query: [.tenant], answers: [Answer(200, "Roles")]
            ) { try await Self.listRoles($0) },
            Route(
                "PUT", "/v1/roles/{role}", operationID: "putRole", tag: Self.name,
                summary: "Creates or replaces a custom role of a tenant, or for all tenants when none is named",
                access: Self.write, isCritical: true, query: [.tenant],
                body: .json(
                    Schema.object(
                        [
                            "permissions": Schema.array(Schema.text(min: 5, max: 128), max: Self.rolePermissionsMax),
                            "conditions": Schema.object([
                                "environments": Schema.array(
                                    Schema.text(min: 1, max: 63), max: Self.roleEnvironmentsMax),
                                "labels": Self.labelsSchema,
                            ]),
                        ], required: ["permissions"])), answers: [Answer(200, "The role"), Answer(201, "The role")]
            ) { [self] in try await self.putRole($0) },
            Route(
                "DELETE", "/v1/roles/{role}", operationID: "deleteRole", tag: Self.name,
                summary: "Deletes a custom role that nobody holds", access: Self.write, isCritical: true,
                query: [.tenant],
                answers: [Answer(204, "Deleted")]
            ) { try await Self.deleteRole($0) },
        ]
    }

    /// Values by key: one, or a list of which an API must have one.
    private static let labelsSchema: JSONValue = .object([
        "type": "object", "maxProperties": .int(Int64(roleLabelsMax)),
        "additionalProperties": .object([
            "type": ["string", "array"], "maxLength": .int(Int64(APILabels.lengthMax)),
            "maxItems": .int(Int64(roleLabelValuesMax)), "minItems": 1,
            "items": Schema.text(max: APILabels.lengthMax),
        ]),
    ])

    private static func listRoles(_ context: RequestContext) async throws -> HTTPResponse {
        let tenant: String? = context.query["tenant"]
        if let tenant: String, !context.caller.reaches(tenant: tenant) { throw APIProblem.notFound("tenant", tenant) }
        let custom: [StoredRole] = try await context.read { reader in
            try RoleTable.all(tenant: "", in: reader)
                + (tenant.map { try RoleTable.all(tenant: $0, in: reader) } ?? [])
        }
        let items: [JSONValue] = Role.allCases.map { $0.json(tenant: nil) } + custom.map { $0.json }
        return .json(.object(["items": .array(items), "next": .null]))
    }

    private func putRole(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let tenant: String = context.scope ?? ""
        let role: Role = try Self.role(context)
        let answer: HTTPResponse = try await self.services.store.write { transaction in
            let old: StoredRole? = try RoleTable.stored(role.rawValue, tenant: tenant, in: transaction)
            if let old: StoredRole { try context.requireMatch(version: old.version) }
            if !tenant.isEmpty, try RoleTable.stored(role.rawValue, tenant: "", in: transaction) != nil {
                throw APIProblem.conflict(
                    "The platform has a role '\(role.rawValue)' for all tenants. Choose another name.")
            }
            try Self.requireAll(old?.role.permissions ?? [], of: author.caller, in: context.scope)
            try Self.requireAll(role.permissions, of: author.caller, in: context.scope)
            let stored: StoredRole = StoredRole(
                tenant: tenant, role: role, createdAt: old?.createdAt ?? transaction.now,
                version: (old?.version ?? 0) + 1)
            try RoleTable.put(stored, in: transaction)
            try Self.audit(old == nil ? "role.created" : "role.updated", stored, author, in: transaction)
            let holders: [(user: String, tenant: String)] = try RoleTable.users(
                with: role.rawValue, tenant: tenant, limit: Self.roleChangesToldMax, in: transaction)
            for holder in holders where old != nil {
                try Self.publishRoleChange(of: holder.user, tenant: holder.tenant, author, in: transaction)
            }
            return old == nil
                ? .created(stored.json, location: "/v1/roles/\(role.rawValue)", version: stored.version)
                : .json(stored.json, version: stored.version)
        }
        self.tokens.forgetAllGrants()
        return answer
    }

    /// The role of path and body.
    private static func role(_ context: RequestContext) throws -> Role {
        let name: String = context.parameter("role")
        if let problem: String = Slug.validate(name) { throw APIProblem.invalid("path:role", problem) }
        guard Role(rawValue: name) == nil else {
            throw APIProblem.conflict("\(name) is one of the platform's own roles: it cannot be changed.")
        }
        var permissions: [Permission] = []
        var errors: [InvalidField] = []
        for (index, element) in (context.body["permissions"]?.elements ?? []).enumerated() {
            if let permission: Permission = Permission(pattern: element.text ?? "") {
                if !permissions.contains(permission) { permissions.append(permission) }
            } else {
                errors.append(InvalidField("/permissions/\(index)", Permission.patternExpected))
            }
        }
        var environments: [String] = []
        for (index, element) in (context.body["conditions"]?["environments"]?.elements ?? []).enumerated() {
            let environment: String = element.text ?? ""
            if let problem: String = Slug.validate(environment) {
                errors.append(InvalidField("/conditions/environments/\(index)", problem))
            } else if !environments.contains(environment) {
                environments.append(environment)
            }
        }
        let labels: [LabelCondition] = Self.labels(context.body["conditions"]?["labels"], &errors)
        if !labels.isEmpty {
            for (index, permission) in permissions.enumerated() where !permission.isOfAPIs {
                errors.append(InvalidField("/permissions/\(index)", Permission.ofAPIsExpected))
            }
        }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The role is not valid.", errors: errors) }
        return Role(
            custom: name, permissions: permissions,
            conditions: RoleConditions(environments: environments, labels: labels))
    }

    /// The labels of a condition, in the order of their keys.
    private static func labels(_ value: JSONValue?, _ errors: inout [InvalidField]) -> [LabelCondition] {
        var labels: [LabelCondition] = []
        for member in value?.object?.members ?? [] {
            let place: JSONPointer = JSONPointer(tokens: ["conditions", "labels", member.key])
            if let problem: String = APILabels.problem(key: member.key) {
                errors.append(InvalidField(place.text, problem))
            }
            var values: [String] = []
            for (index, element) in (member.value.elements ?? [member.value]).enumerated() {
                let text: String = element.text ?? ""
                if let problem: String = APILabels.problem(value: text) {
                    let isList: Bool = member.value.elements != nil
                    errors.append(InvalidField(isList ? place.appending("\(index)").text : place.text, problem))
                }
                if !values.contains(text) { values.append(text) }
            }
            labels.append(LabelCondition(key: member.key, values: values))
        }
        return labels.sorted { $0.key < $1.key }
    }

    /// Nobody puts into a role, or changes a role that holds, what they may not do themselves: whoever holds the role would have it
    /// from them. A role for all tenants is the business of who may do everything.
    private static func requireAll(_ permissions: [Permission], of caller: Caller, in scope: String?) throws {
        let needed: [Permission] = scope == nil ? [Permission("*", "*", "*")] : permissions
        for permission in needed {
            let decision: AccessDecision = caller.decide(permission, tenant: scope)
            guard decision.isAllowed else {
                throw APIProblem(
                    .forbidden, "You cannot decide over a role with \(permission): \(decision.rule).")
            }
        }
    }

    private static func deleteRole(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let (name, tenant): (String, String) = (context.parameter("role"), context.scope ?? "")
        return try await context.services.store.write { transaction in
            guard let stored: StoredRole = try RoleTable.stored(name, tenant: tenant, in: transaction) else {
                throw APIProblem.notFound("custom role", name)
            }
            try context.requireMatch(version: stored.version)
            try Self.requireAll(stored.role.permissions, of: author.caller, in: context.scope)
            let holders: Int64 = try RoleTable.holders(name, tenant: tenant, in: transaction)
            guard holders == 0 else {
                throw APIProblem.conflict(
                    "\(holders) users, groups or service accounts hold the role. Take it from them first.")
            }
            try RoleTable.delete(stored, in: transaction)
            try Self.audit("role.deleted", stored, author, in: transaction)
            return .noContent
        }
    }

    private static func audit(
        _ event: String, _ stored: StoredRole, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: stored.tenant,
            resource: AuditEntry.Resource(type: "role", id: stored.role.rawValue, version: stored.version),
            changes: stored.json.object ?? [:], in: transaction)
    }
}

extension Role {
    func json(tenant: String?) -> JSONValue {
        var object: JSONObject = [
            "name": .string(self.rawValue), "custom": .bool(!self.isBuiltIn),
            "tenant": tenant.map { $0.isEmpty ? .null : .string($0) } ?? .null,
            "reaches_all_tenants": .bool(self.reachesAllTenants),
            "permissions": .array(self.permissions.map { JSONValue.string($0.description) }),
        ]
        if !self.conditions.isEmpty { object["conditions"] = self.conditions.json }
        return .object(object)
    }
}

extension StoredRole {
    var json: JSONValue { self.role.json(tenant: self.tenant) }
}
