import Documents
package import EventLoops
import Files
package import GatewayConfiguration
import JSON
import Synchronization
package import Telemetry
import Time

/// A gateway that runs from a file, without a control plane: serves what the file says and follows its changes.
///
/// A file that does not read or compile changes nothing: what ran goes on, and every problem is logged with line and column.
package final class StandaloneGateway: Sendable {
    /// Why a gateway does not start: one line for each problem.
    package struct StartError: Error, CustomStringConvertible {
        package let problems: [String]

        package init(problems: [String]) { self.problems = problems }

        package var description: String { self.problems.joined(separator: "\n") }
    }

    /// Where it listens.
    package struct Addresses: Sendable {
        package var http: SocketAddress?
        package var https: SocketAddress?
        package var admin: SocketAddress?
    }

    private struct State {
        let settings: ProcessSettings
        var snapshot: Snapshot
        var isReady: Bool = false
    }

    /// How often the file is looked at; a change is taken when two looks see the same.
    private static let lookInterval: Duration = .milliseconds(250)
    /// Bytes of a configuration file at most.
    package static let fileBytesMax: Int = 256 << 20

    private let path: String
    /// Of the file this gateway began with.
    private let firstSeen: FileSignature?
    private let logger: Logger
    private let metrics: MetricRegistry
    private let live: LiveState
    private let engine: GatewayEngine
    private let admin: Mutex<AdminServer?> = Mutex(nil)
    private let state: Mutex<State>
    /// Reads, compiles and looks after the file: slow work has a thread of its own.
    private let worker: EventLoop
    private let listeners: Listeners
    private let quotas: (any CounterStore)?
    private let counters: CounterKeeper
    private let purges: PurgeEndpoint?
    private let counting: Mutex<Task<Void, Never>?> = Mutex(nil)

    // MARK: Reading

    /// Every problem of the file, one line each; none: it can be served.
    package static func check(_ path: String) -> [String] {
        do throws(StartError) {
            _ = try self.compile(try self.read(path), path, previous: nil, live: LiveState())
            return []
        } catch {
            return error.problems
        }
    }

    /// Reads the file and prepares to serve it; nothing listens yet. Blocks.
    ///
    /// - Parameter sharedStores: makes what the settings say that gateways share; paths in them are relative to the folder given.
    package init(
        path: String, logger: Logger, metrics: MetricRegistry, engine: EngineSettings = EngineSettings(),
        sharedStores: (CounterSettings, _ folder: String) throws(StartError) -> SharedStores = { _, _ in .none }
    ) throws(StartError) {
        self.path = path
        self.logger = logger
        self.metrics = metrics
        let live: LiveState = LiveState()
        self.live = live
        self.firstSeen = FileSignature(path)
        let file: GatewayFile = try StandaloneGateway.read(path)
        let snapshot: Snapshot = try StandaloneGateway.compile(file, path, previous: nil, live: self.live)
        self.engine = GatewayEngine(
            process: file.settings, snapshot: snapshot, engine: engine, folder: StandaloneGateway.folder(of: path),
            observation: GatewayEngine.Observation(live: self.live, metrics: metrics, logger: logger))
        self.listeners = engine.listeners
        let folder: String = StandaloneGateway.folder(of: path)
        let quotas: (any CounterStore)? = try StandaloneGateway.quotas(file.settings.counters, folder)
        self.quotas = quotas
        self.purges = try file.settings.listen.adminTokenFile.map {
            (name: String) throws(StartError) -> PurgeEndpoint in
            let token: [UInt8] = try PurgeEndpoint.token(name.hasPrefix("/") ? name : "\(folder)/\(name)")
            return PurgeEndpoint(token: token, live: live, logger: logger)
        }
        let shared: SharedStores = try sharedStores(file.settings.counters, folder)
        self.counters = CounterKeeper(
            live: self.live, quotas: quotas, shared: shared,
            away: file.settings.counters.whenAway,
            clock: SystemClock(), logger: logger, metrics: metrics)
        self.state = Mutex(State(settings: file.settings, snapshot: snapshot))
        self.worker = EventLoop.start(name: "gateway-file")
    }

    private static func quotas(
        _ settings: CounterSettings, _ folder: String
    ) throws(StartError) -> (any CounterStore)? {
        guard let name: String = settings.folder else { return nil }
        do throws(FileError) {
            return try FileCounterStore(folder: name.hasPrefix("/") ? name : "\(folder)/\(name)")
        } catch {
            throw StartError(problems: ["counters.folder: \(error)"])
        }
    }

    private static func read(_ path: String) throws(StartError) -> GatewayFile {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try Files.read(path, bytesMax: self.fileBytesMax)
        } catch {
            throw StartError(problems: [error.description])
        }
        do throws(InvalidDocument) {
            return try GatewayFile.read(bytes)
        } catch {
            throw StartError(problems: error.text(file: path).split(separator: "\n").map(String.init))
        }
    }

    private static func compile(
        _ file: GatewayFile, _ path: String, previous: Snapshot?, live: LiveState
    ) throws(StartError) -> Snapshot {
        let (snapshot, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            file.document, previous: previous, carrying: live)
        var problems: [String] = self.problemsOfTLS(file.document, path)
        if quarantined.isEmpty, problems.isEmpty { return snapshot }
        for entry in quarantined {
            for problem in entry.problems {
                problems.append("\(path): \(entry.kind.rawValue) \(entry.key.text): \(problem)")
            }
        }
        throw StartError(problems: problems)
    }

    /// What is wrong with certificates for targets in their files; texts are checked where they are compiled.
    private static func problemsOfTLS(_ document: GatewayDocument, _ path: String) -> [String] {
        var problems: [String] = []
        for api in document.apis {
            var upstreams: [(place: String, definition: UpstreamDefinition)] = [("", api.upstream)]
            for route in api.routes {
                if let own: UpstreamDefinition = route.upstream { upstreams.append(("route \(route.id): ", own)) }
            }
            for upstream in upstreams {
                guard case .files? = upstream.definition.tls.certificate else { continue }
                var files: UpstreamTLS = upstream.definition.tls
                files.authorities = nil
                guard let found: String = TLSContextBook.problem(files, folder: self.folder(of: path)) else { continue }
                problems.append("\(path): api \(api.key.text): \(upstream.place)upstream.tls.\(found)")
            }
        }
        return problems
    }

    private static func folder(of path: String) -> String {
        guard let slash: String.Index = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    // MARK: Life

    /// Opens the listeners, begins to serve, and follows the file from now on.
    package func start() async throws(StartError) -> Addresses {
        let bound: GatewayEngine.Bound
        do throws(GatewayEngine.StartError) {
            bound = try await self.engine.start()
        } catch {
            throw StartError(problems: ["the gateway cannot listen: \(error)"])
        }
        var addresses: Addresses = Addresses(http: bound.http, https: bound.https)
        addresses.admin = try self.startAdmin()
        self.state.withLock { $0.isReady = true }
        self.count()
        self.worker.execute { self.look(last: nil, taken: self.firstSeen) }
        return addresses
    }

    private func startAdmin() throws(StartError) -> SocketAddress? {
        guard let text: String = self.state.withLock({ $0.settings.listen.admin }) else { return nil }
        guard let address: SocketAddress = SocketAddress(text) else {
            throw StartError(problems: ["listen.admin: '\(text)' is not an address such as 127.0.0.1:8002"])
        }
        let admin: AdminServer = AdminServer(
            address: address, metrics: self.metrics, listeners: self.listeners, purges: self.purges
        ) { [weak self] in
            self?.state.withLock { $0.isReady } ?? false
        }
        do throws(SystemError) {
            let bound: SocketAddress = try admin.start()
            self.admin.withLock { $0 = admin }
            return bound
        } catch {
            throw StartError(problems: ["the admin listener cannot listen: \(error)"])
        }
    }

    /// Reads the file now, whether it changed or not, and opens the access log anew; true when the file is served.
    @discardableResult
    package func reload() async -> Bool {
        self.engine.reopenAccessLog()
        return await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            self.worker.execute { continuation.resume(returning: self.take()) }
        }
    }

    private func count() {
        let counters: CounterKeeper = self.counters
        self.counting.withLock { $0 = Task { await counters.run() } }
    }

    private func stopCounting() async {
        let counting: Task<Void, Never>? = self.counting.withLock { (counting) in counting.take() }
        counting?.cancel()
        await counting?.value
    }

    /// Lets go of what only one process may hold, the file of quotas, and serves on.
    package func release() async {
        await self.stopCounting()
        (self.quotas as? FileCounterStore)?.close()
    }

    /// Takes it back.
    package func resume() { self.count() }

    /// Not ready any more; exchanges under way end until the deadline, then the rest is cut off.
    ///
    /// - Parameter idleGrace: see `GatewayEngine.drain`.
    package func drain(deadline: Duration, idleGrace: Duration = .zero) async {
        self.state.withLock { $0.isReady = false }
        self.worker.stop()
        self.worker.join()
        await self.engine.drain(deadline: deadline, idleGrace: idleGrace)
        await self.stopCounting()
        let admin: AdminServer? = self.admin.withLock { (admin: inout AdminServer?) -> AdminServer? in admin.take() }
        await admin?.stop()
    }

    package var connectionCount: Int { self.engine.connectionCount }

    // MARK: Changes, on the worker's thread

    /// Looks at the file and looks again later. A change is taken when it has settled, so that a file that is being written is
    /// not read half.
    private func look(last: FileSignature?, taken: FileSignature?) {
        let now: FileSignature? = FileSignature(self.path)
        guard let now: FileSignature = now, now == last, now != taken else {
            self.lookLater(last: now, taken: taken)
            return
        }
        _ = self.take()
        self.lookLater(last: now, taken: now)
    }

    private func lookLater(last: FileSignature?, taken: FileSignature?) {
        let timer: ActionTimer = ActionTimer { self.look(last: last, taken: taken) }
        self.worker.schedule(timer, after: StandaloneGateway.lookInterval)
    }

    /// Reads, compiles and serves the file. One after the other, on the worker's thread, so that an older file never replaces a
    /// newer one.
    private func take() -> Bool {
        do throws(StartError) {
            let snapshot: Snapshot = try self.prepare()
            self.engine.applyAndWait(snapshot)
            self.state.withLock { $0.snapshot = snapshot }
            self.logger.info(
                "the configuration is live",
                [
                    "file": .string(self.path), "apis": .int(Int64(snapshot.apis.count)),
                    "routes": .int(Int64(snapshot.routes.count)),
                ])
            return true
        } catch {
            for problem in error.problems {
                self.logger.error("the changed configuration is refused", ["problem": .string(problem)])
            }
            return false
        }
    }

    private func prepare() throws(StartError) -> Snapshot {
        let file: GatewayFile = try StandaloneGateway.read(self.path)
        let previous: Snapshot = self.state.withLock { $0.snapshot }
        let snapshot: Snapshot = try StandaloneGateway.compile(file, self.path, previous: previous, live: self.live)
        let running: ProcessSettings = self.state.withLock { $0.settings }
        if running != file.settings {
            self.logger.warning(
                "listen, workers, telemetry and counters change with a restart", ["file": .string(self.path)])
        }
        return snapshot
    }
}
