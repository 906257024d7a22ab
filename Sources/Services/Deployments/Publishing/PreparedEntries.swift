import Contracts
import GatewayConfiguration
import JSON
import REST
import Store
import Synchronization
import Time

/// Reads what is about to be live while the commit that makes it so waits for the disk: the publisher then only has to put it in.
///
/// Nothing depends on it but time. What is not here the publisher reads itself, and what is here it takes only for what it would
/// have read. Any thread; each call but `settled` is one short lock.
final class PreparedEntries: Sendable {
    /// Entries kept at most; those too many are read when they are published.
    static let countMax: Int = 64
    /// What nobody has taken by then was not committed.
    static let keptFor: Duration = .seconds(10)

    private struct Ready: Sendable {
        let basis: SnapshotEntry.Basis
        let entry: ReadEntry
        let until: UInt64
    }

    private struct State: Sendable {
        var count: UInt64 = 0
        var running: [UInt64: Task<Void, Never>] = [:]
        var ready: [EntryKey: Ready] = [:]
    }

    private let services: ServiceEnvironment
    private let catalog: any CatalogOffer
    private let state: Mutex<State> = Mutex(State())

    init(services: ServiceEnvironment, catalog: any CatalogOffer) {
        self.services = services
        self.catalog = catalog
    }

    /// Begins to read a revision for an environment, and returns.
    func begin(tenant: String, apiID: String, revision: Int64, environment: String) {
        self.state.withLock { state in
            guard state.running.count < Self.countMax else { return }
            state.count += 1
            let id: UInt64 = state.count
            state.running[id] = Task {
                let found: (basis: SnapshotEntry.Basis, entry: ReadEntry)? = await self.read(
                    tenant: tenant, apiID: apiID, revision: revision, environment: environment)
                self.end(id, found)
            }
        }
    }

    private func read(
        tenant: String, apiID: String, revision: Int64, environment: String
    ) async -> (basis: SnapshotEntry.Basis, entry: ReadEntry)? {
        let catalog: any CatalogOffer = self.catalog
        // Why it cannot be read, the publisher finds out.
        return try? await self.services.store.read { reader in
            guard let api: APIRecord = try catalog.api(tenant: tenant, reference: apiID, in: reader),
                let environment: EnvironmentRecord = try catalog.environment(
                    tenant: tenant, name: environment, in: reader),
                let record: RevisionRecord = try catalog.revision(
                    tenant: tenant, apiID: apiID, number: revision, in: reader)
            else { return nil }
            let basis: SnapshotEntry.Basis = SnapshotEntry.Basis(api, revision: revision, environment)
            let json: JSONValue = basis.json(record.gateway)
            // Which version of a secret it gets is known when it is published.
            guard SecretReference.names(in: json).isEmpty else { return nil }
            return (basis, try ReadEntry(.api, json: json))
        }
    }

    private func end(_ id: UInt64, _ found: (basis: SnapshotEntry.Basis, entry: ReadEntry)?) {
        let now: UInt64 = self.services.clock.monotonic()
        self.state.withLock { state in
            state.running[id] = nil
            guard let found else { return }
            if state.ready.count >= Self.countMax { state.ready = state.ready.filter { $0.value.until > now } }
            guard state.ready.count < Self.countMax else { return }
            state.ready[found.basis.key] = Ready(
                basis: found.basis, entry: found.entry,
                until: now &+ UInt64(clamping: Self.keptFor.nanosecondsClamped))
        }
    }

    /// Returns when what had begun before has ended.
    func settled() async {
        let running: [Task<Void, Never>] = self.state.withLock { Array($0.running.values) }
        for task in running { await task.value }
    }

    /// The entry, if it was made from just this; it is here no longer then.
    func take(_ basis: SnapshotEntry.Basis) -> ReadEntry? {
        let now: UInt64 = self.services.clock.monotonic()
        return self.state.withLock { state in
            guard let ready: Ready = state.ready.removeValue(forKey: basis.key), ready.basis == basis, ready.until > now
            else { return nil }
            return ready.entry
        }
    }
}
