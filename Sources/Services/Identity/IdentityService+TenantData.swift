package import Contracts
import JSON
import REST
package import Store
import Time

/// What `identity` keeps of tenants. Users and sessions are of the platform: a user may hold roles in several tenants.
extension IdentityService: TenantData {
    /// Accounts and clients ended in one transaction.
    private static let endedMax: Int = 20

    package var tenantDataName: String { Self.name }

    package var tenantCounts: [String: String] {
        [
            "groups": "SELECT count(*) FROM user_groups WHERE tenant = $1",
            "users": "SELECT count(*) \(UserTable.members)",
            "service_accounts": "SELECT count(*) FROM service_accounts WHERE tenant = $1",
        ]
    }

    package var tenantTables: [TenantRows] {
        [
            TenantRows("grants", keys: "user_id role"),
            TenantRows("provider_grants", keys: "user_id provider role"),
            TenantRows(
                "access_tokens", keys: "owner_id token_id",
                columns: "name hint scopes created_at:time expires_at:time revoked_at:time", withheld: "sha256"),
            TenantRows(
                "service_accounts", keys: "account_id", columns: "name state roles created_by created_at:time version"),
            TenantRows("group_members", keys: "group_id user_id"),
            TenantRows("user_groups", keys: "group_id", columns: "name roles created_at:time version"),
            TenantRows("second_factor_policies", keys: "role"),
            TenantRows(
                "custom_roles", keys: "name", columns: "permissions environments labels:json created_at:time version"),
            TenantRows(
                "oauth_clients", keys: "client_id",
                columns:
                    "name redirect_uris logout_uris grant_types scopes trusted:flag account created_at:time version old_secret_ends:time",
                withheld: "secret_hash old_secret_hash"),
        ]
    }

    package var tenantSections: [TenantSection] {
        [
            TenantSection("members", withheld: ["passwords, second factors and sessions of users"]) {
                [self] tenant, after in try await self.members(of: tenant, after: after)
            }
        ]
    }

    /// Users with roles in the tenant, and those roles.
    private func members(of tenant: String, after: String?) async throws -> TenantPage {
        let limit: Int = 100
        return try await self.services.store.read { reader in
            let users: [User] = try UserTable.all(tenants: [tenant], after: after ?? "", limit: limit, in: reader)
            let lines: [JSONValue] = users.map { (user: User) -> JSONValue in
                .object([
                    "id": .string(user.id), "name": .string(user.name), "state": .string(user.state.rawValue),
                    "grants": .array(user.effective.filter { $0.tenant == tenant }.map { $0.json }),
                    "created_at": .string(user.createdAt.rfc3339),
                ])
            }
            return TenantPage(.lines(lines), next: users.count == limit ? users.last?.name : nil)
        }
    }

    package func end(
        _ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction
    ) throws -> TenantStep {
        guard stage == .access else { return TenantStep() }
        for part in [self.endAccounts, self.endClients, self.endMembers] {
            let step: TenantStep = try part(ending, transaction)
            if !step.isDone { return step }
        }
        return TenantStep()
    }

    private func endAccounts(_ ending: TenantEnding, _ transaction: Transaction) throws -> TenantStep {
        let accounts: [ServiceAccount] = try ServiceAccountTable.all(
            tenant: ending.tenant, after: "", limit: Self.endedMax, in: transaction)
        var step: TenantStep = accounts.isEmpty ? TenantStep() : .more
        for account in accounts {
            step.credentials += try Self.end(account, ending.author, in: transaction)
            step.persons.append(account.id)
        }
        return step
    }

    private func endClients(_ ending: TenantEnding, _ transaction: Transaction) throws -> TenantStep {
        let clients: [OAuthClient] = try OAuthClientTable.all(
            tenant: ending.tenant, after: "", limit: Self.endedMax, in: transaction)
        var step: TenantStep = clients.isEmpty ? TenantStep() : .more
        for client in clients { step.credentials += try Self.end(client, ending.author, in: transaction) }
        return step
    }

    /// Takes the tenant's roles from its users and ends their sessions. Accounts that have no role anywhere else are erased.
    private func endMembers(_ ending: TenantEnding, _ transaction: Transaction) throws -> TenantStep {
        let tenant: String = ending.tenant
        let users: [User] = try UserTable.all(
            tenants: [tenant], after: "", limit: Self.endedMax, in: transaction)
        var step: TenantStep = users.isEmpty ? TenantStep() : .more
        for old in users {
            for statement in [
                "DELETE FROM group_members WHERE tenant = $1 AND user_id = $2",
                "DELETE FROM provider_grants WHERE tenant = $1 AND user_id = $2",
            ] {
                try transaction.execute(statement, .text(tenant), .text(old.id))
            }
            let lost: [Grant] = old.grants.filter { $0.tenant == tenant }
            let user: User = old.changed(grants: old.grants.filter { $0.tenant != tenant })
            try UserTable.update(user, in: transaction)
            try Self.record(
                "role-changed", audit: "user.roles-changed", user,
                about: lost.isEmpty ? [Grant(role: .viewer, tenant: tenant)] : lost, ending.author, in: transaction)
            let sessions: [String] = try SessionTable.revokeAll(ofUser: user.id, in: transaction)
            try Self.recordRevocation(of: sessions, userID: user.id, ending.author, in: transaction)
            try ProviderTable.endTokens(ofUser: user.id, in: transaction)
            step.credentials += sessions
            if try UserTable.hasRolesElsewhere(user.id, thanIn: tenant, in: transaction) { continue }
            let tokens: [String] = try AccessTokenTable.revokeAll(owner: user.id, in: transaction)
            for token in tokens {
                try Self.recordTokenRevocation(token, owner: user.id, tenant: "", ending.author, in: transaction)
            }
            step.credentials += tokens
            guard ending.erasesUsers else { continue }
            try self.erase(user.id, author: ending.author, in: transaction)
            step.persons.append(user.id)
        }
        return step
    }

    package func ended(_ step: TenantStep) async {
        if step.credentials.isEmpty, step.persons.isEmpty, step.isDone { return }
        self.tokens.revoke(step.credentials)
        self.tokens.forgetAllGrants()
        for person in step.persons where person.hasPrefix(User.idPrefix) { await self.forget(person) }
    }
}
