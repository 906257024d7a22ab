import Contracts
import HTTP
import JSON
import Store
import Time

/// How long work goes, for who began it and for who may see such work.
package enum TaskRoutes {
    /// How often a stream looks.
    private static let lookEvery: Duration = .milliseconds(250)
    /// Longest a stream goes on; who follows asks again.
    private static let followMax: Duration = .seconds(3_600)

    private static let schema: JSONValue = Schema.object([
        "id": Schema.text(max: 64), "tenant": Schema.optional(Schema.text(max: 63)), "kind": Schema.text(max: 64),
        "state": Schema.choice(["running", "done", "failed"]), "done": Schema.integer(0...Int64.max),
        "total": Schema.integer(0...Int64.max), "result": Schema.anything, "created_by": Schema.text(max: 64),
        "created_at": Schema.time, "finished_at": Schema.optional(Schema.time),
    ])

    package static let routes: [Route] = [
        Route(
            "GET", "/v1/tasks", operationID: "listTasks", tag: "tasks",
            summary: "Long work: the caller's own, and what the caller may see besides; newest first",
            access: .authenticated, query: QueryParameter.page,
            answers: [Answer(200, "Tasks", schema: Schema.page(Self.schema))]
        ) { context in
            let page: Page = try context.page()
            let caller: Caller = context.caller
            // Asked for in the query: were others' tasks left out of a page afterwards, their number would show in its length.
            let tenants: [String]? =
                caller.decide(Self.read, tenant: nil).isAllowed
                ? nil : caller.tenants.filter { caller.decide(Self.read, tenant: $0).isAllowed }
            let found: [TaskRecord] = try await context.read {
                try TaskTable.all(
                    creator: caller.id, tenants: tenants, before: page.after, limit: page.limit + 1, in: $0)
            }
            return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
        },
        Route(
            "GET", "/v1/tasks/{task}", operationID: "getTask", tag: "tasks",
            summary: "How long work goes; as server-sent events until it ends, where Accept asks for them",
            access: .authenticated, answers: [Answer(200, "The task", schema: Self.schema)]
        ) { context in
            let task: TaskRecord = try await Self.find(context)
            guard context.request.fields["Accept"]?.contains(ServerSentEvent.mediaType) == true else {
                return .json(task.json)
            }
            return Self.follow(task, context)
        },
    ]

    private static func isShown(_ task: TaskRecord, to caller: Caller) -> Bool {
        if task.createdBy == caller.id { return true }
        let tenant: String? = task.tenant.isEmpty ? nil : task.tenant
        return caller.decide(Self.read, tenant: tenant).isAllowed
    }

    private static let read: Permission = Permission("tasks", "task", "read")

    private static func find(_ context: RequestContext) async throws -> TaskRecord {
        let id: String = context.parameter("task")
        guard let task: TaskRecord = try await context.read({ try TaskTable.find(id, in: $0) }),
            Self.isShown(task, to: context.caller)
        else { throw APIProblem.notFound("task", id) }
        return task
    }

    private static func follow(_ first: TaskRecord, _ context: RequestContext) -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", ServerSentEvent.mediaType)
        fields.append("Cache-Control", "no-store")
        context.request.endWhenDraining()
        let services: ServiceEnvironment = context.services
        return HTTPResponse(
            status: 200, fields: fields,
            body: .stream { writer in
                var last: String?
                let ends: UInt64 =
                    services.clock.monotonic() + UInt64(Self.followMax.components.seconds) * 1_000_000_000
                while services.clock.monotonic() < ends {
                    guard let task: TaskRecord = try await services.store.read({ try TaskTable.find(first.id, in: $0) })
                    else { return }
                    let text: String = task.json.jsonText
                    if text != last { try await writer.send(ServerSentEvent(type: "task", data: text)) }
                    last = text
                    if task.state != .running { return }
                    try await services.clock.sleep(for: Self.lookEvery)
                }
            })
    }
}
