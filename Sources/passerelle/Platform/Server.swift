import EventLoops
import Gateway
import GatewayConfiguration
import Identity
import JSON
import Processes
import Store
import Synchronization
import Telemetry

/// A running process: what it started, how it is taken over, and how it ends.
final class Server: Sendable {
    private struct State {
        /// Nil while a successor has it, and in a gateway apart.
        var platform: Platform?
        var point: HandoverPoint?
        /// Sockets of the control plane while nobody accepts from them, so that those who connect wait instead of being refused.
        var reserve: [Int32] = []
        var isHandedOver: Bool = false
        /// The stop of the platform for a successor, while it lasts.
        var release: Task<Void, Never>?
    }

    let gateway: GatewayProcess?
    let summary: String
    private let settings: Settings
    private let takeover: Takeover
    private let lifecycle: Lifecycle
    private let logger: Logger
    private let state: Mutex<State>

    var platform: Platform? { self.state.withLock { $0.platform } }

    private init(
        _ settings: Settings, platform: Platform?, gateway: GatewayProcess?, summary: String, takeover: Takeover,
        lifecycle: Lifecycle, logger: Logger
    ) {
        self.settings = settings
        self.state = Mutex(State(platform: platform))
        self.gateway = gateway
        self.summary = summary
        self.takeover = takeover
        self.lifecycle = lifecycle
        self.logger = logger
    }

    /// Opens and starts what the settings name. - Throws: `CommandError` in words for people.
    ///
    /// - Parameter isUpgrade: takes over from the process that serves the data folder, where one does.
    /// - Parameter welcome: gets name and password of the first administrator before it is written: nobody can read the
    ///   password again.
    static func start(
        _ settings: Settings, isUpgrade: Bool = false, welcome: (_ name: String, _ password: String) throws -> Void
    ) async throws -> Server {
        let logger: Logger = Logger.standardError(level: settings.logLevel)
        ProcessHardening.apply(logger: logger)
        let lifecycle: Lifecycle = Lifecycle.start(logger: logger, drainDeadline: ServerCommands.drainDeadline)
        let takeover: Takeover =
            isUpgrade ? try Takeover.begin(settings.handoverPath, logger) : Takeover.none(logger)
        // What can be found wrong now costs nobody anything.
        if isUpgrade, let https: HTTPSListener = settings.https,
            let problem: String = GatewayEngine.problem(of: https, folder: ".")
        {
            throw CommandError.failed("The gateway cannot speak TLS: \(problem)")
        }
        if isUpgrade, let problem: String = ControlPlaneTLS.problem(of: settings.tls) {
            throw CommandError.failed("The control plane cannot speak TLS: \(problem)")
        }
        try takeover.waitForRelease()
        let server: Server = try await Self.open(settings, takeover, lifecycle, logger, welcome)
        server.offer()
        try takeover.end()
        return server
    }

    private static func open(
        _ settings: Settings, _ takeover: Takeover, _ lifecycle: Lifecycle, _ logger: Logger,
        _ welcome: (_ name: String, _ password: String) throws -> Void
    ) async throws -> Server {
        if settings.isGatewayOnly {
            let gateway: GatewayProcess = try await GatewayProcess.startApart(
                settings, listeners: takeover.listeners, logger: logger)
            return Server(
                settings, platform: nil, gateway: gateway, summary: gateway.summary, takeover: takeover,
                lifecycle: lifecycle, logger: logger)
        }
        let platform: Platform
        do {
            platform = try await Platform.open(settings, listeners: takeover.listeners, logger: logger) {
                keys, logger in
                try await SealedServer.wait(for: keys, settings, takeover.listeners, lifecycle, logger)
            }
        } catch let error as StoreError {
            throw CommandError.failed("\(error)")
        }
        var summary: String = "control plane \(settings.controlPlaneScheme)://\(try await platform.start())"
        var gateway: GatewayProcess?
        if settings.runs("gateway") {
            let started: GatewayProcess = try await GatewayProcess.start(in: platform)
            summary = "\(started.summary), \(summary)"
            gateway = started
        }
        try await Self.makeFirstAdministrator(platform, logger, welcome)
        if let gateway: GatewayProcess { platform.gatewayStarted { gateway.hasSnapshot } }
        return Server(
            settings, platform: platform, gateway: gateway, summary: summary, takeover: takeover, lifecycle: lifecycle,
            logger: logger)
    }

