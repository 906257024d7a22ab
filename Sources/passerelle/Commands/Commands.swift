/// Every command, in the order of `passerelle help`.
enum Commands {
    static let all: [Command] =
        ServerCommands.all + LoginCommand.all + TenantCommands.all + EnvironmentCommands.all + PlanCommands.all
        + APICommands.all + DeploymentCommands.all + GatewayCommands.all + CacheCommands.all + ApplicationCommands.all
        + UserCommands.all + GroupCommands.all + AccessCommands.all + RoleCommands.all
        + ClientCommands.all + SecondFactorCommands.all + PasskeyCommands.all + SecretCommands.all + KeyCommands.all
        + CertificateCommands.all
        + EventCommands.all + [ReplayCommand.replay] + AuditCommands.all
        + BackupCommands.all + StoreCommands.all + RouteCommands.all
        + [VersionCommand.version]
}
