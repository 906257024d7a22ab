import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension PortalService {
    /// Longest overlap of old keys after a rotation, seconds.
    static let overlapSecondsMax: Int64 = 90 * 86_400

    var keyRoutes: [Route] {
        let base: String = "/v1/tenants/{tenant}/applications/{application}/keys"
        return [
            Route(
                "POST", base, operationID: "rotateKey", tag: Self.name,
                summary: "Makes a new API key, shown this once; the old ones end after an overlap",
                access: Self.applicationWrite,
                body: .json(
                    Schema.object(["expires_old_after_seconds": Schema.integer(0...Self.overlapSecondsMax)])),
                answers: [Answer(201, "The key")]
            ) { try await Self.rotateKey($0) },
            Route(
                "GET", base, operationID: "listKeys", tag: Self.name,
                summary: "The application's keys, without the keys",
                access: Self.applicationRead, query: QueryParameter.page, answers: [Answer(200, "Keys by id")]
            ) { context in
                let page: Page = try context.page()
                let now: Timestamp = context.now
                let keys: [APIKey] = try await context.read { reader in
                    let application: Application = try Self.application(context, in: reader)
                    return try APIKeyTable.usable(
                        application: application.id, tenant: context.tenant, now: now, in: reader
                    ).filter { $0.id > page.after ?? "" }
                }
                return .json(page.envelope(keys, key: { $0.id }, json: { $0.json }))
            },
            Route(
                "DELETE", "\(base)/{key}", operationID: "revokeKey", tag: Self.name, summary: "Ends a key at once",
                access: Self.applicationWrite, answers: [Answer(204, "Revoked")]
            ) { try await Self.revokeKey($0) },
        ]
    }

    private static func rotateKey(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let overlap: Int64? = context.body["expires_old_after_seconds"]?.integer
        return try await context.changeShowingSecret { transaction in
            let application: Application = try Self.application(context, in: transaction)
            let tenant: String = application.tenant
            try APIKeyTable.deleteExpired(
                application: application.id, tenant: tenant, now: transaction.now, in: transaction)
            let usable: [APIKey] = try APIKeyTable.usable(
                application: application.id, tenant: tenant, now: transaction.now, in: transaction)
            guard usable.count < APIKey.countMax else {
                throw APIProblem.conflict("The application has \(APIKey.countMax) keys. Revoke one first.")
            }
            if let overlap: Int64 {
                try APIKeyTable.expireAll(
                    application: application.id, tenant: tenant, at: transaction.now.adding(.seconds(overlap)),
                    in: transaction)
            }
            let made = APIKey.make(id: Identifier.make("key", now: transaction.now), now: transaction.now)
            try APIKeyTable.insert(made.key, application: application.id, tenant: tenant, in: transaction)
            try Self.publishRotation(of: application, key: made.key.id, author, in: transaction)
            let end: Timestamp? = overlap.map { transaction.now.adding(.seconds($0)) }
            try Self.audit("api-key.created", application, key: made.key, oldKeysEnd: end, author, in: transaction)
            let location: String = "/v1/tenants/\(tenant)/applications/\(application.name)/keys/\(made.key.id)"
            var object: JSONObject = made.key.json.object ?? [:]
            let repeated: HTTPResponse = .created(.object(object), location: location)
            object["key"] = .string(made.text)
            return (.created(.object(object), location: location), repeated)
        }
    }

    private static func revokeKey(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let keyID: String = context.parameter("key")
        return try await context.change { transaction in
            let application: Application = try Self.application(context, in: transaction)
            guard
                let key: APIKey = try APIKeyTable.find(
                    keyID, application: application.id, tenant: application.tenant, in: transaction),
                try APIKeyTable.delete(
                    keyID, application: application.id, tenant: application.tenant, in: transaction)
            else { throw APIProblem.notFound("key", keyID) }
            try Self.publishRotation(of: application, key: keyID, author, in: transaction)
            try Self.audit("api-key.revoked", application, key: key, author, in: transaction)
            return .noContent
        }
    }

    private static func publishRotation(
        of application: Application, key: String, _ author: Author, in transaction: Transaction
    ) throws {
        try GatewayChanges.touch(.application, tenant: application.tenant, id: application.id, in: transaction)
        try author.publish(
            Topics.apiKeyRotated, key: application.id, tenant: application.tenant,
            [
                "application_id": .string(application.id), "tenant": .string(application.tenant),
                "key_id": .string(key), "rotated_by": .string(author.caller.id),
            ], in: transaction)
    }
}
