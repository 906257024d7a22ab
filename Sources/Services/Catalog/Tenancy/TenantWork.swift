import Contracts
import Identifiers
import JSON
import REST
import Store
import Synchronization
import Telemetry
import Time

/// Which process works on something, on a database that several share.
struct TenantWorker: Sendable {
    /// What nobody has touched for so long has lost its process.
    static let lostAfter: Duration = .seconds(5)

    let id: String
    /// Whether others may work there, too. In a folder of our own whatever is left is left by a process that is no more.
    let isShared: Bool

    func lost(_ now: Timestamp) -> Timestamp { self.isShared ? now.adding(.zero - Self.lostAfter) : now }
}

/// Carries out ends and exports of tenants in the background, one at a time; goes on with what an earlier process left.
final class TenantWork: Sendable {
    /// How often it is looked for what is due, where nothing wakes it.
    static let lookEvery: Duration = .seconds(2)
    /// And where something waits for others.
    static let lookAgainEvery: Duration = .milliseconds(200)

    private struct State {
        var isWoken: Bool = false
        var isStopping: Bool = false
        var worker: Task<Void, Never>?
        var sleeper: Task<Void, Never>?
    }

    private let services: ServiceEnvironment
    private let deletion: TenantDeletion
    private let exports: TenantExporter
    private let worker: TenantWorker
    private let state: Mutex<State> = Mutex(State())

    init(services: ServiceEnvironment, data: [any TenantData], exports: TenantExportRules) {
        let worker: TenantWorker = TenantWorker(
            id: Identifier.make("wrk", now: services.clock.now()), isShared: services.store.kind == .postgresql)
        self.worker = worker
        self.services = services
        self.deletion = TenantDeletion(services: services, data: data, worker: worker)
        self.exports = TenantExporter(services: services, data: data, rules: exports, worker: worker)
    }

    func start() {
        let worker: Task<Void, Never> = Task { await self.run() }
        self.state.withLock { $0.worker = worker }
    }

    func stop() async {
        let (worker, sleeper): (Task<Void, Never>?, Task<Void, Never>?) = self.state.withLock { state in
            state.isStopping = true
            return (state.worker, state.sleeper)
        }
        worker?.cancel()
        sleeper?.cancel()
        await worker?.value
    }

    /// There is something to do.
    func wake() {
        let sleeper: Task<Void, Never>? = self.state.withLock { state in
            state.isWoken = true
            return state.sleeper
        }
        sleeper?.cancel()
    }

    private func run() async {
        while !Task.isCancelled {
            self.state.withLock { $0.isWoken = false }
            var waits: Bool = false
            do {
                waits = try await self.round()
            } catch {
                if Task.isCancelled { return }
                self.services.logger.log(
                    .warning, "the end or export of a tenant could not go on", ["error": .string("\(error)")])
            }
            await self.pause(waits ? Self.lookAgainEvery : Self.lookEvery)
        }
    }

    private func pause(_ time: Duration) async {
        let clock: any WallClock = self.services.clock
        let sleeper: Task<Void, Never> = Task { try? await clock.sleep(for: time) }
        let goesOn: Bool = self.state.withLock { state in
            state.sleeper = sleeper
            return state.isWoken || state.isStopping
        }
        if goesOn { sleeper.cancel() }
        await sleeper.value
    }

    /// Everything that can be done now. - Returns: whether something waits for others.
    private func round() async throws -> Bool {
        let (now, worker): (Timestamp, TenantWorker) = (self.services.clock.now(), self.worker)
        let (endings, exports): ([String], [ExportKey]) = try await self.services.store.read { reader in
            (
                try TenantEndingTable.due(now, worker: worker.id, lost: worker.lost(now), in: reader),
                try TenantExportTable.running(worker: worker.id, lost: worker.lost(now), in: reader)
            )
        }
        var waits: Bool = false
        for tenant in endings {
            var outcome: TenantDeletion.Outcome = .more
            while case .more = outcome {
                try Task.checkCancellation()
                outcome = try await self.deletion.step(tenant)
            }
            if case .waits = outcome { waits = true }
        }
        for export in exports { try await self.exports.carryOut(export) }
        try await self.exports.removeExpired()
        return waits
    }
}
