import Contracts
import HTTP
import JSON
import REST
import Store
import Tokens

extension IdentityService {
    var logoutRoutes: [Route] {
        let page: [Answer] = [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Onwards")]
        return [
            Route(
                "GET", "/oauth2/logout", operationID: "endSession", tag: Self.name,
                summary: "Where a client sends users to sign out (OpenID Connect RP-Initiated Logout)", access: .anyone,
                readsRawQuery: true, answers: page
            ) { [self] context in
                let parameters: QueryParameters? = try? QueryParameters.parse(context.request.query ?? "")
                return try await self.logout(parameters ?? QueryParameters(), isConfirmed: false, context)
            },
            Route(
                "POST", "/oauth2/logout", operationID: "endSessionForm", tag: Self.name,
                summary: "The same by a form: of a client, or of the page that asks", access: .anyone,
                body: Self.formBody, answers: page
            ) { [self] context in
                let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
                let form: QueryParameters = (try? QueryParameters.parseForm(context.bytes)) ?? QueryParameters()
                return try await self.logout(form, isConfirmed: browser.isOurs(form), context)
            },
        ]
    }

    /// Signs out at once when the client shows an id token of this very sign-in; asks otherwise, because any page could send a
    /// browser here.
    private func logout(
        _ parameters: QueryParameters, isConfirmed: Bool, _ context: RequestContext
    ) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let hint: VerifiedToken? = parameters["id_token_hint"].flatMap { self.hint($0) }
        let back: String? = try await self.backAddress(parameters, hint, context)
        var next: String? = back
        if let (session, _): (Session, User) = try await self.signedIn(browser, context) {
            guard isConfirmed || hint?.claims["sid"]?.text == session.id else {
                let provider: URLParts? = await self.logoutProvider(of: session)?.endpoint
                return self.askLogout(parameters, leadsTo: [provider?.text, back].compactMap { $0 }, context)
            }
            next = try await self.providerLogout(of: session, back: back, context) ?? back
            try await self.end(session, context)
        }
        var response: HTTPResponse = next.map { .redirect($0) } ?? self.notePage(.signOut, .signedOut, context)
        response.fields.append("Set-Cookie", browser.expiredSessionCookie)
        return response
    }

    /// Whose sign-in a client speaks of. An older one counts as none: then the user is asked.
    private func hint(_ token: String) -> VerifiedToken? { try? self.keys.verifyHint(token) }

    private func backAddress(
        _ parameters: QueryParameters, _ hint: VerifiedToken?, _ context: RequestContext
    ) async throws -> String? {
        guard let wanted: String = parameters["post_logout_redirect_uri"] else { return nil }
        let id: String = parameters["client_id"] ?? hint?.claims["aud"]?.text ?? ""
        if let hint: VerifiedToken, hint.claims["aud"]?.text != id { return nil }
        let client: OAuthClient? = try await context.read { try OAuthClientTable.find(id, in: $0) }
        guard client?.logoutURIs.contains(where: { Array($0.utf8) == Array(wanted.utf8) }) == true else { return nil }
        guard let state: String = parameters["state"] else { return wanted }
        var query: QueryParameters = QueryParameters()
        query.append("state", state)
        return wanted + (wanted.contains("?") ? "&" : "?") + query.encoded
    }

    /// - Parameter leadsTo: addresses that signing out goes on to.
    private func askLogout(
        _ parameters: QueryParameters, leadsTo: [String], _ context: RequestContext
    ) -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let key: (cookie: String, field: String) = browser.formKey()
        var hidden: String = HTMLPage.hidden("form", key.field)
        for name in ["post_logout_redirect_uri", "client_id", "state"] {
            if let value: String = parameters[name] { hidden += HTMLPage.hidden(name, value) }
        }
        let language: Language = context.language
        let body: String = """
            <p>\(HTMLPage.escape(PageText.signOutAsk.text(language)))</p><form method="post" action="/oauth2/logout">\(hidden)
            <button type="submit">\(HTMLPage.escape(PageText.signOut.text(language)))</button></form>
            """
        var page: HTMLPage = HTMLPage(title: PageText.signOut.text(language), body: body, language: language)
        let origins: [String] = leadsTo.map { OAuthClient.origin(of: $0) }
        page.formTarget = origins.isEmpty ? nil : origins.joined(separator: " ")
        var response: HTTPResponse = page.response
        response.fields.append("Set-Cookie", browser.formCookie(key.cookie))
        return response
    }

    private func end(_ session: Session, _ context: RequestContext) async throws {
        let author: Author = Author(
            caller: Caller(kind: .user, id: session.userID, grants: [], sessionID: session.id, ip: context.ip),
            trace: context.trace)
        try await self.services.store.write { transaction in
            try ProviderHintTable.delete(of: session.id, in: transaction)
            if try SessionTable.revoke(session.id, in: transaction) {
                try Self.recordRevocation(of: [session.id], userID: session.userID, author, in: transaction)
            }
        }
        self.tokens.revoke([session.id])
    }
}
