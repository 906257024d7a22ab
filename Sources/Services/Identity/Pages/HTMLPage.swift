import Bytes
import Crypto
import HTTP
import JSON
import REST

/// A page of the issuer: plain HTML, one style, nothing from elsewhere; a script only where passkeys are, and none is in the page. What
/// people wrote is escaped.
struct HTMLPage: Sendable {
    let title: String
    /// Markup, with everything in it escaped by `escape`.
    let body: String
    let language: Language
    var status: Int = 200
    /// Where a form's answer may lead besides here, for `form-action`.
    var formTarget: String?
    /// Whether the page loads `PageScript`.
    var hasScript: Bool = false

    static let style: String = """
        body{font:1rem/1.5 system-ui,sans-serif;margin:0;background:#f4f4f2;color:#1b1b1b}\
        main{max-width:26rem;margin:10vh auto;padding:2rem;background:#fff;border:1px solid #767676;border-radius:.5rem}\
        h1{font-size:1.4rem;margin-top:0}label{display:block;margin-top:1rem;font-weight:600}\
        input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid #595959;border-radius:.25rem}\
        button{font:inherit;margin:1.5rem .5rem 0 0;padding:.5rem 1.25rem;border:1px solid #0b4f8a;border-radius:.25rem;\
        background:#0b4f8a;color:#fff;cursor:pointer}button.second{background:#fff;color:#0b4f8a}\
        :focus-visible{outline:3px solid #b35900;outline-offset:2px}\
        .problem{border-left:4px solid #a4262c;padding:.25rem .75rem;background:#fdf3f4}\
        .providers{list-style:none;padding:1rem 0 0;margin:1.5rem 0 0;border-top:1px solid #767676}.providers li{margin:.5rem 0}\
        h2{font-size:1.1rem;margin:2rem 0 0}.help{margin:.25rem 0 0;color:#404040}.list{list-style:none;padding:0}\
        .list li{padding:.5rem 0;border-bottom:1px solid #767676}.qr{display:block;margin:1rem auto}\
        .codes{columns:2;font-family:ui-monospace,monospace;padding:1rem;border:1px solid #767676;list-style:none}\
        .key{font-family:ui-monospace,monospace;overflow-wrap:anywhere}[hidden]{display:none}\
        a{color:#0b4f8a}.code{font-size:1.5rem;letter-spacing:.1em;text-transform:uppercase}
        """
    private static let styleHash: String = Base64.encode(SHA256.hash(style))

    var response: HTTPResponse {
        let html: String = """
            <!DOCTYPE html>
            <html lang="\(self.language.rawValue)"><head><meta charset="utf-8">\
            <meta name="viewport" content="width=device-width, initial-scale=1">\
            <title>\(Self.escape(self.title)) · Passerelle</title><style>\(Self.style)</style>\
            \(self.hasScript ? "<script src=\"\(PageScript.path)\" defer></script>" : "")</head>\
            <body><main><h1>\(Self.escape(self.title))</h1>
            \(self.body)
            </main></body></html>
            """
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "text/html; charset=utf-8")
        fields.append("Content-Language", self.language.rawValue)
        fields.append("Cache-Control", "no-store")
        let target: String = self.formTarget.map { " \($0)" } ?? ""
        fields.append(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'sha256-\(Self.styleHash)'; \(self.hasScript ? "script-src 'self'; " : "")form-action 'self'\(target); frame-ancestors 'none'; base-uri 'none'"
        )
        fields.append("X-Frame-Options", "DENY")
        fields.append("X-Content-Type-Options", "nosniff")
        // Not `no-referrer`: forms of such a page come without an origin, which is looked at.
        fields.append("Referrer-Policy", "same-origin")
        return HTTPResponse(status: self.status, fields: fields, body: .bytes(Array(html.utf8)))
    }

    /// Text as it may stand between tags and in quoted attributes.
    static func escape(_ text: String) -> String {
        var escaped: String = ""
        escaped.reserveCapacity(text.utf8.count)
        for character in text.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    static func hidden(_ name: String, _ value: String) -> String {
        "<input type=\"hidden\" name=\"\(name)\" value=\"\(self.escape(value))\">"
    }

    /// - Parameter field: the id of the field it is about, which the text leads to.
    static func problem(_ text: String?, field: String? = nil) -> String {
        guard let text: String else { return "" }
        let words: String = field.map { "<a href=\"#\($0)\">\(self.escape(text))</a>" } ?? self.escape(text)
        return "<p class=\"problem\" id=\"problem\" role=\"alert\">\(words)</p>"
    }

    /// A form that `PageScript` fills and sends; hidden without it.
    ///
    /// - Parameters:
    ///   - fields: markup within it: hidden fields, an input.
    ///   - options: of `navigator.credentials`.
    static func passkeyForm(
        action: String, asks: String, options: JSONValue, fields: String, button: String, failed: String
    ) -> String {
        """
        <form method="post" action="\(action)" data-passkey="\(asks)" data-options="\(self.escape(options.jsonText))" hidden>\(fields)\
        <input type="hidden" name="credential" value=""><p class="problem" role="alert" hidden>\(self.escape(failed))</p>
        <button type="submit" class="second">\(self.escape(button))</button></form>
        """
    }
}

