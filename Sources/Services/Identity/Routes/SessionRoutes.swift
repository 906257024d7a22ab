import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Telemetry
import Time

/// What came of a name and a password.
enum SignInOutcome: Sendable {
    case session(Session)
    /// The password was right; a second factor is still to be shown.
    case secondFactor(User)
    case refused
}

extension IdentityService {
    /// Largest body of a sign-in, bytes: anybody may send one, and it is kept until it is whole.
    static let signInBytesMax: Int = 16 << 10

    var sessionRoutes: [Route] {
        [
            Route(
                "POST", "/v1/sessions", operationID: "signIn", tag: Self.name,
                summary: "Signs in with name and password; the answer holds the access token", access: .anyone,
                body: .json(
                    Schema.object(
                        [
                            "user": Schema.text(min: 1, max: User.nameLengthMax),
                            "password": Schema.text(min: 1, max: 1_024),
                            "code": Schema.text(min: 1, max: SecondFactorRules.codeBytesMax),
                        ],
                        required: ["user", "password"]), bytesMax: Self.signInBytesMax),
                answers: [Answer(201, "The session and its token")]
            ) { [self] in try await self.signIn($0) },
            Route(
                "GET", "/v1/sessions", operationID: "listSessions", tag: Self.name,
                summary: "The caller's own sessions",
                access: .authenticated, query: QueryParameter.page, answers: [Answer(200, "Sessions by id")]
            ) { context in
                let page: Page = try context.page()
                let user: String = context.caller.id
                let found: [Session] = try await context.read {
                    try SessionTable.of(user: user, after: page.after ?? "", limit: page.limit + 1, in: $0)
                }
                return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
            },
            Route(
                "GET", "/v1/sessions/{session}", operationID: "getSession", tag: Self.name,
                summary: "One of the caller's own sessions", access: .authenticated,
                answers: [Answer(200, "The session")]
            ) { context in
                .json(try await context.read { try Self.session(context, in: $0).json })
            },
            Route(
                "DELETE", "/v1/sessions/{session}", operationID: "revokeSession", tag: Self.name,
                summary: "Ends one of the caller's sessions at once: its token works nowhere any more",
                access: .authenticated, answers: [Answer(204, "Ended")]
            ) { [self] in try await self.revokeSession($0) },
            Route(
                "DELETE", "/v1/sessions", operationID: "revokeSessions", tag: Self.name,
                summary: "Ends all sessions of the caller at once, this one too", access: .authenticated,
                answers: [Answer(204, "Ended")]
            ) { [self] context in
                try GrantRules.requireSignIn(context.caller)
                return try await self.revokeEverything(ofUser: context.caller.id, withTokens: false, context)
            },
            Route(
                "GET", "/v1/users/{user}/sessions", operationID: "listUserSessions", tag: Self.name,
                summary: "The sessions of a user", access: .platform(Permission("identity", "session", "read")),
                query: QueryParameter.page, answers: [Answer(200, "Sessions by id")]
            ) { context in
                let page: Page = try context.page()
                let found: [Session] = try await context.read { reader in
                    let user: User = try Self.visibleUser(context, in: reader)
                    return try SessionTable.of(
                        user: user.id, after: page.after ?? "", limit: page.limit + 1, in: reader)
                }
                return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
            },
            Route(
                "DELETE", "/v1/users/{user}/sessions", operationID: "revokeUserSessions", tag: Self.name,
                summary: "Ends all sessions and personal tokens of a user at once",
                access: .platform(Permission("identity", "session", "write")), answers: [Answer(204, "Ended")]
            ) { [self] context in
                let user: User = try await context.read { try Self.visibleUser(context, in: $0) }
                return try await self.revokeEverything(ofUser: user.id, withTokens: true, context)
            },
            Route(
                "GET", "/.well-known/jwks.json", operationID: "publicKeys", tag: Self.name,
                summary: "The public keys that verify the platform's tokens", access: .anyone,
                answers: [Answer(200, "A JWK set", mediaType: "application/jwk-set+json")]
            ) { [keys] _ in
                var fields: HTTPFields = HTTPFields()
                fields.append("Content-Type", "application/jwk-set+json")
                fields.append("Cache-Control", "public, max-age=\(SigningKeys.cacheSeconds)")
                return HTTPResponse(status: 200, fields: fields, body: .bytes(try keys.json().serialized()))
            },
        ]
    }

