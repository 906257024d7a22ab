import JSON

enum RoleCommands {
    static let all: [Command] = [list, put, delete]

    static let list: Command = Command(
        "roles list", summary: "The roles and what they allow", example: "passerelle roles list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.get(Self.path("/v1/roles", plane))["items"]?.elements ?? [],
            columns: ["name", "tenant", "permissions", "conditions"])
    }

    static let put: Command = Command(
        "roles put", operands: ["NAME"], summary: "Create or replace a custom role of the tenant",
        options: [
            .init("permission", "SERVICE:RESOURCE:ACTION", "what it allows, '*' for any word; may be repeated"),
            .init("environment", "NAME", "it holds in this environment only; may be repeated"),
        ],
        example:
            "passerelle roles put dev-deployer --permission deployments:deployment:* --environment dev --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["permissions": Self.texts(arguments.all("permission"))]
        let environments: [String] = arguments.all("environment")
        if !environments.isEmpty { body["conditions"] = .object(["environments": Self.texts(environments)]) }
        let name: String = ControlPlane.escaped(arguments.operands[0])
        let role: JSONValue = try await plane.send("PUT", Self.path("/v1/roles/\(name)", plane), .object(body))
        console.show(role, members: ["name", "tenant", "permissions", "conditions"])
    }

    static let delete: Command = Command(
        "roles delete", operands: ["NAME"], summary: "Delete a custom role that nobody holds",
        example: "passerelle roles delete dev-deployer --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = ControlPlane.escaped(arguments.operands[0])
        try await plane.send("DELETE", Self.path("/v1/roles/\(name)", plane), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }

    private static func texts(_ values: [String]) -> JSONValue { .array(values.map { JSONValue.string($0) }) }

    private static func path(_ path: String, _ plane: ControlPlane) -> String {
        guard let tenant: String = plane.tenant else { return path }
        return "\(path)?tenant=\(ControlPlane.escaped(tenant))"
    }
}
