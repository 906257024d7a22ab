import JSON

/// The own passkeys. Browsers make them, at the page that `list` names; here they are seen, renamed and removed.
enum PasskeyCommands {
    static let all: [Command] = [list, rename, remove]

    static let list: Command = Command(
        "passkeys list", summary: "Your passkeys; a browser adds one, at /oauth2/factors of the control plane",
        example: "passerelle passkeys list"
    ) { arguments, console in
        console.list(
            try await Self.known(try ControlPlane(arguments)),
            columns: ["id", "name", "created_at", "used_at", "suspended_at"])
    }

    static let rename: Command = Command(
        "passkeys rename", operands: ["PASSKEY", "NAME"], summary: "Give one of your passkeys another name",
        example: "passerelle passkeys rename Laptop \"Laptop at home\""
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let passkey: JSONValue = try await plane.send(
            "PATCH", try await Self.path(arguments.operands[0], plane),
            .object(["name": .string(arguments.operands[1])]))
        console.show(passkey, members: ["id", "name", "created_at", "used_at"])
    }

    static let remove: Command = Command(
        "passkeys remove", operands: ["PASSKEY"], summary: "Remove one of your passkeys: it opens nothing any more",
        example: "passerelle passkeys remove Laptop"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", try await Self.path(arguments.operands[0], plane), nil)
        console.progress("Removed \(arguments.operands[0]).", isFinal: true)
    }

    private static func known(_ plane: ControlPlane) async throws -> [JSONValue] {
        try await plane.get("/v1/me/passkeys")["items"]?.elements ?? []
    }

    /// The path of the passkey with this id, or the only one with this name.
    private static func path(_ wanted: String, _ plane: ControlPlane) async throws -> String {
        let found: [String] = try await Self.known(plane).filter {
            $0["id"]?.text == wanted || $0["name"]?.text == wanted
        }
        .compactMap { $0["id"]?.text }
        guard let id: String = found.first else {
            throw CommandError.failed("You have no passkey '\(wanted)'. passerelle passkeys list shows them.")
        }
        guard found.count == 1 else {
            throw CommandError.failed("\(found.count) passkeys are called '\(wanted)': give the id of one.")
        }
        return "/v1/me/passkeys/\(ControlPlane.escaped(id))"
    }
}
