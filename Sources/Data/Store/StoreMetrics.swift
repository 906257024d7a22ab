import Telemetry

/// What the store counts. Times are seconds.
struct StoreMetrics: Sendable {
    /// Upper bounds of closures per commit.
    private static let groupBounds: [Double] = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    /// From 50 µs, doubling: a sync on a good disk takes some 100 µs.
    private static let secondsBounds: [Double] = (0...16).map { 0.00005 * Double(1 << $0) }

    let commits: Counter
    let commitsDeferred: Counter
    let closuresFailed: Counter
    let groupsFailed: Counter
    let conflicts: Counter
    let closuresPerCommit: Histogram
    let commitSeconds: Histogram
    let checkpointSeconds: Histogram
    let readSeconds: Histogram

    init(_ registry: MetricRegistry) {
        self.commits = registry.counter("passerelle_store_commits_total", help: "Transactions committed.")
        self.commitsDeferred = registry.counter(
            "passerelle_store_commits_deferred_total", help: "Of these, transactions that did not wait for the disk.")
        self.closuresFailed = registry.counter(
            "passerelle_store_closures_failed_total", help: "Write closures that threw and were undone alone.")
        self.groupsFailed = registry.counter(
            "passerelle_store_groups_failed_total", help: "Transactions rolled back as a whole.")
        self.conflicts = registry.counter(
            "passerelle_store_conflicts_total",
            help: "Transactions on PostgreSQL that ran again because others got in the way.")
        self.closuresPerCommit = registry.histogram(
            "passerelle_store_closures_per_commit", help: "Write closures that shared one commit.",
            bounds: Self.groupBounds)
        self.commitSeconds = registry.histogram(
            "passerelle_store_commit_seconds", help: "From the first closure of a commit to its sync.",
            bounds: Self.secondsBounds)
        self.checkpointSeconds = registry.histogram(
            "passerelle_store_checkpoint_seconds", help: "Copying the write-ahead log into the database.",
            bounds: Self.secondsBounds)
        self.readSeconds = registry.histogram(
            "passerelle_store_read_seconds", help: "Read closures on a reader thread.", bounds: Self.secondsBounds)
    }

    /// Gauges read at scrape time. They hold the queues, not the store, so a closed store can go.
    func watch(_ registry: MetricRegistry, write: JobQueue<WriteJob>, read: JobQueue<ReadJob>, state: StoreState) {
        let help: String = "Closures that wait for a thread of the store."
        registry.samples("passerelle_store_queue_length", kind: .gauge, help: help) {
            [
                MetricSample(labels: ["queue": "write"], value: Double(write.count)),
                MetricSample(labels: ["queue": "read"], value: Double(read.count)),
            ]
        }
        registry.gauge("passerelle_store_healthy", help: "1 while writes work, 0 while they fail.") {
            state.health == .ok ? 1 : 0
        }
    }
}
