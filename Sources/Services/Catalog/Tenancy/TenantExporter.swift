package import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Telemetry
import Time

/// How archives of tenants are kept.
package struct TenantExportRules: Sendable {
    /// Seals their parts.
    let sealer: any TenantSealer
    /// How long a finished archive can be fetched.
    let keptFor: Duration

    package init(sealer: any TenantSealer, keptFor: Duration) {
        self.sealer = sealer
        self.keptFor = keptFor
    }
}

/// Makes archives of tenants: a tar of JSON lines and documents, in sealed parts in the store (docs/reference/tenants.md).
///
/// A part and how far it reaches are written in one transaction, so a process that was killed half-way is followed by one that goes on
/// there. Memory: a part and a page of rows.
struct TenantExporter: Sendable {
    static let kind: String = "tenant-export"
    static let format: String = "passerelle-tenant-export"
    /// A part is closed when it has reached so many bytes.
    static let partBytes: Int = 1 << 20
    /// Largest archive.
    static let sizeMax: Int64 = 16 << 30

    let services: ServiceEnvironment
    let data: [any TenantData]
    let rules: TenantExportRules
    let worker: TenantWorker

    /// What an archive has, in its order.
    private var sections: [TenantSection] {
        let store: Store = self.services.store
        var sections: [TenantSection] = []
        for service in self.data {
            let name: String = service.tenantDataName
            for table in service.tenantTables where table.isExported {
                sections.append(
                    TenantSection("\(name)/\(table.name)", withheld: table.withheld) { tenant, after in
                        try await store.read { try table.page(of: tenant, after: after, in: $0) }
                    })
            }
            for section in service.tenantSections {
                sections.append(
                    TenantSection("\(name)/\(section.name)", withheld: section.withheld, page: section.page))
            }
        }
        return sections
    }

    /// Makes what is left of an archive. Returns when it is ready, has failed, or is another process's.
    func carryOut(_ key: ExportKey) async throws {
        let sections: [TenantSection] = self.sections
        var isMore: Bool = true
        while isMore {
            try Task.checkCancellation()
            guard let record: ExportRecord = try await self.claim(key) else { return }
            var next: ExportRecord = record
            var archive: TarWriter = TarWriter(folder: key.tenant, time: record.createdAt)
            while next.progress.section < sections.count, archive.bytes.count < Self.partBytes {
                try await Self.add(sections[next.progress.section], to: &archive, &next)
            }
            if next.progress.section == sections.count {
                archive.add("manifest.json", self.manifest(next, sections))
                archive.end()
                next.state = .ready
            }
            if next.size + Int64(archive.bytes.count) > Self.sizeMax { next.state = .failed }
            isMore = try await self.write(archive.bytes, next, after: record, of: sections.count)
        }
    }

    private func claim(_ key: ExportKey) async throws -> ExportRecord? {
        let worker: TenantWorker = self.worker
        return try await self.services.store.write { transaction in
            try TenantExportTable.claim(
                key, worker: worker.id, lost: worker.lost(transaction.now), in: transaction)
        }
    }

    /// Adds the next page of a section.
    private static func add(
        _ section: TenantSection, to archive: inout TarWriter, _ record: inout ExportRecord
    ) async throws {
        let page: TenantPage = try await section.page(record.key.tenant, record.progress.after)
        var count: Int64 = record.progress.counts[section.name]?.integer ?? 0
        switch page.items {
        case .lines(let lines):
            var bytes: [UInt8] = []
            for line in lines { bytes += line.serialized() + [UInt8(ascii: "\n")] }
            if !lines.isEmpty {
                record.progress.file += 1
                let number: String = String(record.progress.file)
                let digits: String = String(repeating: "0", count: max(0, 6 - number.utf8.count)) + number
                archive.add("\(section.name)/\(digits).jsonl", bytes)
            }
            count += Int64(lines.count)
        case .files(let files):
            for file in files { archive.add("\(section.name)/\(file.name)", file.bytes) }
            count += Int64(files.count)
        }
        record.progress.counts[section.name] = .int(count)
        record.progress.after = page.next
        if page.next == nil {
            record.progress.section += 1
            record.progress.file = 0
        }
    }

