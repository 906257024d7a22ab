import EventLoops
import HTTP
import JSON
import KeyRing
import Processes
import Synchronization
import Telemetry

/// What a platform is whose master key cannot be reached: alive, not ready, and saying why, until it can.
enum SealedServer {
    /// First and longest pause between two tries.
    private static let pauseMin: Duration = .milliseconds(200)
    private static let pauseMax: Duration = .seconds(5)
    private static let retryAfterSeconds: Int = 5

    /// Returns once the ring is unsealed.
    ///
    /// - Throws: `CommandError.failed` when the master key is refused or another one, or the process is to stop.
    static func wait(
        for keys: KeyRing, _ settings: Settings, _ listeners: Listeners, _ lifecycle: Lifecycle, _ logger: Logger
    ) async throws {
        guard let reason: String = try await Self.tryOnce(keys) else { return }
        logger.log(.warning, "sealed: waiting for the master key", ["reason": .string(reason)])
        let state: State = State(reason: reason)
        let server: HTTPServer = try Self.serve(settings, listeners, state)
        let watcher: Task<Void, Never> = Task {
            _ = await lifecycle.waitForStop()
            state.stop()
        }
        var failure: (any Error)?
        do { try await Self.untilUnsealed(keys, state) } catch { failure = error }
        watcher.cancel()
        await server.drain(deadline: .seconds(1))
        if let failure { throw failure }
        logger.log(.info, "unsealed", [:])
    }

    private static func untilUnsealed(_ keys: KeyRing, _ state: State) async throws {
        var pause: Duration = Self.pauseMin
        while true {
            if state.isStopping { throw CommandError.failed("Stopped while waiting for the master key.") }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, Self.pauseMax)
            guard let reason: String = try await Self.tryOnce(keys) else { return }
            state.reason = reason
        }
    }

    /// - Returns: why the ring stays sealed; nil when it is open.
    private static func tryOnce(_ keys: KeyRing) async throws -> String? {
        do {
            try await keys.unseal()
            return nil
        } catch let error as KeyRingError {
            if case .masterAway = error { return error.description }
            throw CommandError.failed(error.description)
        }
    }

    private static func serve(_ settings: Settings, _ listeners: Listeners, _ state: State) throws -> HTTPServer {
        guard let address: SocketAddress = SocketAddress(settings.controlPlaneAddress) else {
            throw CommandError.usage("'\(settings.controlPlaneAddress)' is not an address.")
        }
        let server: HTTPServer = HTTPServer(
            configuration: HTTPServerConfiguration(
                address: address, tls: try ControlPlaneTLS.sealed(settings), listeners: listeners),
            group: EventLoopGroup(count: 1, name: "sealed")
        ) { request in Self.answer(request, reason: state.reason) }
        do {
            _ = try server.start()
        } catch {
            throw CommandError.failed("The control plane cannot listen on \(address): \(error)")
        }
        return server
    }

    private static func answer(_ request: HTTPRequest, reason: String) -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        if request.path == "/healthz" {
            fields.append("Content-Type", "application/json")
            return HTTPResponse(
                status: 200, fields: fields, body: .bytes(JSONValue.object(["status": "sealed"]).serialized()))
        }
        fields.append("Content-Type", "application/problem+json")
        fields.append("Retry-After", "\(Self.retryAfterSeconds)")
        let problem: JSONValue = .object([
            "type": "urn:passerelle:problem:unavailable", "title": "The platform is not able to do this now",
            "status": 503, "detail": .string("The platform is sealed. \(reason)"),
        ])
        return HTTPResponse(status: 503, fields: fields, body: .bytes(problem.serialized()))
    }

    private final class State: Sendable {
        private let values: Mutex<(reason: String, isStopping: Bool)>

        init(reason: String) { self.values = Mutex((reason, false)) }

        var reason: String {
            get { self.values.withLock { $0.reason } }
            set { self.values.withLock { $0.reason = newValue } }
        }

        var isStopping: Bool { self.values.withLock { $0.isStopping } }

        func stop() { self.values.withLock { $0.isStopping = true } }
    }
}
