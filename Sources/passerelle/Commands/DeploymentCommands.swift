import HTTP
import JSON

enum DeploymentCommands {
    static let all: [Command] = [deploy, rollback, list, watch]

    static let deploy: Command = Command(
        "deploy", operands: ["API[@REVISION]"],
        summary: "Deploy an API to an environment and wait until every gateway runs it",
        options: [.init("environment", "NAME", "where to"), .init("no-wait", nil, "return at once")],
        example: "passerelle deploy orders@2 --environment dev --tenant acme"
    ) { arguments, console in
        let parts: [Substring] = arguments.operands[0].split(separator: "@", maxSplits: 1)
        guard let name: Substring = parts.first else { throw CommandError.usage("The API's name is missing.") }
        var body: JSONObject = ["environment": .string(try arguments.required("environment")), "action": "deploy"]
        if parts.count == 2 {
            guard let revision: Int64 = Int64(parts[1]), revision > 0 else {
                throw CommandError.usage("'\(parts[1])' is not a revision; expected a number, for example \(name)@2.")
            }
            body["revision"] = .int(revision)
        }
        try await Self.start(body, api: String(name), arguments: arguments, console: console)
    }

    static let rollback: Command = Command(
        "rollback", operands: ["API"], summary: "Go back to a revision that ran before",
        options: [
            .init("environment", "NAME", "where"), .init("to", "REVISION", "to which (the one before)"),
            .init("no-wait", nil, "return at once"),
        ], example: "passerelle rollback orders --environment dev --tenant acme"
    ) { arguments, console in
        var body: JSONObject = ["environment": .string(try arguments.required("environment")), "action": "rollback"]
        if let revision: Int = try arguments.integer("to", in: 1...1_000_000_000) { body["to"] = .int(Int64(revision)) }
        try await Self.start(body, api: arguments.operands[0], arguments: arguments, console: console)
    }

    static let list: Command = Command(
        "deployments list", operands: ["API"], summary: "An API's deployments, newest first",
        example: "passerelle deployments list orders --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(arguments.operands[0]))/deployments")
        console.list(
            try await plane.all(path),
            columns: ["id", "environment", "revision", "action", "state", "created_at", "duration_ms"])
    }

    static let watch: Command = Command(
        "deployments watch", operands: ["API", "DEPLOYMENT"], summary: "Follow a deployment until it ends",
        example: "passerelle deployments watch orders dep_0190a1b2-… --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let api: String = ControlPlane.escaped(arguments.operands[0])
        let id: String = ControlPlane.escaped(arguments.operands[1])
        try await Self.follow(try plane.tenantPath("/apis/\(api)/deployments/\(id)"), plane: plane, console: console)
    }

    private static func start(
        _ body: JSONObject, api: String, arguments: Arguments, console: Console
    ) async throws {
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(api))/deployments")
        let deployment: JSONValue = try await plane.send("POST", path, .object(body))
        if arguments.has("no-wait") {
            console.show(deployment, members: ["id", "api", "environment", "revision", "state"])
            return
        }
        try await Self.follow("\(path)/\(deployment["id"]?.text ?? "")", plane: plane, console: console)
    }

    /// Shows each state as it comes; fails when the deployment does.
    private static func follow(_ path: String, plane: ControlPlane, console: Console) async throws {
        var last: JSONValue = .null
        try await plane.follow(path) { event in
            guard let deployment: JSONValue = try? JSONReader.parse(event.data) else { return true }
            last = deployment
            console.progress(Self.line(deployment))
            return !Self.isFinal(deployment)
        }
        if !Self.isFinal(last) { last = try await plane.get(path) }
        if console.format == .json { console.printJSON(last) }
        console.progress(Self.line(last), isFinal: true)
        guard last["state"]?.text == "success" else {
            throw CommandError.failed(
                last["detail"]?.text ?? "The deployment ended as \(last["state"]?.text ?? "unknown").")
        }
    }

    private static func isFinal(_ deployment: JSONValue) -> Bool {
        ["success", "failed", "rolled_back"].contains(deployment["state"]?.text ?? "")
    }

    private static func line(_ deployment: JSONValue) -> String {
        let state: String = deployment["state"]?.text ?? "?"
        let what: String =
            "revision \(deployment["revision"]?.integer ?? 0) on \(deployment["environment"]?.text ?? "?")"
        let answer: JSONValue? = deployment["gateway_response"]
        let acknowledged: Int = answer?["acknowledged"]?.elements?.count ?? 0
        var line: String = "\(state): \(what), \(acknowledged) gateway\(acknowledged == 1 ? " runs" : "s run") it"
        var away: [String] = []
        for gateway in answer?["away"]?.elements ?? [] { away.append(gateway.text ?? "?") }
        if !away.isEmpty { line += ", away: \(away.joined(separator: ", "))" }
        if let duration: Int64 = deployment["duration_ms"]?.integer { line += " (\(duration) ms)" }
        return line
    }
}
