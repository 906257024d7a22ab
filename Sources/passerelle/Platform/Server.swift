import Identity
import JSON
import Processes
import Store
import Telemetry

/// A running process: what it started, and how it ends.
final class Server: Sendable {
    let platform: Platform?
    let gateway: GatewayProcess?
    let summary: String
    private let lifecycle: Lifecycle
    private let logger: Logger

    private init(
        platform: Platform?, gateway: GatewayProcess?, summary: String, lifecycle: Lifecycle, logger: Logger
    ) {
        self.platform = platform
        self.gateway = gateway
        self.summary = summary
        self.lifecycle = lifecycle
        self.logger = logger
    }

    /// Opens and starts what the settings name. - Throws: `CommandError` in words for people.
    ///
    /// - Parameter welcome: gets name and password of the first administrator before it is written: nobody can read the
    ///   password again.
    static func start(
        _ settings: Settings, welcome: (_ name: String, _ password: String) throws -> Void
    ) async throws -> Server {
        let logger: Logger = Logger.standardError(level: settings.logLevel)
        ProcessHardening.apply(logger: logger)
        let lifecycle: Lifecycle = Lifecycle.start(logger: logger, drainDeadline: ServerCommands.drainDeadline)
        if settings.isGatewayOnly {
            let gateway: GatewayProcess = try await GatewayProcess.startApart(settings, logger: logger)
            return Server(
                platform: nil, gateway: gateway, summary: gateway.summary, lifecycle: lifecycle,
                logger: logger)
        }
        let platform: Platform
        do {
            platform = try await Platform.open(settings, logger: logger) { keys, logger in
                try await SealedServer.wait(for: keys, settings, lifecycle, logger)
            }
        } catch let error as StoreError {
            throw CommandError.failed("\(error)")
        }
        try await platform.identity.firstAdministrator(show: welcome)
        var summary: String = "control plane http://\(try await platform.start())"
        var gateway: GatewayProcess?
        if settings.runs("gateway") {
            let started: GatewayProcess = try await GatewayProcess.start(in: platform)
            summary = "\(started.summary), \(summary)"
            gateway = started
            platform.gatewayStarted()
        }
        return Server(
            platform: platform, gateway: gateway, summary: summary, lifecycle: lifecycle, logger: logger)
    }

    /// Serves until a signal, then stops: the gateway first, so that callers are answered while the control plane still runs.
    func waitAndStop() async {
        let cause: StopCause = await self.lifecycle.waitForStop()
        self.logger.log(.info, "stopping", ["cause": .string("\(cause)")])
        await self.gateway?.stop(within: ServerCommands.drainDeadline)
        await self.platform?.stop(within: ServerCommands.drainDeadline)
        self.lifecycle.finish()
        self.logger.flush()
    }
}
