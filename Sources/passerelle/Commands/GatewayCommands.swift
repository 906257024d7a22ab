import EventLoops
import Files
import Gateway
import GatewayConfiguration
import JSON
import Processes
import Synchronization
import Telemetry

enum GatewayCommands {
    static let all: [Command] = [list, token, alone]

    static let list: Command = Command(
        "gateways", summary: "The gateways, what they run and whether they are heard", example: "passerelle gateways"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all("/v1/gateways"), columns: ["id", "group", "state", "version", "age_seconds", "address"])
    }

    static let token: Command = Command(
        "gateways token", operands: ["GROUP?"],
        summary: "Make a token with which gateways of a group (default) call in, or enrol; shown this once",
        options: [.init("out", "FILE", "where it goes, mode 0600 (standard output)")],
        example: "passerelle gateways token --out edge.token"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let made: JSONValue = try await plane.send(
            "POST", "/v1/gateways/tokens", .object(["gateway_group": .string(arguments.operand(0) ?? "default")]))
        guard let file: String = arguments["out"] else {
            return console.show(made, members: ["gateway_group", "token"])
        }
        do {
            try Files.replace(file, with: Array("\(made["token"]?.text ?? "")\n".utf8), mode: 0o600)
        } catch {
            throw CommandError.failed("\(file) cannot be written: \(error)")
        }
        console.show(.object(["gateway_group": made["gateway_group"] ?? .null]), members: ["gateway_group"])
    }

    static let alone: Command = Command(
        "gateway", summary: "Run a gateway alone from a file, following its changes; --check only validates it",
        options: [
            .init("config", "FILE", "the configuration (gateway.yaml)"),
            .init("check", nil, "name every problem with line and column, and serve nothing"),
            .init("upgrade", nil, "take over from the process that runs this file: no connection is lost"),
            .init("upgrade-socket", "FILE", "where a process that runs this file is taken over (FILE.sock)"),
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
        let logger: Logger = Logger.standardError(level: level)
        let socket: String = arguments["upgrade-socket"] ?? "\(path).sock"
        ProcessHardening.apply(logger: logger)
        let lifecycle: Lifecycle = Lifecycle.start(logger: logger, drainDeadline: ServerCommands.drainDeadline)
        let takeover: Takeover
        if arguments.has("upgrade") {
            takeover = try Takeover.begin(socket, logger)
            // What can be found wrong now costs nobody anything.
            let problems: [String] = StandaloneGateway.check(path)
            guard problems.isEmpty else { throw CommandError.failed(problems.joined(separator: "\n")) }
            try takeover.waitForRelease()
        } else {
            takeover = Takeover.none(logger)
        }
        try await Self.run(path, takeover, socket, lifecycle, logger: logger, console: console)
    }

    private static func run(
        _ path: String, _ takeover: Takeover, _ socket: String, _ lifecycle: Lifecycle, logger: Logger, console: Console
    ) async throws {
        var settings: EngineSettings = EngineSettings()
        settings.listeners = takeover.listeners
        let gateway: StandaloneGateway
        let addresses: StandaloneGateway.Addresses
        do throws(StandaloneGateway.StartError) {
            gateway = try StandaloneGateway(path: path, logger: logger, metrics: MetricRegistry(), engine: settings) {
                (settings: CounterSettings, folder: String) throws(StandaloneGateway.StartError) in
                do throws(CommandError) {
                    return try RedisStores.make(settings, folder: folder)
                } catch {
                    throw StandaloneGateway.StartError(problems: ["\(error)"])
                }
            }
            addresses = try await gateway.start()
        } catch {
            throw CommandError.failed(error.description)
        }
        let isHandedOver: Atomic<Bool> = Atomic(false)
        let point: HandoverPoint? = Takeover.offer(
            socket, logger,
            HandoverDuties(
                sockets: { takeover.listeners.duplicates() }, release: { await gateway.release() },
                resume: { gateway.resume() },
                handedOver: { (process: Int32) in
                    isHandedOver.store(true, ordering: .releasing)
                    lifecycle.requestStop(
                        "process \(process) took over",
                        within: Takeover.drainDeadline + ServerCommands.drainDeadline)
                }))
        try takeover.end()
        lifecycle.onReload { await gateway.reload() }
        var places: [String] = []
        if let http = addresses.http { places.append("http://\(http)") }
        if let https = addresses.https { places.append("https://\(https)") }
        if let admin = addresses.admin { places.append("admin http://\(admin)") }
        console.progress("Serving \(path): \(places.joined(separator: ", "))", isFinal: true)
        _ = await lifecycle.waitForStop()
        point?.close()
        let hasSuccessor: Bool = isHandedOver.load(ordering: .acquiring)
        await gateway.drain(
            deadline: hasSuccessor ? Takeover.drainDeadline : ServerCommands.drainDeadline,
            idleGrace: hasSuccessor ? Takeover.idleGrace : .zero)
        lifecycle.finish()
        logger.flush()
    }
}
