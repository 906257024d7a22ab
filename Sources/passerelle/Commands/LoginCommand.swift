import Bytes
import HTTP
import JSON

enum LoginCommand {
    static let all: [Command] = [login, logout, me]

    static let login: Command = Command(
        "login",
        summary:
            "Sign in and remember address, tenant, token and files for TLS: with a browser, or --user with a password",
        options: [
            .init("user", "NAME", "sign in here, with this name and its password"),
            .init(
                "password-file", "FILE",
                "read the password of --user from a file, '-' for standard input; asked for otherwise"),
            .init("with-code", nil, "ask for the code of your authenticator app, too; or set PASSERELLE_CODE"),
        ], example: "passerelle login --url http://127.0.0.1:8001 --tenant acme"
    ) { arguments, console in
        let saved: Login? = Login.saved()
        let url: String =
            arguments["url"] ?? Login.environment("PASSERELLE_URL") ?? saved?.url ?? "http://127.0.0.1:8001"
        let tenant: String? = arguments["tenant"] ?? Login.environment("PASSERELLE_TENANT") ?? saved?.tenant
        let plane: ControlPlane = try ControlPlane(url: url, tenant: nil, token: nil)
        Self.warnOfPlainText(plane.url, console)
        var login: Login
        if let user: String = Self.user(arguments) {
            login = try await Self.withPassword(user, plane, arguments)
        } else {
            let granted: IssuerClient.Granted = try await DeviceLogin(issuer: plane.issuer, console: console).run()
            login = Login(url: plane.url, tenant: nil, token: granted.token, renewal: granted.renewal)
        }
        login.tenant = tenant
        login.trust = plane.trust.absolute
        try login.save()
        let name: String =
            try await ControlPlane(url: url, tenant: nil, token: login.token).get("/v1/me")["name"]?.text
            ?? "somebody"
        console.progress("Signed in to \(plane.url) as \(name)\(tenant.map { ", tenant \($0)" } ?? "").", isFinal: true)
    }

    /// Says so, before anything is sent, where others on the way could read it.
    private static func warnOfPlainText(_ url: String, _ console: Console) {
        guard let parts: URLParts = URLParts(url), parts.scheme == .http else { return }
        let isLoopback: Bool =
            parts.host == "localhost" || parts.host == "::1"
            || (parts.host.hasPrefix("127.") && parts.host.utf8.allSatisfy { $0 < UInt8(ascii: ":") })
        if isLoopback { return }
        console.progress(
            "The connection to \(parts.host) is not encrypted: passwords and tokens can be read on the way. Give the control plane TLS (docs/reference/certificates.md) and use https.",
            isFinal: true)
    }

    /// Who signs in with a password: whoever is named; the administrator where only a password is given.
    private static func user(_ arguments: Arguments) -> String? {
        if let user: String = arguments["user"] { return user }
        let hasPassword: Bool =
            arguments.has("password-file") || arguments.has("with-code")
            || Login.environment("PASSERELLE_PASSWORD") != nil
        return hasPassword ? "admin" : nil
    }

    private static func withPassword(
        _ user: String, _ plane: ControlPlane, _ arguments: Arguments
    ) async throws -> Login {
        let password: String = try PasswordInput.read(file: arguments["password-file"], prompt: "Password of \(user): ")
        var credentials: JSONObject = ["user": .string(user), "password": .string(password)]
        if arguments.has("with-code") || Login.environment("PASSERELLE_CODE") != nil {
            credentials["code"] = .string(
                try PasswordInput.read(file: nil, variable: "PASSERELLE_CODE", prompt: "Code of the app: "))
        }
        let answer: JSONValue = try await plane.send("POST", "/v1/sessions", .object(credentials))
        guard let token: String = answer["access_token"]?.text else {
            throw CommandError.failed("The control plane's answer holds no token.")
        }
        return Login(url: plane.url, token: token, session: answer["session_id"]?.text)
    }

    static let logout: Command = Command(
        "logout", summary: "End the sign-in that login made, here and at the control plane",
        example: "passerelle logout"
    ) { _, console in
        guard let login: Login = Login.saved() else {
            console.progress("Nobody is signed in.", isFinal: true)
            return
        }
        let plane: ControlPlane = try ControlPlane(url: login.url, tenant: nil, token: login.token)
        // Whatever the control plane says, nothing of it stays here.
        try Login.remove()
        do {
            try await Self.end(login, plane)
        } catch CommandError.failed(let reason) {
            throw CommandError.failed(
                "The token is forgotten here, but the control plane could not be told, where it works until it ends. \(reason)"
            )
        }
        console.progress("Signed out of \(login.url).", isFinal: true)
    }

    private static func end(_ login: Login, _ plane: ControlPlane) async throws {
        if let renewal: Login.Renewal = login.renewal {
            let (status, _): (Int, JSONValue) = try await plane.issuer.submit(
                "/oauth2/revoke", [("token", renewal.refreshToken)])
            guard status < 400 else { throw CommandError.failed("It answered \(status).") }
        } else if let session: String = login.session {
            // Ended already: nothing is left to do.
            _ = try await plane.exists("/v1/sessions/\(ControlPlane.escaped(session))", method: "DELETE", orGone: 401)
        }
    }

    static let me: Command = Command(
        "me", summary: "Who is signed in, where, and with which roles", example: "passerelle me"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var value: JSONObject = try await plane.get("/v1/me").object ?? [:]
        value["url"] = .string(plane.url)
        if let tenant: String = plane.tenant { value["tenant"] = value["tenant"] ?? .string(tenant) }
        console.show(.object(value), members: ["name", "id", "state", "grants", "roles", "tenant", "url"])
    }
}
