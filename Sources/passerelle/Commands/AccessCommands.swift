import JSON

/// What lets in without a password: personal tokens, service accounts and their tokens; and who holds roles together.
enum AccessCommands {
    static let all: [Command] = [
        createToken, tokens, revokeToken, createAccount, accounts, deleteAccount, createGroup, groups, member, sessions,
    ]

    private static let scopes: Command.Option = .init(
        "scope", "SERVICE:RESOURCE:ACTION", "what the token is for, '*' for any word; may be repeated")
    private static let days: Command.Option = .init("days", "N", "how long it works, 1 to 366 (30)")
    private static let roles: Command.Option = .init("role", "ROLE", "a role in the tenant; may be repeated")

    static let createToken: Command = Command(
        "tokens create", operands: ["NAME"], summary: "Make a token and show it once",
        options: [
            scopes, days, .init("service-account", "ACCOUNT", "of this service account, in place of a personal one"),
        ],
        example: "passerelle tokens create ci --scope catalog:*:read --scope deployments:deployment:* --days 90"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = [
            "name": .string(arguments.operands[0]), "scopes": Self.texts(arguments.all("scope")),
        ]
        if let days: Int = try arguments.integer("days", in: 1...366) { body["expires_in_days"] = .int(Int64(days)) }
        let token: JSONValue = try await plane.send("POST", Self.tokensPath(arguments, plane), .object(body))
        console.show(token, members: ["id", "token", "scopes", "expires_at"])
        if console.format == .table { console.progress("Keep the token: it is shown this once only.", isFinal: true) }
    }

    static let tokens: Command = Command(
        "tokens list", summary: "Your tokens, without the tokens",
        options: [.init("service-account", "ACCOUNT", "those of this service account")],
        example: "passerelle tokens list"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(Self.tokensPath(arguments, plane)),
            columns: ["id", "name", "hint", "scopes", "expires_at"])
    }

    static let revokeToken: Command = Command(
        "tokens revoke", operands: ["ID"], summary: "End a token at once",
        options: [.init("service-account", "ACCOUNT", "of this service account")],
        example: "passerelle tokens revoke tok_0190a5c2-7d1e-7000-8000-000000000000"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = Self.tokensPath(arguments, plane, "/" + ControlPlane.escaped(arguments.operands[0]))
        try await plane.send("DELETE", path, nil)
        console.progress("Revoked \(arguments.operands[0]).", isFinal: true)
    }

    static let createAccount: Command = Command(
        "service-accounts create", operands: ["NAME"], summary: "Create a service account", options: [roles],
        example: "passerelle service-accounts create pipeline --role devops --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let account: JSONValue = try await plane.send(
            "POST", Self.path("/v1/service-accounts", plane),
            .object(["name": .string(arguments.operands[0]), "roles": Self.texts(arguments.all("role"))]))
        console.show(account, members: ["name", "id", "tenant", "roles"])
    }

    static let accounts: Command = Command(
        "service-accounts list", summary: "The service accounts of the tenant",
        example: "passerelle service-accounts list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(Self.path("/v1/service-accounts", plane)), columns: ["name", "id", "state", "roles"])
    }

    static let deleteAccount: Command = Command(
        "service-accounts delete", operands: ["NAME"], summary: "Delete a service account; its tokens end at once",
        example: "passerelle service-accounts delete pipeline --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = ControlPlane.escaped(arguments.operands[0])
        try await plane.send("DELETE", Self.path("/v1/service-accounts/\(name)", plane), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }

    static let createGroup: Command = Command(
        "groups create", operands: ["NAME"], summary: "Create a group whose members hold roles", options: [roles],
        example: "passerelle groups create billing-team --role devops --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let group: JSONValue = try await plane.send(
            "POST", Self.path("/v1/groups", plane),
            .object(["name": .string(arguments.operands[0]), "roles": Self.texts(arguments.all("role"))]))
        console.show(group, members: ["name", "id", "tenant", "roles"])
    }

    static let groups: Command = Command(
        "groups list", summary: "The groups of the tenant", example: "passerelle groups list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(try await plane.all(Self.path("/v1/groups", plane)), columns: ["name", "id", "roles"])
    }

    static let member: Command = Command(
        "groups member", operands: ["GROUP", "USER"], summary: "Put a user into a group; --remove takes the user out",
        options: [.init("remove", nil, "take the user out")],
        example: "passerelle groups member billing-team dana --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let (group, user): (String, String) = (arguments.operands[0], arguments.operands[1])
        let isRemoval: Bool = arguments.has("remove")
        try await plane.send(
            isRemoval ? "DELETE" : "PUT",
            Self.path("/v1/groups/\(ControlPlane.escaped(group))/members/\(ControlPlane.escaped(user))", plane), nil)
        console.progress(isRemoval ? "\(user) left \(group)." : "\(user) is in \(group).", isFinal: true)
    }

    static let sessions: Command = Command(
        "sessions", summary: "Your sessions; --revoke ends one, --revoke-all ends all of them at once",
        options: [.init("revoke", "ID", "end this one"), .init("revoke-all", nil, "end all, this one too")],
        example: "passerelle sessions --revoke-all"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        if let id: String = arguments["revoke"] {
            try await plane.send("DELETE", "/v1/sessions/\(ControlPlane.escaped(id))", nil)
            console.progress("Ended \(id).", isFinal: true)
        } else if arguments.has("revoke-all") {
            try await plane.send("DELETE", "/v1/sessions", nil)
            console.progress("All your sessions have ended.", isFinal: true)
        } else {
            console.list(
                try await plane.all("/v1/sessions"), columns: ["id", "ip", "created_at", "expires_at", "revoked"])
        }
    }

    private static func texts(_ values: [String]) -> JSONValue { .array(values.map { JSONValue.string($0) }) }

    private static func path(_ path: String, _ plane: ControlPlane) -> String {
        guard let tenant: String = plane.tenant else { return path }
        return "\(path)?tenant=\(ControlPlane.escaped(tenant))"
    }

    private static func tokensPath(_ arguments: Arguments, _ plane: ControlPlane, _ rest: String = "") -> String {
        guard let account: String = arguments["service-account"] else { return "/v1/tokens\(rest)" }
        return Self.path("/v1/service-accounts/\(ControlPlane.escaped(account))/tokens\(rest)", plane)
    }
}
