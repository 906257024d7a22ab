import Contracts
import Crypto
import HTTP
import Identifiers
import JSON
import REST
import Store
import Telemetry
import Time
import Tokens

extension IdentityService {
    var providerRoutes: [Route] {
        let page: [Answer] = [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Onwards")]
        return [
            self.providerLogoutRoute,
            Route(
                "GET", "/oauth2/providers/{provider}/login", operationID: "beginProviderLogin", tag: Self.name,
                summary: "Sends a browser to an identity provider to sign in there", access: .anyone,
                readsRawQuery: true, answers: page
            ) { [self] in try await self.beginProviderLogin($0.inAskedLanguage) },
            Route(
                "GET", "/oauth2/providers/{provider}/callback", operationID: "providerCallback", tag: Self.name,
                summary: "Where an identity provider sends browsers back to", access: .anyone, readsRawQuery: true,
                answers: page
            ) { [self] in try await self.providerCallback($0) },
            Route(
                "GET", "/v1/identity-providers", operationID: "listIdentityProviders", tag: Self.name,
                summary: "The identity providers of the settings, and whether they answer",
                access: .platform(Permission("identity", "provider", "read")),
                answers: [Answer(200, "Providers in the order of the settings")]
            ) { [self] _ in
                var items: [JSONValue] = []
                for provider in self.providers { items.append(await Self.json(provider, issuer: self.keys.issuer)) }
                return .json(.object(["items": .array(items), "next": .null]))
            },
        ]
    }

    private static func json(_ provider: IdentityProvider, issuer: String) async -> JSONValue {
        let settings: IdentityProviderSettings = provider.settings
        var problem: JSONValue = .null
        do throws(ProviderError) {
            _ = try await provider.metadata()
        } catch {
            problem = .string("\(error)")
        }
        func texts(_ values: [String]) -> JSONValue { .array(values.map { JSONValue.string($0) }) }
        return .object([
            "name": .string(settings.name), "label": .string(settings.label), "issuer": .string(settings.issuer),
            "client_id": settings.clientID.map { .string($0) } ?? .null, "scopes": texts(settings.scopes),
            "redirect_uri": .string(Self.callbackAddress(settings.name, issuer: issuer)),
            "post_logout_redirect_uri": .string("\(issuer)\(Self.signedOutPath)"),
            "roles_from": .string(settings.rolesFrom.rawValue), "audiences": texts(settings.audiences),
            "makes_users": .bool(settings.makesUsers),
            "rules": .array(
                settings.rules.map { rule in
                    .object([
                        "claim": .string(rule.claim.text), "value": .string(rule.value), "role": .string(rule.role),
                        "tenant": rule.tenant.map { .string($0) } ?? .null,
                    ])
                }), "problem": problem,
        ])
    }

    private static func callbackAddress(_ provider: String, issuer: String) -> String {
        "\(issuer)/oauth2/providers/\(provider)/callback"
    }

    private func provider(_ context: RequestContext) -> IdentityProvider? {
        let name: String = context.parameter("provider")
        return self.providers.first { $0.settings.name == name }
    }

    /// The links of the sign-in page.
    func providerLinks(target: String, _ language: Language) -> String {
        let offered: [IdentityProvider] = self.providers.filter { $0.settings.clientID != nil }
        if offered.isEmpty { return "" }
        var query: QueryParameters = QueryParameters()
        query.append("target", target)
        var list: String = ""
        for provider in offered {
            let address: String = "/oauth2/providers/\(provider.settings.name)/login?\(query.encoded)"
            let text: String = PageText.signInBy(provider.settings.label).text(language)
            list += "<li><a href=\"\(HTMLPage.escape(address))\">\(HTMLPage.escape(text))</a></li>"
        }
        return "<ul class=\"providers\">\(list)</ul>"
    }

    // MARK: There

    private func beginProviderLogin(_ context: RequestContext) async throws -> HTTPResponse {
        guard let provider: IdentityProvider = self.provider(context),
            let query: QueryParameters = try? QueryParameters.parse(context.request.query ?? ""),
            query.all("target").count == 1, let target: String = Self.safeTarget(query["target"]),
            let login: ProviderLogin = ProviderLogin.begin(
                provider: provider.settings.name, target: target, now: context.now)
        else { return self.problemPage(PageText.stale.text(context.language), context) }
        let metadata: ProviderMetadata
        do throws(ProviderError) {
            metadata = try await provider.metadata()
        } catch {
            return self.providerProblem(provider, error, context)
        }
        let settings: IdentityProviderSettings = provider.settings
        guard let clientID: String = settings.clientID, let endpoint: URLParts = metadata.authorizationEndpoint else {
            return self.providerProblem(provider, .metadata("nobody signs in there"), context)
        }
        var parameters: QueryParameters = QueryParameters()
        for (name, value) in [
            ("response_type", "code"), ("client_id", clientID),
            ("redirect_uri", Self.callbackAddress(settings.name, issuer: self.keys.issuer)),
            ("scope", settings.scopes.joined(separator: " ")), ("state", login.state), ("nonce", login.nonce),
            ("code_challenge", login.challenge), ("code_challenge_method", "S256"),
            ("ui_locales", context.language.rawValue),
        ] { parameters.append(name, value) }
        var response: HTTPResponse = .redirect(
            endpoint.text + (endpoint.query == nil ? "?" : "&") + parameters.encoded)
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        response.fields.append("Set-Cookie", browser.providerCookie(try login.sealed(self.sealer)))
        return response
    }

    // MARK: And back

    private func providerCallback(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        var response: HTTPResponse = try await self.finishProviderLogin(browser, context)
        // Whatever came of it: the sign-in that the browser kept is over.
        response.fields.append("Set-Cookie", browser.expiredProviderCookie)
        return response
    }

    private func finishProviderLogin(
        _ browser: BrowserRequest, _ context: RequestContext
    ) async throws -> HTTPResponse {
        guard let provider: IdentityProvider = self.provider(context),
            let query: QueryParameters = try? QueryParameters.parse(context.request.query ?? ""),
            Self.areSingle(["code", "state", "iss", "error"], in: query), let state: String = query["state"],
            let kept: String = browser.provider,
            let login: ProviderLogin = ProviderLogin.open(
                kept, provider: provider.settings.name, state: state, now: context.now, self.sealer)
        else { return self.problemPage(PageText.stale.text(context.language), context, status: 403) }
        guard query["error"] == nil, let code: String = query["code"], !code.isEmpty else {
            return try self.loginPage(context, target: login.target, problem: .providerRefused, status: 403)
        }
        let person: ProviderPerson
        do throws(ProviderError) {
            let namesIssuer: Bool = try await provider.metadata().namesIssuer
            // RFC 9207: the answer of another provider is not taken to this one.
            guard query["iss"].map({ $0 == provider.settings.issuer }) ?? !namesIssuer else {
                throw .claim("the answer is of another issuer")
            }
            person = try await provider.exchange(
                code: code, verifier: login.verifier, nonce: login.nonce,
                redirectURI: Self.callbackAddress(provider.settings.name, issuer: self.keys.issuer))
        } catch {
            self.log(error, of: provider, context)
            // From there the user tries again, or another way.
            return try self.loginPage(
                context, target: login.target, problem: error.isTransient ? .providerAway : .providerFailed,
                status: error.isTransient ? 503 : 403)
        }
        switch try await self.openSession(of: person, provider.settings, context) {
        case .session(let session): return try await self.enter(session, target: login.target, browser)
        case .secondFactor(let user):
            return try await self.askSecondFactor(
                of: user, provider: (provider.settings.name, person.idToken), target: login.target, browser, context)
        case .refused:
            self.refusals.countAnonymous(ip: context.ip, account: "")
            return try self.loginPage(context, target: login.target, problem: .providerNoRole, status: 403)
        }
    }

    private static func areSingle(_ names: [String], in query: QueryParameters) -> Bool {
        names.allSatisfy { query.all($0).count <= 1 }
    }

    /// Who has a second factor here is asked for it, unless the provider says that it has asked.
    private func openSession(
        of person: ProviderPerson, _ settings: IdentityProviderSettings, _ context: RequestContext
    ) async throws -> SignInOutcome {
        let (ip, trace, sealer): (String, TraceContext, any SecretSealer) = (context.ip, context.trace, self.sealer)
        let (outcome, changed): (SignInOutcome, String?) = try await self.services.store.write { transaction in
            let admission: ProviderAdmission = try ProviderAdmission.admit(
                person, makesUsers: settings.makesUsers, isSignIn: true, ip: ip, trace: trace, in: transaction)
            guard case .user(let user, let isChanged) = admission else { return (.refused, nil) }
            let changed: String? = isChanged ? user.id : nil
            if !person.hasSecondFactor, try SecondFactors.of(user.id, in: transaction).exist {
                return (.secondFactor(user), changed)
            }
            let session: Session = try Self.insertSession(
                of: user, secondFactorAt: person.hasSecondFactor ? transaction.now : nil, provider: settings.name,
                methods: person.hasSecondFactor ? ["mfa"] : [], ip: ip, trace: trace, in: transaction)
            if let idToken: String = person.idToken {
                try ProviderHintTable.insert(
                    idToken, of: session.id, until: session.expiresAt, sealer, in: transaction)
            }
            return (.session(session), changed)
        }
        if let changed: String { self.tokens.forget(userID: changed) }
        return outcome
    }

    /// What the user sees names nothing; the log says what is wrong.
    private func providerProblem(
        _ provider: IdentityProvider, _ error: ProviderError, _ context: RequestContext
    ) -> HTTPResponse {
        self.log(error, of: provider, context)
        let text: PageText = error.isTransient ? .providerAway : .providerFailed
        return self.problemPage(text.text(context.language), context, status: error.isTransient ? 503 : 403)
    }

    private func log(_ error: ProviderError, of provider: IdentityProvider, _ context: RequestContext) {
        self.services.logger.log(
            .warning, "a sign-in by an identity provider failed",
            [
                "provider": .string(provider.settings.name), "error": .string("\(error)"),
                "trace_id": .string(context.trace.traceID),
            ])
    }
}
