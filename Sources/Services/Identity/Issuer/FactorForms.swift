import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import REST
import Store
import Time
import WebAuthn

/// The page where users set up and remove what they can show besides a password.
extension IdentityService {
    var factorRoutes: [Route] {
        let page: [Answer] = [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Onwards")]
        return [
            Route(
                "GET", "/oauth2/factors", operationID: "factorsPage", tag: Self.name,
                summary: "Where users set up their second factors", access: .anyone, readsRawQuery: true, answers: page
            ) { [self] context in
                let query: QueryParameters =
                    (try? QueryParameters.parse(context.request.query ?? "")) ?? QueryParameters()
                let (next, spoken): (String?, RequestContext) = (
                    Self.safeTarget(query["next"]), context.inAskedLanguage
                )
                switch try await self.visitor(next: next, spoken) {
                case .sentAway(let response): return response
                case .here(let visitor): return try await self.factorsPage(visitor, spoken)
                }
            },
            Route(
                "POST", "/oauth2/factors", operationID: "changeFactors", tag: Self.name,
                summary: "The forms of that page", access: .anyone, body: Self.formBody, answers: page
            ) { [self] in try await self.changeFactors($0.inAskedLanguage) },
        ]
    }

    /// The page's address. - Parameter next: where to go on afterwards: a path of ours.
    static func factorsTarget(next: String?) -> String {
        var query: QueryParameters = QueryParameters()
        if let next: String { query.append("next", next) }
        return "/oauth2/factors?" + query.encoded
    }

    private enum Visit {
        case here(FactorVisitor)
        /// To sign in, or to show a second factor first.
        case sentAway(HTTPResponse)
    }

    /// Who looks at the page: signed in, and has shown lately who they are.
    private func visitor(next: String?, _ context: RequestContext) async throws -> Visit {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let target: String = Self.factorsTarget(next: next)
        guard let (session, user): (Session, User) = try await self.signedIn(browser, context) else {
            return .sentAway(try self.loginPage(context, target: target))
        }
        let (factors, isRequired): (SecondFactors, Bool) = try await context.read { reader in
            (try SecondFactors.of(user.id, in: reader), try Self.isSecondFactorRequired(of: user.id, in: reader))
        }
        guard SecondFactorRules.isRecent(session, hasFactors: factors.exist, now: context.now) else {
            return .sentAway(
                factors.exist
                    ? try await self.challengePage(.session(session), target: target, context)
                    : try self.loginPage(context, target: target))
        }
        return .here(
            FactorVisitor(session: session, user: user, factors: factors, isRequired: isRequired, next: next))
    }

    // MARK: Forms

    private func changeFactors(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes), browser.isOurs(form) else {
            return self.problemPage(PageText.stale.text(context.language), context, status: 403)
        }
        let visitor: FactorVisitor
        switch try await self.visitor(next: Self.safeTarget(form["next"]), context) {
        case .sentAway(let response): return response
        case .here(let found): visitor = found
        }
        let author: Author = Author(
            caller: Caller(
                kind: .user, id: visitor.user.id, grants: [], sessionID: visitor.session.id, ip: context.ip),
            trace: context.trace)
        do {
            return try await self.change(form, visitor, author, browser, context)
        } catch is APIProblem {
            // Two windows, mostly: what was to be changed is not there, or not any more.
            return try await self.factorsPage(visitor, context, problem: .failed, status: 409)
        }
    }

    private func change(
        _ form: QueryParameters, _ visitor: FactorVisitor, _ author: Author, _ browser: BrowserRequest,
        _ context: RequestContext
    ) async throws -> HTTPResponse {
        let user: String = visitor.user.id
        switch form["action"] {
        case "begin-app": return try await self.beginApp(visitor, context)
        case "confirm-app": return try await self.confirmApp(form, visitor, author, browser, context)
        case "remove-app":
            try await self.services.store.write { try SecondFactorRules.removeApp(user, author, in: $0) }
        case "new-codes":
            let codes: [String] = try await self.services.store.write {
                try SecondFactorRules.replaceRecoveryCodes(of: user, author, in: $0)
            }
            return self.codesPage(codes, visitor, context)
        case "add-passkey": return try await self.addPasskey(form, visitor, author, browser, context)
        case "rename-passkey":
            let name: String = form["name"] ?? ""
            guard Passkey.problem(name: name) == nil else {
                return try await self.factorsPage(
                    visitor, context, problem: .badName, field: "name-\(form["passkey"] ?? "")", status: 400)
            }
            _ = try await self.renamePasskey(form["passkey"] ?? "", to: name, author)
        case "remove-passkey": try await self.removePasskey(form["passkey"] ?? "", author)
        default: throw APIProblem(.invalidRequest, "expected an action")
        }
        return .redirect(Self.factorsTarget(next: visitor.next))
    }

