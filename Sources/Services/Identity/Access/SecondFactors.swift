import Bytes
import Contracts
import Crypto
import EventLog
import JSON
import REST
import Store
import Time

/// What a user can show besides a password.
struct SecondFactors: Sendable {
    /// The authenticator app, also one that is not confirmed.
    let app: SecondFactor?
    let passkeys: [Passkey]
    let recoveryCodesLeft: Int

    var hasApp: Bool { self.app?.isConfirmed == true }
    /// Those that are taken.
    var usablePasskeys: [Passkey] { self.passkeys.filter { $0.suspendedAt == nil } }
    /// Whether one is asked for. A passkey that is not taken any more counts: nobody gets in by a password alone because of it.
    var exist: Bool { self.hasApp || !self.passkeys.isEmpty }

    static func of(_ user: String, in store: any Queryable) throws -> SecondFactors {
        SecondFactors(
            app: try SecondFactorTable.find(user, in: store), passkeys: try PasskeyTable.of(user: user, in: store),
            recoveryCodesLeft: try SecondFactorTable.recoveryCodesLeft(of: user, in: store))
    }

    var json: JSONValue {
        .object([
            "app": .bool(self.hasApp), "recovery_codes_left": .int(Int64(self.recoveryCodesLeft)),
            "passkeys": .array(self.passkeys.map(\.json)),
        ])
    }
}

/// What counts as a second factor.
enum SecondFactorRules {
    static let recoveryCodeCount: Int = 10
    static let codeBytesMax: Int = 64
    /// For how long a second factor that was shown is enough for critical operations.
    static let stepUpLasts: Duration = .seconds(600)

    /// Whether who is signed in has shown lately who they are: by a second factor; where there is none, by signing in.
    static func isRecent(_ session: Session?, hasFactors: Bool, now: Timestamp) -> Bool {
        guard let session: Session, let shown: Timestamp = hasFactors ? session.secondFactorAt : session.authenticatedAt
        else { return false }
        return now < shown.adding(Self.stepUpLasts)
    }

    /// Takes a code of a confirmed app, which works once, or a recovery code, which is used up.
    static func take(
        _ code: String, of user: String, _ sealer: any SecretSealer, in transaction: Transaction
    ) throws -> Bool {
        let factors: SecondFactors = try SecondFactors.of(user, in: transaction)
        guard factors.exist else { return false }
        if let app: SecondFactor = factors.app, app.isConfirmed,
            try Self.take(code, of: app, sealer, in: transaction)
        {
            return true
        }
        return try SecondFactorTable.useRecoveryCode(code, of: user, in: transaction)
    }

    /// Takes a code of the app, confirmed or not.
    static func take(
        _ code: String, of app: SecondFactor, _ sealer: any SecretSealer, in transaction: Transaction
    ) throws -> Bool {
        let secret: [UInt8] = try sealer.open(app.sealed, name: SecondFactor.sealName(app.userID))
        let digits: String = code.filter { $0 != " " }
        guard
            let step: Int64 = OneTimePassword.step(
                of: digits, secret: secret, now: transaction.now, after: app.lastStep)
        else { return false }
        try SecondFactorTable.took(step, of: app.userID, in: transaction)
        return true
    }

    static func makeRecoveryCodes() -> [String] {
        (0..<Self.recoveryCodeCount).map { _ in
            let text: String = Base32.encode(Random.bytes(10)).lowercased()
            return
                "\(text.prefix(4))-\(text.dropFirst(4).prefix(4))-\(text.dropFirst(8).prefix(4))-\(text.dropFirst(12))"
        }
    }

    // MARK: Changes

    /// Begins with a new app, in place of one that nobody has confirmed.
    static func begin(_ user: String, sealed: [UInt8], in transaction: Transaction) throws {
        guard try SecondFactorTable.find(user, in: transaction)?.isConfirmed != true else {
            throw APIProblem.conflict("You have an authenticator app. Remove it first.")
        }
        try SecondFactorTable.begin(user, sealed: sealed, in: transaction)
    }

    /// Confirms the app by a code of it.
    ///
    /// - Returns: whether the code was right, and recovery codes when there were none.
    static func confirm(
        _ user: String, code: String, _ sealer: any SecretSealer, _ author: Author, in transaction: Transaction
    ) throws -> (isRight: Bool, codes: [String]) {
        guard let app: SecondFactor = try SecondFactorTable.find(user, in: transaction), !app.isConfirmed else {
            throw APIProblem.conflict("No authenticator app waits to be confirmed. POST /v1/me/second-factor begins.")
        }
        guard try Self.take(code, of: app, sealer, in: transaction) else { return (false, []) }
        try SecondFactorTable.confirm(user, in: transaction)
        let codes: [String] = try Self.firstRecoveryCodes(of: user, in: transaction)
        try Self.record("second-factor.confirmed", user, author, in: transaction)
        return (true, codes)
    }

    /// Recovery codes for who has a factor and none of them yet.
    static func firstRecoveryCodes(of user: String, in transaction: Transaction) throws -> [String] {
        guard try SecondFactorTable.recoveryCodesLeft(of: user, in: transaction) == 0 else { return [] }
        let codes: [String] = Self.makeRecoveryCodes()
        try SecondFactorTable.replaceRecoveryCodes(codes, of: user, in: transaction)
        return codes
    }

    static func replaceRecoveryCodes(of user: String, _ author: Author, in transaction: Transaction) throws -> [String]
    {
        guard try SecondFactors.of(user, in: transaction).exist else {
            throw APIProblem.conflict("You have no second factor that recovery codes could stand in for.")
        }
        let codes: [String] = Self.makeRecoveryCodes()
        try SecondFactorTable.replaceRecoveryCodes(codes, of: user, in: transaction)
        try Self.record("recovery-codes.replaced", user, author, in: transaction)
        return codes
    }

    static func removeApp(_ user: String, _ author: Author, in transaction: Transaction) throws {
        try SecondFactorTable.deleteApp(user, in: transaction)
        try Self.forgetCodesOfNothing(user, in: transaction)
        try Self.record("second-factor.removed", user, author, in: transaction)
    }

    /// Everything there is: for who has lost it.
    static func removeAll(_ user: String, _ event: String, _ author: Author, in transaction: Transaction) throws {
        try SecondFactorTable.delete(user, in: transaction)
        try PasskeyTable.deleteAll(of: user, in: transaction)
        try Self.record(event, user, author, in: transaction)
    }

    /// Recovery codes go with the last factor that they stand in for.
    static func forgetCodesOfNothing(_ user: String, in transaction: Transaction) throws {
        guard try !SecondFactors.of(user, in: transaction).exist else { return }
        try SecondFactorTable.delete(user, in: transaction)
        try PasskeyTable.deleteAll(of: user, in: transaction)
    }

    /// What every change of a user's factors owes: the topic and the audit log.
    static func record(
        _ event: String, _ user: String, resource: AuditEntry.Resource? = nil, _ author: Author,
        changes: JSONObject = [:], in transaction: Transaction
    ) throws {
        try author.publish(
            Topics.identityEvents, key: user, tenant: "",
            ["event": "mfa-changed", "user_id": .string(user), "tenant": "", "by": .string(author.caller.id)],
            in: transaction)
        var all: JSONObject = ["user_id": .string(user)]
        for member in changes.members { all[member.key] = member.value }
        try author.audit(
            event, tenant: "", resource: resource ?? AuditEntry.Resource(type: "second-factor", id: user),
            changes: all, in: transaction)
    }
}
