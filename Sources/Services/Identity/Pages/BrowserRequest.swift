import Crypto
import HTTP
import REST
import Store
import Time

/// What a browser brings along: its cookies, and proof that a form comes from a page of ours.
///
/// Forms are bound to a cookie of the browser that no page can read, and to the sign-in that there is: the form carries a hash of
/// both, so that who has planted the one still does not know the other. Besides, a browser says where a form comes from, and another
/// origin is refused. Cookies are not sent with forms of other sites at all (`SameSite=Lax`).
struct BrowserRequest: Sendable {
    let issuer: String
    let fields: HTTPFields

    init(_ context: RequestContext, issuer: String) {
        self.issuer = issuer
        self.fields = context.request.fields
    }

    private var isSecure: Bool { self.issuer.hasPrefix("https:") }
    private var sessionName: String { self.isSecure ? "__Host-passerelle" : "passerelle" }
    private var formName: String { self.isSecure ? "__Host-passerelle-form" : "passerelle-form" }

    private var providerName: String { self.isSecure ? "__Host-passerelle-provider" : "passerelle-provider" }

    private var pendingName: String { self.isSecure ? "__Host-passerelle-pending" : "passerelle-pending" }

    /// The cookie of a sign-in whose second half is missing.
    var pending: String? { self.cookie(self.pendingName, bytesMax: 1_024) }

    /// What challenges are bound to that this browser answers before it is signed in: the cookie that its forms are bound to.
    func challengeBinding(_ key: String) -> String { AccessToken.hash("passkey:\(key)") }

    /// The cookie that forms are bound to, as it came.
    var formKeyInUse: String? { self.cookie(self.formName) }

    /// The cookie of a sign-in at a provider that is under way.
    var provider: String? { self.cookie(self.providerName, bytesMax: 4_096) }

    /// The cookie of a sign-in.
    var session: String? { self.cookie(self.sessionName) }

    private func cookie(_ name: String, bytesMax: Int = 128) -> String? {
        var found: String?
        for line in self.fields.all("Cookie") {
            for part in line.split(separator: ";") {
                let pair: Substring = ASCIICase.trimmed(part)
                guard pair.hasPrefix("\(name)=") else { continue }
                // Two of one name: somebody planted one of them.
                if found != nil { return nil }
                found = String(pair.dropFirst(name.utf8.count + 1))
            }
        }
        return found.flatMap { $0.isEmpty || $0.utf8.count > bytesMax ? nil : $0 }
    }

    /// The cookie that forms of this browser are bound to, and what their field says: the one that is there, or a new one.
    func formKey() -> (cookie: String, field: String) {
        let cookie: String = self.cookie(self.formName) ?? Random.token(prefix: "", bytes: 32)
        return (cookie, self.formField(cookie))
    }

    private func formField(_ cookie: String) -> String {
        AccessToken.hash("form:\(cookie):\(self.session ?? "")")
    }

    /// Whether a form comes from a page of ours in this very browser.
    func isOurs(_ form: QueryParameters) -> Bool {
        if let origin: String = self.fields["Origin"], origin != self.issuer { return false }
        if let site: String = self.fields["Sec-Fetch-Site"], site != "same-origin" { return false }
        guard let cookie: String = self.cookie(self.formName), let field: String = form["form"] else { return false }
        return ConstantTime.equals(self.formField(cookie), field)
    }

    func formCookie(_ value: String) -> String { self.setCookie(self.formName, value, seconds: 3_600) }

    func sessionCookie(_ value: String, lifetime: Duration) -> String {
        self.setCookie(self.sessionName, value, seconds: lifetime.components.seconds)
    }

    func providerCookie(_ value: String) -> String {
        self.setCookie(self.providerName, value, seconds: ProviderLogin.lifetime.components.seconds)
    }

    func pendingCookie(_ value: String) -> String {
        self.setCookie(self.pendingName, value, seconds: PendingSignIn.lifetime.components.seconds)
    }

    var expiredPendingCookie: String { self.setCookie(self.pendingName, "", seconds: 0) }

    var expiredProviderCookie: String { self.setCookie(self.providerName, "", seconds: 0) }

    var expiredSessionCookie: String { self.setCookie(self.sessionName, "", seconds: 0) }

    private func setCookie(_ name: String, _ value: String, seconds: Int64) -> String {
        "\(name)=\(value); Path=/; HttpOnly; SameSite=Lax; Max-Age=\(seconds)\(self.isSecure ? "; Secure" : "")"
    }
}

extension HTTPResponse {
    /// Sends a browser on with GET.
    static func redirect(_ address: String) -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        fields.append("Location", address)
        fields.append("Cache-Control", "no-store")
        fields.append("Referrer-Policy", "no-referrer")
        return HTTPResponse(status: 303, fields: fields, body: .bytes([]))
    }
}
