import Contracts
import HTTP
import Identifiers
import JSON
import REST
import Store

extension BackupsService {
    private static let schema: JSONValue = Schema.object([
        "id": Schema.text(max: 64), "state": Schema.choice(["running", "done", "failed"]), "full": Schema.boolean,
        "requested_by": Schema.text(max: 64), "started_at": Schema.time, "finished_at": Schema.optional(Schema.time),
        "result": Schema.anything,
    ])

    var backupRoutes: [Route] {
        let read: Route.Access = .platform(Permission("backups", "backup", "read"))
        return [
            Route(
                "POST", "/v1/backups", operationID: "createBackup", tag: Self.name,
                summary: "Backs up the running platform to the folder its settings name.",
                access: .platform(Permission("backups", "backup", "write")),
                body: .json(Schema.object(["full": Schema.boolean])),
                answers: [
                    Answer(202, "The backup that was begun", schema: Self.schema),
                    Answer(409, "No folder for backups is configured, or a backup is being made"),
                ]
            ) { [self] in try await self.create($0) },
            Route(
                "GET", "/v1/backups", operationID: "listBackups", tag: Self.name,
                summary: "The backups that were asked for over REST, newest first.", access: read,
                query: QueryParameter.page, answers: [Answer(200, "Backups", schema: Schema.page(Self.schema))]
            ) { try await Self.list($0) },
            Route(
                "GET", "/v1/backups/{backup}", operationID: "getBackup", tag: Self.name, summary: "How a backup goes.",
                access: read, answers: [Answer(200, "The backup", schema: Self.schema)]
            ) { try await Self.get($0) },
        ]
    }

    private func create(_ context: RequestContext) async throws -> HTTPResponse {
        if context.services.store.kind == .postgresql {
            throw try await PostgresBackups.refusal(context.services.store)
        }
        guard self.place != nil else {
            throw APIProblem.conflict(
                "No folder for backups is configured. Set backup.folder and backup.key_file (or --backup-folder and --backup-key-file) and start again; or stop the platform and run 'passerelle backup --data'."
            )
        }
        let running: APIProblem = APIProblem.conflict(
            "A backup is being made. Wait for it; 'GET /v1/backups' shows how far it is.")
        guard !self.isRunning else { throw running }
        let author: Author = context.author
        let run: BackupRun = BackupRun(
            id: Identifier.make("bkp", now: context.now), state: .running, requestedBy: author.caller.id,
            isFull: context.body["full"]?.boolean ?? false, startedAt: context.now, result: .null, version: 1)
        let answer: HTTPResponse = try await context.change { transaction in
            // Two requests may have come together: the first that commits has it.
            guard try BackupTable.running(in: transaction).isEmpty else { throw running }
            try BackupTable.insert(run, in: transaction)
            try Self.audit("backup.requested", run, author, in: transaction)
            return .accepted(run.json, location: "/v1/backups/\(run.id)")
        }
        if answer.fields["Idempotent-Replayed"] == nil { _ = self.begin(run, author) }
        return answer
    }

    private static func list(_ context: RequestContext) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let found: [BackupRun] = try await context.read {
            try BackupTable.all(before: page.after ?? "", limit: page.limit + 1, in: $0)
        }
        return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
    }

    private static func get(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = context.parameter("backup")
        guard let run: BackupRun = try await context.read({ try BackupTable.find(id, in: $0) }) else {
            throw APIProblem.notFound("backup", id)
        }
        return .json(run.json, version: run.version)
    }
}
