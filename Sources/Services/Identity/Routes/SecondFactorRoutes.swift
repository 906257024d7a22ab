import Bytes
import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import Store

/// What counts as a second factor.
enum SecondFactorRules {
    static let recoveryCodeCount: Int = 10
    static let codeBytesMax: Int = 64
    /// For how long a second factor that was shown is enough for critical operations.
    static let stepUpLasts: Duration = .seconds(600)

    /// Takes a code: of the app, which works once, or a recovery code, which is used up.
    static func take(
        _ code: String, of factor: SecondFactor, _ sealer: any SecretSealer, in transaction: Transaction
    ) throws -> Bool {
        let secret: [UInt8] = try sealer.open(factor.sealed, name: SecondFactor.sealName(factor.userID))
        let digits: String = code.filter { $0 != " " }
        if let step: Int64 = OneTimePassword.step(
            of: digits, secret: secret, now: transaction.now, after: factor.lastStep)
        {
            try SecondFactorTable.took(step, of: factor.userID, in: transaction)
            return true
        }
        return try factor.isConfirmed
            && SecondFactorTable.useRecoveryCode(code, of: factor.userID, in: transaction)
    }

    static func makeRecoveryCodes() -> [String] {
        (0..<Self.recoveryCodeCount).map { _ in
            let text: String = Base32.encode(Random.bytes(10)).lowercased()
            return
                "\(text.prefix(4))-\(text.dropFirst(4).prefix(4))-\(text.dropFirst(8).prefix(4))-\(text.dropFirst(12))"
        }
    }
}

extension IdentityService {
    private static let codeBody: Route.Body = .json(
        Schema.object(
            ["code": Schema.text(min: 1, max: SecondFactorRules.codeBytesMax)], required: ["code"]))

    var secondFactorRoutes: [Route] {
        [
            Route(
                "POST", "/v1/me/second-factor", operationID: "beginSecondFactor", tag: Self.name,
                summary: "Begins to set up an authenticator app; its secret is shown this once", access: .authenticated,
                body: .json(Schema.object(["password": Schema.text(min: 1, max: 1_024)], required: ["password"])),
                answers: [Answer(201, "The secret, to be confirmed")]
            ) { [self] in try await self.beginSecondFactor($0) },
            Route(
                "POST", "/v1/me/second-factor/confirm", operationID: "confirmSecondFactor", tag: Self.name,
                summary: "Shows that the app works: from now on it is asked for; recovery codes are shown this once",
                access: .authenticated, body: Self.codeBody, answers: [Answer(200, "Recovery codes")]
            ) { [self] in try await self.confirmSecondFactor($0) },
            Route(
                "POST", "/v1/me/second-factor/verify", operationID: "stepUp", tag: Self.name,
                summary: "Shows the second factor again, for critical operations in the next ten minutes",
                access: .authenticated, body: Self.codeBody, answers: [Answer(204, "Shown")]
            ) { [self] context in
                guard let session: String = context.caller.sessionID else { throw Self.needsSession }
                return try await self.withCode(context) { _, transaction in
                    try SessionTable.stepUp(session, in: transaction)
                    return .noContent
                }
            },
            Route(
                "POST", "/v1/me/second-factor/remove", operationID: "removeSecondFactor", tag: Self.name,
                summary: "Removes the second factor, with a code of it", access: .authenticated, body: Self.codeBody,
                answers: [Answer(204, "Removed")]
            ) { [self] context in
                let author: Author = context.author
                return try await self.withCode(context) { user, transaction in
                    try SecondFactorTable.delete(user, in: transaction)
                    try Self.recordSecondFactor("second-factor.removed", user, author, in: transaction)
                    return .noContent
                }
            },
            Route(
                "DELETE", "/v1/users/{user}/second-factor", operationID: "resetSecondFactor", tag: Self.name,
                summary: "Removes the second factor of a user who has lost it; all sessions end",
                access: .platform(Permission("identity", "user", "write")), isCritical: true,
                answers: [Answer(204, "Removed")]
            ) { [self] context in
                let author: Author = context.author
                let ended: [String] = try await self.services.store.write { transaction in
                    let user: User = try Self.visibleUser(context, in: transaction)
                    try SecondFactorTable.delete(user.id, in: transaction)
                    let ended: [String] = try SessionTable.revokeAll(ofUser: user.id, in: transaction)
                    try Self.recordRevocation(of: ended, userID: user.id, author, in: transaction)
                    try Self.recordSecondFactor("second-factor.reset", user.id, author, in: transaction)
                    return ended
                }
                self.tokens.revoke(ended)
                return .noContent
            },
        ]
    }

