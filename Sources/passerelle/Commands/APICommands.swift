import Documents
import Files
import JSON

enum APICommands {
    /// Largest OpenAPI document the command sends, bytes; the control plane has the same limit.
    static let documentBytesMax: Int = 8 << 20
    /// Largest file of policies, bytes.
    static let policiesBytesMax: Int = 1 << 20

    static let all: [Command] = [importDocument, configure, label, list, show, revision, diff, delete]

    static let importDocument: Command = Command(
        "apis import", operands: ["FILE"], summary: "Import an OpenAPI document; again for the next revision",
        options: [
            .init("upstream", "URL", "where the gateway sends the API's requests, unless --gateway says it"),
            .init("name", "NAME", "the API's name (made from the document's title)"),
            .init("base-path", "PATH", "path on the gateway (the document's server path, else /NAME)"),
            .init("no-auth", nil, "let callers in without an API key"),
            .init("label", "KEY=VALUE", "a label of the API; may be repeated; those it has already stay"),
            Self.policiesOption, Self.gatewayOption,
        ],
        example: "passerelle apis import openapi.yaml --upstream http://127.0.0.1:9000 --label team=sales --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = try Self.body(arguments)
        let labels: JSONObject = try Self.labels(arguments.all("label"))
        if !labels.members.isEmpty { body["labels"] = .object(labels) }
        let api: JSONValue = try await Self.send(body, name: arguments["name"], plane: plane)
        Self.show(api, ["name", "id", "title", "latest_revision", "base_path"], console)
    }

    private static func body(_ arguments: Arguments) throws -> JSONObject {
        var body: JSONObject = try Self.settings(arguments)
        let file: String = arguments.operands[0]
        let bytes: [UInt8]
        do {
            bytes = try Files.read(file, bytesMax: Self.documentBytesMax)
        } catch {
            throw CommandError.failed("\(error)")
        }
        guard let document: String = String(validating: bytes, as: UTF8.self) else {
            throw CommandError.failed("\(file) is not UTF-8 text.")
        }
        body["document"] = .string(document)
        if let name: String = arguments["name"] { body["name"] = .string(name) }
        return body
    }

    private static let policiesOption: Command.Option = .init(
        "policies", "FILE", "a YAML or JSON list of further policies of the gateway")
    private static let gatewayOption: Command.Option = .init(
        "gateway", "FILE", "YAML or JSON: upstream (targets, balance, retries …), routes, version, encoded_slashes")

    /// What an import says beside the document.
    private static func settings(_ arguments: Arguments) throws -> JSONObject {
        var body: JSONObject = ["authentication": .string(arguments.has("no-auth") ? "none" : "api_key")]
        if let path: String = arguments["base-path"] { body["base_path"] = .string(path) }
        if let file: String = arguments["policies"] { body["policies"] = try Self.read(file) }
        if let file: String = arguments["gateway"] { body["gateway"] = try Self.read(file) }
        let hasTargets: Bool = body["gateway"]?["upstream"]?["targets"] != nil
        if let url: String = hasTargets ? arguments["upstream"] : try arguments.required("upstream") {
            body["upstream"] = .string(url)
        }
        return body
    }

