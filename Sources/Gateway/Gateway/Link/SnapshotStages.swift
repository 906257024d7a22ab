import Telemetry

/// How long the stages of a change take at a gateway, for metrics.
struct SnapshotStages: Sendable {
    enum Stage: String, CaseIterable {
        /// What came over the link, made definitions again.
        case read
        /// The next snapshot made of them.
        case compile
        /// Every loop serves it.
        case swap
        /// On the disk.
        case keep
        /// Said, and noted by the control plane.
        case acknowledge
        /// The whole snapshot, saved beside the path of changes.
        case save
    }

    private let histograms: [Histogram]

    init(_ metrics: MetricRegistry) {
        self.histograms = Stage.allCases.map { (stage: Stage) -> Histogram in
            metrics.histogram(
                "passerelle_gateway_change_seconds", help: "What a change of the snapshot takes, by stage.",
                labels: ["stage": stage.rawValue])
        }
    }

    func tell(_ stage: Stage, nanoseconds: UInt64) {
        for (index, one) in Stage.allCases.enumerated() where one == stage {
            self.histograms[index].observe(Double(nanoseconds) / 1_000_000_000)
        }
    }
}
