import JSON

enum CacheCommands {
    static let all: [Command] = [purge]

    static let purge: Command = Command(
        "cache purge", summary: "Make all gateways forget stored responses: --api, --url, --tag or --all",
        options: [
            .init("api", "API", "of this API"),
            .init("environment", "NAME", "of the API, only in this environment"),
            .init("url", "URL", "of the API, only of this address as clients ask for it"),
            .init("tag", "TAG", "those that carry the tag (Cache-Tag), of all of the tenant's APIs"),
            .init("all", nil, "all of the tenant"),
            .init("wait", "SECONDS", "how long to wait for the gateways, 0 to 30 (10)"),
        ], example: "passerelle cache purge --api orders --url http://api.example.com/orders/7 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = JSONObject()
        for name in ["api", "environment", "url", "tag"] {
            if let value: String = arguments[name] { body[name] = .string(value) }
        }
        if arguments.has("all") { body["all"] = .bool(true) }
        if body.isEmpty { throw CommandError.usage("expected --api, --tag or --all") }
        if let wait: Int = try arguments.integer("wait", in: 0...30) { body["wait_seconds"] = .int(Int64(wait)) }
        let purge: JSONValue = try await plane.send("POST", try plane.tenantPath("/cache/purges"), .object(body))
        switch console.format {
        case .json: console.printJSON(purge)
        case .table:
            func count(_ name: String) -> Int64 { purge["gateways"]?[name]?.integer ?? 0 }
            var text: String = "Forgotten at \(count("done")) gateways"
            if count("pending") > 0 { text += ", \(count("pending")) have yet to" }
            if count("away") > 0 { text += ", \(count("away")) are away and will when they are back" }
            console.print(text + ".")
        }
    }
}
