import JSON

enum EnvironmentCommands {
    static let all: [Command] = [list]

    static let list: Command = Command(
        "environments list", summary: "The tenant's environments and where they go",
        example: "passerelle environments list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(try plane.tenantPath("/environments")),
            columns: ["name", "target", "hosts", "requires_promotion"])
    }
}
