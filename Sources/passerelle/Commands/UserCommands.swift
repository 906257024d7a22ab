import Identity
import JSON

enum UserCommands {
    static let all: [Command] = [create, list, grant, check, reset]

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

    static let grant: Command = Command(
        "users grant", operands: ["NAME"], summary: "Set a user's roles",
        options: [.init("role", "ROLE[@TENANT]", "a role; may be repeated; what is not named is taken away")],
        example: "passerelle users grant dana --role devops@acme --role viewer@globex"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let user: JSONValue = try await plane.send(
            "PUT", "/v1/users/\(ControlPlane.escaped(arguments.operands[0]))/grants",
            .object(["grants": Self.grants(arguments.all("role"))]))
        console.show(user, members: ["name", "id", "grants"])
    }

    static let check: Command = Command(
        "permissions check", summary: "Whether a user may do something, and by which rule",
        options: [
            .init("user", "NAME", "whose permissions"),
            .init("permission", "SERVICE:RESOURCE:ACTION", "what (deployments:deployment:write)"),
            .init("environment", "NAME", "where"),
        ], example: "passerelle permissions check --user dana --environment dev --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = [
            "user": .string(try arguments.required("user")),
            "permission": .string(arguments["permission"] ?? "deployments:deployment:write"),
        ]
        if let tenant: String = plane.tenant { body["tenant"] = .string(tenant) }
        if let environment: String = arguments["environment"] { body["environment"] = .string(environment) }
        let decision: JSONValue = try await plane.send("POST", "/v1/permissions/check", .object(body))
        console.show(decision, members: ["allowed", "rule"])
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
