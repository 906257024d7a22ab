import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Telemetry
import Time

/// Carries out the end of a tenant, one bounded transaction after the other.
///
/// What is left to do stands in the database: a stage is over when no service finds anything of it any more, so a process that was
/// killed half-way is followed by one that looks again.
struct TenantDeletion: Sendable {
    static let kind: String = "tenant-deletion"
    /// Requests that were let in before the tenant was closed are over after that.
    static let settling: Duration = .seconds(2)

    /// What came of a step.
    enum Outcome: Sendable {
        case more
        /// Nothing to do before a moment has passed.
        case waits
        /// The tenant has ended, was given back, or another process works on it.
        case over
    }

    let services: ServiceEnvironment
    let data: [any TenantData]
    let worker: TenantWorker

    /// Does the next bit.
    func step(_ tenant: String) async throws -> Outcome {
        try await self.removeElsewhere(tenant)
        let (data, worker): ([any TenantData], TenantWorker) = (self.data, self.worker)
        let (outcome, done): (Outcome, TenantStep) = try await self.services.store.write { transaction in
            guard
                let record: EndingRecord = try TenantEndingTable.claim(
                    tenant, worker: worker.id, lost: worker.lost(transaction.now), in: transaction)
            else { return (.over, TenantStep()) }
            guard let stage: TenantStage = record.stage else {
                try Self.close(record, in: transaction)
                return (.more, TenantStep())
            }
            return try Self.step(record, stage, data, in: transaction)
        }
        for service in self.data { await service.ended(done) }
        return outcome
    }

    /// From here on nobody can call it off: for callers there is no such tenant any more.
    private static func close(_ record: EndingRecord, in transaction: Transaction) throws {
        guard let tenant: Tenant = try TenantTable.find(record.tenant, in: transaction) else {
            return try TenantEndingTable.delete(record.tenant, in: transaction)
        }
        try TenantTable.close(tenant, in: transaction)
        try record.ending.author.audit(
            "tenant.deletion-started", tenant: tenant.name,
            resource: AuditEntry.Resource(type: "tenant-deletion", id: tenant.name),
            changes: record.json.object ?? [:], in: transaction)
        try Self.enter(.traffic, record, in: transaction)
    }

    private static func enter(_ stage: TenantStage, _ old: EndingRecord, in transaction: Transaction) throws {
        var record: EndingRecord = old
        record.stage = stage
        if stage == .keys { record.settledAt = transaction.now.adding(Self.settling) }
        try TenantEndingTable.update(record, in: transaction)
        try Self.note(record, in: transaction)
    }

    private static func note(
        _ record: EndingRecord, state: TaskRecord.State = .running, in transaction: Transaction
    ) throws {
        guard var task: TaskRecord = try TaskTable.find(record.taskID, in: transaction) else { return }
        task.state = state
        let stages: [TenantStage] = TenantStage.allCases
        task.total = Int64(stages.count)
        task.done = state == .done ? task.total : Int64(stages.firstIndex { $0 == record.stage } ?? 0)
        task.result = [
            "tenant": .string(record.tenant),
            "stage": .string(state == .done ? "deleted" : record.stage?.rawValue ?? ""),
            "rows_removed": .int(record.rowsRemoved), "users_erased": .int(record.usersErased),
        ]
        try TaskTable.update(task, in: transaction)
    }

    private static func step(
        _ old: EndingRecord, _ stage: TenantStage, _ data: [any TenantData], in transaction: Transaction
    ) throws -> (Outcome, TenantStep) {
        var record: EndingRecord = old
        var done: TenantStep = TenantStep()
        for service in data {
            let step: TenantStep = try service.end(stage, of: record.ending, in: transaction)
            done.credentials += step.credentials
            done.persons += step.persons
            for other in data where !step.persons.isEmpty {
                try other.forget(persons: step.persons, of: record.ending, in: transaction)
            }
            if step.isDone { continue }
            done.waits = done.waits || step.waits
            done.isDone = false
            // What another service has to do meanwhile need not wait for this one; but one service's work is enough at a time.
            if !step.waits { break }
        }
        record.usersErased += Int64(done.persons.count { $0.hasPrefix("usr_") })
        if !done.isDone {
            try TenantEndingTable.update(record, in: transaction)
            return (done.waits ? .waits : .more, done)
        }
        if stage == .rows { return (try Self.removeRows(&record, data, in: transaction), done) }
        let stages: [TenantStage] = TenantStage.allCases
        let next: Int = (stages.firstIndex(of: stage) ?? 0) + 1
        try Self.enter(stages[next], record, in: transaction)
        return (.more, done)
    }

    private static func removeRows(
        _ record: inout EndingRecord, _ data: [any TenantData], in transaction: Transaction
    ) throws -> Outcome {
        for service in data {
            for table in service.tenantTables where table.keptBecause == nil {
                let removed: Int = try table.remove(of: record.tenant, in: transaction)
                guard removed > 0 else { continue }
                record.rowsRemoved += Int64(removed)
                try TenantEndingTable.update(record, in: transaction)
                return .more
            }
        }
        guard transaction.now >= record.settledAt else { return .waits }
        try Self.finish(record, in: transaction)
        return .over
    }

    private static func finish(_ record: EndingRecord, in transaction: Transaction) throws {
        try TenantEndingTable.delete(record.tenant, in: transaction)
        try Self.note(record, state: .done, in: transaction)
        let ending: TenantEnding = record.ending
        try ending.author.audit(
            "tenant.deleted", tenant: record.tenant,
            resource: AuditEntry.Resource(type: "tenant", id: record.tenant),
            changes: [
                "name": .string(record.tenant), "asked_by": .string(record.askedBy),
                "rows_removed": .int(record.rowsRemoved), "users_erased": .int(record.usersErased),
            ], in: transaction)
        try Self.tell("tenant-deleted", record, in: transaction)
    }

    /// Tells those who look after tenants.
    static func tell(_ type: String, _ record: EndingRecord, in transaction: Transaction) throws {
        let id: String = Identifier.make("ntf", now: transaction.now)
        try record.ending.author.publish(
            Topics.notifications, key: id, tenant: record.tenant,
            [
                "notification_id": .string(id), "type": .string(type),
                "recipients": .array(["role:platform-admin", "role:cpi-tenant"]), "template": .string(type),
                "data": .object(["tenant": .string(record.tenant), "due_at": .string(record.dueAt.rfc3339)]),
            ], in: transaction)
    }

    /// Once rows go, so does what other stores have: whatever came there before a step is gone when the last row is.
    private func removeElsewhere(_ tenant: String) async throws {
        let stage: TenantStage? = try await self.services.store.read {
            try TenantEndingTable.find(tenant, in: $0)?.stage
        }
        guard stage == .rows else { return }
        for service in self.data {
            while try await service.removeElsewhere(of: tenant) > 0 { try Task.checkCancellation() }
        }
    }
}
