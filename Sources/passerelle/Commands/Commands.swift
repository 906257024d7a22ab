/// Every command, in the order of `passerelle help`.
enum Commands {
    /// What `passerelle help` lists together.
    struct Group: Sendable {
        let title: String
        let commands: [Command]
    }

    static let groups: [Group] = [
        Group(title: "Running it", commands: ServerCommands.all + BackupCommands.all + StoreCommands.all),
        Group(title: "Signing in", commands: LoginCommand.all),
        Group(title: "Tenants", commands: TenantCommands.all + EnvironmentCommands.all + PlanCommands.all),
        Group(
            title: "APIs and gateways",
            commands: APICommands.all + DeploymentCommands.all + GatewayCommands.all + RouteCommands.all
                + CacheCommands.all),
        Group(title: "Consumers", commands: ApplicationCommands.all),
        Group(
            title: "People, clients, and what they may do",
            commands: UserCommands.all + GroupCommands.all + AccessCommands.all + RoleCommands.all + ClientCommands.all
                + SecondFactorCommands.all + PasskeyCommands.all),
        Group(
            title: "Secrets, keys, certificates",
            commands: SecretCommands.all + KeyCommands.all + CertificateCommands.all),
        Group(
            title: "What happened", commands: EventCommands.all + [ReplayCommand.replay] + AuditCommands.all),
        Group(title: "The binary", commands: [VersionCommand.version]),
    ]

    static let all: [Command] = Self.groups.flatMap(\.commands)
}