    /// What the archive has, and what it leaves out.
    private func manifest(_ record: ExportRecord, _ sections: [TenantSection]) -> [UInt8] {
        var list: [JSONValue] = []
        for section in sections {
            list.append(
                .object([
                    "name": .string(section.name), "count": record.progress.counts[section.name] ?? .int(0),
                    "withheld": .array(section.withheld.map { .string($0) }),
                ]))
        }
        return JSONValue.object([
            "format": .string(Self.format), "version": 1, "tenant": .string(record.key.tenant),
            "export": .string(record.key.id), "created_by": .string(record.createdBy),
            "created_at": .string(record.createdAt.rfc3339),
            "finished_at": .string(self.services.clock.now().rfc3339), "sections": .array(list),
        ]).pretty()
    }

    /// Keeps a part and how far it reaches, unless another process has gone on meanwhile. - Returns: whether there is more.
    private func write(_ bytes: [UInt8], _ made: ExportRecord, after old: ExportRecord, of sections: Int) async throws
        -> Bool
    {
        let (worker, rules): (TenantWorker, TenantExportRules) = (self.worker, self.rules)
        return try await self.services.store.write { transaction in
            let key: ExportKey = made.key
            guard
                let present: ExportRecord = try TenantExportTable.claim(
                    key, worker: worker.id, lost: worker.lost(transaction.now), in: transaction),
                present.parts == old.parts
            else { return false }
            var record: ExportRecord = made
            if record.state != .failed {
                let sealed: [UInt8] = try rules.sealer.seal(
                    bytes, name: key.sealName(part: record.parts), tenant: key.tenant, key: key.sealingKey,
                    in: transaction)
                try TenantExportTable.insertPart(record.parts, sealed: sealed, of: key, in: transaction)
                record.parts += 1
                record.size += Int64(bytes.count)
            }
            if record.state != .running { record.expiresAt = transaction.now.adding(rules.keptFor) }
            try TenantExportTable.update(record, in: transaction)
            try Self.note(record, of: sections, in: transaction)
            if record.state != .running {
                try Self.audit("tenant.exported", record, Self.author(record), in: transaction)
            }
            return record.state == .running
        }
    }

    private static func note(_ record: ExportRecord, of sections: Int, in transaction: Transaction) throws {
        guard var task: TaskRecord = try TaskTable.find(record.taskID, in: transaction) else { return }
        task.done = Int64(record.progress.section)
        task.total = Int64(sections)
        task.result = ["export": .string(record.location), "size": .int(record.size)]
        switch record.state {
        case .running: break
        case .ready: task.state = .done
        case .failed, .ended:
            task.state = .failed
            task.result["reason"] = "The archive would be larger than \(Self.sizeMax) bytes."
        }
        try TaskTable.update(task, in: transaction)
    }

    static func author(_ record: ExportRecord) -> Author {
        Author(
            caller: .platform(CatalogService.name),
            trace: TraceContext(traceparent: record.traceparent) ?? TraceContext.make())
    }

    static func audit(
        _ event: String, _ record: ExportRecord, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: record.key.tenant,
            resource: AuditEntry.Resource(type: "tenant-export", id: record.key.id),
            changes: [
                "state": .string(record.state.rawValue), "size": .int(record.size),
                "created_by": .string(record.createdBy),
                "expires_at": record.expiresAt.map { .string($0.rfc3339) } ?? .null,
            ], in: transaction)
    }

    // MARK: - The end of an archive

    /// Makes an archive unreadable at once; its parts go afterwards.
    static func end(
        _ old: ExportRecord, _ event: String, _ author: Author, _ sealer: any TenantSealer, in transaction: Transaction
    ) throws {
        var record: ExportRecord = old
        record.state = .ended
        try TenantExportTable.update(record, in: transaction)
        _ = try sealer.destroyKey(record.key.sealingKey, tenant: record.key.tenant, in: transaction)
        if var task: TaskRecord = try TaskTable.find(record.taskID, in: transaction), task.state == .running {
            task.state = .failed
            task.result = ["reason": "The export was deleted."]
            try TaskTable.update(task, in: transaction)
        }
        try Self.audit(event, record, author, in: transaction)
    }

    /// Removes archives whose time is over.
    func removeExpired() async throws {
        let now: Timestamp = self.services.clock.now()
        for key in try await self.services.store.read({ try TenantExportTable.expired(now, in: $0) }) {
            let sealer: any TenantSealer = self.rules.sealer
            var isGone: Bool = false
            while !isGone {
                try Task.checkCancellation()
                isGone = try await self.services.store.write { transaction in
                    guard let record: ExportRecord = try TenantExportTable.find(key, in: transaction) else {
                        return true
                    }
                    if record.state != .ended {
                        try Self.end(
                            record, "tenant.export-expired", Self.author(record), sealer, in: transaction)
                    }
                    return try TenantExportTable.remove(key, in: transaction)
                }
            }
        }
    }
}
