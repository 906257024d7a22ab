import Contracts
import EventLog
import HTTP
import JSON
import KeyRing
import REST
import Store
import Time

extension SecretsService {
    private static let readKeys: Route.Access = .platform(Permission("secrets", "key", "read"))
    private static let writeKeys: Route.Access = .platform(Permission("secrets", "key", "write"))

    private static let ring: JSONValue = Schema.object([
        "sealed": Schema.boolean, "reason": Schema.optional(Schema.text(max: 1_024)),
        "since": Schema.optional(Schema.time), "master": Schema.optional(Schema.text(max: 256)),
        "key_encrypting_keys": Schema.integer(0...Int64.max), "data_keys": Schema.integer(0...Int64.max),
        "data_keys_to_wrap": Schema.integer(0...Int64.max), "values_to_seal": Schema.integer(0...Int64.max),
        "rotated_at": Schema.optional(Schema.time),
    ])

    var keyRoutes: [Route] {
        [
            Route(
                "GET", "/v1/keys", operationID: "getKeyRing", tag: Self.name,
                summary: "The key ring: whether it is sealed, which keys there are, what waits to be renewed",
                access: Self.readKeys, answers: [Answer(200, "The key ring", schema: Self.ring)]
            ) { [self] _ in .json(try await self.description()) },
            Route(
                "POST", "/v1/keys/rotations", operationID: "rotateKeys", tag: Self.name,
                summary: "Rotates a level of keys; what older keys sealed is renewed in the background, as a task",
                access: Self.writeKeys, isCritical: true,
                body: .json(
                    Schema.object(
                        [
                            "level": Schema.choice(KeyLevel.allCases.map(\.rawValue)),
                            "tenant": Schema.text(min: 1, max: 63),
                        ], required: ["level"])), answers: [Answer(202, "The task that renews")]
            ) { [self] in try await self.rotate($0) },
            Route(
                "POST", "/v1/keys/seal", operationID: "sealKeys", tag: Self.name,
                summary: "Forgets all keys of this process: what is sealed opens no more until it is unsealed",
                access: Self.writeKeys, isCritical: true, answers: [Answer(200, "The key ring", schema: Self.ring)]
            ) { [self] in try await self.sealRing($0) },
            Route(
                "POST", "/v1/keys/unseal", operationID: "unsealKeys", tag: Self.name,
                summary: "Fetches the master key again and unwraps the keys", access: Self.writeKeys,
                answers: [Answer(200, "The key ring", schema: Self.ring), Answer(503, "The master key is away")]
            ) { [self] in try await self.unsealRing($0) },
        ]
    }

    private func description() async throws -> JSONValue {
        var object: JSONObject = try await self.services.store.read { reader in
            func number(_ sql: String) throws -> Int64 { try reader.first(sql) { try $0.int(0) } ?? 0 }
            let rotated: Int64 = try number("SELECT coalesce(max(created_at), 0) FROM key_encrypting_keys")
            let master: String? = try reader.first(
                "SELECT master FROM key_encrypting_keys ORDER BY number DESC LIMIT 1"
            ) { try $0.text(0) }
            return [
                "sealed": false, "reason": .null, "since": .null, "master": master.map { .string($0) } ?? .null,
                "key_encrypting_keys": .int(
                    try number("SELECT count(*) FROM key_encrypting_keys WHERE purpose = 'encrypting'")),
                "data_keys": .int(try number("SELECT count(*) FROM data_keys")),
                "rotated_at": rotated > 0 ? .string(Timestamp(milliseconds: rotated).rfc3339) : .null,
            ]
        }
        if let sealed = self.keys.isSealed {
            object["sealed"] = true
            object["reason"] = .string(sealed.reason)
            object["since"] = .string(sealed.since.rfc3339)
            object["data_keys_to_wrap"] = 0
            object["values_to_seal"] = 0
        } else {
            let backlog: KeyBacklog = try await self.keys.backlog(self.renewal.columns)
            object["data_keys_to_wrap"] = .int(backlog.keys)
            object["values_to_seal"] = .int(backlog.values)
        }
        return .object(object)
    }

    private func rotate(_ context: RequestContext) async throws -> HTTPResponse {
        guard let level: KeyLevel = KeyLevel(rawValue: context.body["level"]?.text ?? "") else {
            throw APIProblem.invalid("/level", "expected one of \(KeyLevel.allCases.map(\.rawValue))")
        }
        let tenant: String? = context.body["tenant"]?.text
        if tenant != nil, level != .data { throw APIProblem.invalid("/tenant", "only data keys are a tenant's") }
        if let tenant: String, try await !self.keys.tenantsWithKeys().contains(tenant) {
            throw APIProblem.invalid("/tenant", "the tenant '\(tenant)' has no data key: nothing of it is sealed yet")
        }
        let task: TaskRecord = try await Self.telling {
            try await self.renewal.rotate(level, tenant: tenant, context.author)
        }
        return .accepted(task.json, location: task.location)
    }

    private func sealRing(_ context: RequestContext) async throws -> HTTPResponse {
        try await self.audit("key-ring.sealed", context)
        self.keys.seal(reason: "an administrator sealed it")
        return .json(try await self.description())
    }

    private func unsealRing(_ context: RequestContext) async throws -> HTTPResponse {
        try await Self.telling { try await self.keys.unseal() }
        try await self.audit("key-ring.unsealed", context)
        return .json(try await self.description())
    }

    private func audit(_ event: String, _ context: RequestContext) async throws {
        let author: Author = context.author
        try await self.services.store.write { transaction in
            try author.audit(
                event, tenant: "", resource: AuditEntry.Resource(type: "key-ring", id: "key-ring"), changes: [:],
                in: transaction)
        }
    }

    /// What went wrong with the master key, as a problem that says what to do.
    private static func telling<Value: Sendable>(_ work: () async throws -> Value) async throws -> Value {
        do {
            return try await work()
        } catch let error as KeyRingError {
            switch error {
            case .masterAway, .sealed: throw APIProblem.unavailable(error.description, retryAfterSeconds: 30)
            case .cannotRotate, .masterRefused, .otherMaster: throw APIProblem.conflict(error.description)
            default: throw error
            }
        }
    }
}
