import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension ObservabilityService {
    static let readEvents: Permission = Permission("events", "topic", "read")
    static let readAudit: Permission = Permission("audit", "entry", "read")
    /// Longest wait of a long poll, seconds.
    static let waitSecondsMax: Int64 = 30
    static let eventsMax: Int64 = 1_000

    var eventRoutes: [Route] {
        [
            Route(
                "GET", "/v1/events", operationID: "listTopics", tag: Self.name,
                summary: "The topics of the log; with their offsets for roles that reach all tenants.",
                access: .scoped(Self.readEvents), query: [QueryParameter.tenant],
                answers: [Answer(200, "Topics", schema: Self.topicsSchema)]
            ) { [self] in try await self.listTopics($0) },
            Route(
                "GET", "/v1/events/{topic}", operationID: "readEvents", tag: Self.name,
                summary: "Events of a topic: a page, a long poll (wait), or a stream (Accept: text/event-stream).",
                access: .scoped(Self.readEvents),
                query: [
                    QueryParameter.tenant,
                    QueryParameter(
                        "from", .text(lengthMax: EventCursor.bytesMax),
                        "Where to begin: earliest, latest, a time (RFC 3339), the `next` of an earlier answer; with partition an offset. latest when absent."
                    ),
                    QueryParameter(
                        "partition", .integer(0...1_023), "Only this partition; for roles that reach all tenants."),
                    QueryParameter(
                        "limit", .integer(1...Self.eventsMax), "Most events in one answer; 100 when absent."),
                    QueryParameter(
                        "wait", .integer(0...Self.waitSecondsMax), "Seconds to wait when there is nothing yet."),
                ],
                answers: [
                    Answer(200, "Events", schema: Self.eventsSchema),
                    Answer(200, "A stream of events", mediaType: ServerSentEvent.mediaType),
                ]
            ) { [self] in try await self.readEvents($0) },
        ]
    }

    // MARK: Topics

    private func listTopics(_ context: RequestContext) async throws -> HTTPResponse {
        var items: [JSONValue] = []
        for topic in self.services.log.topicDefinitions {
            if context.scope != nil, topic.name.hasSuffix(TopicDefinition.deadLetterSuffix) { continue }
            var item: JSONObject = ["topic": .string(topic.name), "partitions": .int(Int64(topic.partitions))]
            if let retention: Duration = topic.retention { item["retention_ms"] = .int(retention.millisecondsClamped) }
            if context.scope == nil {
                var offsets: [JSONValue] = []
                for partition in 0..<topic.partitions {
                    let range: Range<Int64> = try self.services.log.offsets(topic: topic.name, partition: partition)
                    offsets.append(.object(["first": .int(range.lowerBound), "next": .int(range.upperBound)]))
                }
                item["offsets"] = .array(offsets)
            }
            items.append(.object(item))
        }
        return .json(.object(["items": .array(items)]))
    }

    // MARK: Reading

    private func readEvents(_ context: RequestContext) async throws -> HTTPResponse {
        let topic: String = context.parameter("topic")
        try await self.checkTopic(topic, context)
        let isStream: Bool = context.request.fields["Accept"]?.contains(ServerSentEvent.mediaType) == true
        if let partition: Int = context.integer("partition") {
            guard !isStream else {
                throw APIProblem.invalid("query:partition", "not for streams: they show whole topics")
            }
            return try await self.readPartition(partition, topic, context)
        }
        let from: String? = (isStream ? context.request.fields["Last-Event-ID"] : nil) ?? context.query["from"]
        let start: (position: LogPosition, isContinued: Bool) = try await self.start(from, topic, context.scope)
        try await self.auditReading(of: topic, isContinued: start.isContinued, context)
        let position: LogPosition = start.position
        if isStream {
            let stream: EventStream = EventStream(
                log: self.services.log, cursors: self.cursors, topic: topic, tenant: context.scope,
                clock: self.services.clock)
            return HTTPResponse.events { writer in try await stream.run(from: position, to: writer) }
        }
        context.request.endWhenDraining()
        let page: TailPage = try await self.services.log.tail(
            topic: topic, from: position, tenant: context.scope,
            maxRecords: context.integer("limit") ?? EventLog.tailRecordsDefault,
            wait: .seconds(context.integer("wait") ?? 0))
        let next: String = try self.cursors.seal(page.position, topic: topic, tenant: context.scope)
        return .json(Self.answer(page.records, next: next, isAtEnd: page.isAtEnd, withPlace: context.scope == nil))
    }

    /// Whether the caller may read the topic at all. Dead letters mix tenants; audit entries are for who may read those.
    private func checkTopic(_ topic: String, _ context: RequestContext) async throws {
        let isKnown: Bool = self.services.log.topicDefinitions.contains { $0.name == topic }
        if !isKnown || (context.scope != nil && topic.hasSuffix(TopicDefinition.deadLetterSuffix)) {
            throw APIProblem.notFound("topic", topic)
        }
        guard topic == Topics.auditLog || topic == TopicDefinition.deadLetterName(of: Topics.auditLog) else { return }
        let decision: AccessDecision = context.caller.decide(Self.readAudit, tenant: context.scope)
        if decision.isAllowed { return }
        await self.refusals.record(
            context.caller, what: "readEvents", tenant: context.scope ?? "", rule: decision.rule, trace: context.trace)
        throw APIProblem(.forbidden, "You need the permission \(Self.readAudit) to read this topic.")
    }

    /// Where reading begins, and whether it continues an earlier one.
    private func start(
        _ from: String?, _ topic: String, _ tenant: String?
    ) async throws -> (position: LogPosition, isContinued: Bool) {
        let start: LogStart
        switch from {
        case nil, "latest": start = .latest
        case "earliest": start = .earliest
        case let text?:
            if let time: Timestamp = Timestamp(rfc3339: text) {
                start = .time(time)
                break
            }
            guard let position: LogPosition = self.cursors.open(text, topic: topic, tenant: tenant) else {
                throw APIProblem.invalid(
                    "query:from",
                    "expected earliest, latest, a time (RFC 3339), or the `next` of an answer about this topic")
            }
            do {
                return (try await self.services.log.position(of: topic, at: .position(position)), true)
            } catch is LogError {
                // Says no offsets: they count what other tenants do.
                throw APIProblem.invalid(
                    "query:from", "the log does not reach that far: it was restored from an older state")
            }
        }
        return (try await self.services.log.position(of: topic, at: start), false)
    }

    /// Reading the audit log is an entry in it: one for a reading, not one for each page of it, or following it would never end.
    private func auditReading(of topic: String, isContinued: Bool, _ context: RequestContext) async throws {
        guard topic == Topics.auditLog, !isContinued else { return }
        let author: Author = context.author
        let tenant: String = context.scope ?? ""
        let from: String = context.query["from"] ?? "latest"
        try await self.services.store.write { transaction in
            try author.audit(
                "audit.read", tenant: tenant, resource: AuditEntry.Resource(type: "audit-log", id: "events"),
                changes: ["filter": .object(["from": .string(from)])], in: transaction)
        }
    }

    /// One partition by offsets, for roles that reach all tenants.
    private func readPartition(_ partition: Int, _ topic: String, _ context: RequestContext) async throws
        -> HTTPResponse
    {
        guard context.scope == nil else {
            throw APIProblem.invalid("query:partition", "not within a tenant: offsets count the records of all tenants")
        }
        let log: EventLog = self.services.log
        guard let definition: TopicDefinition = log.topicDefinitions.first(where: { $0.name == topic }),
            partition < definition.partitions
        else { throw APIProblem.invalid("query:partition", "the topic has no such partition") }
        let range: Range<Int64> = try log.offsets(topic: topic, partition: partition)
        let offset: Int64 = try await self.offset(context.query["from"], topic, partition, range)
        // A reading that begins at the very end continues what was read before.
        try await self.auditReading(of: topic, isContinued: offset == range.upperBound, context)
        let wait: Int = context.integer("wait") ?? 0
        if offset == range.upperBound, wait > 0 {
            context.request.endWhenDraining()
            _ = try await log.waitForAppend(topic: topic, partition: partition, beyond: offset, wait: .seconds(wait))
        }
        let page: FetchedRecords = try await log.fetch(
            topic: topic, partition: partition, from: offset,
            maxRecords: context.integer("limit") ?? EventLog.tailRecordsDefault)
        return .json(
            Self.answer(
                page.records, next: String(page.next), isAtEnd: page.next == page.available.upperBound, withPlace: true)
        )
    }

    private func offset(
        _ from: String?, _ topic: String, _ partition: Int, _ range: Range<Int64>
    ) async throws -> Int64 {
        switch from {
        case nil, "latest": return range.upperBound
        case "earliest": return range.lowerBound
        case let text?:
            if let time: Timestamp = Timestamp(rfc3339: text) {
                return try await self.services.log.position(of: topic, at: .time(time)).offsets[partition]
            }
            guard let offset: Int64 = Int64(text), offset >= 0, offset <= range.upperBound else {
                throw APIProblem.invalid(
                    "query:from",
                    "expected earliest, latest, a time, or an offset from \(range.lowerBound) to \(range.upperBound)")
            }
            return max(offset, range.lowerBound)
        }
    }

    private static func answer(_ records: [Record], next: String, isAtEnd: Bool, withPlace: Bool) -> JSONValue {
        .object([
            "items": .array(
                records.map { (record: Record) -> JSONValue in EventRecord.json(record, withPlace: withPlace) }),
            "next": .string(next), "at_end": .bool(isAtEnd),
        ])
    }

    private static let topicsSchema: JSONValue = Schema.object(
        [
            "items": Schema.array(
                Schema.object(
                    [
                        "topic": Schema.text(max: 249), "partitions": .object(["type": "integer"]),
                        "retention_ms": .object(["type": "integer"]),
                        "offsets": Schema.array(
                            Schema.object(["first": .object(["type": "integer"]), "next": .object(["type": "integer"])])
                        ),
                    ], required: ["topic", "partitions"]))
        ], required: ["items"])

    private static let eventsSchema: JSONValue = Schema.object(
        [
            "items": .object([
                "type": "array",
                "items": .object([
                    "type": "object",
                    "properties": .object([
                        "id": .object(["type": "string"]), "topic": .object(["type": "string"]), "time": Schema.time,
                        "type": .object(["type": "string"]), "key": .object(["type": "string"]),
                        "tenant": .object(["type": "string"]), "actor": .object(["type": "string"]),
                        "traceparent": .object(["type": "string"]), "value": Schema.anything,
                        "partition": .object(["type": "integer"]), "offset": .object(["type": "integer"]),
                    ]),
                ]),
            ]), "next": .object(["type": "string"]), "at_end": Schema.boolean,
        ], required: ["items", "next", "at_end"])
}
