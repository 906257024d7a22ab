import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

extension ObservabilityService {
    var groupRoutes: [Route] {
        [
            Route(
                "GET", "/v1/events/groups", operationID: "listConsumerGroups", tag: Self.name,
                summary: "Consumer groups: where each stands in every partition, and how far behind it is.",
                access: .platform(Permission("events", "group", "read")),
                answers: [Answer(200, "Groups", schema: Self.groupsSchema)]
            ) { [self] in try await self.listGroups($0) },
            Route(
                "POST", "/v1/events/groups/{group}/seek", operationID: "seekConsumerGroup", tag: Self.name,
                summary: "Makes a group read a topic again, or skip to a place: earliest, latest, a time or an offset.",
                access: .platform(Permission("events", "group", "write")),
                body: .json(
                    Schema.object(
                        [
                            "topic": Schema.text(min: 1, max: 249), "to": Schema.text(min: 1, max: 64),
                            "partition": .object(["type": "integer", "minimum": 0, "maximum": 1023]),
                        ],
                        required: ["topic", "to"])),
                answers: [Answer(204, "The group goes on from there")]
            ) { [self] in try await self.seekGroup($0) },
            Route(
                "DELETE", "/v1/events/groups/{group}", operationID: "deleteConsumerGroup", tag: Self.name,
                summary: "Forgets a group that runs nowhere: its offsets and what waits for another try.",
                access: .platform(Permission("events", "group", "write")), answers: [Answer(204, "It is forgotten")]
            ) { [self] in try await self.deleteGroup($0) },
        ]
    }

    private func listGroups(_ context: RequestContext) async throws -> HTTPResponse {
        var items: [JSONValue] = []
        for lag in try await self.services.log.groups() {
            items.append(
                .object([
                    "group": .string(lag.group), "topic": .string(lag.topic), "partition": .int(Int64(lag.partition)),
                    "offset": .int(lag.next), "end": .int(lag.end), "lag": .int(lag.lag),
                    "waiting": .int(Int64(lag.waiting)),
                    "is_read": .bool(lag.isRead),
                ]))
        }
        return .json(.object(["items": .array(items)]))
    }

    private func seekGroup(_ context: RequestContext) async throws -> HTTPResponse {
        let group: String = context.parameter("group")
        let topic: String = context.body["topic"]?.text ?? ""
        let to: String = context.body["to"]?.text ?? ""
        let partition: Int64? = context.body["partition"]?.integer
        let author: Author = context.author
        var changes: JSONObject = ["topic": .string(topic), "to": .string(to)]
        if let partition: Int64 { changes["partition"] = .int(partition) }
        let noted: JSONObject = changes
        let audit: @Sendable (Transaction) throws -> Void = { transaction in
            try author.audit(
                "events.group-moved", tenant: "", resource: AuditEntry.Resource(type: "consumer-group", id: group),
                changes: noted, in: transaction)
        }
        do {
            if let partition: Int64 {
                guard let offset: Int64 = Int64(to), offset >= 0 else {
                    throw APIProblem.invalid("/to", "expected an offset, since a partition is given")
                }
                try await self.services.log.seek(
                    group: group, topic: topic, partition: Int(partition), to: offset, also: audit)
            } else {
                try await self.services.log.seek(group: group, topic: topic, to: try Self.start(to), also: audit)
            }
        } catch LogError.unknownGroup, LogError.unknownTopic {
            throw APIProblem(.notFound, "There is no group '\(group)' that reads '\(topic)'.")
        } catch LogError.unknownPartition {
            throw APIProblem.invalid("/partition", "the topic has no such partition")
        } catch LogError.offsetOutOfRange(_, _, _, let earliest, let next) {
            throw APIProblem.invalid("/to", "expected an offset from \(earliest) to \(next)")
        }
        return .noContent
    }

    /// The place that a text names: earliest, latest, or a time.
    private static func start(_ to: String) throws(APIProblem) -> LogStart {
        switch to {
        case "earliest": return .earliest
        case "latest": return .latest
        default:
            guard let time: Timestamp = Timestamp(rfc3339: to) else {
                throw APIProblem.invalid(
                    "/to",
                    "expected earliest, latest, a time such as 2026-01-02T03:04:05Z, or with `partition` an offset")
            }
            return .time(time)
        }
    }

    private func deleteGroup(_ context: RequestContext) async throws -> HTTPResponse {
        let group: String = context.parameter("group")
        let author: Author = context.author
        do {
            try await self.services.log.deleteGroup(group) { transaction in
                try author.audit(
                    "events.group-deleted", tenant: "",
                    resource: AuditEntry.Resource(type: "consumer-group", id: group),
                    changes: ["group": .string(group)], in: transaction)
            }
        } catch LogError.unknownGroup {
            throw APIProblem.notFound("consumer group", group)
        } catch LogError.groupRunning {
            throw APIProblem.conflict(
                "The group '\(group)' is running; only one that no process runs can be forgotten.")
        }
        return .noContent
    }

    private static let groupsSchema: JSONValue = Schema.object(
        [
            "items": Schema.array(
                Schema.object([
                    "group": Schema.text(max: 249), "topic": Schema.text(max: 249),
                    "partition": .object(["type": "integer"]),
                    "offset": .object(["type": "integer"]), "end": .object(["type": "integer"]),
                    "lag": .object(["type": "integer"]), "waiting": .object(["type": "integer"]),
                    "is_read": Schema.boolean,
                ]))
        ], required: ["items"])
}
