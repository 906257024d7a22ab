import Glibc
import HTTP
import JSON

enum EventCommands {
    static let all: [Command] = [
        tail, topics, produce, groups, deleteGroup, replayGroup, listDeadLetters, showDeadLetter, redrive, drop,
    ]

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
        let topics: [JSONValue] = answer["items"]?.elements ?? []
        console.list(
            console.format == .json ? topics : topics.map { Self.counted($0) },
            columns: ["topic", "partitions", "retention_ms", "events"])
    }

    /// The topic with how many events its partitions hold.
    private static func counted(_ topic: JSONValue) -> JSONValue {
        guard var object: JSONObject = topic.object else { return topic }
        var events: Int64 = 0
        for partition in object["offsets"]?.elements ?? [] {
            events += (partition["next"]?.integer ?? 0) - (partition["first"]?.integer ?? 0)
        }
        object["events"] = .int(events)
        return .object(object)
    }

    static let produce: Command = Command(
        "events produce", operands: ["TOPIC"], summary: "Publish an event to an open topic",
        options: [
            .init("key", "KEY", "events of one key keep their order (required)"),
            .init("value", "JSON", "the event's payload; standard input when absent"),
            .init("type", "TYPE", "CloudEvents type (the topic's name)"),
        ],
        example:
            #"passerelle events produce security-job-results --key nightly --value '{"status":"passed","findings":[]}'"#
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let bytes: [UInt8] = try arguments["value"].map { Array($0.utf8) } ?? StandardInput.read()
        let value: JSONValue
        do {
            value = try JSONReader.parse(bytes)
        } catch {
            throw CommandError.usage("The value is not JSON: \(error)")
        }
        var body: JSONObject = ["key": .string(try arguments.required("key")), "value": value]
        if let type: String = arguments["type"] { body["type"] = .string(type) }
        let query: String = plane.tenant.map { "?tenant=\(ControlPlane.escaped($0))" } ?? ""
        let answer: JSONValue = try await plane.send(
            "POST", "/v1/events/\(ControlPlane.escaped(arguments.operands[0]))\(query)", .object(body))
        console.show(answer, members: ["id"])
    }

    static let groups: Command = Command(
        "events groups", summary: "The consumer groups and how far behind they are",
        options: [.init("group", "GROUP", "only this one")], example: "passerelle events groups --group deployer"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var items: [JSONValue] = try await plane.get("/v1/events/groups")["items"]?.elements ?? []
        if let group: String = arguments["group"] {
            items = items.filter { $0["group"]?.text == group }
            if items.isEmpty { throw CommandError.failed("There is no consumer group '\(group)'.") }
        }
        console.list(items, columns: ["group", "topic", "partition", "offset", "end", "lag", "waiting", "is_read"])
    }

    static let deleteGroup: Command = Command(
        "events groups delete", operands: ["GROUP"], summary: "Forget a consumer group that runs nowhere",
        example: "passerelle events groups delete old-indexer"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", "/v1/events/groups/\(ControlPlane.escaped(arguments.operands[0]))", nil)
        console.print("Forgot \(arguments.operands[0]).")
    }

    static let replayGroup: Command = Command(
        "events replay group", operands: ["GROUP", "TOPIC"],
        summary: "Have a consumer group read a topic again, or skip",
        options: [
            .init(
                "from", "START", "earliest, latest, a time such as 2026-01-02T03:04:05Z, or with --partition an offset"),
            .init("partition", "N", "only this partition"),
        ], example: "passerelle events replay group notifier notifications --from 2026-01-02T03:04:05Z"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = [
            "topic": .string(arguments.operands[1]), "to": .string(try arguments.required("from")),
        ]
        if let partition: Int = try arguments.integer("partition", in: 0...1023) {
            body["partition"] = .int(Int64(partition))
        }
        try await plane.send(
            "POST", "/v1/events/groups/\(ControlPlane.escaped(arguments.operands[0]))/seek", .object(body))
        console.print("\(arguments.operands[0]) reads \(arguments.operands[1]) from there on.")
    }

    // MARK: - Dead letters

    private static func letter(_ arguments: Arguments) -> String {
        "/v1/events/dlq/\(ControlPlane.escaped(arguments.operands[0]))/\(ControlPlane.escaped(arguments.operands[1]))"
    }

    static let listDeadLetters: Command = Command(
        "events dlq list", operands: ["TOPIC"], summary: "Events that consumer groups gave up",
        options: [.init("all", nil, "also those that were redriven or dropped")],
        example: "passerelle events dlq list deploy-results"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let settled: String = arguments.has("all") ? "&settled=true" : ""
        var items: [JSONValue] = []
        var next: Int64 = 0
        while true {
            let page: JSONValue = try await plane.get(
                "/v1/events/dlq/\(ControlPlane.escaped(arguments.operands[0]))?from=\(next)&limit=200\(settled)")
            let found: [JSONValue] = page["items"]?.elements ?? []
            items += found
            guard let after: Int64 = page["next"]?.integer, after > next, !found.isEmpty else { break }
            next = after
        }
        console.list(items, columns: ["offset", "group", "partition", "record_offset", "tries", "reason", "outcome"])
    }

    static let showDeadLetter: Command = Command(
        "events dlq show", operands: ["TOPIC", "OFFSET"], summary: "One of them with its event",
        example: "passerelle events dlq show deploy-results 3"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.printJSON(try await plane.get(Self.letter(arguments)))
    }

    static let redrive: Command = Command(
        "events dlq redrive", operands: ["TOPIC", "OFFSET"], summary: "Give it to its group again",
        example: "passerelle events dlq redrive deploy-results 3"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("POST", "\(Self.letter(arguments))/redrive", nil)
        console.print("Its group tries \(arguments.operands[1]) again.")
    }

    static let drop: Command = Command(
        "events dlq drop", operands: ["TOPIC", "OFFSET"], summary: "Let it go without another try",
        example: "passerelle events dlq drop deploy-results 3"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", Self.letter(arguments), nil)
        console.print("Dropped \(arguments.operands[1]).")
    }
}

/// What is piped into a command.
private enum StandardInput {
    static let bytesMax: Int = 1 << 20

    /// Everything up to the end; a usage error beyond the limit.
    static func read() throws(CommandError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk: [UInt8] = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count: Int = Glibc.read(0, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
            if bytes.count > self.bytesMax { throw .usage("The value is larger than \(self.bytesMax) bytes.") }
        }
    }
}
