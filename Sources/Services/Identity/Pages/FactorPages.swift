import Bytes
import Contracts
import HTTP
import JSON
import REST
import Time
import WebAuthn

/// What the forms of these pages say in secret: where they come from and where to go on.
private struct FactorForm {
    let cookie: String
    let hidden: String

    init(_ visitor: FactorVisitor, _ browser: BrowserRequest) {
        let key: (cookie: String, field: String) = browser.formKey()
        self.cookie = browser.formCookie(key.cookie)
        self.hidden = HTMLPage.hidden("form", key.field) + (visitor.next.map { HTMLPage.hidden("next", $0) } ?? "")
    }

    func form(_ action: String, _ inside: String) -> String {
        "<form method=\"post\" action=\"/oauth2/factors\">\(self.hidden)\(HTMLPage.hidden("action", action))\(inside)</form>"
    }

    func button(_ action: String, _ text: String, isSecond: Bool = false) -> String {
        self.form(
            action, "<button type=\"submit\"\(isSecond ? " class=\"second\"" : "")>\(HTMLPage.escape(text))</button>")
    }
}

extension IdentityService {
    private func response(_ page: HTMLPage, _ form: FactorForm) -> HTTPResponse {
        var response: HTTPResponse = page.response
        response.fields.append("Set-Cookie", form.cookie)
        return response
    }

    private func form(_ visitor: FactorVisitor, _ context: RequestContext) -> FactorForm {
        FactorForm(visitor, BrowserRequest(context, issuer: self.keys.issuer))
    }

    // MARK: All of them

    func factorsPage(
        _ visitor: FactorVisitor, _ context: RequestContext, problem: FactorText? = nil, field: String? = nil,
        status: Int = 200
    ) async throws -> HTTPResponse {
        let (form, language): (FactorForm, Language) = (self.form(visitor, context), context.language)
        func text(_ text: FactorText) -> String { HTMLPage.escape(text.text(language)) }
        let factors: SecondFactors = visitor.factors
        var body: String = HTMLPage.problem(problem?.text(language), field: field)
        if visitor.isRequired, !factors.exist { body += "<p>\(text(.required))</p>" }
        if let next: String = visitor.next, factors.exist {
            body += "<p><a href=\"\(HTMLPage.escape(next))\">\(text(.goOn))</a></p>"
        }
        body += "<section aria-labelledby=\"app\"><h2 id=\"app\">\(text(.app))</h2>"
        body +=
            factors.hasApp
            ? "<p>\(text(.appThere))</p>"
                + form.button("remove-app", FactorText.removeApp.text(language), isSecond: true)
            : "<p>\(text(.appNone))</p>" + form.button("begin-app", FactorText.addApp.text(language))
        body += "</section>"
        body += try await self.passkeySection(visitor, form, context)
        if factors.exist {
            body += """
                <section aria-labelledby="codes"><h2 id="codes">\(text(.recovery))</h2>\
                <p>\(text(.codesLeft(factors.recoveryCodesLeft)))</p>\
                \(form.button("new-codes", FactorText.newCodes.text(language), isSecond: true))</section>
                """
        }
        var page: HTMLPage = HTMLPage(
            title: FactorText.title.text(language), body: body, language: language, status: status)
        page.hasScript = self.relyingParty != nil
        return self.response(page, form)
    }

