import HTTP
import JSON

enum KeyCommands {
    static let all: [Command] = [show, rotate, seal, unseal]

    private static let members: [String] = [
        "sealed", "reason", "since", "master", "key_encrypting_keys", "data_keys", "data_keys_to_wrap",
        "values_to_seal", "rotated_at",
    ]

    static let show: Command = Command(
        "keys show", summary: "The key ring: sealed or not, its keys, what waits to be renewed",
        example: "passerelle keys show"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.show(try await plane.get("/v1/keys"), members: Self.members)
    }

    static let rotate: Command = Command(
        "keys rotate", operands: ["LEVEL"],
        summary: "Rotate a level of keys (master, key-encrypting, data) and follow until all is renewed",
        options: [
            .init("of-tenant", "TENANT", "with data: only this tenant's key (all)"),
            .init("no-wait", nil, "do not follow"),
        ],
        example: "passerelle keys rotate data"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["level": .string(arguments.operands[0])]
        if let tenant: String = arguments["of-tenant"] { body["tenant"] = .string(tenant) }
        let task: JSONValue = try await plane.send("POST", "/v1/keys/rotations", .object(body))
        let final: JSONValue = arguments.has("no-wait") ? task : try await Tasks.follow(task, plane, console)
        console.show(final, members: ["id", "kind", "state", "done", "total", "result"])
    }

    static let seal: Command = Command(
        "keys seal", summary: "Make the control plane forget all keys: nothing sealed opens until it is unsealed",
        example: "passerelle keys seal"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.show(try await plane.send("POST", "/v1/keys/seal", nil), members: Self.members)
    }

    static let unseal: Command = Command(
        "keys unseal", summary: "Make the control plane fetch the master key again and unwrap the keys",
        example: "passerelle keys unseal"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.show(try await plane.send("POST", "/v1/keys/unseal", nil), members: Self.members)
    }
}

/// Long work as commands see it.
enum Tasks {
    /// Follows a task until it ends, with its progress on a terminal. - Throws: `CommandError.failed` when it failed.
    static func follow(_ task: JSONValue, _ plane: ControlPlane, _ console: Console) async throws -> JSONValue {
        var last: JSONValue = task
        let id: String = task["id"]?.text ?? ""
        while last["state"]?.text == "running" {
            try await plane.follow("/v1/tasks/\(ControlPlane.escaped(id))") { event in
                last = try JSONReader.parse(event.data)
                console.progress("\(last["done"]?.integer ?? 0) of \(last["total"]?.integer ?? 0)")
                return last["state"]?.text == "running"
            }
        }
        console.progress("")
        guard last["state"]?.text == "done" else {
            throw CommandError.failed("The task \(id) failed: \(last["result"]?["reason"]?.text ?? "")")
        }
        return last
    }
}
