import JSON

enum LoginCommand {
    static let login: Command = Command(
        "login", summary: "Sign in and remember address, tenant and token",
        options: [
            .init("user", "NAME", "who signs in (admin)"),
            .init(
                "password-file", "FILE", "read the password from a file, '-' for standard input; asked for otherwise"),
            .init("with-code", nil, "ask for the code of your authenticator app, too; or set PASSERELLE_CODE"),
        ], example: "passerelle login --url http://127.0.0.1:8001 --user admin --tenant acme"
    ) { arguments, console in
        let saved: Login? = Login.saved()
        let url: String =
            arguments["url"] ?? Login.environment("PASSERELLE_URL") ?? saved?.url ?? "http://127.0.0.1:8001"
        let user: String = arguments["user"] ?? "admin"
        let password: String = try PasswordInput.read(file: arguments["password-file"], prompt: "Password of \(user): ")
        let plane: ControlPlane = try ControlPlane(url: url, tenant: nil, token: nil)
        let answer: JSONValue = try await plane.send(
            "POST", "/v1/sessions", .object(try Self.credentials(user, password, arguments)))
        guard let token: String = answer["access_token"]?.text else {
            throw CommandError.failed("The control plane's answer holds no token.")
        }
        let tenant: String? = arguments["tenant"] ?? Login.environment("PASSERELLE_TENANT") ?? saved?.tenant
        try Login(url: plane.url, tenant: tenant, token: token).save()
        console.progress("Signed in to \(plane.url) as \(user)\(tenant.map { ", tenant \($0)" } ?? "").", isFinal: true)
    }

    private static func credentials(
        _ user: String, _ password: String, _ arguments: Arguments
    ) throws(CommandError) -> JSONObject {
        var credentials: JSONObject = ["user": .string(user), "password": .string(password)]
        if arguments.has("with-code") || Login.environment("PASSERELLE_CODE") != nil {
            credentials["code"] = .string(
                try PasswordInput.read(file: nil, variable: "PASSERELLE_CODE", prompt: "Code of the app: "))
        }
        return credentials
    }
}