/// What the pages say.
enum PageText: Sendable {
    case signIn, userName, password, wrongPassword, tooManyAttempts, busy, consentTitle, consent(client: String)
    case allow, deny, scope(String), device, deviceCode, next, deviceUnknown, deviceAsk(client: String, code: String)
    case passkeyUnknown, signInBy(String), providerRefused, providerNoRole, providerAway, providerFailed
    case deviceAllowed, deviceDenied, mayClose, signOut, signOutAsk, signedOut, problem, stale

    func text(_ language: Language) -> String {
        language == .french ? self.french : self.english
    }

    private var english: String {
        switch self {
        case .signIn: "Sign in"
        case .userName: "User name"
        case .password: "Password"
        case .wrongPassword:
            "User name or password is wrong. Check both, or ask an administrator for a new password."
        case .passkeyUnknown: FactorText.passkeyUnknown.text(.english)
        case .signInBy(let provider): "Sign in with \(provider)"
        case .providerRefused: "You were not signed in there. Try again, or sign in here."
        case .providerNoRole: "You have no access here. Ask an administrator."
        case .providerAway: "Signing in there does not work right now. Try again later."
        case .providerFailed: "The sign-in there could not be accepted. Try again, or ask an administrator."
        case .tooManyAttempts: "Too many wrong passwords. Try again later, or ask an administrator for a new one."
        case .busy: "Too many people are signing in right now. Try again in a few seconds."
        case .consentTitle: "Allow access?"
        case .consent(let client): "\(client) would like to:"
        case .allow: "Allow"
        case .deny: "Do not allow"
        case .scope(let scope):
            switch scope {
            case "openid": "know that it is you"
            case "profile": "know your user name"
            case "groups": "know your groups"
            case "roles": "know your roles"
            case "platform": "do in Passerelle all that you may do"
            default: scope
            }
        case .device: "Connect a device"
        case .deviceCode: "Code that the device shows"
        case .next: "Next"
        case .deviceUnknown:
            "No device waits with this code. Codes work for ten minutes: let the device show a new one."
        case .deviceAsk(let client, let code):
            "\(client) asks to be connected with the code \(code). Allow it only if you have started it yourself and it shows this code."
        case .deviceAllowed: "The device is connected."
        case .deviceDenied: "The device was not connected."
        case .mayClose: "You may close this page."
        case .signOut: "Sign out"
        case .signOutAsk: "Sign out of Passerelle and all that you signed in to with it?"
        case .signedOut: "You are signed out."
        case .problem: "This does not work"
        case .stale: "The page was too old. Try again."
        }
    }

    private var french: String {
        switch self {
        case .signIn: "Se connecter"
        case .userName: "Nom d'utilisateur"
        case .password: "Mot de passe"
        case .wrongPassword:
            "Le nom d'utilisateur ou le mot de passe est faux. Vérifiez-les, ou demandez un nouveau mot de passe à un administrateur."
        case .passkeyUnknown: FactorText.passkeyUnknown.text(.french)
        case .signInBy(let provider): "Se connecter avec \(provider)"
        case .providerRefused: "Vous n'y avez pas été connecté. Réessayez, ou connectez-vous ici."
        case .providerNoRole: "Vous n'avez pas d'accès ici. Adressez-vous à un administrateur."
        case .providerAway: "La connexion là-bas ne fonctionne pas en ce moment. Réessayez plus tard."
        case .providerFailed:
            "La connexion là-bas n'a pas pu être acceptée. Réessayez, ou adressez-vous à un administrateur."
        case .tooManyAttempts:
            "Trop de mots de passe faux. Réessayez plus tard, ou demandez-en un nouveau à un administrateur."
        case .busy: "Trop de personnes se connectent en ce moment. Réessayez dans quelques secondes."
        case .consentTitle: "Autoriser l'accès ?"
        case .consent(let client): "\(client) souhaite :"
        case .allow: "Autoriser"
        case .deny: "Ne pas autoriser"
        case .scope(let scope):
            switch scope {
            case "openid": "savoir que c'est vous"
            case "profile": "connaître votre nom d'utilisateur"
            case "groups": "connaître vos groupes"
            case "roles": "connaître vos rôles"
            case "platform": "faire dans Passerelle tout ce que vous pouvez y faire"
            default: scope
            }
        case .device: "Connecter un appareil"
        case .deviceCode: "Code que l'appareil affiche"
        case .next: "Continuer"
        case .deviceUnknown:
            "Aucun appareil n'attend avec ce code. Un code vaut dix minutes : faites-en afficher un nouveau par l'appareil."
        case .deviceAsk(let client, let code):
            "\(client) demande à être connecté avec le code \(code). N'autorisez que si vous l'avez lancé vous-même et s'il affiche ce code."
        case .deviceAllowed: "L'appareil est connecté."
        case .deviceDenied: "L'appareil n'a pas été connecté."
        case .mayClose: "Vous pouvez fermer cette page."
        case .signOut: "Se déconnecter"
        case .signOutAsk: "Se déconnecter de Passerelle et de tout ce à quoi vous vous êtes connecté avec ?"
        case .signedOut: "Vous êtes déconnecté."
        case .problem: "Cela ne fonctionne pas"
        case .stale: "La page était trop ancienne. Réessayez."
        }
    }
}
