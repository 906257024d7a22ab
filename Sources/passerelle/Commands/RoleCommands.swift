import JSON

enum RoleCommands {
    static let all: [Command] = [list, put, delete]

    static let list: Command = Command(
        "roles list", summary: "The roles and what they allow", example: "passerelle roles list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.get(plane.scopedPath("/v1/roles"))["items"]?.elements ?? [],
            columns: ["name", "tenant", "permissions", "conditions"])
    }

    static let put: Command = Command(
        "roles put", operands: ["NAME"], summary: "Create or replace a custom role of the tenant",
        options: [
            .init("permission", "SERVICE:RESOURCE:ACTION", "what it allows, '*' for any word; may be repeated"),
            .init("environment", "NAME", "it holds in this environment only; may be repeated"),
            .init(
                "label", "KEY=VALUE",
                "it holds for APIs with this label only; may be repeated: one of the values of each key"),
        ],
        example:
            "passerelle roles put payments-deployer --permission deployments:deployment:* --environment dev --label team=payments --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["permissions": ControlPlane.texts(arguments.all("permission"))]
        let conditions: JSONObject = try Self.conditions(arguments)
        if !conditions.members.isEmpty { body["conditions"] = .object(conditions) }
        let name: String = ControlPlane.escaped(arguments.operands[0])
        let role: JSONValue = try await plane.send("PUT", plane.scopedPath("/v1/roles/\(name)"), .object(body))
        console.show(role, members: ["name", "tenant", "permissions", "conditions"])
    }

    private static func conditions(_ arguments: Arguments) throws -> JSONObject {
        var conditions: JSONObject = [:]
        let environments: [String] = arguments.all("environment")
        if !environments.isEmpty { conditions["environments"] = ControlPlane.texts(environments) }
        var labels: JSONObject = [:]
        for word in arguments.all("label") {
            let label: (key: String, value: String) = try APICommands.label(word)
            labels[label.key] = .array((labels[label.key]?.elements ?? []) + [.string(label.value)])
        }
        if !labels.members.isEmpty { conditions["labels"] = .object(labels) }
        return conditions
    }

    static let delete: Command = Command(
        "roles delete", operands: ["NAME"], summary: "Delete a custom role that nobody holds",
        example: "passerelle roles delete dev-deployer --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = ControlPlane.escaped(arguments.operands[0])
        try await plane.send("DELETE", plane.scopedPath("/v1/roles/\(name)"), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }
}
