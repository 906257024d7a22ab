import JSON

/// What lets in without a password: personal tokens, service accounts and their tokens; and the sessions of who signed in.
enum AccessCommands {
    static let all: [Command] = [
        createToken, tokens, revokeToken, createAccount, accounts, showAccount, updateAccount, deleteAccount, sessions,
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
            "name": .string(arguments.operands[0]), "scopes": ControlPlane.texts(arguments.all("scope")),
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
            "POST", plane.scopedPath("/v1/service-accounts"),
            .object(["name": .string(arguments.operands[0]), "roles": ControlPlane.texts(arguments.all("role"))]))
        console.show(account, members: ["name", "id", "tenant", "roles"])
    }

    static let accounts: Command = Command(
        "service-accounts list", summary: "The service accounts of the tenant",
        example: "passerelle service-accounts list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(plane.scopedPath("/v1/service-accounts")), columns: ["name", "id", "state", "roles"])
    }

    static let showAccount: Command = Command(
        "service-accounts show", operands: ["NAME"], summary: "One service account",
        example: "passerelle service-accounts show pipeline --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.show(
            try await plane.get(Self.accountPath(arguments, plane)),
            members: ["name", "id", "tenant", "state", "roles", "created_at"])
    }

    static let updateAccount: Command = Command(
        "service-accounts update", operands: ["NAME"],
        summary: "Set the roles of a service account, disable or enable it; what is not named stays",
        options: [
            .init("role", "ROLE", "a role in the tenant; may be repeated; the others are taken away"),
            .init("state", "active|disabled", "whether its tokens work"),
        ], example: "passerelle service-accounts update pipeline --state disabled --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var changes: JSONObject = JSONObject()
        let roles: [String] = arguments.all("role")
        if !roles.isEmpty { changes["roles"] = ControlPlane.texts(roles) }
        if let state: String = arguments["state"] { changes["state"] = .string(state) }
        guard !changes.members.isEmpty else { throw CommandError.usage("Name what changes: --role or --state.") }
        let account: JSONValue = try await plane.send("PATCH", Self.accountPath(arguments, plane), .object(changes))
        console.show(account, members: ["name", "id", "tenant", "state", "roles"])
    }

    private static func accountPath(_ arguments: Arguments, _ plane: ControlPlane) -> String {
        plane.scopedPath("/v1/service-accounts/\(ControlPlane.escaped(arguments.operands[0]))")
    }

    static let deleteAccount: Command = Command(
        "service-accounts delete", operands: ["NAME"], summary: "Delete a service account; its tokens end at once",
        example: "passerelle service-accounts delete pipeline --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", Self.accountPath(arguments, plane), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
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

    private static func tokensPath(_ arguments: Arguments, _ plane: ControlPlane, _ rest: String = "") -> String {
        guard let account: String = arguments["service-account"] else { return "/v1/tokens\(rest)" }
        return plane.scopedPath("/v1/service-accounts/\(ControlPlane.escaped(account))/tokens\(rest)")
    }
}
