import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

extension IdentityService {
    /// Letters that are not mistaken for one another and make no words.
    private static let userCodeLetters: [UInt8] = Array("BCDFGHJKLMNPQRSTVWXZ".utf8)

    var deviceRoutes: [Route] {
        let page: [Answer] = [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Onwards")]
        return [
            Route(
                "POST", "/oauth2/device_authorization", operationID: "deviceAuthorization", tag: Self.name,
                summary: "Begins a sign-in on a device without a browser (RFC 8628)", access: .anyone,
                body: Self.formBody, answers: [Answer(200, "The device's and the user's code")]
            ) { [self] context in
                try await Self.inOAuth { try await self.beginDevice(context) }
            },
            Route(
                "GET", "/oauth2/device", operationID: "devicePage", tag: Self.name,
                summary: "Where a user allows a device", access: .anyone, readsRawQuery: true, answers: page
            ) { [self] in try await self.devicePage($0) },
            Route(
                "POST", "/oauth2/device", operationID: "deviceDecision", tag: Self.name,
                summary: "The form of the device page", access: .anyone, body: Self.formBody, answers: page
            ) { [self] in try await self.decideDevice($0) },
        ]
    }

    private func beginDevice(_ context: RequestContext) async throws -> HTTPResponse {
        let form: QueryParameters = try Self.form(context)
        let client: OAuthClient = try await self.client(context, form)
        guard client.grantTypes.contains(OAuthClient.deviceGrant) else {
            throw OAuthError(
                "unauthorized_client",
                "The client is not registered for device codes: its grant_types say what it is for.")
        }
        guard let scopes: [String] = AuthorizationRequest.scopes(form["scope"], of: client) else {
            throw OAuthError("invalid_scope", "The client may ask for: \(client.scopes.joined(separator: " ")).")
        }
        if let seconds: Int = self.throttle.beginDevice(address: context.ip) {
            throw OAuthError("slow_down", "Too many devices begin from this address. Try again in \(seconds) seconds.")
        }
        let (code, userCode): (String, String) = (Random.token(prefix: "pdc_", bytes: 32), Self.makeUserCode())
        try await self.services.store.write { transaction in
            try DeviceTable.insert(
                DeviceRequest(
                    sha256: AccessToken.hash(code), userCode: userCode, clientID: client.id, scopes: scopes,
                    state: .pending, grantID: nil, expiresAt: transaction.now.adding(IssuerLifetimes.device),
                    askedAt: Timestamp(milliseconds: 0)), in: transaction)
        }
        let address: String = "\(self.keys.issuer)/oauth2/device"
        return Self.uncached(
            .object([
                "device_code": .string(code), "user_code": .string(userCode), "verification_uri": .string(address),
                "verification_uri_complete": .string("\(address)?user_code=\(userCode)"),
                "expires_in": .int(IssuerLifetimes.device.components.seconds),
                "interval": .int(IssuerLifetimes.deviceInterval.components.seconds),
            ]))
    }

    private static func makeUserCode() -> String {
        var letters: [UInt8] = []
        while letters.count < 8 {
            // 240 is the largest multiple of 20 in a byte: beyond it letters would not be equally likely.
            for byte in Random.bytes(16) where byte < 240 && letters.count < 8 {
                letters.append(Self.userCodeLetters[Int(byte) % Self.userCodeLetters.count])
            }
        }
        let text: String = String(decoding: letters, as: UTF8.self)
        return "\(text.prefix(4))-\(text.suffix(4))"
    }

    /// As typed: in any case, with or without the hyphen and spaces.
    private static func readUserCode(_ text: String) -> String {
        let letters: [UInt8] = text.uppercased().utf8.filter { Self.userCodeLetters.contains($0) }
        let clean: String = String(decoding: letters.prefix(8), as: UTF8.self)
        return "\(clean.prefix(4))-\(clean.dropFirst(4))"
    }

    private func devicePage(_ context: RequestContext) async throws -> HTTPResponse {
        let parameters: QueryParameters =
            (try? QueryParameters.parse(context.request.query ?? "")) ?? QueryParameters()
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        var rest: QueryParameters = QueryParameters()
        rest.append("user_code", Self.readUserCode(parameters["user_code"] ?? ""))
        let target: String = "/oauth2/device?\(rest.encoded)"
        guard let (session, _): (Session, User) = try await self.signedIn(browser, context) else {
            return try self.loginPage(context, target: target)
        }
        if let missing: HTTPResponse = try await self.missingFactor(
            of: session, isWanted: false, target: target, context)
        {
            return missing
        }
        guard let typed: String = parameters["user_code"], typed.utf8.count > 1 else {
            return self.deviceForm(context, problem: nil)
        }
        return try await self.askDevice(Self.readUserCode(typed), context)
    }

    private func deviceForm(_ context: RequestContext, problem: PageText?) -> HTTPResponse {
        let language: Language = context.language
        let body: String = """
            \(HTMLPage.problem(problem?.text(language)))
            <form method="get" action="/oauth2/device"><label for="code">\(HTMLPage.escape(PageText.deviceCode.text(language)))</label>
            <input id="code" name="user_code" class="code" autocomplete="off" autocapitalize="characters" required autofocus>
            <button type="submit">\(HTMLPage.escape(PageText.next.text(language)))</button></form>
            """
        return HTMLPage(
            title: PageText.device.text(language), body: body, language: language, status: problem == nil ? 200 : 404
        ).response
    }

    /// The device that waits with this code. Wrong codes count like wrong passwords, by address.
    private func pendingDevice(_ code: String, _ context: RequestContext) async throws -> (DeviceRequest, OAuthClient)?
    {
        let account: String = "device:\(context.ip)"
        guard self.throttle.wait(account: account, address: context.ip) == nil else { return nil }
        let now: Timestamp = context.now
        let found: (DeviceRequest, OAuthClient)? = try await context.read { reader in
            guard let device: DeviceRequest = try DeviceTable.pending(userCode: code, now: now, in: reader),
                let client: OAuthClient = try OAuthClientTable.find(device.clientID, in: reader)
            else { return nil }
            return (device, client)
        }
        if found == nil { self.throttle.fail(account: account, address: context.ip) }
        return found
    }

    private func askDevice(_ code: String, _ context: RequestContext) async throws -> HTTPResponse {
        guard let (device, client): (DeviceRequest, OAuthClient) = try await self.pendingDevice(code, context) else {
            return self.deviceForm(context, problem: .deviceUnknown)
        }
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        let key: (cookie: String, field: String) = browser.formKey()
        let language: Language = context.language
        var list: String = ""
        for scope in device.scopes { list += "<li>\(HTMLPage.escape(PageText.scope(scope).text(language)))</li>" }
        let body: String = """
            <p>\(HTMLPage.escape(PageText.deviceAsk(client: client.name, code: device.userCode).text(language)))</p><ul>\(list)</ul>
            <form method="post" action="/oauth2/device">\(HTMLPage.hidden("form", key.field))\(HTMLPage.hidden("user_code", device.userCode))
            <button type="submit" name="decision" value="allow">\(HTMLPage.escape(PageText.allow.text(language)))</button>
            <button type="submit" name="decision" value="deny" class="second">\(HTMLPage.escape(PageText.deny.text(language)))</button></form>
            """
        var response: HTTPResponse = HTMLPage(
            title: PageText.device.text(language), body: body, language: language
        ).response
        response.fields.append("Set-Cookie", browser.formCookie(key.cookie))
        return response
    }

    private func decideDevice(_ context: RequestContext) async throws -> HTTPResponse {
        let browser: BrowserRequest = BrowserRequest(context, issuer: self.keys.issuer)
        guard let form: QueryParameters = try? QueryParameters.parseForm(context.bytes), browser.isOurs(form),
            let (session, user): (Session, User) = try await self.signedIn(browser, context)
        else { return self.problemPage(PageText.stale.text(context.language), context, status: 403) }
        let code: String = Self.readUserCode(form["user_code"] ?? "")
        guard let (found, client): (DeviceRequest, OAuthClient) = try await self.pendingDevice(code, context) else {
            return self.deviceForm(context, problem: .deviceUnknown)
        }
        let isAllowed: Bool = form["decision"] == "allow"
        let author: Author = Author(
            caller: Caller(kind: .user, id: user.id, grants: [], sessionID: session.id, ip: context.ip),
            trace: context.trace)
        try await self.services.store.write { transaction in
            guard
                let device: DeviceRequest = try DeviceTable.pending(
                    userCode: found.userCode, now: transaction.now, in: transaction)
            else { return }
            guard isAllowed else {
                try DeviceTable.set(.denied, grant: nil, of: device, in: transaction)
                return
            }
            let grant: OAuthGrant = try Self.grant(
                of: session, to: client, scopes: device.scopes, nonce: nil, author, in: transaction)
            try DeviceTable.set(.approved, grant: grant.id, of: device, in: transaction)
        }
        return self.notePage(isAllowed ? .deviceAllowed : .deviceDenied, .mayClose, context)
    }
}
