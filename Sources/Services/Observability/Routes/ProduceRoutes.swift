import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension ObservabilityService {
    static let writeEvents: Permission = Permission("events", "topic", "write")

    var produceRoutes: [Route] {
        [
            Route(
                "POST", "/v1/events/{topic}", operationID: "produceEvent", tag: Self.name,
                summary: "Publishes an event to a topic that is open to others than the platform.",
                access: .scoped(Self.writeEvents), query: [QueryParameter.tenant],
                body: .json(
                    Schema.object(
                        [
                            "key": Schema.text(min: 1, max: LogLimits.keyBytesMax), "value": Schema.anything,
                            "type": Schema.text(min: 1, max: 200), "subject": Schema.text(min: 1, max: 200),
                        ], required: ["key", "value"])),
                answers: [
                    Answer(
                        201, "It is in the log", schema: Schema.object(["id": Schema.text(max: 64)], required: ["id"]))
                ]
            ) { [self] in try await self.produce($0) }
        ]
    }

    /// One event of the caller's tenant, with the caller as its actor: neither can be chosen freely.
    private func produce(_ context: RequestContext) async throws -> HTTPResponse {
        let topic: String = context.parameter("topic")
        guard Topics.exists(topic) else { throw APIProblem.notFound("topic", topic) }
        guard Topics.open.contains(topic) else {
            throw APIProblem.conflict(
                "Only the platform publishes to '\(topic)': an event there stands for a change that was made with it. "
                    + "Open topics are: \(Topics.open.joined(separator: ", ")).")
        }
        guard let tenant: String = context.scope else {
            throw APIProblem.invalid("query:tenant", "expected the tenant whose event it is")
        }
        let body: JSONValue = context.body
        let event: Event = Event(
            topic: topic, key: body["key"]?.text ?? "", tenant: tenant, type: body["type"]?.text ?? topic,
            actor: context.caller.id, subject: body["subject"]?.text, source: "/v1/events",
            traceparent: context.trace.traceparent, value: body["value"] ?? .null)
        return try await context.change { transaction in
            do throws(LogError) {
                return .json(.object(["id": .string(try transaction.publish(event))]), status: 201)
            } catch {
                throw APIProblem.invalid("", "\(error)")
            }
        }
    }
}