    private func beginApp(_ visitor: FactorVisitor, _ context: RequestContext) async throws -> HTTPResponse {
        let user: String = visitor.user.id
        let secret: [UInt8] = Random.bytes(OneTimePassword.secretBytes)
        let sealed: [UInt8] = try self.sealer.seal(secret, name: SecondFactor.sealName(user))
        try await self.services.store.write { try SecondFactorRules.begin(user, sealed: sealed, in: $0) }
        return self.appPage(secret, visitor, context)
    }

    private func confirmApp(
        _ form: QueryParameters, _ visitor: FactorVisitor, _ author: Author, _ browser: BrowserRequest,
        _ context: RequestContext
    ) async throws -> HTTPResponse {
        let (user, session): (String, Session) = (visitor.user.id, visitor.session)
        let app: SecondFactor? = try await context.read { try SecondFactorTable.find(user, in: $0) }
        guard let app: SecondFactor else { throw APIProblem.conflict("There is no app to confirm.") }
        let secret: [UInt8] = try self.sealer.open(app.sealed, name: SecondFactor.sealName(user))
        let account: String = SecondFactor.throttleAccount(user)
        let (code, sealer, store): (String, any SecretSealer, Store) = (
            form["code"] ?? "", self.sealer, self.services.store
        )
        let attempt: SignInThrottle.Attempt<[String]> = try await self.throttle.attempting(
            account: account, address: context.ip
        ) {
            try await store.write { transaction in
                let done: (isRight: Bool, codes: [String]) = try SecondFactorRules.confirm(
                    user, code: code, sealer, author, in: transaction)
                if done.isRight { try SessionTable.stepUp(session.id, by: ["otp"], in: transaction) }
                return done.isRight ? done.codes : nil
            }
        }
        switch attempt {
        case .right(let codes): return try await self.done(codes, visitor, browser, context)
        case .wrong: return self.appPage(secret, visitor, context, problem: .wrongCode, status: 401)
        case .mustWait: return self.appPage(secret, visitor, context, problem: .tooManyCodes, status: 429)
        }
    }

    private func addPasskey(
        _ form: QueryParameters, _ visitor: FactorVisitor, _ author: Author, _ browser: BrowserRequest,
        _ context: RequestContext
    ) async throws -> HTTPResponse {
        let name: String = form["name"] ?? ""
        guard Passkey.problem(name: name) == nil else {
            return try await self.factorsPage(
                visitor, context, problem: .badName, field: "passkey-name", status: 400)
        }
        guard
            let challenge: PasskeyChallenge = PasskeyChallenge.open(
                form["challenge"] ?? "", .register, binding: visitor.session.id, now: context.now, self.sealer),
            let answer: JSONValue = Self.credential(form)
        else { throw APIProblem(.invalidRequest, "expected the answer to the options of this page") }
        let (_, codes): (Passkey, [String]) = try await self.register(
            answer, name: name, challenge, party: try self.requirePasskeys(), session: visitor.session.id, author)
        return try await self.done(codes, visitor, browser, context)
    }

    /// A factor was shown for the first time: the browser gets another cookie, the user the recovery codes if there are any.
    private func done(
        _ codes: [String], _ visitor: FactorVisitor, _ browser: BrowserRequest, _ context: RequestContext
    ) async throws -> HTTPResponse {
        var response: HTTPResponse =
            codes.isEmpty
            ? .redirect(Self.factorsTarget(next: visitor.next)) : self.codesPage(codes, visitor, context)
        try await self.renewCookie(of: visitor.session, browser, in: &response)
        return response
    }
}

/// Who sets up second factors.
struct FactorVisitor: Sendable {
    let session: Session
    let user: User
    let factors: SecondFactors
    /// Whether a policy asks for one.
    let isRequired: Bool
    /// Where to go on afterwards.
    let next: String?
}
