import JSON

/// Clients of the OpenID Connect issuer, the keys it signs with, and identity providers of others.
enum ClientCommands {
    static let all: [Command] = [create, list, show, update, secret, delete, signingKeys, rotateSigningKey, providers]

    private static let members: [String] = [
        "id", "name", "tenant", "confidential", "secret", "redirect_uris", "post_logout_redirect_uris", "grant_types",
        "scopes", "trusted", "service_account",
    ]

    /// What may be said about a client, made or changed.
    private static let options: [Command.Option] = [
        .init("redirect-uri", "URL", "where its users come back to; may be repeated"),
        .init("post-logout-redirect-uri", "URL", "where they go when they have signed out; may be repeated"),
        .init("grant", "TYPE", "authorization_code, refresh_token, client_credentials or device_code; may be repeated"),
        .init("scope", "SCOPE", "openid, profile, groups, roles or platform; may be repeated"),
        .init("service-account", "NAME", "as whom it acts with client_credentials"),
    ]

    static let create: Command = Command(
        "clients create", operands: ["NAME"], summary: "Register a client; its secret is shown this once",
        options: options + [
            .init("public", nil, "a program in the hands of its users, which can keep no secret"),
            .init("trusted", nil, "users are not asked; platform administrators only"),
        ],
        example:
            "passerelle clients create shop --redirect-uri https://shop.example.com/cb --grant authorization_code --scope openid --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = Self.body(arguments)
        body["name"] = .string(arguments.operands[0])
        body["confidential"] = .bool(!arguments.has("public"))
        body["grant_types"] = body["grant_types"] ?? ControlPlane.texts(["authorization_code"])
        body["scopes"] = body["scopes"] ?? ControlPlane.texts(["openid"])
        if arguments.has("trusted") { body["trusted"] = true }
        let client: JSONValue = try await plane.send("POST", plane.scopedPath("/v1/oauth-clients"), .object(body))
        console.show(client, members: Self.members)
        Self.remind(client, console)
    }

    static let list: Command = Command(
        "clients list", summary: "The clients of the tenant, or the platform's own",
        example: "passerelle clients list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(plane.scopedPath("/v1/oauth-clients")),
            columns: ["id", "name", "confidential", "grant_types", "scopes"])
    }

    static let show: Command = Command(
        "clients show", operands: ["ID"], summary: "One client, without its secret",
        example: "passerelle clients show cli_0190a5c2-7d1e-7000-8000-000000000000 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.show(try await plane.get(Self.path(arguments, plane)), members: Self.members)
    }

    static let update: Command = Command(
        "clients update", operands: ["ID"], summary: "Change a client; what is not named stays",
        options: options + [.init("name", "NAME", "what its users read")],
        example: "passerelle clients update cli_0190a5c2-7d1e-7000-8000-000000000000 --scope openid --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = Self.body(arguments)
        if let name: String = arguments["name"] { body["name"] = .string(name) }
        guard !body.members.isEmpty else { throw CommandError.usage("Name what changes, for example --scope openid.") }
        console.show(
            try await plane.send("PATCH", Self.path(arguments, plane), .object(body)), members: Self.members)
    }

    static let secret: Command = Command(
        "clients secret", operands: ["ID"],
        summary: "Make a new secret, shown this once; the one before works on for a while",
        options: [.init("expires-old-after", "SECONDS", "how long; 0 when it has leaked (86400)")],
        example: "passerelle clients secret cli_0190a5c2-7d1e-7000-8000-000000000000 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = JSONObject()
        if let seconds: Int = try arguments.integer("expires-old-after", in: 0...30 * 86_400) {
            body["expires_old_after_seconds"] = .int(Int64(seconds))
        }
        let client: JSONValue = try await plane.send("POST", Self.path(arguments, plane, "/secret"), .object(body))
        console.show(client, members: ["id", "name", "secret", "old_secret_ends_at"])
        Self.remind(client, console)
    }

    static let delete: Command = Command(
        "clients delete", operands: ["ID"], summary: "Remove a client; every token it has ends at once",
        example: "passerelle clients delete cli_0190a5c2-7d1e-7000-8000-000000000000 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", Self.path(arguments, plane), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }

    static let signingKeys: Command = Command(
        "signing-keys list", summary: "The keys that tokens of the issuer are checked with, as it publishes them",
        example: "passerelle signing-keys list"
    ) { arguments, console in
        let keys: JSONValue = try await ControlPlane(arguments).get("/.well-known/jwks.json")
        console.list(keys["keys"]?.elements ?? [], columns: ["kid", "alg", "use"])
    }

    static let rotateSigningKey: Command = Command(
        "signing-keys rotate",
        summary: "Make the next key that signs tokens: published at once, used after ten minutes",
        example: "passerelle signing-keys rotate"
    ) { arguments, console in
        console.show(try await ControlPlane(arguments).send("POST", "/v1/signing-keys", nil), members: ["id"])
    }

    static let providers: Command = Command(
        "providers list", summary: "The identity providers of the settings, and whether they answer",
        example: "passerelle providers list"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.get("/v1/identity-providers")["items"]?.elements ?? [],
            columns: ["name", "label", "issuer", "redirect_uri", "problem"])
    }

    private static func body(_ arguments: Arguments) -> JSONObject {
        var body: JSONObject = JSONObject()
        for (option, member) in [
            ("redirect-uri", "redirect_uris"), ("post-logout-redirect-uri", "post_logout_redirect_uris"),
            ("scope", "scopes"),
        ] where arguments.has(option) { body[member] = ControlPlane.texts(arguments.all(option)) }
        let grants: [String] = arguments.all("grant").map {
            $0 == "device_code" ? "urn:ietf:params:oauth:grant-type:device_code" : $0
        }
        if !grants.isEmpty { body["grant_types"] = ControlPlane.texts(grants) }
        if let account: String = arguments["service-account"] { body["service_account"] = .string(account) }
        return body
    }

    private static func path(_ arguments: Arguments, _ plane: ControlPlane, _ rest: String = "") -> String {
        plane.scopedPath("/v1/oauth-clients/\(ControlPlane.escaped(arguments.operands[0]))\(rest)")
    }

    private static func remind(_ client: JSONValue, _ console: Console) {
        guard client["secret"] != nil, console.format == .table else { return }
        console.progress("Keep the secret: it is shown this once only.", isFinal: true)
    }
}