    static let configure: Command = Command(
        "apis configure", operands: ["API"], summary: "Make the next revision with other settings of the gateway",
        options: [
            .init("upstream", "URL", "where the gateway sends the API's requests, unless --gateway says it"),
            .init("base-path", "PATH", "path on the gateway (as it was)"),
            .init("no-auth", nil, "let callers in without an API key"),
            Self.policiesOption, Self.gatewayOption,
        ], example: "passerelle apis configure orders --gateway gateway.yaml --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(arguments.operands[0]))/revisions")
        let revision: JSONValue = try await plane.send("POST", path, .object(try Self.settings(arguments)))
        console.show(revision, members: ["revision", "document_sha256", "created_at"])
    }

    private static func read(_ file: String) throws -> JSONValue {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(file, bytesMax: Self.policiesBytesMax)
        } catch {
            throw CommandError.failed("\(error)")
        }
        do {
            return try DocumentReader.parse(bytes).json()
        } catch {
            throw CommandError.failed("\(file):\(error)")
        }
    }

    /// Creates the API, or the next revision of it when one of that name is there.
    private static func send(_ body: JSONObject, name: String?, plane: ControlPlane) async throws -> JSONValue {
        if let name: String {
            let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(name))")
            if try await plane.exists(path) {
                var revision: JSONObject = body
                revision["name"] = nil
                revision["labels"] = nil
                if let labels: JSONValue = body["labels"] {
                    try await plane.send("PATCH", path, .object(["labels": labels]))
                }
                try await plane.send("POST", path + "/revisions", .object(revision))
                return try await plane.get(path)
            }
        }
        return try await plane.send("POST", try plane.tenantPath("/apis"), .object(body))
    }

    static let label: Command = Command(
        "apis label", operands: ["API"], summary: "Set or remove labels of an API; the others stay",
        options: [
            .init("set", "KEY=VALUE", "a label, in place of the one with this key; may be repeated"),
            .init("remove", "KEY", "a label that goes; may be repeated"),
        ], example: "passerelle apis label orders --set team=payments --remove draft --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var labels: JSONObject = try Self.labels(arguments.all("set"))
        for key in arguments.all("remove") { labels[key] = .null }
        guard !labels.members.isEmpty else { throw CommandError.usage("Name what changes: --set or --remove.") }
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(arguments.operands[0]))")
        let api: JSONValue = try await plane.send("PATCH", path, .object(["labels": .object(labels)]))
        Self.show(api, ["name", "id"], console)
    }

    /// Prints an API, with its labels where it has some.
    private static func show(_ api: JSONValue, _ members: [String], _ console: Console) {
        console.show(Self.readable(api, console), members: members + ["labels"])
    }

    /// An API with its labels in one word, for tables.
    private static func readable(_ api: JSONValue, _ console: Console) -> JSONValue {
        guard console.format == .table, var object: JSONObject = api.object else { return api }
        var words: [String] = []
        for label in object["labels"]?.object?.members ?? [] { words.append("\(label.key)=\(label.value.text ?? "")") }
        object["labels"] = words.isEmpty ? nil : .string(words.joined(separator: ","))
        return .object(object)
    }

    /// Reads words like `team=payments`.
    private static func labels(_ words: [String]) throws -> JSONObject {
        var labels: JSONObject = [:]
        for word in words {
            let label: (key: String, value: String) = try Self.label(word)
            labels[label.key] = .string(label.value)
        }
        return labels
    }

    static func label(_ word: String) throws -> (key: String, value: String) {
        let pair: [Substring] = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard pair.count == 2 else { throw CommandError.usage("'\(word)' is no label; expected KEY=VALUE.") }
        return (String(pair[0]), String(pair[1]))
    }

    static let list: Command = Command(
        "apis list", summary: "The tenant's APIs",
        options: [.init("labels", "KEY=VALUE,…", "only those with all of these labels")],
        example: "passerelle apis list --labels team=payments,tier=gold --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let query: String = arguments["labels"].map { "?labels=\(ControlPlane.escaped($0))" } ?? ""
        console.list(
            try await plane.all(try plane.tenantPath("/apis\(query)")).map { Self.readable($0, console) },
            columns: ["name", "title", "state", "latest_revision", "base_path", "labels"])
    }

    static let show: Command = Command(
        "apis show", operands: ["API"], summary: "One API", example: "passerelle apis show orders --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = ControlPlane.escaped(arguments.operands[0])
        let api: JSONValue = try await plane.get(try plane.tenantPath("/apis/\(name)"))
        Self.show(api, ["name", "id", "title", "state", "latest_revision", "base_path", "created_at"], console)
    }

    static let revision: Command = Command(
        "apis revision", operands: ["API", "N?"],
        summary: "What a revision (the latest) configures at gateways, as JSON",
        example: "passerelle apis revision orders 3 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(arguments.operands[0]))")
        var number: String = arguments.operand(1) ?? ""
        if number.isEmpty { number = "\(try await plane.get(path)["latest_revision"]?.integer ?? 0)" }
        let revision: JSONValue = try await plane.get("\(path)/revisions/\(ControlPlane.escaped(number))")
        console.printJSON(console.format == .json ? revision : revision["gateway"] ?? .null)
    }

    static let diff: Command = Command(
        "apis diff", operands: ["API"], summary: "What changed between two revisions",
        options: [
            .init("from", "N", "the older revision (the one before)"),
            .init("to", "N", "the newer revision (the latest)"),
        ], example: "passerelle apis diff orders --from 1 --to 2 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var query: [String] = []
        for side in ["from", "to"] {
            if let number: Int = try arguments.integer(side, in: 1...1_000_000_000) {
                query.append("\(side)=\(number)")
            }
        }
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(arguments.operands[0]))/diff")
        let diff: JSONValue = try await plane.get(path + (query.isEmpty ? "" : "?" + query.joined(separator: "&")))
        console.list(diff["changes"]?.elements ?? [], columns: ["change", "method", "path", "detail"])
    }

    static let delete: Command = Command(
        "apis delete", operands: ["API"], summary: "Delete an API; its history stays",
        options: [.init("undeploy", nil, "also where it is live")],
        example: "passerelle apis delete orders --undeploy --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try plane.tenantPath("/apis/\(ControlPlane.escaped(arguments.operands[0]))")
        try await plane.send("DELETE", path + (arguments.has("undeploy") ? "?undeploy=true" : ""), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }
}
