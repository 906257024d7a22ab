import JSON

enum TenantCommands {
    static let all: [Command] = [create, list]

    static let create: Command = Command(
        "tenants create", operands: ["NAME"], summary: "Create a tenant with its environments, target and plans",
        options: [.init("display-name", "TEXT", "what people see")], example: "passerelle tenants create acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["name": .string(arguments.operands[0])]
        if let text: String = arguments["display-name"] { body["display_name"] = .string(text) }
        let tenant: JSONValue = try await plane.send("POST", "/v1/tenants", .object(body))
        console.show(tenant, members: ["name", "display_name", "created_at"])
    }

    static let list: Command = Command(
        "tenants list", summary: "The tenants you reach", example: "passerelle tenants list --output json"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(try await plane.all("/v1/tenants"), columns: ["name", "display_name", "created_at"])
    }
}
