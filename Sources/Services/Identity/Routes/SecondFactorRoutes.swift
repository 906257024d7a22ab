import Bytes
import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import Store

extension IdentityService {
    private static let codeBody: Route.Body = .json(
        Schema.object(
            ["code": Schema.text(min: 1, max: SecondFactorRules.codeBytesMax)], required: ["code"]))

    var secondFactorRoutes: [Route] {
        [
            Route(
                "GET", "/v1/me/second-factor", operationID: "getSecondFactor", tag: Self.name,
                summary: "What the caller can show besides a password, and whether a policy asks for it",
                access: .authenticated, answers: [Answer(200, "App, recovery codes left, passkeys")]
            ) { [self] in try await self.describeSecondFactor($0) },
            Route(
                "POST", "/v1/me/second-factor/recovery-codes", operationID: "replaceRecoveryCodes", tag: Self.name,
                summary: "Makes new recovery codes, shown this once; the ones before end", access: .authenticated,
                isCritical: true, isEnrolment: true, answers: [Answer(200, "Recovery codes")]
            ) { [self] context in
                guard context.caller.kind == .user else { throw Self.needsSession }
                let author: Author = context.author
                let codes: [String] = try await self.services.store.write {
                    try SecondFactorRules.replaceRecoveryCodes(of: author.caller.id, author, in: $0)
                }
                return Self.uncached(.object(["recovery_codes": .array(codes.map { JSONValue.string($0) })]))
            },
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
                    try SessionTable.stepUp(session, by: ["otp"], in: transaction)
                    return .noContent
                }
            },
            Route(
                "POST", "/v1/me/second-factor/remove", operationID: "removeSecondFactor", tag: Self.name,
                summary: "Removes the authenticator app, with a code of it or a recovery code", access: .authenticated,
                body: Self.codeBody,
                answers: [Answer(204, "Removed")]
            ) { [self] context in
                let author: Author = context.author
                return try await self.withCode(context) { user, transaction in
                    try SecondFactorRules.removeApp(user, author, in: transaction)
                    return .noContent
                }
            },
            Route(
                "DELETE", "/v1/users/{user}/second-factor", operationID: "resetSecondFactor", tag: Self.name,
                summary: "Removes all second factors of a user who has lost them; all sessions end",
                access: .platform(Permission("identity", "user", "write")), isCritical: true,
                answers: [Answer(204, "Removed")]
            ) { [self] context in
                let author: Author = context.author
                let ended: [String] = try await self.services.store.write { transaction in
                    let user: User = try Self.visibleUser(context, in: transaction)
                    let ended: [String] = try SessionTable.revokeAll(ofUser: user.id, in: transaction)
                    try Self.recordRevocation(of: ended, userID: user.id, author, in: transaction)
                    try SecondFactorRules.removeAll(user.id, "second-factor.reset", author, in: transaction)
                    return ended
                }
                self.tokens.revoke(ended)
                return .noContent
            },
        ]
    }

    static var needsSession: APIProblem { APIProblem(.forbidden, "A token cannot do this. Sign in.") }

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
        try await self.services.store.write { try SecondFactorRules.begin(user.id, sealed: sealed, in: $0) }
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
        let (code, sealer): (String, any SecretSealer) = (context.body["code"]?.text ?? "", self.sealer)
        return try await self.throttled(context) { transaction in
            let (isRight, codes): (Bool, [String]) = try SecondFactorRules.confirm(
                author.caller.id, code: code, sealer, author, in: transaction)
            guard isRight else { return nil }
            try SessionTable.stepUp(session, by: ["otp"], in: transaction)
            return Self.uncached(.object(["recovery_codes": .array(codes.map { JSONValue.string($0) })]))
        }
    }

    private func describeSecondFactor(_ context: RequestContext) async throws -> HTTPResponse {
        let caller: Caller = context.caller
        guard caller.kind == .user else { throw Self.needsSession }
        let (factors, isRequired): (SecondFactors, Bool) = try await context.read { reader in
            (
                try SecondFactors.of(caller.id, in: reader), try Self.isSecondFactorRequired(of: caller.id, in: reader)
            )
        }
        var answer: JSONObject = factors.json.object ?? [:]
        answer["required"] = .bool(isRequired)
        return .json(.object(answer))
    }

    /// Whether a policy asks for a second factor of this user.
    static func isSecondFactorRequired(of user: String, in store: any Queryable) throws -> Bool {
        let policies: SecondFactorPolicies = try SecondFactorPolicyTable.all(in: store)
        guard !policies.isEmpty, let user: User = try UserTable.find(user, in: store) else { return false }
        return user.effective.contains { policies.concern($0) }
    }

    /// Takes the code of the body and then does something.
    private func withCode(
        _ context: RequestContext,
        _ body: @escaping @Sendable (_ user: String, Transaction) throws -> HTTPResponse
    ) async throws -> HTTPResponse {
        let user: String = context.caller.id
        let (code, sealer): (String, any SecretSealer) = (context.body["code"]?.text ?? "", self.sealer)
        return try await self.throttled(context) { transaction in
            guard try SecondFactors.of(user, in: transaction).exist else {
                throw APIProblem.conflict("You have no second factor. POST /v1/me/second-factor begins.")
            }
            guard try SecondFactorRules.take(code, of: user, sealer, in: transaction) else { return nil }
            return try body(user, transaction)
        }
    }

    /// Does something that depends on a code. Wrong codes count like wrong passwords.
    private func throttled(
        _ context: RequestContext, _ body: @escaping @Sendable (Transaction) throws -> HTTPResponse?
    ) async throws -> HTTPResponse {
        let caller: Caller = context.caller
        guard caller.kind == .user, caller.sessionID != nil else { throw Self.needsSession }
        let account: String = SecondFactor.throttleAccount(caller.id)
        let store: Store = self.services.store
        switch try await self.throttle.attempting(
            account: account, address: context.ip, { try await store.write(body) })
        {
        case .right(let answer): return answer
        case .wrong: throw APIProblem.invalid("/code", "expected the code that the app shows now, which works once")
        case .mustWait(let seconds):
            var problem: APIProblem = APIProblem(.tooManyRequests, "Too many wrong codes. Try again later.")
            problem.fields.append((name: "Retry-After", value: String(seconds)))
            throw problem
        }
    }
}
