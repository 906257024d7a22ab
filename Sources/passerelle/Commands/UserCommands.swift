import Identity
import JSON

enum UserCommands {
    static let all: [Command] = [create, list, show, grant, state, password, sessions, check, permissions, reset]

    static let create: Command = Command(
        "users create", operands: ["NAME"], summary: "Create a user",
        options: [
            .init(
                "password-file", "FILE", "read the password from a file, '-' for standard input; asked for otherwise"),
            .init("role", "ROLE[@TENANT]", "a role to grant; may be repeated"),
        ], example: "passerelle users create dana --role devops@acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = arguments.operands[0]
        let password: String = try PasswordInput.read(file: arguments["password-file"], prompt: "Password of \(name): ")
        let user: JSONValue = try await plane.send(
            "POST", "/v1/users",
            .object([
                "name": .string(name), "password": .string(password), "grants": Self.grants(arguments.all("role")),
            ]))
        console.show(user, members: ["name", "id", "grants"])
    }

    static let list: Command = Command(
        "users list", summary: "The users you may see", example: "passerelle users list"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(try await plane.all("/v1/users"), columns: ["name", "id", "state", "grants"])
    }

    static let show: Command = Command(
        "users show", operands: ["NAME"], summary: "One user, with the roles you may see",
        example: "passerelle users show dana"
    ) { arguments, console in
        console.show(
            try await ControlPlane(arguments).get(Self.path(arguments)),
            members: ["name", "id", "state", "grants", "created_at"])
    }

    static let state: Command = Command(
        "users state", operands: ["NAME", "active|disabled"],
        summary: "Let a user sign in, or end all that the user has and let nobody in by that name",
        example: "passerelle users state dana disabled"
    ) { arguments, console in
        let user: JSONValue = try await ControlPlane(arguments).send(
            "PATCH", Self.path(arguments), .object(["state": .string(arguments.operands[1])]))
        console.show(user, members: ["name", "id", "state"])
    }

    static let password: Command = Command(
        "users password", operands: ["NAME"],
        summary: "Set a password: your own with the old one, another's as administrator; all sessions end",
        options: [
            .init(
                "password-file", "FILE",
                "read the new password from a file, '-' for standard input; asked for otherwise"),
            .init(
                "old-password-file", "FILE", "read the present one from a file; asked for otherwise, if it is your own"),
        ], example: "passerelle users password dana"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let (name, me): (String, JSONValue) = (arguments.operands[0], try await plane.get("/v1/me"))
        var body: JSONObject = JSONObject()
        if [me["name"]?.text, me["id"]?.text].contains(name) {
            body["old_password"] = .string(
                try PasswordInput.read(
                    file: arguments["old-password-file"], variable: "PASSERELLE_OLD_PASSWORD",
                    prompt: "Present password: "))
        }
        body["password"] = .string(
            try PasswordInput.read(file: arguments["password-file"], prompt: "New password of \(name): "))
        try await plane.send("PUT", Self.path(arguments, "/password"), .object(body))
        console.progress("\(name) has a new password; all sessions have ended.", isFinal: true)
    }

    static let sessions: Command = Command(
        "users sessions", operands: ["NAME"],
        summary: "The sessions of a user; --revoke-all ends them and all tokens at once",
        options: [.init("revoke-all", nil, "end all sessions and personal tokens")],
        example: "passerelle users sessions dana --revoke-all"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        if arguments.has("revoke-all") {
            try await plane.send("DELETE", Self.path(arguments, "/sessions"), nil)
            console.progress("All sessions and tokens of \(arguments.operands[0]) have ended.", isFinal: true)
        } else {
            console.list(
                try await plane.all(Self.path(arguments, "/sessions")),
                columns: ["id", "ip", "created_at", "expires_at", "revoked"])
        }
    }

    private static func path(_ arguments: Arguments, _ rest: String = "") -> String {
        "/v1/users/\(ControlPlane.escaped(arguments.operands[0]))\(rest)"
    }

    static let grant: Command = Command(
        "users grant", operands: ["NAME"], summary: "Set a user's roles",
        options: [.init("role", "ROLE[@TENANT]", "a role; may be repeated; what is not named is taken away")],
        example: "passerelle users grant dana --role devops@acme --role viewer@globex"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let user: JSONValue = try await plane.send(
            "PUT", Self.path(arguments, "/grants"),
            .object(["grants": Self.grants(arguments.all("role"))]))
        console.show(user, members: ["name", "id", "grants"])
    }

    static let check: Command = Command(
        "permissions check", summary: "Whether a user may do something, and by which rule",
        options: [
            .init("user", "NAME", "whose permissions"),
            .init("permission", "SERVICE:RESOURCE:ACTION", "what (deployments:deployment:write)"),
            .init("environment", "NAME", "where"),
            .init("api", "NAME", "to which API of the tenant"),
        ], example: "passerelle permissions check --user dana --environment dev --api orders --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = [
            "user": .string(try arguments.required("user")),
            "permission": .string(arguments["permission"] ?? "deployments:deployment:write"),
        ]
        if let tenant: String = plane.tenant { body["tenant"] = .string(tenant) }
        for name in ["environment", "api"] {
            if let value: String = arguments[name] { body[name] = .string(value) }
        }
        let decision: JSONValue = try await plane.send("POST", "/v1/permissions/check", .object(body))
        console.show(decision, members: ["allowed", "rule"])
    }

    static let permissions: Command = Command(
        "permissions list", summary: "What you may do in the tenant, and by which role",
        example: "passerelle permissions list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let found: JSONValue = try await plane.get(plane.scopedPath("/v1/me/permissions"))
        console.list(found["items"]?.elements ?? [], columns: ["permission", "tenant", "rule"])
    }

    static let reset: Command = Command(
        "users reset-administrator", operands: ["NAME?"],
        summary: "Give a stopped platform an administrator with a new password",
        options: StoppedPlatform.options,
        example: "passerelle users reset-administrator --data /var/lib/passerelle"
    ) { arguments, console in
        let name: String = arguments.operand(0) ?? "admin"
        let password: String = try await StoppedPlatform.use(arguments) { services in
            try await AdministratorReset.run(name: name, services: services)
        }
        switch console.format {
        case .json: console.printJSON(.object(["user": .string(name), "password": .string(password)]))
        case .table: console.print("Administrator:     \(name)\nOne-time password: \(password)\n(shown this once)")
        }
    }

    private static func grants(_ roles: [String]) -> JSONValue {
        var list: [JSONValue] = []
        for text in roles {
            let parts: [Substring] = text.split(separator: "@", maxSplits: 1)
            var grant: JSONObject = ["role": .string(parts.first.map(String.init) ?? "")]
            if parts.count == 2 { grant["tenant"] = .string(String(parts[1])) }
            list.append(.object(grant))
        }
        return .array(list)
    }
}
