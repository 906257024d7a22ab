import JSON

enum ApplicationCommands {
    static let all: [Command] = [create, list, subscribe, subscriptions, keys, delete]

    static let create: Command = Command(
        "apps create", operands: ["NAME"], summary: "Create an application and show its API key once",
        example: "passerelle apps create shop --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let application: JSONValue = try await plane.send(
            "POST", try plane.tenantPath("/applications"), .object(["name": .string(arguments.operands[0])]))
        console.show(application, members: ["name", "id", "owner", "key"])
        if console.format == .table { console.progress("Keep the key: it is shown this once only.", isFinal: true) }
    }

    static let list: Command = Command(
        "apps list", summary: "The tenant's applications", example: "passerelle apps list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(try plane.tenantPath("/applications")), columns: ["name", "id", "owner", "created_at"])
    }

    static let subscribe: Command = Command(
        "apps subscribe", operands: ["APP", "API"], summary: "Subscribe an application to an API",
        options: [.init("plan", "PLAN", "the plan whose limits apply")],
        example: "passerelle apps subscribe shop orders --plan gold --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let subscription: JSONValue = try await plane.send(
            "POST", try plane.tenantPath("/subscriptions"),
            .object([
                "application": .string(arguments.operands[0]), "api": .string(arguments.operands[1]),
                "plan": .string(try arguments.required("plan")),
            ]))
        console.show(subscription, members: ["id", "application", "api", "plan", "state"])
    }

    static let subscriptions: Command = Command(
        "apps subscriptions", summary: "The tenant's subscriptions",
        example: "passerelle apps subscriptions --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(try plane.tenantPath("/subscriptions")),
            columns: ["id", "application", "api", "plan", "state"])
    }

    static let keys: Command = Command(
        "apps keys", operands: ["APP"], summary: "An application's keys; --rotate makes a new one",
        options: [
            .init("rotate", nil, "make a new key and show it once"),
            .init("expire-old-after", "SECONDS", "with --rotate: how long the old keys still work (86400)"),
            .init("revoke", "KEY_ID", "end a key at once"),
        ], example: "passerelle apps keys shop --rotate --expire-old-after 3600 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try plane.tenantPath("/applications/\(ControlPlane.escaped(arguments.operands[0]))/keys")
        if let key: String = arguments["revoke"] {
            try await plane.send("DELETE", "\(path)/\(ControlPlane.escaped(key))", nil)
            console.progress("Revoked \(key).", isFinal: true)
        } else if arguments.has("rotate") {
            let seconds: Int = try arguments.integer("expire-old-after", in: 0...31_536_000) ?? 86_400
            let key: JSONValue = try await plane.send(
                "POST", path, .object(["expires_old_after_seconds": .int(Int64(seconds))]))
            console.show(key, members: ["id", "key", "created_at"])
        } else {
            console.list(try await plane.all(path), columns: ["id", "hint", "created_at", "expires_at"])
        }
    }

    static let delete: Command = Command(
        "apps delete", operands: ["APP"], summary: "Delete an application: its keys stop working",
        example: "passerelle apps delete shop --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = ControlPlane.escaped(arguments.operands[0])
        try await plane.send("DELETE", try plane.tenantPath("/applications/\(name)"), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }
}
