import JSON

enum TenantCommands {
    static let all: [Command] = [create, list, quotas, setQuotas]

    static let quotas: Command = Command(
        "tenants quotas", operands: ["NAME"],
        summary: "The most a tenant may have of what; what is not named has no quota",
        example: "passerelle tenants quotas acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let quotas: JSONValue = try await plane.get("/v1/tenants/\(ControlPlane.escaped(arguments.operands[0]))/quotas")
        console.show(quotas, members: quotas.object?.keys ?? [])
    }

    static let setQuotas: Command = Command(
        "tenants set-quotas", operands: ["NAME"],
        summary: "Set all quotas of a tenant; what is not named has none from then on",
        options: [
            .init(
                "quota", "NAME=N",
                "apis, applications, environments, groups, plans, service_accounts or subscriptions; may be repeated")
        ], example: "passerelle tenants set-quotas acme --quota apis=20 --quota subscriptions=500"
    ) { arguments, console in
        var body: JSONObject = [:]
        for text in arguments.all("quota") {
            let words: [Substring] = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, let limit: Int64 = Int64(words[1]) else {
                throw CommandError.usage("--quota '\(text)': expected NAME=N, for example apis=20")
            }
            body[String(words[0])] = .int(limit)
        }
        let plane: ControlPlane = try ControlPlane(arguments)
        let quotas: JSONValue = try await plane.send(
            "PUT", "/v1/tenants/\(ControlPlane.escaped(arguments.operands[0]))/quotas", .object(body))
        console.show(quotas, members: quotas.object?.keys ?? [])
    }

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
