import HTTP
import JSON
import REST

extension AuditService {
    /// Where checkpoints are kept outside, and since when not.
    var anchorRoutes: [Route] {
        let anchor: JSONValue = Schema.object([
            "name": Schema.text(max: 4_200), "size": Schema.integer(0...Int64.max),
            "anchored_at": Schema.optional(Schema.time), "failure": Schema.optional(Schema.text(max: 16_384)),
            "failing_since": Schema.optional(Schema.time),
        ])
        return [
            Route(
                "GET", "/v1/audit/anchors", operationID: "listAuditAnchors", tag: Self.name,
                summary: "The places outside of the platform that keep checkpoints, and how far each is",
                access: .platform(Self.read),
                answers: [Answer(200, "In the order of the settings", schema: Schema.page(anchor))]
            ) { [keeper] context in
                let states: [AnchorState] = try await context.read { try keeper.states(in: $0) }
                return .json(.object(["items": .array(states.map(\.json)), "next": .null]))
            }
        ]
    }
}
