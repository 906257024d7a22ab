import JSON

/// The own second factor: an authenticator app and its recovery codes. Codes and passwords are asked for, never arguments.
enum SecondFactorCommands {
    static let all: [Command] = [setUp, verify, remove, reset]

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
        switch console.format {
        case .json: console.printJSON(done)
        case .table:
            console.print((done["recovery_codes"]?.elements ?? []).compactMap(\.text).joined(separator: "\n"))
            console.progress(
                "Each of these works once in place of a code. They are shown this once only.", isFinal: true)
        }
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

    private static func code() throws(CommandError) -> JSONValue {
        .object([
            "code": .string(try PasswordInput.read(file: nil, variable: "PASSERELLE_CODE", prompt: "Code of the app: "))
        ])
    }
}
