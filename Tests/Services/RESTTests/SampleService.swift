import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

/// A small service with one route of each kind, to test what the REST layer does for all of them.
final class SampleService: PlatformService {
    static let name: String = "sample"
    static let migrations: ServiceMigrations = ServiceMigrations(
        service: "sample",
        steps: [
            Migration(
                number: 1, name: "notes",
                sql: """
                    CREATE TABLE sample_notes (
                        tenant text NOT NULL, name text NOT NULL, text text NOT NULL, version int64 NOT NULL,
                        PRIMARY KEY (tenant, name));
                    """)
        ])

    func start() async throws {}
    func stop() async {}

    static let body: JSONValue = Schema.object(
        ["name": Schema.text(min: 1, max: 63), "text": Schema.text(max: 100)], required: ["name", "text"])

    var routes: [Route] {
        [
            Route(
                "GET", "/v1/hello", operationID: "hello", tag: "sample", summary: "Says hello", access: .anyone,
                answers: [Answer(200, "Hello")]
            ) { _ in .json(.object(["hello": "world"])) },
            Route(
                "GET", "/v1/mine", operationID: "mine", tag: "sample", summary: "Who calls", access: .authenticated,
                answers: [Answer(200, "The caller")]
            ) { .json(.object(["id": .string($0.caller.id)])) },
            Route(
                "GET", "/v1/platform", operationID: "platform", tag: "sample", summary: "For platform roles",
                access: .platform(Permission("sample", "platform", "read")), answers: [Answer(200, "Fine")]
            ) { _ in .json(.object([:])) },
            Route(
                "GET", "/v1/scoped", operationID: "scoped", tag: "sample", summary: "Limited by a query parameter",
                access: .scoped(Permission("catalog", "api", "read")), labels: .tenant, query: [QueryParameter.tenant],
                answers: [Answer(200, "The scope")]
            ) { context in
                .json(.object(["scope": context.scope.map { (tenant: String) in .string(tenant) } ?? .null]))
            },
            Route(
                "POST", "/v1/tenants/{tenant}/notes", operationID: "createNote", tag: "sample", summary: "Makes a note",
                access: .tenant(Permission("catalog", "api", "write")), labels: .tenant, body: .json(Self.body),
                answers: [Answer(201, "Made")]
            ) { try await Self.create($0) },
            Route(
                "GET", "/v1/tenants/{tenant}/notes", operationID: "listNotes", tag: "sample", summary: "Lists notes",
                access: .tenant(Permission("catalog", "api", "read")), labels: .tenant, query: QueryParameter.page,
                answers: [Answer(200, "Notes")]
            ) { try await Self.list($0) },
            Route(
                "PUT", "/v1/tenants/{tenant}/notes/{note}", operationID: "replaceNote", tag: "sample",
                summary: "Replaces a note", access: .tenant(Permission("catalog", "api", "write")), labels: .tenant,
                body: .json(Self.body),
                answers: [Answer(200, "Replaced")]
            ) { context in
                try context.requireMatch(version: 7)
                return .json(context.body, version: 8)
            },
            Route(
                "GET", "/v1/ticks", operationID: "ticks", tag: "sample", summary: "A line a second, without end",
                access: .scoped(Permission("catalog", "plan", "read")), query: [QueryParameter.tenant],
                answers: [Answer(200, "Lines")]
            ) { context in
                let clock: any WallClock = context.services.clock
                return HTTPResponse(status: 200) { writer in
                    while true {
                        try await writer.write("tick\n")
                        try await clock.sleep(for: .seconds(1))
                    }
                }
            },
            Route(
                "GET", "/v1/broken", operationID: "broken", tag: "sample", summary: "Fails", access: .anyone,
                answers: [Answer(200, "Never")]
            ) { _ in throw Broken(secret: "s3cret") },
        ]
    }

    private struct Broken: Error { let secret: String }

    private static func create(_ context: RequestContext) async throws -> HTTPResponse {
        let tenant: String = context.tenant
        let name: String = context.body["name"]?.text ?? ""
        let text: String = context.body["text"]?.text ?? ""
        let author: Author = context.author
        return try await context.change { transaction in
            let taken: Int64? = try transaction.first(
                "SELECT version FROM sample_notes WHERE tenant = $1 AND name = $2", .text(tenant), .text(name)
            ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
            guard taken == nil else { throw APIProblem.conflict("There is a note '\(name)'.") }
            try transaction.execute(
                "INSERT INTO sample_notes (tenant, name, text, version) VALUES ($1, $2, $3, 1)", .text(tenant),
                .text(name),
                .text(text))
            try author.publish(
                Topics.apiCreated, key: name, tenant: tenant, ["api_id": .string(name)], in: transaction)
            try author.audit(
                "note.created", tenant: tenant, resource: AuditEntry.Resource(type: "note", id: name, version: 1),
                changes: ["text": .string(text)], in: transaction)
            return .created(
                .object(["name": .string(name)]), location: "/v1/tenants/\(tenant)/notes/\(name)", version: 1)
        }
    }

    private static func list(_ context: RequestContext) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let tenant: String = context.tenant
        let names: [String] = try await context.read { reader in
            try reader.rows(
                "SELECT name FROM sample_notes WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3", .text(tenant),
                .text(page.after ?? ""), .int(Int64(page.limit + 1))
            ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        }
        return .json(page.envelope(names, key: { $0 }, json: { .object(["name": .string($0)]) }))
    }
}
