import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store

extension SecretsService {
    var versionRoutes: [Route] { Self.secretScopes.flatMap { self.versionRoutes($0) } }

    private func versionRoutes(_ scope: OwnerScope) -> [Route] {
        let base: String = "\(scope.path)/{secret}"
        return [
            Route(
                "POST", "\(base)/rollback", operationID: "rollBack\(scope.word)Secret", tag: Self.name,
                summary: "Makes the value of an earlier version the present one, as a new version", access: scope.write,
                isCritical: true,
                body: .json(Schema.object(["version": Schema.integer(1...Int64.max)], required: ["version"])),
                answers: [Answer(200, "The secret", schema: Self.schema)]
            ) { [self] in try await self.rollBack($0) },
            Route(
                "DELETE", "\(base)/versions/{version}", operationID: "destroy\(scope.word)SecretVersion",
                tag: Self.name,
                summary: "Destroys an earlier version", access: scope.write, isCritical: true,
                answers: [Answer(204, "Destroyed")]
            ) { try await Self.destroyVersion($0) },
        ]
    }

    private func rollBack(_ context: RequestContext) async throws -> HTTPResponse {
        let wanted: Int64 = context.body["version"]?.integer ?? 0
        let author: Author = context.author
        let sealer: KeyRingSealer = self.sealer
        return try await context.change { transaction in
            var secret: Secret = try Self.secret(context, in: transaction)
            try context.requireMatch(version: secret.version)
            guard wanted != secret.version else {
                throw APIProblem.conflict("Version \(wanted) is the present one.")
            }
            guard
                let value: String = try SecretTable.value(
                    secret.name, version: wanted, tenant: secret.tenant, sealer, in: transaction)
            else { throw APIProblem.notFound("version", "\(wanted)") }
            secret.version += 1
            secret.updatedAt = transaction.now
            secret.updatedBy = author.caller.id
            try Self.write(secret, value, "secret.rolled-back", author, sealer, in: transaction)
            return .json(.object(secret.object), version: secret.version)
        }
    }

    private static func destroyVersion(_ context: RequestContext) async throws -> HTTPResponse {
        let text: String = context.parameter("version")
        guard let version: Int64 = Int64(text) else { throw APIProblem.notFound("version", text) }
        let author: Author = context.author
        return try await context.change { transaction in
            let secret: Secret = try Self.secret(context, in: transaction)
            guard version != secret.version else {
                throw APIProblem.conflict("Version \(version) is the present one. Give the secret a new value first.")
            }
            guard try SecretTable.deleteVersion(version, of: secret, in: transaction) else {
                throw APIProblem.notFound("version", text)
            }
            try author.audit(
                "secret.version-destroyed", tenant: secret.tenant,
                resource: AuditEntry.Resource(type: "secret", id: secret.name, version: secret.version),
                changes: secret.object, in: transaction)
            return .noContent
        }
    }
}
