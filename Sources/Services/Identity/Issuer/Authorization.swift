import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time
import Tokens

extension IdentityService {
    var authorizationRoutes: [Route] {
        let page: [Answer] = [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Onwards")]
        return [
            Route(
                "GET", "/oauth2/authorize", operationID: "authorize", tag: Self.name,
                summary: "Where a client sends users to sign in", access: .anyone, readsRawQuery: true, answers: page
            ) { [self] in try await self.authorize($0.inAskedLanguage) },
            Route(
                "POST", "/oauth2/authorize", operationID: "authorizeByForm", tag: Self.name,
                summary: "The same by a form (OpenID Connect Core section 3.1.2.1)", access: .anyone,
                body: Self.formBody, answers: page
            ) { [self] in self.authorizeByForm($0) },
            Route(
                "POST", "/oauth2/login", operationID: "login", tag: Self.name, summary: "The form of the sign-in page",
                access: .anyone, body: Self.formBody, answers: page
            ) { [self] in try await self.login($0.inAskedLanguage) },
            Route(
                "POST", "/oauth2/consent", operationID: "consent", tag: Self.name,
                summary: "The form of the consent page", access: .anyone, body: Self.formBody, answers: page
            ) { [self] in try await self.consent($0.inAskedLanguage) },
        ]
    }

    // MARK: Authorization

    private func authorize(_ context: RequestContext) async throws -> HTTPResponse {
        guard let parameters: QueryParameters = try? QueryParameters.parse(context.request.query ?? "") else {
            return self.problemPage("The address cannot be read.", context)
        }
        return try await self.authorize(parameters, context)
    }

    /// Leads to the same parameters by GET: only with that do browsers send along who is signed in, when the form is of another site.
    private func authorizeByForm(_ context: RequestContext) -> HTTPResponse {
        guard let parameters: QueryParameters = try? QueryParameters.parseForm(context.bytes),
            parameters.encoded.utf8.count <= AuthorizationRequest.formBytesMax
        else { return self.problemPage("The form cannot be read.", context) }
        return .redirect("/oauth2/authorize?" + parameters.encoded)
    }

    private func authorize(_ parameters: QueryParameters, _ context: RequestContext) async throws -> HTTPResponse {
        let id: String = parameters["client_id"] ?? ""
        let client: OAuthClient? = try await context.read { try OAuthClientTable.find(id, in: $0) }
        let request: AuthorizationRequest
        do throws(AuthorizationRequest.Refusal) {
            request = try AuthorizationRequest(parameters, client: client)
        } catch {
            switch error {
            case .page(let text): return self.problemPage(text, context)
            case .client(let address, let code, let description):
                let states: [String] = parameters.all("state")
                let state: String? =
                    states.count == 1 && states[0].utf8.count <= AuthorizationRequest.echoBytesMax ? states[0] : nil
                return self.redirect(address, [("error", code), ("error_description", description)], state: state)
            }
        }
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let target: String = Self.target("/oauth2/authorize", parameters, answered: ["login", "select_account"])
        guard let (session, user): (Session, User) = try await self.signedIn(browser, context),
            !request.prompts.contains("login"), !request.prompts.contains("select_account")
        else {
            if request.prompts.contains("none") { return self.refuse(request, "login_required") }
            return try self.loginPage(context, target: target, client: request.client, name: request.loginHint)
        }
        if !self.isMeant(user, by: request) { return self.refuse(request, "login_required") }
        if let response: HTTPResponse = try await self.stepUp(request, session, target: target, context) {
            return response
        }
        let agreed: [String]? = try await context.read {
            try ConsentTable.scopes(user: user.id, client: request.client.id, in: $0)
        }
        let isAgreed: Bool =
            request.client.isTrusted || (agreed.map { Set(request.scopes).isSubset(of: $0) } ?? false)
        guard isAgreed, !request.prompts.contains("consent") || request.client.isTrusted else {
            if request.prompts.contains("none") { return self.refuse(request, "consent_required") }
            return self.consentPage(request, parameters, context)
        }
        return try await self.issueCode(request, session, context)
    }

    /// Whether the client speaks of `user`: true where it speaks of nobody, or by a token that is too old to say of whom.
    private func isMeant(_ user: User, by request: AuthorizationRequest) -> Bool {
        guard let hint: String = request.userHint else { return true }
        guard let known: VerifiedToken = try? self.keys.verifyHint(hint),
            known.claims["aud"]?.text == request.client.id
        else { return !request.prompts.contains("none") }
        return known.subject == user.id
    }

    /// Asks who is signed in to show more, or to show it again: what the client wants (`max_age`, `acr_values`), and what a policy
    /// does. - Returns: nil when nothing is missing.
    private func stepUp(
        _ request: AuthorizationRequest, _ session: Session, target: String, _ context: RequestContext
    ) async throws -> HTTPResponse? {
        if let seconds: Int64 = request.maxAge, context.now >= session.authenticatedAt.adding(.seconds(seconds)) {
            if request.prompts.contains("none") { return self.refuse(request, "login_required") }
            let factors: SecondFactors = try await context.read { try SecondFactors.of(session.userID, in: $0) }
            return factors.exist
                ? try await self.challengePage(.session(session), target: target, context)
                : try self.loginPage(context, target: target, client: request.client)
        }
        let missing: HTTPResponse? = try await self.missingFactor(
            of: session, isWanted: request.wantsTwoFactors, target: target, context)
        guard let missing: HTTPResponse else { return nil }
        return request.prompts.contains("none") ? self.refuse(request, "interaction_required") : missing
    }

    /// Asks for a second factor, or leads to setting one up, where none was shown and the client or a policy wants one.
    ///
    /// - Returns: nil when nothing is missing.
    func missingFactor(
        of session: Session, isWanted: Bool, target: String, _ context: RequestContext
    ) async throws -> HTTPResponse? {
        guard session.secondFactorAt == nil else { return nil }
        let (factors, isRequired): (SecondFactors, Bool) = try await context.read { reader in
            (
                try SecondFactors.of(session.userID, in: reader),
                try Self.isSecondFactorRequired(of: session.userID, in: reader)
            )
        }
        guard isWanted || isRequired else { return nil }
        return factors.exist
            ? try await self.challengePage(.session(session), target: target, context)
            : .redirect(Self.factorsTarget(next: target))
    }

    /// The query to come back with once the user has done what was asked for, without asking for it again.
    static func target(_ path: String, _ parameters: QueryParameters, answered: Set<String>) -> String {
        var rest: QueryParameters = QueryParameters()
        for pair in parameters.pairs {
            // Whoever has just signed in has done so within any age; 0 would never end.
            if pair.name == "max_age", answered.contains("login") { continue }
            guard pair.name == "prompt" else {
                rest.append(pair.name, pair.value)
                continue
            }
            let left: [String] = pair.value.split(separator: " ").map(String.init).filter { !answered.contains($0) }
            if !left.isEmpty { rest.append("prompt", left.joined(separator: " ")) }
        }
        return path + "?" + rest.encoded
    }

    private func issueCode(
        _ request: AuthorizationRequest, _ session: Session, _ context: RequestContext
    ) async throws -> HTTPResponse {
        let code: String = Random.token(prefix: "pac_", bytes: 32)
        let author: Author = Author(
            caller: Caller(kind: .user, id: session.userID, grants: [], sessionID: session.id, ip: context.ip),
            trace: context.trace)
        try await self.services.store.write { transaction in
            let grant: OAuthGrant = try Self.grant(
                of: session, to: request.client, scopes: request.scopes, nonce: request.nonce, author, in: transaction)
            try OAuthSecretTable.insert(
                .code, text: code, grant: grant.id, redirectURI: request.redirectURI, challenge: request.challenge,
                expiresAt: transaction.now.adding(IssuerLifetimes.code), in: transaction)
        }
        return self.redirect(request.redirectURI, [("code", code)], state: request.state)
    }

    private func refuse(_ request: AuthorizationRequest, _ code: String) -> HTTPResponse {
        self.redirect(request.redirectURI, [("error", code)], state: request.state)
    }

    private func redirect(_ address: String, _ members: [(String, String)], state: String?) -> HTTPResponse {
        .redirect(AuthorizationRequest.answer(address, members, state: state, issuer: self.keys.issuer))
    }

    /// Who is signed in with this browser.
    func signedIn(_ browser: BrowserRequest, _ context: RequestContext) async throws -> (Session, User)? {
        guard let cookie: String = browser.session else { return nil }
        let now: Timestamp = context.now
        return try await context.read { reader in
            guard let session: Session = try BrowserSessionTable.session(cookie: cookie, now: now, in: reader),
                let user: User = try UserTable.find(session.userID, in: reader), user.state == .active
            else { return nil }
            return (session, user)
        }
    }

    // MARK: Sign-in

    /// - Parameter target: where to go on afterwards: a path of ours with its query.
    func loginPage(
        _ context: RequestContext, target: String, client: OAuthClient? = nil, problem: PageText? = nil,
        status: Int = 200, name: String = ""
    ) throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let key: (cookie: String, field: String) = browser.formKey()
        let language: Language = context.language
        func text(_ text: PageText) -> String { HTMLPage.escape(text.text(language)) }
        let body: String = """
            \(HTMLPage.problem(problem?.text(language), field: problem == nil ? nil : "user"))
            <form method="post" action="/oauth2/login">\(HTMLPage.hidden("form", key.field))\(HTMLPage.hidden("target", target))
            <label for="user">\(text(.userName))</label>
            <input id="user" name="user" value="\(HTMLPage.escape(name))" autocomplete="username" autocapitalize="none" required autofocus>
            <label for="password">\(text(.password))</label>
            <input id="password" name="password" type="password" autocomplete="current-password" required>
            <button type="submit">\(text(.signIn))</button></form>
            \(try self.passkeySignIn(target: target, key: key, browser, context))
            \(self.providerLinks(target: target, language))
            """
        var page: HTMLPage = HTMLPage(
            title: PageText.signIn.text(language), body: body, language: language, status: status)
        page.formTarget = Self.formTarget(target, client)
        page.hasScript = self.relyingParty != nil
        var response: HTTPResponse = page.response
        response.fields.append("Set-Cookie", browser.formCookie(key.cookie))
        return response
    }

