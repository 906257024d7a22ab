import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

/// The archive and the end of a tenant.
extension CatalogService {
    /// Archives of a tenant that are there at once.
    private static let exportsMax: Int = 5
    private static let exportAccess: Route.Access = .tenant(Permission("catalog", "tenant", "export"))
    private static let deleteAccess: Route.Access = .tenant(Permission("catalog", "tenant", "delete"))

    func tenancyRoutes(_ tenancy: Tenancy) -> [Route] {
        self.exportRoutes(tenancy) + self.deletionRoutes(tenancy) + [Self.useRoute(tenancy)]
    }

    /// What a tenant has of what, beside its quotas.
    private static func useRoute(_ tenancy: Tenancy) -> Route {
        let counts: [String: String] = tenancy.rules.counts
        return Route(
            "GET", "/v1/tenants/{tenant}/quotas/use", operationID: "getQuotaUse", tag: Self.name,
            summary: "What a tenant has of everything that can have a quota, and the most it may have",
            access: .tenant(Permission("catalog", "tenant", "read")),
            answers: [Answer(200, "By the quota's name: used, and the limit; null is not counted, and no limit")]
        ) { context in
            .json(
                .object(
                    try await context.read { reader in
                        _ = try Self.tenant(context.tenant, in: reader)
                        return try TenantQuota.use(tenant: context.tenant, counts: counts, in: reader)
                    }))
        }
    }

    // MARK: - Archives

    private func exportRoutes(_ tenancy: Tenancy) -> [Route] {
        let base: String = "/v1/tenants/{tenant}/exports"
        let rules: TenantExportRules = tenancy.rules.exports
        return [
            Route(
                "POST", base, operationID: "exportTenant", tag: Self.name,
                summary: "Makes an archive of everything kept of a tenant, its audit entries too; without its secrets",
                access: Self.exportAccess, isCritical: true,
                answers: [Answer(202, "Recorded; follow the task at its Location", schema: Self.exportSchema)]
            ) { context in
                let answer: HTTPResponse = try await Self.beginExport(context)
                tenancy.work.wake()
                return answer
            },
            Route(
                "GET", base, operationID: "listTenantExports", tag: Self.name,
                summary: "The archives of a tenant, newest first", access: Self.exportAccess,
                answers: [Answer(200, "Archives", schema: Schema.page(Self.exportSchema))]
            ) { context in
                let found: [ExportRecord] = try await context.read { reader in
                    _ = try Self.tenant(context.tenant, in: reader)
                    return try TenantExportTable.all(tenant: context.tenant, in: reader)
                }
                return .json(.object(["items": .array(found.map { $0.json }), "next": .null]))
            },
            Route(
                "GET", "\(base)/{export}", operationID: "getTenantExport", tag: Self.name, summary: "One archive",
                access: Self.exportAccess, answers: [Answer(200, "The archive", schema: Self.exportSchema)]
            ) { context in .json(try await context.read { try Self.export(context, in: $0).json }) },
            Route(
                "GET", "\(base)/{export}/archive", operationID: "downloadTenantExport", tag: Self.name,
                summary: "The archive itself, a tar of JSON lines and documents", access: Self.exportAccess,
                isCritical: true, answers: [Answer(200, "The archive", mediaType: Self.archiveMediaType)]
            ) { try await Self.download($0, rules.sealer) },
            Route(
                "DELETE", "\(base)/{export}", operationID: "deleteTenantExport", tag: Self.name,
                summary: "Makes an archive unreadable at once, and removes it", access: Self.exportAccess,
                answers: [Answer(204, "Gone")]
            ) { context in
                let author: Author = context.author
                let answer: HTTPResponse = try await context.change { transaction in
                    try TenantExporter.end(
                        try Self.export(context, in: transaction), "tenant.export-deleted", author, rules.sealer,
                        in: transaction)
                    return .noContent
                }
                tenancy.work.wake()
                return answer
            },
        ]
    }

    private static let archiveMediaType: String = "application/x-tar"
    private static let exportSchema: JSONValue = Schema.object([
        "id": Schema.text(max: 64), "task": Schema.text(max: 64),
        "state": Schema.choice(["running", "ready", "failed"]), "size": Schema.integer(0...Int64.max),
        "created_by": Schema.text(max: 128), "created_at": Schema.time, "expires_at": Schema.optional(Schema.time),
        "archive": Schema.optional(Schema.text(max: 256)),
    ])

    /// The archive of the path.
    private static func export(_ context: RequestContext, in store: any Queryable) throws -> ExportRecord {
        let id: String = context.parameter("export")
        guard try TenantTable.find(context.tenant, in: store) != nil,
            let record: ExportRecord = try TenantExportTable.find(
                ExportKey(tenant: context.tenant, id: id), in: store), record.state != .ended
        else { throw APIProblem.notFound("export", id) }
        return record
    }

