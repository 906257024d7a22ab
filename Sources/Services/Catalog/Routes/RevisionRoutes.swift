import Contracts
import HTTP
import JSON
import OpenAPI
import REST
import Store

extension CatalogService {
    var revisionRoutes: [Route] {
        let base: String = "/v1/tenants/{tenant}/apis/{api}"
        return [
            Route(
                "POST", "\(base)/revisions", operationID: "createRevision", tag: Self.name,
                summary: "Imports a document, or other settings of the gateway, as the API's next revision",
                access: Self.apiWrite, labels: .api,
                body: .json(ImportRequest.revisionSchema, bytesMax: ImportRequest.bodyBytesMax),
                answers: [Answer(201, "The revision"), Answer(200, "The latest revision, which is the same")]
            ) { try await Self.createRevision($0) },
            Route(
                "GET", "\(base)/revisions", operationID: "listRevisions", tag: Self.name,
                summary: "The API's revisions, newest first", access: Self.apiRead, labels: .api,
                query: QueryParameter.page,
                answers: [Answer(200, "Revisions")]
            ) { context in
                let page: Page = try context.page()
                let before: Int64 = try Self.revisionBefore(page)
                let revisions: [Revision] = try await context.read { reader in
                    let api: API = try Self.api(context, in: reader)
                    return try RevisionTable.all(
                        apiID: api.id, tenant: api.tenant, before: before, limit: page.limit + 1, in: reader)
                }
                return .json(page.envelope(revisions, key: { String($0.number) }, json: { $0.json }))
            },
            Route(
                "GET", "\(base)/revisions/{revision}", operationID: "getRevision", tag: Self.name,
                summary: "One revision",
                access: Self.apiRead, labels: .api, answers: [Answer(200, "The revision")]
            ) { context in
                .json(try await context.read { try Self.revision(context, in: $0).json })
            },
            Route(
                "GET", "\(base)/revisions/{revision}/document", operationID: "getDocument", tag: Self.name,
                summary: "The OpenAPI document, byte for byte as imported", access: Self.apiRead, labels: .api,
                answers: [Answer(200, "The document", mediaType: "application/openapi+json")]
            ) { try await Self.document($0) },
            Route(
                "GET", "\(base)/diff", operationID: "diffRevisions", tag: Self.name,
                summary: "What changed between two revisions", access: Self.apiRead, labels: .api,
                query: [
                    QueryParameter(
                        "from", .integer(1...Int64.max), "The older revision; the one before `to` when absent."),
                    QueryParameter("to", .integer(1...Int64.max), "The newer revision; the latest when absent."),
                ], answers: [Answer(200, "Changes by path and method")]
            ) { try await Self.diff($0) },
        ]
    }

    private static func revisionBefore(_ page: Page) throws -> Int64 {
        guard let after: String = page.after else { return Int64.max }
        guard let number: Int64 = Int64(after) else {
            throw APIProblem.invalid("query:cursor", "expected the `next` of an earlier answer")
        }
        return number
    }

    private static func createRevision(_ context: RequestContext) async throws -> HTTPResponse {
        let (known, document): (API, [UInt8]) = try await context.read { reader in
            let known: API = try Self.api(context, in: reader)
            // Other settings for the same document.
            let needsDocument: Bool = context.body["document"] == nil
            return (known, needsDocument ? try Self.documentBytes(known.latestRevision, of: known, in: reader) : [])
        }
        let request: ImportRequest = ImportRequest(context.body, latest: document)
        guard request.name == nil else {
            throw APIProblem.invalid("/name", "an API keeps its name: leave it out for a further revision")
        }
        let draft: APIDefinitionDraft = try APIDefinitionDraft(
            request, tenant: context.tenant, existing: (known.name, known.basePath))
        let author: Author = context.author
        return try await context.change { transaction in
            let old: API = try Self.api(context, in: transaction)
            // Deleted meanwhile, and another one made under its name: the draft was made from the old one's base path.
            guard old.id == known.id else { throw APIProblem.notFound("API", known.id) }
            try context.requireMatch(version: old.version)
            let latest: Revision? = try RevisionTable.find(
                old.latestRevision, apiID: old.id, tenant: old.tenant, in: transaction)
            if let latest: Revision, latest.documentHash == draft.documentHash, latest.gateway == draft.gateway.jsonText
            {
                return .json(latest.json)
            }
            let number: Int64 = old.latestRevision + 1
            let api: API = old.changed(title: draft.title, basePath: draft.basePath, latestRevision: number)
            try RevisionTable.insert(
                draft, number: number, apiID: api.id, tenant: api.tenant, author: author.caller.id, in: transaction)
            try APITable.update(api, in: transaction)
            try Self.publishUpdate(api, changes: ["revision"], author, in: transaction)
            try Self.audit("api.revision-created", api, draft: draft, author, in: transaction)
            let made: Revision? = try RevisionTable.find(number, apiID: api.id, tenant: api.tenant, in: transaction)
            return .created(
                made?.json ?? .null, location: "/v1/tenants/\(api.tenant)/apis/\(api.name)/revisions/\(number)")
        }
    }

    /// The revision of the path.
    private static func revision(_ context: RequestContext, in store: any Queryable) throws -> Revision {
        let api: API = try Self.api(context, in: store)
        let text: String = context.parameter("revision")
        guard let number: Int64 = Int64(text),
            let revision: Revision = try RevisionTable.find(number, apiID: api.id, tenant: api.tenant, in: store)
        else { throw APIProblem.notFound("revision", text) }
        return revision
    }

    private static func document(_ context: RequestContext) async throws -> HTTPResponse {
        let bytes: [UInt8] = try await context.read { reader in
            let revision: Revision = try Self.revision(context, in: reader)
            return try RevisionTable.document(hash: revision.documentHash, tenant: context.tenant, in: reader) ?? []
        }
        let isJSON: Bool = bytes.first { $0 > 32 } == UInt8(ascii: "{")
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", isJSON ? "application/openapi+json" : "application/openapi+yaml")
        fields.append("X-Content-Type-Options", "nosniff")
        return HTTPResponse(status: 200, fields: fields, body: .bytes(bytes))
    }

    private static func diff(_ context: RequestContext) async throws -> HTTPResponse {
        let (from, to): ([UInt8], [UInt8]) = try await context.read { reader in
            let api: API = try Self.api(context, in: reader)
            let to: Int64 = Int64(context.integer("to") ?? Int(api.latestRevision))
            let from: Int64 = Int64(context.integer("from") ?? Int(max(to - 1, 1)))
            return (
                try Self.documentBytes(from, of: api, in: reader), try Self.documentBytes(to, of: api, in: reader)
            )
        }
        let changes: [RevisionDiff.Change] = RevisionDiff.changes(
            from: try OpenAPIDocument.read(from), to: try OpenAPIDocument.read(to))
        return .json(.object(["changes": .array(changes.map { $0.json })]))
    }

    private static func documentBytes(_ number: Int64, of api: API, in store: any Queryable) throws -> [UInt8] {
        guard let revision: Revision = try RevisionTable.find(number, apiID: api.id, tenant: api.tenant, in: store),
            let bytes: [UInt8] = try RevisionTable.document(hash: revision.documentHash, tenant: api.tenant, in: store)
        else { throw APIProblem.notFound("revision", String(number)) }
        return bytes
    }
}
