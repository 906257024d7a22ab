import Bytes
import Contracts
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time
import WebAuthn

/// Who is asked for a second factor on the page.
enum Challenged: Sendable {
    /// Who signs in and has done the first half; with the cookie that says so.
    case pending(PendingSignIn, cookie: String)
    /// Who is signed in already.
    case session(Session)

    var userID: String {
        switch self {
        case .pending(let pending, _): pending.userID
        case .session(let session): session.userID
        }
    }

    /// What a passkey's challenge is bound to.
    var binding: String {
        switch self {
        case .pending(_, let cookie): AccessToken.hash("pending:\(cookie)")
        case .session(let session): session.id
        }
    }

    /// What the provider's id token is kept under.
    var hintKey: String {
        switch self {
        case .pending: ProviderHintTable.pending(self.userID, binding: self.binding)
        case .session(let session): session.id
        }
    }

    /// Whether a passkey must verify its user: not where something else was shown before it.
    var needsVerification: Bool {
        switch self {
        case .pending: false
        case .session(let session): session.needsVerification
        }
    }

    /// How the form says which it is.
    var step: String { if case .pending = self { "sign-in" } else { "step-up" } }
}

extension IdentityService {
    var challengeRoutes: [Route] {
        let page: [Answer] = [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Onwards")]
        return [
            Route(
                "POST", "/oauth2/challenge", operationID: "challenge", tag: Self.name,
                summary: "The form of the page that asks for a second factor", access: .anyone, body: Self.formBody,
                answers: page
            ) { [self] in try await self.answerChallenge($0.inAskedLanguage) },
            Route(
                "POST", "/oauth2/passkey", operationID: "signInByPasskey", tag: Self.name,
                summary: "The form of the sign-in page that signs in by a passkey alone", access: .anyone,
                body: Self.formBody, answers: page
            ) { [self] in try await self.signInByPasskey($0.inAskedLanguage) },
            Route(
                "GET", PageScript.path, operationID: "pageScript", tag: Self.name,
                summary: "The script of the pages that use passkeys", access: .anyone,
                answers: [Answer(200, "JavaScript", mediaType: "text/javascript")]
            ) { _ in PageScript.response },
        ]
    }

    // MARK: The page

    /// - Parameter target: where to go on afterwards.
    func challengePage(
        _ who: Challenged, target: String, _ context: RequestContext, problem: FactorText? = nil, status: Int = 200
    ) async throws -> HTTPResponse {
        let user: String = who.userID
        let factors: SecondFactors = try await context.read { try SecondFactors.of(user, in: $0) }
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let key: (cookie: String, field: String) = browser.formKey()
        let language: Language = context.language
        func text(_ text: FactorText) -> String { HTMLPage.escape(text.text(language)) }
        let hidden: String =
            HTMLPage.hidden("form", key.field) + HTMLPage.hidden("target", target) + HTMLPage.hidden("step", who.step)
        let isWrong: Bool = problem != nil
        var body: String = """
            \(HTMLPage.problem(problem?.text(language), field: "code"))<p>\(text(.challengeAsk))</p>
            <form method="post" action="/oauth2/challenge">\(hidden)<label for="code">\(text(.code))</label>
            <input id="code" name="code" autocomplete="one-time-code" autocapitalize="none" required autofocus \
            aria-describedby="code-help\(isWrong ? " problem" : "")"\(isWrong ? " aria-invalid=\"true\"" : "")>
            <p class="help" id="code-help">\(text(.codeHelp))</p><button type="submit">\(text(.next))</button></form>
            """
        let passkeys: [Passkey] = factors.usablePasskeys
        if let party: RelyingParty = self.relyingParty, !passkeys.isEmpty {
            let challenge: PasskeyChallenge = .begin(.verify, binding: who.binding, now: context.now)
            body += HTMLPage.passkeyForm(
                action: "/oauth2/challenge", asks: "get",
                options: self.assertionOptions(
                    passkeys, challenge, party: party, needsVerification: who.needsVerification),
                fields: hidden + HTMLPage.hidden("challenge", try challenge.sealed(self.sealer)),
                button: FactorText.usePasskey.text(language), failed: FactorText.passkeyFailed.text(language))
        }
        let client: OAuthClient? = try await self.client(of: target, context)
        var page: HTMLPage = HTMLPage(
            title: FactorText.challenge.text(language), body: body, language: language, status: status)
        page.formTarget = Self.formTarget(target, client)
        page.hasScript = !passkeys.isEmpty
        var response: HTTPResponse = page.response
        response.fields.append("Set-Cookie", browser.formCookie(key.cookie))
        return response
    }

    // MARK: The answer

    private func challenged(
        _ form: QueryParameters, _ browser: BrowserRequest, _ context: RequestContext
    ) async throws -> Challenged? {
        if form["step"] == "sign-in" {
            guard let cookie: String = browser.pending,
                let pending: PendingSignIn = PendingSignIn.open(cookie, now: context.now, self.sealer)
            else { return nil }
            return .pending(pending, cookie: cookie)
        }
        guard let (session, _): (Session, User) = try await self.signedIn(browser, context) else { return nil }
        return .session(session)
    }

    private func answerChallenge(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes),
            let target: String = Self.safeTarget(form["target"])
        else { return self.problemPage(PageText.stale.text(context.language), context) }
        guard browser.isOurs(form), let who: Challenged = try await self.challenged(form, browser, context) else {
            let client: OAuthClient? = try await self.client(of: target, context)
            return try self.loginPage(context, target: target, client: client, problem: .stale, status: 403)
        }
        let account: String = SecondFactor.throttleAccount(who.userID)
        let isPasskey: Bool = form["credential"] != nil
        let attempt: SignInThrottle.Attempt<Session> = try await self.throttle.attempting(
            account: account, address: context.ip
        ) {
            isPasskey
                ? try await self.takePasskey(form, of: who, context) : try await self.takeCode(form, of: who, context)
        }
        guard case .right(let session) = attempt else {
            self.refusals.countAnonymous(ip: context.ip, account: who.userID)
            if case .mustWait = attempt {
                return try await self.challengePage(who, target: target, context, problem: .tooManyCodes, status: 429)
            }
            return try await self.challengePage(
                who, target: target, context, problem: isPasskey ? .passkeyRefused : .wrongCode, status: 401)
        }
        if case .pending = who, let user: User = try await context.read({ try UserTable.find(session.userID, in: $0) })
        {
            self.throttle.succeed(account: user.name, address: context.ip)
        }
        return try await self.enter(session, target: target, browser)
    }

