import Contracts
import Crypto
import EventLog
import Identifiers
package import REST
import Store

/// Gives an installation an administrator again, when nobody can sign in as one any more.
///
/// For a stopped data folder: who may open that may do everything anyway. It is audited like any other change, and every
/// session of the user ends.
package enum AdministratorReset {
    /// Makes `name` an active platform administrator with a new password; makes the user when there is none.
    ///
    /// - Returns: the password, to be shown once.
    package static func run(name: String, services: ServiceEnvironment) async throws -> String {
        try await Self.run(name: name, services: services, passwords: PasswordChecker())
    }

    static func run(name: String, services: ServiceEnvironment, passwords: PasswordChecker) async throws -> String {
        if let problem: String = User.problem(name: name) { throw AdministratorResetError.name(problem) }
        let password: String = Random.token(prefix: "", bytes: 18)
        let hash: String = try await passwords.hash(password)
        let author: Author = Author(caller: .platform("reset-administrator"), trace: TraceContext.make())
        try await services.store.write { transaction in
            if let old: User = try UserTable.find(name, in: transaction) {
                try Self.change(old, hash: hash, author, in: transaction)
            } else {
                let user: User = User(
                    id: Identifier.make("usr", now: transaction.now), name: name, passwordHash: hash, state: .active,
                    grants: [Grant(role: .platformAdmin, tenant: nil)], createdAt: transaction.now, version: 1)
                try UserTable.insert(user, in: transaction)
                try IdentityService.record("user-created", audit: "user.created", user, author, in: transaction)
            }
        }
        return password
    }

    private static func change(_ old: User, hash: String, _ author: Author, in transaction: Transaction) throws {
        let administrator: Grant = Grant(role: .platformAdmin, tenant: nil)
        let grants: [Grant] = old.grants.contains(administrator) ? old.grants : old.grants + [administrator]
        let user: User = old.changed(passwordHash: hash, state: .active, grants: grants)
        try UserTable.update(user, in: transaction)
        let ended: [String] = try SessionTable.revokeAll(ofUser: user.id, in: transaction)
        try IdentityService.recordRevocation(of: ended, userID: user.id, author, in: transaction)
        try IdentityService.record(
            "role-changed", audit: "user.administrator-reset", user, author, in: transaction)
    }
}

/// Why there is no new administrator.
package enum AdministratorResetError: Error, CustomStringConvertible {
    case name(String)

    package var description: String {
        switch self {
        case .name(let problem): "the user's name: \(problem)"
        }
    }
}