    private static func beginExport(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let tenant: Tenant = try Self.tenant(context.tenant, in: transaction)
            let others: [ExportRecord] = try TenantExportTable.all(tenant: tenant.name, in: transaction)
            if let running: ExportRecord = others.first(where: { $0.state == .running }) {
                throw APIProblem.conflict(
                    "An archive of '\(tenant.name)' is being made already: \(running.location).")
            }
            guard others.count < Self.exportsMax else {
                throw APIProblem.conflict(
                    "There are \(Self.exportsMax) archives of '\(tenant.name)', the most there can be. Delete one first."
                )
            }
            let task: TaskRecord = TaskRecord(
                kind: TenantExporter.kind, tenant: tenant.name, createdBy: author.caller.id, now: transaction.now)
            try TaskTable.insert(task, in: transaction)
            let record: ExportRecord = ExportRecord(
                key: ExportKey(tenant: tenant.name, id: Identifier.make("exp", now: transaction.now)),
                taskID: task.id, state: .running, progress: ExportProgress(), parts: 0, size: 0,
                createdBy: author.caller.id, traceparent: author.trace.traceparent, createdAt: transaction.now)
            try TenantExportTable.insert(record, in: transaction)
            try TenantExporter.audit("tenant.export-requested", record, author, in: transaction)
            return .accepted(record.json, location: task.location)
        }
    }

    /// A part at a time, at the client's pace.
    private static func download(_ context: RequestContext, _ sealer: any TenantSealer) async throws -> HTTPResponse {
        let author: Author = context.author
        let record: ExportRecord = try await context.services.store.write { transaction in
            let record: ExportRecord = try Self.export(context, in: transaction)
            guard record.state == .ready else {
                throw APIProblem.conflict("The archive is not ready: it is \(record.state.rawValue).")
            }
            try TenantExporter.audit("tenant.export-downloaded", record, author, in: transaction)
            return record
        }
        let day: String = String(record.createdAt.rfc3339.prefix(10))
        let fields: HTTPFields = [
            "content-type": Self.archiveMediaType, "content-length": String(record.size),
            "content-disposition": "attachment; filename=\(record.key.tenant)-\(day).tar",
            "x-content-type-options": "nosniff", "cache-control": "no-store",
        ]
        let (store, key): (Store, ExportKey) = (context.services.store, record.key)
        return HTTPResponse(
            status: 200, fields: fields,
            body: .stream { writer in
                for part in 0..<record.parts {
                    let bytes: [UInt8]? = try await store.read { reader in
                        guard let sealed: [UInt8] = try TenantExportTable.part(part, of: key, in: reader) else {
                            return nil
                        }
                        return try sealer.open(
                            sealed, name: key.sealName(part: part), tenant: key.tenant, key: key.sealingKey, in: reader
                        )
                    }
                    // Deleted meanwhile: the promised length tells the client that something is missing.
                    guard let bytes: [UInt8] else { throw APIProblem.notFound("export", key.id) }
                    try await writer.write(bytes)
                }
            })
    }

    // MARK: - The end

    private func deletionRoutes(_ tenancy: Tenancy) -> [Route] {
        let path: String = "/v1/tenants/{tenant}/deletion"
        return [
            Route(
                "POST", path, operationID: "beginTenantDeletion", tag: Self.name,
                summary: "Ends a tenant for good, with everything it has, once the time to call it off has passed",
                access: Self.deleteAccess, isCritical: true, body: .json(Self.deletionBody),
                answers: [Answer(202, "Recorded; follow the task at its Location", schema: Self.deletionSchema)]
            ) { context in
                let answer: HTTPResponse = try await Self.beginDeletion(
                    context, after: tenancy.rules.deletionGrace, erasesUsers: context.body["users"]?.text != "keep")
                tenancy.work.wake()
                return answer
            },
            Route(
                "GET", path, operationID: "getTenantDeletion", tag: Self.name, summary: "When and how a tenant ends",
                access: Self.deleteAccess, answers: [Answer(200, "Its end", schema: Self.deletionSchema)]
            ) { context in .json(try await context.read { try Self.ending(context, in: $0).json }) },
            Route(
                "DELETE", path, operationID: "cancelTenantDeletion", tag: Self.name,
                summary: "Calls the end of a tenant off, while it has not begun", access: Self.deleteAccess,
                answers: [Answer(204, "It stays")]
            ) { try await Self.cancelDeletion($0) },
            Route(
                "DELETE", "/v1/tenants/{tenant}", operationID: "deleteTenant", tag: Self.name,
                summary: "Ends a tenant that has no APIs and applications, at once", access: Self.deleteAccess,
                isCritical: true,
                answers: [Answer(202, "Recorded; follow the task at its Location", schema: Self.deletionSchema)]
            ) { [portal] context in
                let answer: HTTPResponse = try await Self.beginDeletion(
                    context, after: .zero, erasesUsers: false
                ) { tenant, transaction in
                    try context.requireMatch(version: tenant.version)
                    try Self.requireEmpty(tenant, portal: portal, in: transaction)
                }
                tenancy.work.wake()
                return answer
            },
        ]
    }

    private static let deletionBody: JSONValue = Schema.object(
        ["confirm": Schema.text(min: 1, max: 63), "users": Schema.choice(["erase", "keep"])], required: ["confirm"])
    private static let deletionSchema: JSONValue = Schema.object([
        "task": Schema.text(max: 64), "state": Schema.choice(["waiting", "running"]),
        "asked_by": Schema.text(max: 128), "asked_at": Schema.time, "due_at": Schema.time,
        "users": Schema.choice(["erase", "keep"]),
    ])

    private static func ending(_ context: RequestContext, in store: any Queryable) throws -> EndingRecord {
        let tenant: Tenant = try Self.tenant(context.tenant, in: store)
        guard let record: EndingRecord = try TenantEndingTable.find(tenant.name, in: store) else {
            throw APIProblem(.notFound, "The tenant '\(tenant.name)' is not to end.")
        }
        return record
    }

    private static func requireEmpty(
        _ tenant: Tenant, portal: any PortalOffer, in transaction: Transaction
    ) throws {
        let other: String =
            "Delete them first, or end the tenant with all it has: POST /v1/tenants/\(tenant.name)/deletion."
        guard try !TenantTable.hasAPIs(tenant.name, in: transaction) else {
            throw APIProblem.conflict("The tenant '\(tenant.name)' still has APIs. \(other)")
        }
        guard try !portal.hasApplications(tenant: tenant.name, in: transaction) else {
            throw APIProblem.conflict("The tenant '\(tenant.name)' still has applications. \(other)")
        }
    }

    private static func beginDeletion(
        _ context: RequestContext, after grace: Duration, erasesUsers: Bool,
        check: @escaping @Sendable (Tenant, Transaction) throws -> Void = { _, _ in }
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let confirmed: String? = context.body["confirm"]?.text
        return try await context.change { transaction in
            let tenant: Tenant = try Self.tenant(context.tenant, in: transaction)
            guard confirmed ?? tenant.name == tenant.name else {
                throw APIProblem.invalid("/confirm", "expected the name of the tenant that is to end")
            }
            try check(tenant, transaction)
            if let known: EndingRecord = try TenantEndingTable.find(tenant.name, in: transaction) {
                throw APIProblem.conflict(
                    "The tenant '\(tenant.name)' ends already, at \(known.dueAt.rfc3339): /v1/tasks/\(known.taskID).")
            }
            // Of the platform: what the tenant has goes, and who asked follows the task to its end.
            var task: TaskRecord = TaskRecord(
                kind: TenantDeletion.kind, tenant: "", createdBy: author.caller.id, now: transaction.now)
            let record: EndingRecord = EndingRecord(
                tenant: tenant.name, taskID: task.id, erasesUsers: erasesUsers, askedBy: author.caller.id,
                traceparent: author.trace.traceparent, askedAt: transaction.now,
                dueAt: transaction.now.adding(grace), stage: nil, settledAt: transaction.now)
            task.result = [
                "tenant": .string(tenant.name), "stage": "waiting", "due_at": .string(record.dueAt.rfc3339),
            ]
            try TaskTable.insert(task, in: transaction)
            try TenantEndingTable.insert(record, in: transaction)
            try Self.auditEnding("tenant.deletion-requested", record, author, in: transaction)
            try TenantDeletion.tell("tenant-deletion-requested", record, in: transaction)
            return .accepted(record.json, location: task.location)
        }
    }

    private static func cancelDeletion(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let record: EndingRecord = try Self.ending(context, in: transaction)
            try TenantEndingTable.delete(record.tenant, in: transaction)
            if var task: TaskRecord = try TaskTable.find(record.taskID, in: transaction) {
                task.state = .failed
                task.result = ["tenant": .string(record.tenant), "reason": "It was called off."]
                try TaskTable.update(task, in: transaction)
            }
            try Self.auditEnding("tenant.deletion-cancelled", record, author, in: transaction)
            try TenantDeletion.tell("tenant-deletion-cancelled", record, in: transaction)
            return .noContent
        }
    }

    private static func auditEnding(
        _ event: String, _ record: EndingRecord, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: record.tenant,
            resource: AuditEntry.Resource(type: "tenant-deletion", id: record.tenant),
            changes: record.json.object ?? [:], in: transaction)
    }
}
