import Gateway
import GatewayConfiguration
import JSON
import Processes
import Telemetry

enum GatewayCommands {
    static let all: [Command] = [list, alone]

    static let list: Command = Command(
        "gateways", summary: "The gateways, what they run and whether they are heard", example: "passerelle gateways"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all("/v1/gateways"), columns: ["id", "group", "state", "version", "age_seconds", "address"])
    }

    static let alone: Command = Command(
        "gateway", summary: "Run a gateway alone from a file, following its changes; --check only validates it",
        options: [
            .init("config", "FILE", "the configuration (gateway.yaml)"),
            .init("check", nil, "name every problem with line and column, and serve nothing"),
            .init("log-level", "LEVEL", "debug, info, warning or error (info)"),
        ], example: "passerelle gateway --config gateway.yaml --check"
    ) { arguments, console in
        let path: String = arguments["config"] ?? "gateway.yaml"
        if arguments.has("check") {
            let problems: [String] = StandaloneGateway.check(path)
            guard problems.isEmpty else { throw CommandError.failed(problems.joined(separator: "\n")) }
            console.progress("\(path) is fine.", isFinal: true)
            return
        }
        guard let level: LogLevel = LogLevel(name: arguments["log-level"] ?? "info") else {
            throw CommandError.usage(
                "--log-level is '\(arguments["log-level"] ?? "")'; expected debug, info, warning or error.")
        }
        try await Self.run(path, logger: Logger.standardError(level: level), console: console)
    }

    private static func run(_ path: String, logger: Logger, console: Console) async throws {
        ProcessHardening.apply(logger: logger)
        let lifecycle: Lifecycle = Lifecycle.start(logger: logger, drainDeadline: ServerCommands.drainDeadline)
        let gateway: StandaloneGateway
        let addresses: StandaloneGateway.Addresses
        do throws(StandaloneGateway.StartError) {
            gateway = try StandaloneGateway(path: path, logger: logger, metrics: MetricRegistry()) {
                (settings: CounterSettings, folder: String) throws(StandaloneGateway.StartError) in
                do throws(CommandError) {
                    return try RedisCounters.make(settings, folder: folder)
                } catch {
                    throw StandaloneGateway.StartError(problems: ["\(error)"])
                }
            }
            addresses = try await gateway.start()
        } catch {
            throw CommandError.failed(error.description)
        }
        lifecycle.onReload { await gateway.reload() }
        var places: [String] = []
        if let http = addresses.http { places.append("http://\(http)") }
        if let https = addresses.https { places.append("https://\(https)") }
        if let admin = addresses.admin { places.append("admin http://\(admin)") }
        console.progress("Serving \(path): \(places.joined(separator: ", "))", isFinal: true)
        _ = await lifecycle.waitForStop()
        await gateway.drain(deadline: ServerCommands.drainDeadline)
        lifecycle.finish()
        logger.flush()
    }
}
