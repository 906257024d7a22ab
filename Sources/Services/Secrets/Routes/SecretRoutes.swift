import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension SecretsService {
    static let secretScopes: [OwnerScope] = OwnerScope.both("secrets", resource: "secret")
    static let descriptionLengthMax: Int = 500
    private static let bodyBytesMax: Int = 6 * Secret.valueBytesMax + 8_192

    static let schema: JSONValue = Schema.object([
        "name": Schema.text(max: 63), "tenant": Schema.text(max: 63),
        "description": Schema.text(max: descriptionLengthMax), "version": Schema.integer(1...Int64.max),
        "reference": Schema.text(max: 80), "created_at": Schema.time, "updated_at": Schema.time,
        "updated_by": Schema.text(max: 64),
    ])

    var secretRoutes: [Route] { Self.secretScopes.flatMap { self.secretRoutes($0) } }

    private func secretRoutes(_ scope: OwnerScope) -> [Route] {
        [
            Route(
                "GET", scope.path, operationID: "list\(scope.word)Secrets", tag: Self.name,
                summary: "Secrets, \(scope.whose), without their values", access: scope.read,
                query: QueryParameter.page,
                answers: [Answer(200, "Secrets by name", schema: Schema.page(Self.schema))]
            ) { context in
                let page: Page = try context.page()
                let found: [Secret] = try await context.read {
                    try SecretTable.all(
                        tenant: context.tenant, after: page.after ?? "", limit: page.limit + 1, in: $0)
                }
                return .json(page.envelope(found, key: { $0.name }, json: { .object($0.object) }))
            },
            Route(
                "GET", "\(scope.path)/{secret}", operationID: "get\(scope.word)Secret", tag: Self.name,
                summary: "A secret and its versions, without the values", access: scope.read,
                answers: [Answer(200, "The secret")]
            ) { context in
                try await context.read { reader in
                    let secret: Secret = try Self.secret(context, in: reader)
                    var object: JSONObject = secret.object
                    object["versions"] = .array(try SecretTable.versions(secret, in: reader).map(\.json))
                    return .json(.object(object), version: secret.version)
                }
            },
            Route(
                "PUT", "\(scope.path)/{secret}", operationID: "put\(scope.word)Secret", tag: Self.name,
                summary: "Creates a secret, or gives it a new value: a new version. The value is never shown again",
                access: scope.write, isCritical: true,
                body: .json(
                    Schema.object(
                        [
                            "value": Schema.text(min: 1, max: Secret.valueBytesMax),
                            "description": Schema.text(max: Self.descriptionLengthMax),
                        ], required: ["value"]), bytesMax: Self.bodyBytesMax),
                answers: [
                    Answer(201, "The secret was created", schema: Self.schema),
                    Answer(200, "It has a new version, or had this value already", schema: Self.schema),
                ]
            ) { [self] in try await self.putSecret($0) },
            Route(
                "DELETE", "\(scope.path)/{secret}", operationID: "delete\(scope.word)Secret", tag: Self.name,
                summary: "Destroys a secret with all its versions; refused while something live refers to it",
                access: scope.write, isCritical: true,
                answers: [Answer(204, "Destroyed"), Answer(409, "An API that is live, or a setting, refers to it")]
            ) { [self] in try await self.deleteSecret($0) },
            Route(
                "GET", "\(scope.path)/{secret}/references", operationID: "list\(scope.word)SecretReferences",
                tag: Self.name, summary: "What refers to a secret now: with any, it cannot be deleted",
                access: scope.read, answers: [Answer(200, "What refers to it, by name", schema: Self.uses)]
            ) { [self] in try await self.listUses($0) },
        ]
    }

    private static let uses: JSONValue = Schema.object([
        "items": Schema.array(
            Schema.object([
                "kind": Schema.choice(SecretUse.Kind.allCases.map(\.rawValue)), "name": Schema.text(max: 1_024),
            ]), max: 100_000)
    ])

    private func listUses(_ context: RequestContext) async throws -> HTTPResponse {
        let users: any SecretUsers = self.users
        return try await context.read { reader in
            let secret: Secret = try Self.secret(context, in: reader)
            let items: [JSONValue] = try users.uses(of: secret.name, tenant: secret.tenant, in: reader).map {
                .object(["kind": .string($0.kind.rawValue), "name": .string($0.name)])
            }
            return .json(.object(["items": .array(items)]))
        }
    }

    static func secret(_ context: RequestContext, in store: any Queryable) throws -> Secret {
        let name: String = context.parameter("secret")
        guard let secret: Secret = try SecretTable.find(name, tenant: context.tenant, in: store) else {
            throw APIProblem.notFound("secret", name)
        }
        return secret
    }

    private func putSecret(_ context: RequestContext) async throws -> HTTPResponse {
        let name: String = context.parameter("secret")
        if let problem: String = Slug.validate(name) { throw APIProblem.invalid("path:secret", problem) }
        let value: String = context.body["value"]?.text ?? ""
        if let problem: String = Secret.problem(value: value) { throw APIProblem.invalid("/value", problem) }
        let description: String? = context.body["description"]?.text
        let author: Author = context.author
        let sealer: KeyRingSealer = self.sealer
        return try await context.change { transaction in
            let tenant: String = context.tenant
            guard let old: Secret = try SecretTable.find(name, tenant: tenant, in: transaction) else {
                guard try SecretTable.count(tenant: tenant, in: transaction) < Secret.countMax else {
                    throw APIProblem.conflict("The tenant has \(Secret.countMax) secrets. Delete some first.")
                }
                try TenantQuota.secrets.require(tenant: tenant, counting: SecretTable.counted, in: transaction)
                let version: Int64 = try SecretTable.lastVersion(name, tenant: tenant, in: transaction) + 1
                let made: Secret = Secret(
                    tenant: tenant, name: name, description: description ?? "", version: version,
                    createdAt: transaction.now, updatedAt: transaction.now, updatedBy: author.caller.id)
                try Self.write(made, value, "secret.created", author, sealer, in: transaction)
                return .created(
                    .object(made.object), location: OwnerScope.location("secrets", name, tenant: tenant),
                    version: version)
            }
            try context.requireMatch(version: old.version)
            var next: Secret = old
            next.description = description ?? old.description
            next.updatedAt = transaction.now
            next.updatedBy = author.caller.id
            let present: String =
                try SecretTable.value(name, version: old.version, tenant: tenant, sealer, in: transaction) ?? ""
            if ConstantTime.equals(present, value) {
                // The same value is no rotation: an import that is repeated changes nothing.
                if next.description == old.description { return .json(.object(old.object), version: old.version) }
                try SecretTable.setDescription(next, in: transaction)
                try Self.audit("secret.described", next, author, in: transaction)
                return .json(.object(next.object), version: next.version)
            }
            next.version = old.version + 1
            try Self.write(next, value, "secret.rotated", author, sealer, in: transaction)
            return .json(.object(next.object), version: next.version)
        }
    }

    /// Stores a new version and tells it.
    static func write(
        _ secret: Secret, _ value: String, _ event: String, _ author: Author, _ sealer: KeyRingSealer,
        in transaction: Transaction
    ) throws {
        let sealed: [UInt8] = try sealer.seal(
            Array(value.utf8), name: SecretTable.sealName(secret.name, version: secret.version),
            tenant: secret.tenant, key: "", in: transaction)
        try SecretTable.put(secret, sealed: sealed, in: transaction)
        try Self.audit(event, secret, author, in: transaction)
        try author.publish(
            Topics.secretRotated, key: secret.name, tenant: secret.tenant,
            [
                "name": .string(secret.name), "tenant": .string(secret.tenant), "version": .int(secret.version),
                "rotated_by": .string(author.caller.id),
            ], in: transaction)
    }

    static func audit(
        _ event: String, _ secret: Secret, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: secret.tenant,
            resource: AuditEntry.Resource(type: "secret", id: secret.name, version: secret.version),
            changes: secret.object, in: transaction)
    }

    private func deleteSecret(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let live: any SecretUsers = self.users
        return try await context.change { transaction in
            let secret: Secret = try Self.secret(context, in: transaction)
            try context.requireMatch(version: secret.version)
            let uses: [SecretUse] = try live.uses(of: secret.name, tenant: secret.tenant, in: transaction)
            guard uses.isEmpty else {
                let some: String = uses.prefix(5).map(\.name).joined(separator: ", ")
                let rest: String = uses.count > 5 ? " and \(uses.count - 5) more" : ""
                let next: String =
                    uses[0].kind == .api
                    ? "Deploy revisions without it first." : "Start without these settings first."
                throw APIProblem.conflict(
                    "secret://\(secret.name) is referred to by what is live: \(some)\(rest). \(next)")
            }
            try SecretTable.delete(secret, in: transaction)
            try author.audit(
                "secret.deleted", tenant: secret.tenant,
                resource: AuditEntry.Resource(type: "secret", id: secret.name, version: secret.version), changes: [:],
                in: transaction)
            return .noContent
        }
    }
}