    private func passkeySection(
        _ visitor: FactorVisitor, _ form: FactorForm, _ context: RequestContext
    ) async throws -> String {
        let language: Language = context.language
        func text(_ text: FactorText) -> String { HTMLPage.escape(text.text(language)) }
        guard let party: RelyingParty = self.relyingParty else { return "" }
        let passkeys: [Passkey] = visitor.factors.passkeys
        var section: String = "<section aria-labelledby=\"passkeys\"><h2 id=\"passkeys\">\(text(.passkeys))</h2>"
        section += passkeys.isEmpty ? "<p>\(text(.passkeysNone))</p>" : "<ul class=\"list\">"
        for passkey in passkeys {
            let (name, id): (String, String) = (HTMLPage.escape(passkey.name), HTMLPage.escape(passkey.id))
            let hidden: String = HTMLPage.hidden("passkey", passkey.id)
            let date: String = String(passkey.createdAt.rfc3339.prefix(10))
            section += """
                <li><strong>\(name)</strong> \(text(.passkeySince(date)))\
                \(passkey.suspendedAt == nil ? "" : "<p class=\"problem\">\(text(.suspended))</p>")\
                \(form.form("rename-passkey", """
                    \(hidden)<label for="name-\(id)">\(text(.newName(passkey.name)))</label>\
                    <input id="name-\(id)" name="name" value="\(name)" maxlength="\(Passkey.nameLengthMax)" required>\
                    <button type="submit" class="second">\(text(.rename(passkey.name)))</button>
                    """))\
                \(form.form("remove-passkey", """
                    \(hidden)<button type="submit" class="second">\(text(.remove(passkey.name)))</button>
                    """))</li>
                """
        }
        if !passkeys.isEmpty { section += "</ul>" }
        if passkeys.count < Passkey.countMax {
            let challenge: PasskeyChallenge = .begin(.register, binding: visitor.session.id, now: context.now)
            section += HTMLPage.passkeyForm(
                action: "/oauth2/factors", asks: "create",
                options: try await self.registrationOptions(visitor.user, challenge, party: party),
                fields: form.hidden + HTMLPage.hidden("action", "add-passkey")
                    + HTMLPage.hidden("challenge", try challenge.sealed(self.sealer)) + """
                        <label for="passkey-name">\(text(.passkeyName))</label>\
                        <input id="passkey-name" name="name" value="\(text(.defaultName))" \
                        maxlength="\(Passkey.nameLengthMax)" required>
                        """,
                button: FactorText.addPasskey.text(language), failed: FactorText.passkeyFailed.text(language))
            section += "<p data-without-passkeys>\(text(.passkeyNeedsScript))</p>"
        }
        return section + "</section>"
    }

    // MARK: One of them

    /// The app's secret, as a picture and as text, to be confirmed by a code.
    func appPage(
        _ secret: [UInt8], _ visitor: FactorVisitor, _ context: RequestContext, problem: FactorText? = nil,
        status: Int = 200
    ) -> HTTPResponse {
        let (form, language): (FactorForm, Language) = (self.form(visitor, context), context.language)
        func text(_ text: FactorText) -> String { HTMLPage.escape(text.text(language)) }
        let address: String = OneTimePassword.address(secret: secret, user: visitor.user.name)
        let isWrong: Bool = problem != nil
        let body: String = """
            \(HTMLPage.problem(problem?.text(language), field: "code"))<p>\(text(.scan))</p>
            \(QRCode(address)?.svg(label: FactorText.picture.text(language)) ?? "")
            <p>\(text(.key)): <span class="key" id="key">\(Base32.encode(secret))</span></p><p class="help">\(text(.keyHelp))</p>
            \(form.form("confirm-app", """
                <label for="code">\(text(.code))</label>\
                <input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" required autofocus\
                \(isWrong ? " aria-invalid=\"true\" aria-describedby=\"problem\"" : "")>\
                <button type="submit">\(text(.confirm))</button>
                """))
            """
        return self.response(
            HTMLPage(title: FactorText.app.text(language), body: body, language: language, status: status), form)
    }

    /// The recovery codes, this once.
    func codesPage(_ codes: [String], _ visitor: FactorVisitor, _ context: RequestContext) -> HTTPResponse {
        let (form, language): (FactorForm, Language) = (self.form(visitor, context), context.language)
        func text(_ text: FactorText) -> String { HTMLPage.escape(text.text(language)) }
        let list: String = codes.map { "<li>\($0)</li>" }.joined()
        let next: String = visitor.next ?? Self.factorsTarget(next: nil)
        let body: String = """
            <p>\(text(.codesHelp))</p><ul class="codes">\(list)</ul>
            <p><a href="\(HTMLPage.escape(next))">\(text(.kept))</a></p>
            """
        return self.response(
            HTMLPage(title: FactorText.codesTitle.text(language), body: body, language: language), form)
    }
}
