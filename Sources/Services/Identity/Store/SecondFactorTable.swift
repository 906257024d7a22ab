import Contracts
import Store
import Time

/// The second factor of a user: an authenticator app, and codes for the day it is lost.
struct SecondFactor: Sendable {
    let userID: String
    /// The app's secret, sealed.
    let sealed: [UInt8]
    /// Whether the user has shown once that the app works; before that it is not asked for.
    let isConfirmed: Bool
    /// The step of the last code that was taken.
    let lastStep: Int64

    /// What wrong codes of a user are counted under.
    static func throttleAccount(_ user: String) -> String { "second-factor:\(user)" }

    static func sealName(_ user: String) -> String { "second-factor/\(user)" }
}

/// The tables `second_factors` and `recovery_codes`.
enum SecondFactorTable {
    static func find(_ user: String, in store: any Queryable) throws -> SecondFactor? {
        try store.first(
            "SELECT user_id, sealed, confirmed_at, last_step FROM second_factors WHERE user_id = $1", .text(user)
        ) { (row: Row) throws(StoreError) -> SecondFactor in
            SecondFactor(
                userID: try row.text(0), sealed: try row.bytes(1), isConfirmed: try !row.isNull(2),
                lastStep: try row.int(3))
        }
    }

    /// Begins anew: a factor that was not confirmed is replaced.
    static func begin(_ user: String, sealed: [UInt8], in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM second_factors WHERE user_id = $1", .text(user))
        try transaction.execute(
            "INSERT INTO second_factors (user_id, sealed, last_step, created_at) VALUES ($1, $2, 0, $3)", .text(user),
            .bytes(sealed), .int(transaction.now.milliseconds))
    }

    static func confirm(_ user: String, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1", .text(user),
            .int(transaction.now.milliseconds))
    }

    static func took(_ step: Int64, of user: String, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE second_factors SET last_step = $2 WHERE user_id = $1", .text(user), .int(step))
    }

    /// The app alone.
    static func deleteApp(_ user: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM second_factors WHERE user_id = $1", .text(user))
    }

    /// The app and the recovery codes.
    static func delete(_ user: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM second_factors WHERE user_id = $1", .text(user))
        try transaction.execute("DELETE FROM recovery_codes WHERE user_id = $1", .text(user))
    }

    static func replaceRecoveryCodes(_ codes: [String], of user: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM recovery_codes WHERE user_id = $1", .text(user))
        for code in codes {
            try transaction.execute(
                "INSERT INTO recovery_codes (user_id, sha256) VALUES ($1, $2)", .text(user),
                .text(AccessToken.hash(code)))
        }
    }

    static func recoveryCodesLeft(of user: String, in store: any Queryable) throws -> Int {
        try store.first("SELECT count(*) FROM recovery_codes WHERE user_id = $1", .text(user)) {
            (row: Row) throws(StoreError) -> Int in Int(try row.int(0))
        } ?? 0
    }

    /// - Returns: whether there was such a code; it is used up.
    static func useRecoveryCode(_ code: String, of user: String, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            "DELETE FROM recovery_codes WHERE user_id = $1 AND sha256 = $2", .text(user),
            .text(AccessToken.hash(code))) > 0
    }
}
