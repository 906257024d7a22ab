import Contracts
import EventLog
import Identifiers
import JSON
import KeyRing
import REST
import Store
import Synchronization
import Telemetry
import Time

/// Rotates keys, on demand and by age, and renews what older keys wrapped or sealed: in the background, as tasks.
///
/// What is left to do stands in the database, so a task that a killed process left goes on at the next start; on a database that
/// several processes share, another one takes it over when nobody noted anything of it for a while.
final class KeyRenewal: Sendable {
    static let kind: String = "key-renewal"
    /// How often keys are looked at: are some old enough to rotate, some no longer needed, did another process end half-way.
    static let lookEvery: Duration = .seconds(60)
    /// A task that nobody noted anything of for that long has lost its process.
    static let lostAfter: Duration = .seconds(60)
    /// Progress is stored at most this often.
    private static let noteEvery: UInt64 = 250_000_000

    private struct State {
        var isStopping: Bool = false
        var queue: [TaskRecord] = []
        var worker: Task<Void, Never>?
        var watcher: Task<Void, Never>?
    }

    let columns: [SealedColumn]
    private let services: ServiceEnvironment
    private let keys: KeyRing
    private let rotateEvery: Duration?
    private let state: Mutex<State> = Mutex(State())

    init(services: ServiceEnvironment, keys: KeyRing, columns: [SealedColumn], rotateEvery: Duration?) {
        self.services = services
        self.keys = keys
        self.columns = columns
        self.rotateEvery = rotateEvery
    }

    /// Goes on with what an earlier process left; then looks after the keys until `stop`.
    func start() async throws {
        let isShared: Bool = self.services.store.kind == .postgresql
        let left: [TaskRecord] = try await self.left(isShared: isShared)
        for task in left { self.begin(task) }
        if left.isEmpty, self.keys.isSealed == nil, try await self.keys.backlog(self.columns).count > 0 {
            // Rotated, and killed before the task was; or sealed in a format of before.
            self.begin(try await self.record(Caller.platform("secrets").id))
        }
        let watcher: Task<Void, Never> = Task { await self.watch(isShared: isShared) }
        self.state.withLock { $0.watcher = watcher }
    }

    func stop() async {
        let tasks: (Task<Void, Never>?, Task<Void, Never>?) = self.state.withLock { state in
            state.isStopping = true
            return (state.watcher, state.worker)
        }
        tasks.0?.cancel()
        tasks.1?.cancel()
        await tasks.0?.value
        await tasks.1?.value
    }

    // MARK: Rotation

    /// Rotates a level at once and begins the task that renews the rest.
    ///
    /// - Parameter tenant: of a data key; nil rotates those of all, the platform's too.
    func rotate(_ level: KeyLevel, tenant: String?, _ author: Author) async throws -> TaskRecord {
        switch level {
        case .master:
            _ = try await self.keys.rotateMaster { transaction, id in
                try Self.audit(level, ["master": .string(id)], author, in: transaction)
            }
        case .keyEncrypting:
            _ = try await self.keys.rotateEncryptingKey { transaction, id in
                try Self.audit(level, ["key": .string(id)], author, in: transaction)
            }
        case .data:
            let tenants: [String] = if let tenant { [tenant] } else { try await self.keys.tenantsWithKeys() }
            for tenant in tenants {
                _ = try await self.keys.rotateDataKey(tenant: tenant) { transaction, version in
                    try Self.audit(
                        level, ["key_tenant": .string(tenant), "key_version": .int(version)], author, in: transaction)
                }
            }
        }
        let task: TaskRecord = try await self.record(author.caller.id)
        self.begin(task)
        return task
    }

    private func record(_ createdBy: String) async throws -> TaskRecord {
        let task: TaskRecord = TaskRecord(
            kind: Self.kind, tenant: "", createdBy: createdBy, now: self.services.clock.now())
        try await self.services.store.write { try TaskTable.insert(task, in: $0) }
        return task
    }

    private static func audit(
        _ level: KeyLevel, _ changes: JSONObject, _ author: Author, in transaction: Transaction
    ) throws {
        var changes: JSONObject = changes
        changes["level"] = .string(level.rawValue)
        try author.audit(
            "key.rotated", tenant: "", resource: AuditEntry.Resource(type: "key", id: level.rawValue),
            changes: changes, in: transaction)
    }

    // MARK: Renewal

    /// Tasks that no process works on.
    private func left(isShared: Bool) async throws -> [TaskRecord] {
        let before: Timestamp? = isShared ? self.services.clock.now().adding(.zero - Self.lostAfter) : nil
        return try await self.services.store.read {
            try TaskTable.running(kind: Self.kind, untouchedSince: before, in: $0)
        }
    }

