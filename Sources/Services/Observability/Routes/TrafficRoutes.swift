import Contracts
import HTTP
import JSON
import REST
import Store

extension ObservabilityService {
    /// Most groups of one answer.
    static let trafficGroupsMax: Int = 10_000

    var trafficRoutes: [Route] {
        [
            Route(
                "GET", "/v1/tenants/{tenant}/traffic", operationID: "getTraffic", tag: Self.name,
                summary:
                    "Requests, errors, durations and bytes by API, application, route or environment; kept for 30 days.",
                access: .tenant(Permission("observability", "traffic", "read")), labels: .api,
                query: [
                    QueryParameter(
                        "by", .oneOf(TrafficQuestion.Grouping.allCases.map(\.rawValue)),
                        "By what sums are told apart; api when absent."),
                    QueryParameter(
                        "interval", .oneOf(TrafficQuestion.Interval.allCases.map(\.rawValue)),
                        "Sums for each interval; for all when absent."),
                    QueryParameter(
                        "from", .text(lengthMax: 64), "From this minute on (RFC 3339); an hour before `to` when absent."
                    ),
                    QueryParameter("to", .text(lengthMax: 64), "Before this minute (RFC 3339); now when absent."),
                    QueryParameter("api", .text(lengthMax: 128), "Only of the API with this id."),
                    QueryParameter("application", .text(lengthMax: 128), "Only of the application with this id."),
                    QueryParameter("environment", .text(lengthMax: 63), "Only in this environment."),
                ], answers: [Answer(200, "Sums", schema: Self.trafficSchema)]
            ) { [self] in try await self.getTraffic($0) }
        ]
    }

    private func getTraffic(_ context: RequestContext) async throws -> HTTPResponse {
        let question: TrafficQuestion
        do {
            question = try TrafficQuestion(
                grouping: context.query["by"].flatMap { TrafficQuestion.Grouping(rawValue: $0) } ?? .api,
                interval: context.query["interval"].flatMap { TrafficQuestion.Interval(rawValue: $0) },
                from: context.query["from"], to: context.query["to"], now: context.now)
        } catch {
            throw APIProblem.invalid("query:\(error.parameter)", error.expected)
        }
        let filter: TrafficFilter = TrafficFilter(
            apiID: context.query["api"], applicationID: context.query["application"],
            environment: context.query["environment"])
        try await self.requireAccess(context)
        let tenant: String = context.tenant
        let groups: [TrafficGroup] = try await self.telemetry.read { reader in
            try TrafficTable.groups(tenant: tenant, question, filter, limit: Self.trafficGroupsMax, in: reader)
        }
        guard groups.count <= Self.trafficGroupsMax else {
            throw APIProblem.invalid(
                "query:interval",
                "expected at most \(Self.trafficGroupsMax) sums; ask for a shorter span, longer intervals or one API")
        }
        return .json(question.answer(groups))
    }

    /// Traffic has no labels: who may see that of some APIs names one.
    private func requireAccess(_ context: RequestContext) async throws {
        guard context.dependsOnLabels else { return }
        guard let id: String = context.query["api"] else { return try context.requireAccessToAll() }
        let catalog: (any CatalogOffer)? = self.catalog
        try await context.read { reader in
            let api: APIRecord? = try catalog?.api(tenant: context.tenant, reference: id, in: reader)
            try context.requireAccess(api?.labels, unknown: .notFound("API", id))
        }
    }

    private static let trafficSchema: JSONValue = .object([
        "type": "object", "required": .array(["from", "to", "by", "items"]),
        "properties": .object([
            "from": Schema.time, "to": Schema.time,
            "by": Schema.choice(TrafficQuestion.Grouping.allCases.map(\.rawValue)),
            "interval": Schema.choice(TrafficQuestion.Interval.allCases.map(\.rawValue)),
            "items": .object(["type": "array", "items": .object(["type": "object"])]),
        ]),
    ])
}
