import Telemetry
import Time

/// How long deployments take from one state to the next, for metrics; gateways tell of the stages at their side.
struct DeploymentStages: Sendable {
    /// From the request to the commit that sets what is live.
    private let takenUp: Histogram
    /// From there until all live gateways had confirmed it, or it failed.
    private let confirmed: Histogram

    init(_ metrics: MetricRegistry) {
        func histogram(_ stage: String) -> Histogram {
            metrics.histogram(
                "passerelle_deployment_seconds", help: "What a deployment takes, by stage.", labels: ["stage": stage])
        }
        self.takenUp = histogram("taken_up")
        self.confirmed = histogram("confirmed")
    }

    func tell(_ ended: Deployment) {
        guard let started: Timestamp = ended.startedAt, let finished: Timestamp = ended.finishedAt else { return }
        self.takenUp.observe(Double((started - ended.createdAt).nanosecondsClamped) / 1_000_000_000)
        self.confirmed.observe(Double((finished - started).nanosecondsClamped) / 1_000_000_000)
    }
}
