import JSON

/// Who holds roles together.
enum GroupCommands {
    static let all: [Command] = [createGroup, groups, show, update, delete, member]

    private static let roles: Command.Option = .init("role", "ROLE", "a role in the tenant; may be repeated")

    static let createGroup: Command = Command(
        "groups create", operands: ["NAME"], summary: "Create a group whose members hold roles", options: [roles],
        example: "passerelle groups create billing-team --role devops --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let group: JSONValue = try await plane.send(
            "POST", plane.scopedPath("/v1/groups"),
            .object(["name": .string(arguments.operands[0]), "roles": ControlPlane.texts(arguments.all("role"))]))
        console.show(group, members: ["name", "id", "tenant", "roles"])
    }

    static let groups: Command = Command(
        "groups list", summary: "The groups of the tenant", example: "passerelle groups list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(try await plane.all(plane.scopedPath("/v1/groups")), columns: ["name", "id", "roles"])
    }

    static let member: Command = Command(
        "groups member", operands: ["GROUP", "USER"], summary: "Put a user into a group; --remove takes the user out",
        options: [.init("remove", nil, "take the user out")],
        example: "passerelle groups member billing-team dana --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let (group, user): (String, String) = (arguments.operands[0], arguments.operands[1])
        let isRemoval: Bool = arguments.has("remove")
        try await plane.send(
            isRemoval ? "DELETE" : "PUT",
            plane.scopedPath(
                "/v1/groups/\(ControlPlane.escaped(group))/members/\(ControlPlane.escaped(user))"), nil)
        console.progress(isRemoval ? "\(user) left \(group)." : "\(user) is in \(group).", isFinal: true)
    }

    static let show: Command = Command(
        "groups show", operands: ["NAME"], summary: "A group and who is in it",
        example: "passerelle groups show billing-team --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var group: JSONObject = try await plane.get(Self.path(arguments, plane)).object ?? [:]
        let members: [JSONValue] = try await plane.all(Self.path(arguments, plane, "/members"))
        group["members"] = ControlPlane.texts(members.compactMap { $0["user_id"]?.text })
        console.show(.object(group), members: ["name", "id", "tenant", "roles", "members"])
    }

    static let update: Command = Command(
        "groups update", operands: ["NAME"], summary: "Set the roles that members hold",
        options: [.init("role", "ROLE", "a role; may be repeated; the others are taken away")],
        example: "passerelle groups update billing-team --role devops --role auditor --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let group: JSONValue = try await plane.send(
            "PATCH", Self.path(arguments, plane),
            .object(["roles": ControlPlane.texts(arguments.all("role"))]))
        console.show(group, members: ["name", "id", "tenant", "roles"])
    }

    static let delete: Command = Command(
        "groups delete", operands: ["NAME"], summary: "Delete a group; its members lose what they held by it",
        example: "passerelle groups delete billing-team --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", Self.path(arguments, plane), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }

    private static func path(_ arguments: Arguments, _ plane: ControlPlane, _ rest: String = "") -> String {
        plane.scopedPath("/v1/groups/\(ControlPlane.escaped(arguments.operands[0]))\(rest)")
    }
}
