import Documents
import EventLoops
import Files
import JSON
import Processes
import Store
import Telemetry

/// The commands that serve until a signal ends them.
enum ServerCommands {
    static let all: [Command] = [demo, serve, check]

    /// How long requests under way have to end.
    static let drainDeadline: Duration = .seconds(20)

    static let serve: Command = Command(
        "serve", summary: "Run the platform, or some of its services",
        options: Settings.options + [
            .init("upgrade", nil, "take over from the process that serves the data folder: no connection is lost")
        ],
        example: "passerelle serve --data /var/lib/passerelle"
    ) { arguments, console in
        let settings: Settings = try Settings.load(arguments)
        let server: Server = try await Server.start(settings, isUpgrade: arguments.has("upgrade")) { name, password in
            console.print("First administrator: \(name)\nOne-time password:   \(password)\n(shown this once)")
        }
        console.progress("Serving: \(server.summary)", isFinal: true)
        await server.waitAndStop()
    }

    static let demo: Command = Command(
        "demo", summary: "Run the platform with a sample API, a consumer, and lines to try",
        options: Settings.options, example: "passerelle demo --data ./data"
    ) { arguments, console in
        var settings: Settings = try Settings.load(arguments, makesCertificate: true)
        settings.services = Settings.servicesKnown
        // The demo is for this machine alone: its lines work without an authority to trust.
        settings.tls = nil
        try DemoCertificate.prepare(settings)
        if arguments["log-level"] == nil { settings.logLevel = .warning }
        let server: Server = try await Server.start(settings) { name, password in
            try DemoSetup.keep(user: name, password: password, in: settings.data)
        }
        guard let platform: Platform = server.platform else {
            throw CommandError.failed("The demo needs the whole platform.")
        }
        let demo: Demo = try await Demo.prepare(platform)
        switch console.format {
        case .json: console.print(demo.json.jsonText)
        case .table: console.print(demo.text)
        }
        await server.waitAndStop()
    }

    static let check: Command = Command(
        "config check", operands: ["FILE?"], summary: "Name every problem of a settings file, with line and column",
        example: "passerelle config check passerelle.yaml"
    ) { arguments, console in
        let path: String = arguments.operand(0) ?? "passerelle.yaml"
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, bytesMax: SettingsFile.bytesMax)
        } catch {
            throw CommandError.failed("\(error)")
        }
        do throws(InvalidDocument) {
            var settings: Settings = Settings()
            try SettingsFile.apply(bytes, to: &settings)
        } catch {
            throw CommandError.failed(error.text(file: path))
        }
        console.progress("\(path) is fine.", isFinal: true)
    }
}