    /// Once everything listens: a start that fails before that has shown no password, and the next one makes the administrator.
    private static func makeFirstAdministrator(
        _ platform: Platform, _ logger: Logger, _ welcome: (_ name: String, _ password: String) throws -> Void
    ) async throws {
        var isShown: Bool = false
        let made: (name: String, password: String)? = try await platform.identity.firstAdministrator {
            name, password in
            try welcome(name, password)
            isShown = true
        }
        if isShown, made == nil {
            logger.warning("another process made the first administrator meanwhile: the password that it showed counts")
        }
    }

    /// Serves until a signal or a successor, then stops: the gateway first, so that callers are answered while the control plane
    /// still runs.
    func waitAndStop() async {
        _ = await self.lifecycle.waitForStop()
        let state: State = self.state.withLock { $0 }
        state.point?.close()
        // Before the first connection is refused.
        state.platform?.announceStop()
        await self.gateway?.stop(
            within: state.isHandedOver ? Takeover.drainDeadline : ServerCommands.drainDeadline,
            idleGrace: state.isHandedOver ? Takeover.idleGrace : .zero)
        await state.release?.value
        let platform: Platform? = self.state.withLock { $0.platform.take() }
        await platform?.stop(within: ServerCommands.drainDeadline)
        self.lifecycle.finish()
        self.logger.flush()
    }

    // MARK: Being taken over

    private func offer() {
        let duties: HandoverDuties = HandoverDuties(
            sockets: { self.takeover.listeners.duplicates() },
            release: {
                let release: Task<Void, Never> = Task { await self.release() }
                self.state.withLock { $0.release = release }
                await release.value
            },
            resume: { await self.resume() },
            handedOver: { self.handedOver(to: $0) })
        let point: HandoverPoint? = Takeover.offer(self.settings.handoverPath, self.logger, duties)
        self.state.withLock { $0.point = point }
    }

    /// Lets go of the data folder and the control plane. The gateway goes on with what it has.
    private func release() async {
        await self.gateway?.release()
        let reserve: [Int32] = self.takeover.listeners.duplicates()
        let platform: Platform? = self.state.withLock { (state: inout State) -> Platform? in
            state.reserve = reserve
            return state.platform.take()
        }
        await platform?.stop(within: ServerCommands.drainDeadline, idleGrace: Takeover.controlPlaneGrace)
    }

    /// The successor failed: the control plane runs here again.
    private func resume() async {
        self.takeover.listeners.inherit(self.takeReserve())
        defer { self.takeover.listeners.closeUnclaimed() }
        if self.settings.isGatewayOnly {
            self.gateway?.resume(nil)
            return
        }
        do {
            let platform: Platform = try await Platform.open(
                self.settings, listeners: self.takeover.listeners, logger: self.logger, metrics: self.gateway?.metrics)
            _ = try await platform.start()
            self.gateway?.resume(platform)
            if let gateway: GatewayProcess = self.gateway { platform.gatewayStarted { gateway.hasSnapshot } }
            self.state.withLock { $0.platform = platform }
            self.logger.info("the control plane runs here again")
        } catch {
            self.logger.error(
                "the control plane could not be started again; the gateway serves what it has: restart this process",
                ["error": .string("\(error)")])
        }
    }

    private func handedOver(to process: Int32) {
        self.state.withLock { $0.isHandedOver = true }
        for fd in self.takeReserve() { self.takeover.listeners.closeDuplicate(fd) }
        self.gateway?.tellSuccessor()
        self.lifecycle.requestStop(
            "process \(process) took over", within: Takeover.drainDeadline + ServerCommands.drainDeadline)
    }

    private func takeReserve() -> [Int32] {
        self.state.withLock { (state: inout State) -> [Int32] in
            defer { state.reserve = [] }
            return state.reserve
        }
    }
}