    private func takeCode(
        _ form: QueryParameters, of who: Challenged, _ context: RequestContext
    ) async throws -> Session? {
        guard let code: String = form["code"], code.utf8.count <= SecondFactorRules.codeBytesMax else { return nil }
        let (sealer, ip, trace): (any SecretSealer, String, TraceContext) = (self.sealer, context.ip, context.trace)
        return try await self.services.store.write { transaction in
            guard try SecondFactorRules.take(code, of: who.userID, sealer, in: transaction) else { return nil }
            return try Self.session(of: who, shown: ["otp"], ip: ip, trace: trace, sealer, in: transaction)
        }
    }

    private func takePasskey(
        _ form: QueryParameters, of who: Challenged, _ context: RequestContext
    ) async throws -> Session? {
        guard
            let challenge: PasskeyChallenge = PasskeyChallenge.open(
                form["challenge"] ?? "", .verify, binding: who.binding, now: context.now, self.sealer),
            let answer: JSONValue = Self.credential(form)
        else { return nil }
        let (ip, trace, sealer): (String, TraceContext, any SecretSealer) = (context.ip, context.trace, self.sealer)
        return try await self.show(
            answer, of: who.userID, challenge, needsVerification: who.needsVerification, context
        ) { passkey, _, transaction in
            try Self.session(of: who, shown: [passkey.method, "user"], ip: ip, trace: trace, sealer, in: transaction)
        }
    }

