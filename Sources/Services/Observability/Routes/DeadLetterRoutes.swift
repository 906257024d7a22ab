import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

extension ObservabilityService {
    private static let deadLetterAddress: String = "/v1/events/dlq/{topic}/{offset}"

    /// What consumer groups gave up: looked at, given back, or let go. Platform-wide: a topic's dead letters mix tenants.
    var deadLetterRoutes: [Route] {
        [
            Route(
                "GET", "/v1/events/dlq/{topic}", operationID: "listDeadLetters", tag: Self.name,
                summary: "Dead letters of a topic, oldest first.",
                access: .platform(Permission("events", "dead-letter", "read")),
                query: [
                    QueryParameter("from", .integer(0...Int64.max), "From this offset of the dead-letter topic on."),
                    QueryParameter("limit", .integer(1...200), "Most letters in one answer; 50 when absent."),
                    QueryParameter("settled", .boolean, "Also those that were redriven or dropped."),
                ], answers: [Answer(200, "Letters", schema: Self.deadLettersSchema)]
            ) { [self] in try await self.listDeadLetters($0) },
            Route(
                "GET", Self.deadLetterAddress, operationID: "getDeadLetter", tag: Self.name,
                summary: "One dead letter, open or settled.",
                access: .platform(Permission("events", "dead-letter", "read")),
                answers: [Answer(200, "The letter", schema: .object(["type": "object"]))]
            ) { [self] in try await self.getDeadLetter($0) },
            Route(
                "POST", "\(Self.deadLetterAddress)/redrive", operationID: "redriveDeadLetter", tag: Self.name,
                summary: "Gives a dead letter to its group again.",
                access: .platform(Permission("events", "dead-letter", "write")),
                answers: [Answer(204, "Its group tries it again")]
            ) { [self] in
                try await self.settle($0, "events.dead-letter-redriven") { log, topic, offset, also in
                    try await log.redrive(topic: topic, at: offset, also: also)
                }
            },
            Route(
                "DELETE", Self.deadLetterAddress, operationID: "dropDeadLetter", tag: Self.name,
                summary: "Lets a dead letter go without trying it again.",
                access: .platform(Permission("events", "dead-letter", "write")), answers: [Answer(204, "It is settled")]
            ) { [self] in
                try await self.settle($0, "events.dead-letter-dropped") { log, topic, offset, also in
                    try await log.drop(topic: topic, at: offset, also: also)
                }
            },
        ]
    }

    private func listDeadLetters(_ context: RequestContext) async throws -> HTTPResponse {
        let topic: String = try self.topicWithDeadLetters(context)
        let page: DeadLetterPage = try await self.services.log.deadLetters(
            of: topic, from: context.query["from"].flatMap { Int64($0) } ?? 0,
            includingSettled: context.query["settled"] == "true", limit: context.integer("limit") ?? 50)
        let items: [JSONValue] = page.letters.map(Self.json)
        return .json(.object(["items": .array(items), "next": .int(page.next)]))
    }

    private static func json(_ letter: DeadLetter) -> JSONValue {
        .object([
            "offset": .int(letter.offset), "group": .string(letter.group), "topic": .string(letter.topic),
            "partition": .int(Int64(letter.partition)), "record_offset": .int(letter.recordOffset),
            "tries": .int(Int64(letter.tries)), "reason": .string(letter.reason),
            "failed_at": .string(letter.failedAt.rfc3339),
            "outcome": letter.outcome.map { (outcome: DeadLetterOutcome) -> JSONValue in .string(outcome.rawValue) }
                ?? .null,
            "record": EventRecord.json(letter.record, withPlace: false),
        ])
    }

    private func getDeadLetter(_ context: RequestContext) async throws -> HTTPResponse {
        let topic: String = try self.topicWithDeadLetters(context)
        let text: String = context.parameter("offset")
        guard let offset: Int64 = Int64(text), offset >= 0 else { throw APIProblem.notFound("dead letter", text) }
        do {
            return .json(Self.json(try await self.services.log.deadLetter(of: topic, at: offset)))
        } catch LogError.unknownDeadLetter {
            throw APIProblem.notFound("dead letter", text)
        }
    }

    private func topicWithDeadLetters(_ context: RequestContext) throws(APIProblem) -> String {
        let topic: String = context.parameter("topic")
        guard Topics.exists(topic) else { throw APIProblem.notFound("topic", topic) }
        return topic
    }

    private func settle(
        _ context: RequestContext, _ eventType: String,
        _ body: (EventLog, String, Int64, @escaping @Sendable (Transaction) throws -> Void) async throws -> Void
    ) async throws -> HTTPResponse {
        let topic: String = try self.topicWithDeadLetters(context)
        guard let offset: Int64 = Int64(context.parameter("offset")), offset >= 0 else {
            throw APIProblem.notFound("dead letter", context.parameter("offset"))
        }
        let author: Author = context.author
        do {
            try await body(self.services.log, topic, offset) { transaction in
                try author.audit(
                    eventType, tenant: "", resource: AuditEntry.Resource(type: "dead-letter", id: "\(topic)/\(offset)"),
                    changes: ["topic": .string(topic), "offset": .int(offset)], in: transaction)
            }
        } catch LogError.unknownDeadLetter {
            throw APIProblem(
                .notFound, "There is no open dead letter \(offset) of '\(topic)': it may have been dealt with.")
        } catch LogError.unknownGroup(let group) {
            throw APIProblem.conflict("The group '\(group)' is gone; drop the letter instead.")
        }
        return .noContent
    }

    private static let deadLettersSchema: JSONValue = .object([
        "type": "object", "required": .array(["items", "next"]),
        "properties": .object([
            "items": .object(["type": "array", "items": .object(["type": "object"])]),
            "next": .object(["type": "integer"]),
        ]),
    ])
}
