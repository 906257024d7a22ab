import JSON

enum PlanCommands {
    static let all: [Command] = [create, list]

    static let create: Command = Command(
        "plans create", operands: ["NAME"], summary: "Create a plan, or replace its limits",
        options: [
            .init("limit", "N", "most requests in a window; unlimited when absent"),
            .init("window", "DURATION", "the window: 1s, 1m, 1h, 1d (1m)"),
            .init("quota", "N", "most requests in a span of the calendar; unlimited when absent"),
            .init("quota-window", "SPAN", "minute, hour, day, week, month or year (month)"),
            .init("concurrency", "N", "most requests at once; unlimited when absent"),
            .init("approval", nil, "subscriptions wait for approval"),
        ], example: "passerelle plans create gold --limit 600 --window 1m --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["approval": .bool(arguments.has("approval"))]
        if let limit: Int = try arguments.integer("limit", in: 1...1_000_000_000) {
            body["rate_limit"] = .object(["limit": .int(Int64(limit)), "window": .string(arguments["window"] ?? "1m")])
        }
        if let quota: Int = try arguments.integer("quota", in: 1...1_000_000_000_000) {
            let window: String = arguments["quota-window"] ?? "month"
            body["quota"] = .object(["limit": .int(Int64(quota)), "window": .string(window)])
        }
        if let concurrency: Int = try arguments.integer("concurrency", in: 1...1_000_000) {
            body["concurrency"] = .int(Int64(concurrency))
        }
        let name: String = ControlPlane.escaped(arguments.operands[0])
        let plan: JSONValue = try await plane.send("PUT", try plane.tenantPath("/plans/\(name)"), .object(body))
        console.show(plan, members: ["name", "rate_limit", "quota", "concurrency", "approval"])
    }

    static let list: Command = Command(
        "plans list", summary: "The tenant's plans", example: "passerelle plans list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(try plane.tenantPath("/plans")),
            columns: ["name", "rate_limit", "quota", "concurrency", "approval"])
    }
}