    /// What the script wrote into a form.
    static func credential(_ form: QueryParameters) -> JSONValue? {
        try? JSONReader.parse(
            form["credential"] ?? "", limits: JSONLimits(depth: 8, bytes: Registration.responseBytesMax))
    }

    /// The session in which a second factor was just shown: a new one, or the one that is there.
    private static func session(
        of who: Challenged, shown: [String], ip: String, trace: TraceContext, _ sealer: any SecretSealer,
        in transaction: Transaction
    ) throws -> Session? {
        switch who {
        case .pending(let pending, _):
            guard let user: User = try pending.user(in: transaction) else { return nil }
            let session: Session = try Self.insertSession(
                of: user, secondFactorAt: transaction.now, provider: pending.provider,
                methods: pending.methods + shown + ["mfa"], ip: ip, trace: trace, in: transaction)
            try ProviderHintTable.move(from: who.hintKey, to: session, sealer, in: transaction)
            return session
        case .session(let session):
            try SessionTable.stepUp(session.id, by: shown, in: transaction)
            return try SessionTable.find(session.id, in: transaction)
        }
    }

    // MARK: A passkey alone

    /// The part of the sign-in page; nothing where there are no passkeys.
    func passkeySignIn(
        target: String, key: (cookie: String, field: String), _ browser: BrowserRequest, _ context: RequestContext
    ) throws -> String {
        guard let party: RelyingParty = self.relyingParty else { return "" }
        let challenge: PasskeyChallenge = .begin(
            .signIn, binding: browser.challengeBinding(key.cookie), now: context.now)
        return HTMLPage.passkeyForm(
            action: "/oauth2/passkey", asks: "get",
            options: self.assertionOptions([], challenge, party: party, needsVerification: true),
            fields: HTMLPage.hidden("form", key.field) + HTMLPage.hidden("target", target)
                + HTMLPage.hidden("challenge", try challenge.sealed(self.sealer)),
            button: FactorText.signInByPasskey.text(context.language),
            failed: FactorText.passkeyFailed.text(context.language))
    }

    private func signInByPasskey(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes),
            let target: String = Self.safeTarget(form["target"])
        else { return self.problemPage(PageText.stale.text(context.language), context) }
        let client: OAuthClient? = try await self.client(of: target, context)
        func again(_ problem: PageText, _ status: Int) throws -> HTTPResponse {
            try self.loginPage(context, target: target, client: client, problem: problem, status: status)
        }
        guard browser.isOurs(form), let key: String = browser.formKeyInUse,
            let challenge: PasskeyChallenge = PasskeyChallenge.open(
                form["challenge"] ?? "", .signIn, binding: browser.challengeBinding(key), now: context.now,
                self.sealer)
        else { return try again(.stale, 403) }
        let account: String = "passkey:\(context.ip)"
        guard self.throttle.wait(account: account, address: context.ip) == nil else {
            return try again(.tooManyAttempts, 429)
        }
        let (ip, trace): (String, TraceContext) = (context.ip, context.trace)
        var session: Session?
        if let answer: JSONValue = Self.credential(form) {
            session = try await self.show(answer, of: nil, challenge, needsVerification: true, context) {
                passkey, _, transaction in
                guard let user: User = try UserTable.find(passkey.userID, in: transaction), user.state == .active
                else { return nil }
                return try Self.insertSession(
                    of: user, secondFactorAt: transaction.now, provider: nil,
                    methods: [passkey.method, "user", "mfa"], ip: ip, trace: trace, in: transaction)
            }
        }
        guard let session: Session else {
            self.throttle.fail(account: account, address: context.ip)
            self.refusals.countAnonymous(ip: context.ip, account: "")
            return try again(.passkeyUnknown, 401)
        }
        return try await self.enter(session, target: target, browser)
    }
}
