import HTTP
import JSON

enum EventCommands {
    static let all: [Command] = [tail, topics, groups]

    static let tail: Command = Command(
        "events tail", operands: ["TOPIC"], summary: "Show a topic's events as they come",
        options: [
            .init("from", "START", "earliest, latest or a time such as 2026-01-02T03:04:05Z (latest)"),
            .init("limit", "N", "stop after so many"),
        ], example: "passerelle events tail deploy-results --from earliest --limit 10"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let limit: Int = try arguments.integer("limit", in: 1...1_000_000_000) ?? Int.max
        var query: String = "?from=\(ControlPlane.escaped(arguments["from"] ?? "latest"))"
        if let tenant: String = plane.tenant { query += "&tenant=\(ControlPlane.escaped(tenant))" }
        var seen: Int = 0
        try await plane.follow("/v1/events/\(ControlPlane.escaped(arguments.operands[0]))\(query)") { event in
            guard event.type == nil || event.type == "event" || event.type == "record" else { return true }
            console.print(event.data)
            seen += 1
            return seen < limit
        }
    }

    static let topics: Command = Command(
        "events topics", summary: "The topics and what they hold", example: "passerelle events topics"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let answer: JSONValue = try await plane.get("/v1/events")
        console.list(answer["items"]?.elements ?? [], columns: ["topic", "partitions", "retention_ms", "offsets"])
    }

    static let groups: Command = Command(
        "events groups", summary: "The consumer groups and how far behind they are", example: "passerelle events groups"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.get("/v1/events/groups")["items"]?.elements ?? [],
            columns: ["group", "topic", "partition", "offset", "lag", "waiting"])
    }
}