    /// Browsers hold a form's policy against where its answer leads, too: for a client, its address.
    static func formTarget(_ target: String, _ client: OAuthClient?) -> String? {
        guard let client: OAuthClient, let query: Substring = target.split(separator: "?", maxSplits: 1).last,
            let address: String = (try? QueryParameters.parse(String(query)))?["redirect_uri"],
            client.isRegistered(address)
        else { return nil }
        return OAuthClient.origin(of: address)
    }

    /// Where a form may lead on to: pages of ours, by their path.
    static func safeTarget(_ target: String?) -> String? {
        guard let target: String else { return nil }
        let isOurs: Bool = ["/oauth2/authorize?", "/oauth2/device?", "/oauth2/factors?"].contains {
            target.hasPrefix($0)
        }
        return isOurs && target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? target : nil
    }

    private func login(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes),
            let target: String = Self.safeTarget(form["target"])
        else { return self.problemPage(PageText.stale.text(context.language), context) }
        let client: OAuthClient? = try await self.client(of: target, context)
        let name: String = (form["user"] ?? "").lowercased()
        func again(_ problem: PageText, _ status: Int) throws -> HTTPResponse {
            try self.loginPage(
                context, target: target, client: client, problem: problem, status: status,
                name: String(name.prefix(User.nameLengthMax)))
        }
        guard browser.isOurs(form) else { return try again(.stale, 403) }
        guard name.utf8.count <= User.nameLengthMax, (form["password"] ?? "").utf8.count <= Password.bytesMax,
            (form["code"] ?? "").utf8.count <= SecondFactorRules.codeBytesMax
        else {
            return try again(.wrongPassword, 401)
        }
        let outcome: SignInOutcome
        do {
            outcome = try await self.signIn(
                name: name, password: form["password"] ?? "", code: form["code"].flatMap { $0.isEmpty ? nil : $0 },
                context)
        } catch let problem as APIProblem where problem.type == .tooManyRequests {
            return try again(.tooManyAttempts, 429)
        } catch let problem as APIProblem where problem.type == .unavailable {
            return try again(.busy, 503)
        }
        switch outcome {
        case .session(let session): return try await self.enter(session, target: target, browser)
        case .secondFactor(let user):
            return try await self.askSecondFactor(of: user, provider: nil, target: target, browser, context)
        case .refused: return try again(.wrongPassword, 401)
        }
    }

    /// Goes on with who has done the first half of a sign-in.
    ///
    /// - Parameter provider: who has vouched, and the id token that says so, which the sign-out will need.
    func askSecondFactor(
        of user: User, provider: (name: String, idToken: String?)?, target: String, _ browser: BrowserRequest,
        _ context: RequestContext
    ) async throws -> HTTPResponse {
        let pending: PendingSignIn = PendingSignIn.begin(user, provider: provider?.name, now: context.now)
        let (cookie, sealer): (String, any SecretSealer) = (try pending.sealed(self.sealer), self.sealer)
        let who: Challenged = .pending(pending, cookie: cookie)
        if let idToken: String = provider?.idToken {
            try await self.services.store.write { transaction in
                try ProviderHintTable.insert(
                    idToken, of: who.hintKey, until: pending.expiresAt, sealer, in: transaction)
            }
        }
        var response: HTTPResponse = try await self.challengePage(who, target: target, context)
        response.fields.append("Set-Cookie", browser.pendingCookie(cookie))
        return response
    }

    /// Lets a browser in with a session that was just made, or in which a second factor was just shown.
    func enter(_ session: Session, target: String, _ browser: BrowserRequest) async throws -> HTTPResponse {
        var response: HTTPResponse = .redirect(target)
        try await self.renewCookie(of: session, browser, in: &response)
        if browser.pending != nil { response.fields.append("Set-Cookie", browser.expiredPendingCookie) }
        return response
    }

    /// A cookie of its own for each sign-in and each second factor that is shown: one that was planted or seen before stands for
    /// nothing more than it did.
    func renewCookie(
        of session: Session, _ browser: BrowserRequest, in response: inout HTTPResponse
    ) async throws {
        let (cookie, old): (String, String?) = (Random.token(prefix: "", bytes: 32), browser.session)
        try await self.services.store.write { transaction in
            if let old: String { try BrowserSessionTable.delete(cookie: old, in: transaction) }
            try BrowserSessionTable.insert(cookie: cookie, session: session, in: transaction)
        }
        response.fields.append("Set-Cookie", browser.sessionCookie(cookie, lifetime: Session.lifetime))
    }

    func client(of target: String, _ context: RequestContext) async throws -> OAuthClient? {
        guard let query: Substring = target.split(separator: "?", maxSplits: 1).last,
            let id: String = (try? QueryParameters.parse(String(query)))?["client_id"]
        else { return nil }
        return try await context.read { try OAuthClientTable.find(id, in: $0) }
    }

    // MARK: Consent

    private func consentPage(
        _ request: AuthorizationRequest, _ parameters: QueryParameters, _ context: RequestContext
    ) -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let key: (cookie: String, field: String) = browser.formKey()
        let language: Language = context.language
        var list: String = ""
        for scope in request.scopes.isEmpty ? ["openid"] : request.scopes {
            list += "<li>\(HTMLPage.escape(PageText.scope(scope).text(language)))</li>"
        }
        let body: String = """
            <p>\(HTMLPage.escape(PageText.consent(client: request.client.name).text(language)))</p><ul>\(list)</ul>
            <form method="post" action="/oauth2/consent">\(HTMLPage.hidden("form", key.field))\
            \(HTMLPage.hidden("target", Self.target("/oauth2/authorize", parameters, answered: ["consent"])))
            <button type="submit" name="decision" value="allow">\(HTMLPage.escape(PageText.allow.text(language)))</button>
            <button type="submit" name="decision" value="deny" class="second">\(HTMLPage.escape(PageText.deny.text(language)))</button></form>
            """
        var page: HTMLPage = HTMLPage(
            title: PageText.consentTitle.text(language), body: body, language: language)
        page.formTarget = OAuthClient.origin(of: request.redirectURI)
        var response: HTTPResponse = page.response
        response.fields.append("Set-Cookie", browser.formCookie(key.cookie))
        return response
    }

    private func consent(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes), browser.isOurs(form),
            let target: String = Self.safeTarget(form["target"]), target.hasPrefix("/oauth2/authorize?"),
            let parameters: QueryParameters = try? QueryParameters.parse(String(target.dropFirst(18))),
            let (session, user): (Session, User) = try await self.signedIn(browser, context)
        else { return self.problemPage(PageText.stale.text(context.language), context, status: 403) }
        let client: OAuthClient? = try await self.client(of: target, context)
        guard let request: AuthorizationRequest = try? AuthorizationRequest(parameters, client: client) else {
            return .redirect(target)
        }
        guard form["decision"] == "allow" else { return self.refuse(request, "access_denied") }
        let author: Author = Author(
            caller: Caller(kind: .user, id: user.id, grants: [], sessionID: session.id, ip: context.ip),
            trace: context.trace)
        try await self.services.store.write { transaction in
            let before: [String] =
                try ConsentTable.scopes(user: user.id, client: request.client.id, in: transaction) ?? []
            let scopes: [String] = before + request.scopes.filter { !before.contains($0) }
            try ConsentTable.put(user: user.id, client: request.client.id, scopes: scopes, in: transaction)
            try author.audit(
                "consent.given", tenant: request.client.tenant,
                resource: AuditEntry.Resource(type: "consent", id: "\(user.id)/\(request.client.id)"),
                changes: [
                    "user_id": .string(user.id), "client_id": .string(request.client.id),
                    "scopes": .array(scopes.map { JSONValue.string($0) }),
                ], in: transaction)
        }
        return .redirect(target)
    }

    func problemPage(_ text: String, _ context: RequestContext, status: Int = 400) -> HTTPResponse {
        HTMLPage(
            title: PageText.problem.text(context.language), body: HTMLPage.problem(text), language: context.language,
            status: status
        ).response
    }

    func notePage(_ title: PageText, _ note: PageText, _ context: RequestContext) -> HTTPResponse {
        HTMLPage(
            title: title.text(context.language), body: "<p>\(HTMLPage.escape(note.text(context.language)))</p>",
            language: context.language
        ).response
    }
}
