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
                summary: "Makes a group read a topic again, or skip to a place: earliest, latest or a time.",
                access: .platform(Permission("events", "group", "write")),
                body: .json(
                    Schema.object(
                        ["topic": Schema.text(min: 1, max: 249), "to": Schema.text(min: 1, max: 64)],
                        required: ["topic", "to"])),
                answers: [Answer(204, "The group goes on from there")]
            ) { [self] in try await self.seekGroup($0) },
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
        let start: LogStart
        switch to {
        case "earliest": start = .earliest
        case "latest": start = .latest
        default:
            guard let time: Timestamp = Timestamp(rfc3339: to) else {
                throw APIProblem.invalid("/to", "expected earliest, latest or a time such as 2026-01-02T03:04:05Z")
            }
            start = .time(time)
        }
        let author: Author = context.author
        do {
            try await self.services.log.seek(group: group, topic: topic, to: start) { transaction in
                try author.audit(
                    "events.group-moved", tenant: "", resource: AuditEntry.Resource(type: "consumer-group", id: group),
                    changes: ["topic": .string(topic), "to": .string(to)], in: transaction)
            }
        } catch LogError.unknownGroup, LogError.unknownTopic {
            throw APIProblem(.notFound, "There is no group '\(group)' that reads '\(topic)'.")
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
