import Contracts
import HTTP
import JSON
import REST
import Telemetry
import Time

extension ObservabilityService {
    /// For load balancers, supervisors and Prometheus: without credentials, so without anything of a tenant. With a token metrics have
    /// the series of the tenants whose metrics the caller may read.
    var healthRoutes: [Route] {
        [
            Route(
                "GET", "/healthz", operationID: "getHealth", tag: Self.name, summary: "Whether the process is up.",
                access: .anyone, answers: [Answer(200, "It is up", schema: Self.healthSchema)]
            ) { [self] _ in
                .json(.object(["status": "up", "since": .string(self.readiness.since.rfc3339)]))
            },
            Route(
                "GET", "/readyz", operationID: "getReadiness", tag: Self.name,
                summary: "Whether the platform is ready to serve; if not, which part is not, why, and since when.",
                access: .anyone,
                answers: [
                    Answer(200, "Ready", schema: Self.readinessSchema),
                    Answer(503, "Not ready", schema: Self.readinessSchema),
                ]
            ) { [self] _ in
                let report: (isReady: Bool, json: JSONValue) = self.readiness.report
                var response: HTTPResponse = .json(report.json, status: report.isReady ? 200 : 503)
                response.fields.set("Cache-Control", "no-store")
                return response
            },
            Route(
                "GET", "/metrics", operationID: "getMetrics", tag: Self.name,
                summary:
                    "Metrics in Prometheus' text format, or in OpenMetrics' with exemplars where Accept prefers it; those of tenants for who may read them.",
                access: .anyone,
                answers: [
                    Answer(200, "Metrics", mediaType: MetricFormat.prometheus.contentType),
                    Answer(200, "Metrics", mediaType: MetricFormat.openMetrics.contentType),
                ]
            ) { [self] context in
                let format: MetricFormat = MetricFormat(accept: context.request.fields["Accept"])
                let caller: Caller? = context.authenticated
                let text: [UInt8] = self.services.metrics.text(format) { tenant in
                    caller?.decide(Self.readMetrics, tenant: tenant).isAllowed == true
                }
                return HTTPResponse(
                    status: 200, fields: ["content-type": format.contentType, "vary": "Accept, Authorization"],
                    body: .bytes(text))
            },
        ]
    }

    private static let readMetrics: Permission = Permission("observability", "metric", "read")
    private static let healthSchema: JSONValue = Schema.object(
        ["status": Schema.choice(["up"]), "since": Schema.time], required: ["status", "since"])

    private static let readinessSchema: JSONValue = Schema.object(
        [
            "status": Schema.choice(["ready", "not-ready"]),
            "checks": Schema.array(
                Schema.object(
                    [
                        "name": Schema.text(max: 128), "ok": Schema.boolean, "reason": Schema.text(max: 4_096),
                        "since": Schema.time,
                    ], required: ["name", "ok"])),
        ], required: ["status", "checks"])
}