    /// Unknown users, disabled users and wrong passwords cost the same and look the same.
    private func signIn(_ context: RequestContext) async throws -> HTTPResponse {
        let name: String = (context.body["user"]?.text ?? "").lowercased()
        let password: String = context.body["password"]?.text ?? ""
        let outcome: SignInOutcome = try await self.signIn(
            name: name, password: password, code: context.body["code"]?.text ?? "", context)
        guard case .session(let session) = outcome else {
            var problem: APIProblem = APIProblem(
                .unauthenticated,
                "User name or password is wrong, or the code of an authenticator app that the user has set up. Check them, or ask an administrator for a new password."
            )
            problem.fields.append((name: "WWW-Authenticate", value: "Bearer realm=\"passerelle\""))
            throw problem
        }
        var answer: JSONObject = [
            "access_token": .string(try self.keys.sign(session)), "token_type": "Bearer",
            "expires_in": .int(Session.lifetime.components.seconds), "session_id": .string(session.id),
        ]
        answer["user"] = .object(["id": .string(session.userID), "name": .string(name)])
        var response: HTTPResponse = .created(.object(answer), location: "/v1/sessions/\(session.id)")
        response.fields.append("Cache-Control", "no-store")
        return response
    }

    /// Opens a session for whom name and password are right, and the code of who has set up a second factor; refuses others, at the
    /// same cost: whoever guesses does not learn which of them was wrong.
    ///
    /// - Parameter code: nil where a second factor is asked for on a page of its own, once the password was right.
    func signIn(
        name: String, password: String, code: String?, _ context: RequestContext
    ) async throws -> SignInOutcome {
        let user: User? = try await context.read { try UserTable.account(name: name, in: $0) }
        let isRight: Bool = try await self.checkPassword(
            password, against: user?.checkedHash ?? Password.dummy, account: name, address: context.ip)
        var outcome: SignInOutcome = .refused
        if let user: User, isRight, user.passwordHash != User.noPassword, user.state == .active {
            outcome = try await self.openSession(of: user, password, code: code, context)
        }
        if case .refused = outcome {
            if isRight { self.throttle.fail(account: name, address: context.ip) }
            self.refusals.countAnonymous(ip: context.ip, account: user?.id ?? "")
        }
        if case .session = outcome { self.throttle.succeed(account: name, address: context.ip) }
        return outcome
    }

    /// Whether `password` is right, when there have not been too many wrong ones.
    ///
    /// - Throws: a problem with `Retry-After` when there have, or when too many wait.
    func checkPassword(
        _ password: String, against hash: String, account: String, address: String
    ) async throws -> Bool {
        if let seconds: Int = self.throttle.wait(account: account, address: address) {
            self.refusals.countAnonymous(ip: address, account: "")
            var problem: APIProblem = APIProblem(
                .tooManyRequests, "Too many wrong passwords. Try again later, or ask an administrator for a new one.")
            problem.fields.append((name: "Retry-After", value: String(seconds)))
            throw problem
        }
        let isRight: Bool = try await self.passwords.verify(password, against: hash, from: address)
        if !isRight { self.throttle.fail(account: account, address: address) }
        return isRight
    }

    /// Makes a session of a user whose password was right, and its hash anew where that is of another cost than today's.
    private func openSession(
        of user: User, _ password: String, code: String?, _ context: RequestContext
    ) async throws -> SignInOutcome {
        let outcome: SignInOutcome = try await self.openSession(of: user, code: code, context)
        guard self.passwords.isOutdated(user.passwordHash) else { return outcome }
        if case .refused = outcome {
            // Another sign-in of the same user may have made the hash anew meanwhile: then that one counts.
            let present: User? = try await context.read { try UserTable.account(name: user.name, in: $0) }
            guard let present: User, present.passwordHash != user.passwordHash,
                try await self.passwords.verify(password, against: present.checkedHash, from: context.ip)
            else { return .refused }
            return try await self.openSession(of: present, code: code, context)
        }
        await self.renewHash(of: user, password, context)
        return outcome
    }

    /// Where too many passwords wait, or the store does not take it, a later sign-in does it.
    private func renewHash(of user: User, _ password: String, _ context: RequestContext) async {
        let author: Author = Author(
            caller: Caller(kind: .user, id: user.id, grants: [], ip: context.ip), trace: context.trace)
        do {
            let hash: String = try await self.passwords.hash(password, from: context.ip)
            try await self.services.store.write { transaction in
                guard try UserTable.renewHash(of: user, hash, in: transaction),
                    let present: User = try UserTable.find(user.id, in: transaction)
                else { return }
                try author.audit(
                    "user.password-rehashed", tenant: "",
                    resource: AuditEntry.Resource(type: "user", id: user.id, version: present.version),
                    changes: present.audited(in: ""), in: transaction)
            }
        } catch {
            self.services.logger.log(
                .info, "the hash of a password was not made anew",
                ["error": .string("\(error)"), "trace_id": .string(context.trace.traceID)])
        }
    }