    private func begin(_ task: TaskRecord) {
        self.state.withLock { state in
            guard !state.isStopping, !state.queue.contains(where: { $0.id == task.id }) else { return }
            state.queue.append(task)
            if state.worker == nil { state.worker = Task { await self.work() } }
        }
    }

    /// One after the other: what the first renews is no work for the second.
    private func work() async {
        while let task: TaskRecord = self.state.withLock({ $0.queue.first }) {
            await self.carryOut(task)
            self.state.withLock { _ = $0.queue.removeFirst() }
            if Task.isCancelled { break }
        }
        self.state.withLock { state in
            state.worker = nil
            // One that came between the look and this.
            if !state.queue.isEmpty, !state.isStopping { state.worker = Task { await self.work() } }
        }
    }

    private func carryOut(_ first: TaskRecord) async {
        var task: TaskRecord = first
        do {
            // Where processes share the database, a new key is used once all of them know it.
            try await self.services.clock.sleep(for: self.keys.configuration.overlap)
            var noted: UInt64 = 0
            let unopened: Int64 = try await self.keys.renew(self.columns) { done, total in
                try Task.checkCancellation()
                task.done = done
                task.total = total
                let now: UInt64 = self.services.clock.monotonic()
                guard now - noted > Self.noteEvery || noted == 0 else { return }
                noted = now
                try await self.note(task)
            }
            task.state = .done
            task.result = ["unopened": .int(unopened)]
            if unopened > 0 {
                self.services.logger.log(
                    .error, "sealed values do not open: their keys are kept", ["values": .int(unopened)])
            }
        } catch is CancellationError {
            // The next process goes on.
            return
        } catch {
            if case KeyRingError.sealed = error { return }
            task.state = .failed
            task.result = ["reason": .string("\(error)")]
            self.services.logger.log(.error, "keys could not be renewed", ["error": .string("\(error)")])
        }
        do {
            try await self.note(task)
            try await self.destroyUnneeded()
        } catch {
            self.services.logger.log(.warning, "how a renewal ended could not be noted", ["error": .string("\(error)")])
        }
    }

    private func note(_ task: TaskRecord) async throws {
        try await self.services.store.write { try TaskTable.update(task, in: $0) }
    }

    // MARK: Looking after keys

    private func watch(isShared: Bool) async {
        var masterDue: UInt64 = await self.keepMasterAlive()
        while (try? await self.services.clock.sleep(for: Self.lookEvery)) != nil {
            guard self.keys.isSealed == nil else { continue }
            if self.services.clock.monotonic() >= masterDue { masterDue = await self.keepMasterAlive() }
            do {
                for task in try await self.left(isShared: true) { self.begin(task) }
                try await self.rotateOld()
                try await self.destroyUnneeded()
            } catch {
                self.services.logger.log(.warning, "keys could not be looked after", ["error": .string("\(error)")])
            }
        }
    }

    /// A token that ends while nobody needs it would be missed when somebody does. - Returns: when it is due again.
    private func keepMasterAlive() async -> UInt64 {
        let now: UInt64 = self.services.clock.monotonic()
        do {
            guard let pause: Duration = try await self.keys.keepMasterAlive() else { return .max }
            return now + UInt64(pause.components.seconds) * 1_000_000_000
        } catch {
            self.services.logger.log(
                .warning, "the token for the master key could not be renewed", ["error": .string("\(error)")])
            return now
        }
    }

    private func destroyUnneeded() async throws {
        let destroyed: [String] = try await self.keys.destroyUnneeded(self.columns)
        if !destroyed.isEmpty {
            self.services.logger.log(
                .info, "keys destroyed that nothing needs", ["keys": .array(destroyed.map { .string($0) })])
        }
    }

    /// Rotates what has become too old, except the master key: its place decides about that.
    private func rotateOld() async throws {
        guard let age: Duration = self.rotateEvery else { return }
        let before: Timestamp = self.services.clock.now().adding(.zero - age)
        let old: (encrypting: Bool, tenants: [String]) = try await self.services.store.read { reader in
            let newest: Int64 =
                try reader.first("SELECT coalesce(max(created_at), 0) FROM key_encrypting_keys") { try $0.int(0) } ?? 0
            let tenants: [String] = try reader.rows(
                """
                SELECT tenant FROM data_keys WHERE name = '' GROUP BY tenant HAVING max(created_at) < $1
                ORDER BY tenant
                """, .int(before.milliseconds)
            ) { try $0.text(0) }
            return (newest < before.milliseconds, tenants)
        }
        let author: Author = Author(caller: .platform("secrets"), trace: TraceContext.make())
        if old.encrypting { _ = try await self.rotate(.keyEncrypting, tenant: nil, author) }
        for tenant in old.tenants { _ = try await self.rotate(.data, tenant: tenant, author) }
    }
}