    private static var needsSession: APIProblem { APIProblem(.forbidden, "A token cannot do this. Sign in.") }

    private func beginSecondFactor(_ context: RequestContext) async throws -> HTTPResponse {
        let caller: Caller = context.caller
        guard caller.kind == .user, caller.sessionID != nil else { throw Self.needsSession }
        let user: User? = try await context.read { try UserTable.find(caller.id, in: $0) }
        guard let user: User else { throw APIProblem.notFound("user", caller.id) }
        let password: String = context.body["password"]?.text ?? ""
        guard
            try await self.checkPassword(
                password, against: user.checkedHash, account: user.name, address: context.ip)
        else { throw APIProblem.invalid("/password", "expected the present password") }
        let secret: [UInt8] = Random.bytes(OneTimePassword.secretBytes)
        let sealed: [UInt8] = try self.sealer.seal(secret, name: SecondFactor.sealName(user.id))
        try await self.services.store.write { transaction in
            guard try SecondFactorTable.find(user.id, in: transaction)?.isConfirmed != true else {
                throw APIProblem.conflict("You have a second factor. Remove it first, with a code of it.")
            }
            try SecondFactorTable.begin(user.id, sealed: sealed, in: transaction)
        }
        var response: HTTPResponse = .json(
            .object([
                "secret": .string(Base32.encode(secret)),
                "uri": .string(OneTimePassword.address(secret: secret, user: user.name)),
            ]), status: 201)
        response.fields.append("Cache-Control", "no-store")
        return response
    }

    private func confirmSecondFactor(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        guard let session: String = author.caller.sessionID else { throw Self.needsSession }
        let codes: [String] = SecondFactorRules.makeRecoveryCodes()
        return try await self.withCode(context) { user, transaction in
            guard try SecondFactorTable.find(user, in: transaction)?.isConfirmed == false else {
                throw APIProblem.conflict("The second factor is set up already.")
            }
            try SecondFactorTable.confirm(user, in: transaction)
            try SecondFactorTable.replaceRecoveryCodes(codes, of: user, in: transaction)
            try SessionTable.stepUp(session, in: transaction)
            try Self.recordSecondFactor("second-factor.confirmed", user, author, in: transaction)
            return Self.uncached(.object(["recovery_codes": .array(codes.map { JSONValue.string($0) })]))
        }
    }

    /// Takes the code of the body and then does something. Wrong codes count like wrong passwords.
    private func withCode(
        _ context: RequestContext,
        _ body: @escaping @Sendable (_ user: String, Transaction) throws -> HTTPResponse
    ) async throws -> HTTPResponse {
        let caller: Caller = context.caller
        guard caller.kind == .user, caller.sessionID != nil else { throw Self.needsSession }
        let account: String = "second-factor:\(caller.id)"
        if let seconds: Int = self.throttle.wait(account: account, address: context.ip) {
            var problem: APIProblem = APIProblem(.tooManyRequests, "Too many wrong codes. Try again later.")
            problem.fields.append((name: "Retry-After", value: String(seconds)))
            throw problem
        }
        let (code, sealer): (String, any SecretSealer) = (context.body["code"]?.text ?? "", self.sealer)
        let answer: HTTPResponse? = try await self.services.store.write { transaction in
            guard let factor: SecondFactor = try SecondFactorTable.find(caller.id, in: transaction) else {
                throw APIProblem.conflict("You have no second factor. POST /v1/me/second-factor begins.")
            }
            guard try SecondFactorRules.take(code, of: factor, sealer, in: transaction) else { return nil }
            return try body(caller.id, transaction)
        }
        guard let answer: HTTPResponse else {
            self.throttle.fail(account: account, address: context.ip)
            throw APIProblem.invalid("/code", "expected the code that the app shows now, which works once")
        }
        return answer
    }

    private static func recordSecondFactor(
        _ event: String, _ user: String, _ author: Author, in transaction: Transaction
    ) throws {
        try author.publish(
            Topics.identityEvents, key: user, tenant: "",
            ["event": "mfa-changed", "user_id": .string(user), "tenant": "", "by": .string(author.caller.id)],
            in: transaction)
        try author.audit(
            event, tenant: "", resource: AuditEntry.Resource(type: "second-factor", id: user),
            changes: ["user_id": .string(user)], in: transaction)
    }
}
