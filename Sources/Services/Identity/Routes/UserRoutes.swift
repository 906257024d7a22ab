import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension IdentityService {
    private static let userName: JSONValue = Schema.text(min: 1, max: User.nameLengthMax)
    private static let password: JSONValue = Schema.text(min: 1, max: 1_024)

    var userRoutes: [Route] {
        [
            Route(
                "POST", "/v1/users", operationID: "createUser", tag: IdentityService.name, summary: "Creates a user",
                access: .authenticated, isCritical: true,
                body: .json(
                    Schema.object(
                        ["name": Self.userName, "password": Self.password, "grants": GrantRules.schema],
                        required: ["name", "password", "grants"])), answers: [Answer(201, "The user")]
            ) { [self] in try await self.createUser($0) },
            Route(
                "GET", "/v1/users", operationID: "listUsers", tag: IdentityService.name,
                summary: "The users within the caller's authority", access: .authenticated, query: QueryParameter.page,
                answers: [Answer(200, "Users by name")]
            ) { try await Self.listUsers($0) },
            Route(
                "GET", "/v1/users/{user}", operationID: "getUser", tag: IdentityService.name, summary: "One user",
                access: .authenticated, answers: [Answer(200, "The user")]
            ) { context in
                let user: User = try await context.read { try Self.visibleUser(context, in: $0) }
                return .json(user.json(for: context.caller), version: user.version)
            },
            Route(
                "PATCH", "/v1/users/{user}", operationID: "updateUser", tag: IdentityService.name,
                summary: "Enables or disables a user", access: .platform(Permission("identity", "user", "write")),
                isCritical: true,
                body: .json(
                    Schema.object(["state": Schema.choice(User.State.allCases.map(\.rawValue))], required: ["state"])),
                answers: [Answer(200, "The user")]
            ) { [self] in try await self.updateState($0) },
            Route(
                "PUT", "/v1/users/{user}/grants", operationID: "setGrants", tag: IdentityService.name,
                summary: "Sets a user's roles, as far as the caller sees them", access: .authenticated,
                isCritical: true,
                body: .json(Schema.object(["grants": GrantRules.schema], required: ["grants"])),
                answers: [Answer(200, "The user")]
            ) { [self] in try await self.setGrants($0) },
            Route(
                "PUT", "/v1/users/{user}/password", operationID: "setPassword", tag: IdentityService.name,
                summary: "Sets a password: the own with the old one, another's as administrator; all sessions end",
                access: .authenticated, isCritical: true,
                body: .json(
                    Schema.object(["old_password": Self.password, "password": Self.password], required: ["password"])),
                answers: [Answer(204, "Set")]
            ) { [self] in try await self.setPassword($0) },
        ]
    }

    private static func isPlatformAdmin(_ caller: Caller) -> Bool {
        caller.decide(Permission("identity", "user", "write"), tenant: nil).isAllowed
    }

    /// The user of the path, if the caller may see that user: self, or someone with a role in a tenant whose users the caller reads.
    static func visibleUser(_ context: RequestContext, in store: any Queryable) throws -> User {
        let reference: String = context.parameter("user")
        let caller: Caller = context.caller
        guard try Self.isSeen(reference, by: caller, in: store),
            let user: User = try UserTable.find(reference, in: store), Self.isVisible(user, to: caller)
        else { throw APIProblem.notFound("user", reference) }
        return user
    }

    /// Whether a name or id is of somebody within the caller's reach: one look-up, whether there is nobody or somebody elsewhere.
    static func isSeen(_ reference: String, by caller: Caller, in store: any Queryable) throws -> Bool {
        let read: Permission = Permission("identity", "user", "read")
        if caller.decide(read, tenant: nil).isAllowed { return true }
        let tenants: [String] = caller.tenants.filter { caller.decide(read, tenant: $0).isAllowed }
        return try UserTable.isKnown(reference, among: tenants, or: caller.id, in: store)
    }

    static func isVisible(_ user: User, to caller: Caller) -> Bool {
        let read: Permission = Permission("identity", "user", "read")
        return user.id == caller.id || caller.decide(read, tenant: nil).isAllowed
            || !GrantRules.visible(user.effective, of: user.id, to: caller).isEmpty
    }

    /// Refuses a change that leaves nobody who administers the platform: nobody could undo it.
    static func requireAdministrator(from old: User, to new: User, in transaction: Transaction) throws {
        guard old.isAdministrator, !new.isAdministrator else { return }
        guard try UserTable.hasAdministrator(in: transaction) else {
            throw APIProblem.conflict(
                "This is the last user with the role platform-admin. Give the role to another one first.")
        }
    }

    private static func requireSomeAuthority(_ caller: Caller) throws {
        guard GrantRules.givesSome(caller) else {
            throw APIProblem(
                .forbidden, "You need the role cpi-tenant of a tenant, or platform-admin, to manage users.")
        }
    }

    private func createUser(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try Self.requireSomeAuthority(author.caller)
        let name: String = context.body["name"]?.text ?? ""
        let password: String = context.body["password"]?.text ?? ""
        if let problem: String = User.problem(name: name) { throw APIProblem.invalid("/name", problem) }
        if let problem: String = User.problem(password: password) { throw APIProblem.invalid("/password", problem) }
        // Looked up once more where they are given: what a role allows may change while the password is hashed.
        _ = try await context.read { try Self.firstGrants(context, in: $0) }
        let hash: String = try await self.passwords.hash(password, from: context.ip)
        // No answer is kept for an Idempotency-Key: beside it stands a plain hash of the request, and with it the password could
        // be guessed at no cost. A repeat is answered with 409.
        return try await self.services.store.write { transaction in
            let grants: [Grant] = try Self.firstGrants(context, in: transaction)
            guard try UserTable.find(name, in: transaction) == nil else {
                throw APIProblem.conflict("There is a user '\(name)' already.")
            }
            let user: User = User(
                id: Identifier.make("usr", now: transaction.now), name: name, passwordHash: hash, state: .active,
                grants: grants, createdAt: transaction.now, version: 1)
            try UserTable.requireRoom(for: user.id, in: grants.compactMap(\.tenant), in: transaction)
            try UserTable.insert(user, in: transaction)
            try Self.record("user-created", audit: "user.created", user, author, in: transaction)
            return .created(user.json(for: author.caller), location: "/v1/users/\(user.id)", version: 1)
        }
    }

    /// The roles that a new user is to have, as they are now, if the caller may give them.
    private static func firstGrants(_ context: RequestContext, in store: any Queryable) throws -> [Grant] {
        let grants: [Grant] = try GrantRules.read(context.body["grants"], pointer: "/grants", in: store)
        try GrantRules.requireAuthority(of: context.caller, from: [], to: grants)
        guard !grants.isEmpty || Self.isPlatformAdmin(context.caller) else {
            throw APIProblem.invalid("/grants", "expected at least one role")
        }
        return grants
    }

    private static func listUsers(_ context: RequestContext) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let caller: Caller = context.caller
        let read: Permission = Permission("identity", "user", "read")
        let tenants: [String]? =
            caller.decide(read, tenant: nil).isAllowed
            ? nil : caller.tenants.filter { caller.decide(read, tenant: $0).isAllowed }
        let found: [User] = try await context.read {
            try UserTable.all(tenants: tenants, after: page.after ?? "", limit: page.limit + 1, in: $0)
        }
        return .json(page.envelope(found, key: { $0.name }, json: { $0.json(for: caller) }))
    }

    private func updateState(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let state: User.State = User.State(rawValue: context.body["state"]?.text ?? "") ?? .active
        let (answer, user, ended): (HTTPResponse, String, [String]) = try await self.services.store.write {
            transaction in
            let old: User = try Self.visibleUser(context, in: transaction)
            try context.requireMatch(version: old.version)
            if old.state == state { return (.json(old.json(for: author.caller), version: old.version), old.id, []) }
            guard old.id != author.caller.id else { throw APIProblem.conflict("You cannot disable yourself.") }
            let user: User = old.changed(state: state)
            try UserTable.update(user, in: transaction)
            try Self.requireAdministrator(from: old, to: user, in: transaction)
            let ended: [String] =
                state == .disabled ? try SessionTable.revokeAll(ofUser: user.id, in: transaction) : []
            try Self.recordRevocation(of: ended, userID: user.id, author, in: transaction)
            try Self.record("role-changed", audit: "user.\(state.rawValue)", user, author, in: transaction)
            return (.json(user.json(for: author.caller), version: user.version), user.id, ended)
        }
        self.tokens.forget(userID: user)
        self.tokens.revoke(ended)
        return answer
    }

    private func setGrants(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try Self.requireSomeAuthority(author.caller)
        let (answer, user): (HTTPResponse, String) = try await self.services.store.write { transaction in
            let old: User = try Self.visibleUser(context, in: transaction)
            try context.requireMatch(version: old.version)
            let grants: [Grant] = try GrantRules.read(context.body["grants"], pointer: "/grants", in: transaction)
            // What the caller does not see stays: roles in other tenants are neither shown nor taken by leaving them out.
            let seen: [Grant] = GrantRules.visible(old.grants, of: old.id, to: author.caller)
            try GrantRules.requireAuthority(of: author.caller, from: seen, to: grants)
            let changed: [Grant] = seen.filter { !grants.contains($0) } + grants.filter { !seen.contains($0) }
            if changed.isEmpty { return (.json(old.json(for: author.caller), version: old.version), old.id) }
            let user: User = old.changed(grants: grants + old.grants.filter { !seen.contains($0) })
            try UserTable.requireRoom(for: user.id, in: grants.compactMap(\.tenant), in: transaction)
            try UserTable.update(user, in: transaction)
            try Self.requireAdministrator(from: old, to: user, in: transaction)
            try Self.record(
                "role-changed", audit: "user.roles-changed", user, about: changed, author, in: transaction)
            return (.json(user.json(for: author.caller), version: user.version), user.id)
        }
        self.tokens.forget(userID: user)
        return answer
    }

    private func setPassword(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let password: String = context.body["password"]?.text ?? ""
        if let problem: String = User.problem(password: password) { throw APIProblem.invalid("/password", problem) }
        let known: User = try await context.read { try Self.visibleUser(context, in: $0) }
        try GrantRules.requireSignIn(author.caller)
        if known.id == author.caller.id {
            let old: String = context.body["old_password"]?.text ?? ""
            guard
                try await self.checkPassword(
                    old, against: known.checkedHash, account: known.name, address: context.ip)
            else {
                await self.refusals.record(
                    author.caller, what: "setPassword", tenant: "", rule: "wrong old password", trace: context.trace)
                throw APIProblem.invalid("/old_password", "expected the present password")
            }
        } else if !Self.isPlatformAdmin(author.caller) {
            throw APIProblem(.forbidden, "Only platform administrators set the passwords of others.")
        }
        let hash: String = try await self.passwords.hash(password, from: context.ip)
        let ended: [String] = try await self.services.store.write { transaction in
            let present: User = try Self.visibleUser(context, in: transaction)
            // An administrator may have set another one while this waited: the old one, which was right then, opens nothing any more.
            guard present.id != author.caller.id || present.passwordHash == known.passwordHash else {
                throw APIProblem.conflict("The password was changed meanwhile.")
            }
            let user: User = present.changed(passwordHash: hash)
            try UserTable.update(user, in: transaction)
            let ended: [String] = try SessionTable.revokeAll(ofUser: user.id, in: transaction)
            try Self.recordRevocation(of: ended, userID: user.id, author, in: transaction)
            try author.audit(
                "user.password-changed", tenant: "",
                resource: AuditEntry.Resource(type: "user", id: user.id, version: user.version),
                changes: user.audited(in: ""), in: transaction)
            return ended
        }
        self.tokens.revoke(ended)
        return .noContent
    }
}
