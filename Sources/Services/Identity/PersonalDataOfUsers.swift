import Bytes
package import Contracts
import Crypto
package import JSON
import REST
package import Store
import Time

/// What `identity` keeps about users, and how it forgets one.
extension IdentityService: PersonalData {
    package func person(_ reference: String, in store: any Queryable) throws -> String? {
        try UserTable.find(reference, in: store)?.id
    }

    package func personalData(of person: String, in store: any Queryable) throws -> [(kind: String, value: JSONValue)] {
        guard let user: User = try UserTable.find(person, in: store), user.id == person else { return [] }
        var found: [(kind: String, value: JSONValue)] = [
            (
                "user",
                .object([
                    "id": .string(user.id), "name": .string(user.name), "state": .string(user.state.rawValue),
                    "grants": .array(user.effective.map { $0.json }), "created_at": .string(user.createdAt.rfc3339),
                    "has_second_factor": .bool(try SecondFactorTable.find(person, in: store)?.isConfirmed == true),
                    "passkey_handle": try PasskeyTable.handle(of: person, in: store).map {
                        .string(Base64.encodeURL($0))
                    } ?? .null,
                ])
            )
        ]
        for session in try SessionTable.of(user: person, after: "", limit: Self.personalRowsMax, in: store) {
            found.append(("session", session.json))
        }
        let now: Timestamp = self.services.clock.now()
        for token in try AccessTokenTable.of(owner: person, after: "", limit: Self.personalRowsMax, now: now, in: store)
        {
            found.append(("token", token.json))
        }
        for passkey in try PasskeyTable.of(user: person, in: store) { found.append(("passkey", passkey.json)) }
        for one in try ProviderTable.of(user: person, in: store) {
            found.append(
                (
                    "provider-identity",
                    .object([
                        "provider": .string(one.provider), "identity_hash": .string(one.identity),
                        "roles_said_at": .string(one.saidAt.rfc3339),
                    ])
                ))
        }
        found += try store.rows(
            """
            SELECT g.tenant, g.group_id, g.name FROM group_members m
            JOIN user_groups g ON g.tenant = m.tenant AND g.group_id = m.group_id WHERE m.user_id = $1
            ORDER BY g.tenant, g.group_id
            """, .text(person)
        ) { (row: Row) throws(StoreError) -> (kind: String, value: JSONValue) in
            (
                "group",
                .object([
                    "tenant": .string(try row.text(0)), "id": .string(try row.text(1)),
                    "name": .string(try row.text(2)),
                ])
            )
        }
        found += try store.rows(
            "SELECT client_id, scopes, signed_in_at, expires_at, revoked_at FROM oauth_grants WHERE user_id = $1 ORDER BY grant_id",
            .text(person)
        ) { (row: Row) throws(StoreError) -> (kind: String, value: JSONValue) in
            (
                "client-grant",
                .object([
                    "client_id": .string(try row.text(0)), "scopes": .string(try row.text(1)),
                    "signed_in_at": .string(Timestamp(milliseconds: try row.int(2)).rfc3339),
                    "expires_at": .string(Timestamp(milliseconds: try row.int(3)).rfc3339),
                    "revoked": .bool(try row.optionalInt(4) != nil),
                ])
            )
        }
        for (client, scopes) in try ConsentTable.all(of: person, in: store) {
            found.append(("consent", .object(["client_id": .string(client), "scopes": .string(scopes)])))
        }
        return found
    }

    /// Sessions and tokens of one user that an export tells of; there are fewer, as all of them expire.
    private static let personalRowsMax: Int = 100_000

    /// The account stays as an id without a name, disabled and without roles: entries and events name it.
    @discardableResult
    package func erase(_ person: String, author: Author, in transaction: Transaction) throws -> Bool {
        guard let old: User = try UserTable.find(person, in: transaction), old.id == person,
            old.name != UserTable.erasedName(of: person)
        else { return false }
        let user: User = old.changed(passwordHash: Password.dummy, state: .disabled, grants: [])
        try UserTable.update(user, in: transaction)
        try UserTable.eraseName(of: user, in: transaction)
        try Self.requireAdministrator(from: old, to: user, in: transaction)
        let sessions: [String] = try SessionTable.revokeAll(ofUser: person, in: transaction)
        try Self.recordRevocation(of: sessions, userID: person, author, in: transaction)
        for token in try AccessTokenTable.revokeAll(owner: person, in: transaction) {
            try Self.recordTokenRevocation(token, owner: person, tenant: "", author, in: transaction)
        }
        try SecondFactorTable.delete(person, in: transaction)
        try PasskeyTable.deleteAll(of: person, in: transaction)
        for statement in [
            "UPDATE sessions SET ip = '' WHERE user_id = $1", "UPDATE access_tokens SET name = '' WHERE owner_id = $1",
            "DELETE FROM oauth_consents WHERE user_id = $1", "DELETE FROM provider_identities WHERE user_id = $1",
            "DELETE FROM provider_grants WHERE user_id = $1",
            "DELETE FROM provider_hints WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = $1)",
        ] {
            try transaction.execute(statement, .text(person))
        }
        try ProviderHintTable.deletePending(of: person, in: transaction)
        try Self.leaveGroups(person, author, in: transaction)
        try Self.record("role-changed", audit: "user.erased", user, about: old.grants, author, in: transaction)
        return true
    }

    package func forget(_ person: String) async {
        self.tokens.forget(userID: person)
        let ended: [String]? = try? await self.services.store.read { reader in
            try reader.rows(
                "SELECT session_id FROM sessions WHERE user_id = $1 UNION ALL SELECT token_id FROM access_tokens WHERE owner_id = $1",
                .text(person)
            ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        }
        self.tokens.revoke(ended ?? [])
    }
}