    /// Makes a session of a user whose password was right. Refused is who was disabled or got another password in the time that the
    /// check took: that change has ended all sessions, and no later one may come from before it.
    private func openSession(
        of user: User, code: String?, _ context: RequestContext
    ) async throws -> SignInOutcome {
        let sealer: any SecretSealer = self.sealer
        let ip: String = context.ip
        let trace: TraceContext = context.trace
        return try await self.services.store.write { transaction in
            let present: User? = try UserTable.find(user.id, in: transaction)
            guard let present: User, present.state == .active, present.passwordHash == user.passwordHash else {
                return .refused
            }
            let isAsked: Bool = try SecondFactors.of(user.id, in: transaction).exist
            if isAsked {
                guard let code: String else { return .secondFactor(present) }
                guard try SecondFactorRules.take(code, of: user.id, sealer, in: transaction) else { return .refused }
            }
            return .session(
                try Self.insertSession(
                    of: present, secondFactorAt: isAsked ? transaction.now : nil, provider: nil,
                    methods: isAsked ? ["pwd", "otp", "mfa"] : ["pwd"], ip: ip, trace: trace, in: transaction))
        }
    }

    /// Makes a session of a user who has shown who they are.
    static func insertSession(
        of user: User, secondFactorAt: Timestamp?, provider: String?, methods: [String], ip: String,
        trace: TraceContext, in transaction: Transaction
    ) throws -> Session {
        let session: Session = Session(
            id: Identifier.make("ses", now: transaction.now), userID: user.id, ip: ip, createdAt: transaction.now,
            expiresAt: transaction.now.adding(Session.lifetime), isRevoked: false, secondFactorAt: secondFactorAt,
            provider: provider, methods: methods)
        try SessionTable.insert(session, in: transaction)
        let author: Author = Author(
            caller: Caller(kind: .user, id: user.id, grants: user.effective, sessionID: session.id, ip: ip),
            trace: trace)
        let tenants: [String] = User.tenants(of: user.effective)
        var changes: JSONObject = [
            "user_id": .string(user.id), "expires_at": .string(session.expiresAt.rfc3339),
        ]
        if let provider: String { changes["provider"] = .string(provider) }
        try author.audit(
            "session.created", tenant: tenants.count == 1 ? tenants[0] : "",
            resource: AuditEntry.Resource(type: "session", id: session.id), changes: changes, in: transaction)
        return session
    }

    /// The session of the path, if it is the caller's own.
    private static func session(_ context: RequestContext, in store: any Queryable) throws -> Session {
        let id: String = context.parameter("session")
        guard let session: Session = try SessionTable.find(id, in: store), session.userID == context.caller.id else {
            throw APIProblem.notFound("session", id)
        }
        return session
    }

    private func revokeSession(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = context.parameter("session")
        let author: Author = context.author
        let answer: HTTPResponse = try await context.change { transaction in
            let session: Session = try Self.session(context, in: transaction)
            if try SessionTable.revoke(id, in: transaction) {
                try Self.recordRevocation(of: [id], userID: session.userID, author, in: transaction)
            }
            return .noContent
        }
        self.tokens.revoke([id])
        return answer
    }

    /// Ends what lets a user in.
    private func revokeEverything(
        ofUser user: String, withTokens: Bool, _ context: RequestContext
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let ended: [String] = try await self.services.store.write { transaction in
            let sessions: [String] = try SessionTable.revokeAll(ofUser: user, in: transaction)
            try Self.recordRevocation(of: sessions, userID: user, author, in: transaction)
            try ProviderTable.endTokens(ofUser: user, in: transaction)
            let tokens: [String] = withTokens ? try AccessTokenTable.revokeAll(owner: user, in: transaction) : []
            for token in tokens {
                try Self.recordTokenRevocation(token, owner: user, tenant: "", author, in: transaction)
            }
            return sessions + tokens
        }
        self.tokens.revoke(ended)
        self.tokens.endTokens(ofUser: user)
        return .noContent
    }

    static func recordRevocation(
        of sessions: [String], userID: String, _ author: Author, in transaction: Transaction
    ) throws {
        for id in sessions {
            try author.publish(
                Topics.identityEvents, key: userID, tenant: "",
                [
                    "event": "session-revoked", "user_id": .string(userID), "tenant": "",
                    "by": .string(author.caller.id),
                ], in: transaction)
            try author.audit(
                "session.revoked", tenant: "", resource: AuditEntry.Resource(type: "session", id: id),
                changes: ["user_id": .string(userID)], in: transaction)
        }
    }
}
