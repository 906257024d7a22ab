import JSON

/// The own second factor: an authenticator app and its recovery codes. Codes and passwords are asked for, never arguments.
/// And the policies that say whose roles need one.
enum SecondFactorCommands {
    static let all: [Command] = [show, setUp, verify, newCodes, remove, reset, policy, require]

    static let show: Command = Command(
        "second-factor show", summary: "What you can show besides a password, and whether a policy asks for it",
        example: "passerelle second-factor show"
    ) { arguments, console in
        var factors: JSONObject = try await ControlPlane(arguments).get("/v1/me/second-factor").object ?? [:]
        if console.format == .table {
            factors["passkeys"] = ControlPlane.texts(
                (factors["passkeys"]?.elements ?? []).compactMap { $0["name"]?.text })
        }
        console.show(.object(factors), members: ["app", "passkeys", "recovery_codes_left", "required"])
    }

    static let setUp: Command = Command(
        "second-factor set-up", summary: "Set up an authenticator app, and show recovery codes this once",
        options: [.init("password-file", "FILE", "read the present password from a file; asked for otherwise")],
        example: "passerelle second-factor set-up"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let password: String = try PasswordInput.read(file: arguments["password-file"], prompt: "Your password: ")
        let begun: JSONValue = try await plane.send(
            "POST", "/v1/me/second-factor", .object(["password": .string(password)]))
        console.progress(
            "Give this to your app:\n\(begun["uri"]?.text ?? "")\nor type in \(begun["secret"]?.text ?? "").",
            isFinal: true)
        let done: JSONValue = try await plane.send("POST", "/v1/me/second-factor/confirm", try Self.code())
        Self.showCodes(done, console)
    }

    private static func showCodes(_ answer: JSONValue, _ console: Console) {
        switch console.format {
        case .json: console.printJSON(answer)
        case .table:
            console.print((answer["recovery_codes"]?.elements ?? []).compactMap(\.text).joined(separator: "\n"))
            console.progress(
                "Each of these works once in place of a code. They are shown this once only.", isFinal: true)
        }
    }

    static let newCodes: Command = Command(
        "second-factor recovery-codes", summary: "Make new recovery codes, shown this once; the ones before end",
        example: "passerelle second-factor recovery-codes"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        Self.showCodes(try await plane.send("POST", "/v1/me/second-factor/recovery-codes", nil), console)
    }

    static let verify: Command = Command(
        "second-factor verify",
        summary: "Show the second factor again, for critical operations in the next ten minutes",
        example: "passerelle second-factor verify"
    ) { arguments, console in
        try await ControlPlane(arguments).send("POST", "/v1/me/second-factor/verify", try Self.code())
        console.progress("Critical operations are open for ten minutes.", isFinal: true)
    }

    static let remove: Command = Command(
        "second-factor remove", summary: "Remove your second factor, with a code of it",
        example: "passerelle second-factor remove"
    ) { arguments, console in
        try await ControlPlane(arguments).send("POST", "/v1/me/second-factor/remove", try Self.code())
        console.progress("You sign in without a second factor now.", isFinal: true)
    }

    static let reset: Command = Command(
        "second-factor reset", operands: ["USER"],
        summary: "Remove the second factor of a user who has lost it; all sessions of the user end",
        example: "passerelle second-factor reset dana"
    ) { arguments, console in
        let user: String = arguments.operands[0]
        try await ControlPlane(arguments).send(
            "DELETE", "/v1/users/\(ControlPlane.escaped(user))/second-factor", nil)
        console.progress("\(user) signs in without a second factor now.", isFinal: true)
    }

    private static let platform: Command.Option = .init(
        "platform", nil, "that of the platform, which holds in every tenant, whatever tenant is chosen")

    static let policy: Command = Command(
        "second-factor policy", summary: "Which roles count only where a second factor was shown",
        options: [platform], example: "passerelle second-factor policy --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.show(try await plane.get(Self.policyPath(arguments, plane)), members: ["roles"])
    }

    static let require: Command = Command(
        "second-factor require", summary: "Set which roles count only where a second factor was shown, at once",
        options: [
            .init("role", "ROLE", "such a role; may be repeated; what is not named needs none any more"),
            .init("none", nil, "no role needs one any more"), platform,
        ], example: "passerelle second-factor require --role cpi-tenant --role devops --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let roles: [String] = arguments.all("role")
        guard roles.isEmpty == arguments.has("none") else {
            throw CommandError.usage("Name the roles with --role, or say --none.")
        }
        let policy: JSONValue = try await plane.send(
            "PUT", Self.policyPath(arguments, plane), .object(["roles": ControlPlane.texts(roles)]))
        console.show(policy, members: ["roles"])
    }

    private static func policyPath(_ arguments: Arguments, _ plane: ControlPlane) -> String {
        let path: String = "/v1/second-factor-policy"
        return arguments.has("platform") ? path : plane.scopedPath(path)
    }

    private static func code() throws(CommandError) -> JSONValue {
        .object([
            "code": .string(try PasswordInput.read(file: nil, variable: "PASSERELLE_CODE", prompt: "Code of the app: "))
        ])
    }
}
