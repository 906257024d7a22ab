/// Every command, in the order of `passerelle help`.
enum Commands {
    static let all: [Command] =
        ServerCommands.all + [LoginCommand.login] + TenantCommands.all + EnvironmentCommands.all + PlanCommands.all
        + APICommands.all + DeploymentCommands.all + GatewayCommands.all + CacheCommands.all + ApplicationCommands.all
        + UserCommands.all + AccessCommands.all + RoleCommands.all + SecretCommands.all + KeyCommands.all
        + EventCommands.all + [ReplayCommand.replay] + AuditCommands.all
        + BackupCommands.all + StoreCommands.all + RouteCommands.all
        + [VersionCommand.version]
}
