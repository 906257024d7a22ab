import CLinux
import EventLoops
import GatewayConfiguration
import HTTP
import Synchronization
import Telemetry

/// Looks after targets on a thread of its own, once for the process: checks them, compares them, and tells metrics.
///
/// Sendable by this rule: what is not a constant and not in `shown` is touched on its loop's thread only.
final class UpstreamWatch: @unchecked Sendable {
    /// How often ejections are looked at. 100 ms.
    private static let tick: UInt64 = 100_000_000

    private let book: AddressBook
    private let contexts: TLSContextBook
    private let loop: EventLoop = EventLoop.start(name: "upstreams")
    private let table: HTTPFieldTable = HTTPFieldTable(limits: .standard)
    /// Upstreams that metrics tell of, and the checks of their targets.
    private let shown: Mutex<Shown> = Mutex(Shown())

    private var checks: [ObjectIdentifier: TargetCheck] = [:]
    private var outliers: [String: OutlierWatch] = [:]
    private var isTicking: Bool = false

    private struct Shown {
        var upstreams: [CompiledUpstream] = []
        var counts: [ObjectIdentifier: CheckCounts] = [:]
    }

    init(book: AddressBook, contexts: TLSContextBook) {
        self.book = book
        self.contexts = contexts
    }

    /// Whether a snapshot has something to look after.
    static func isNeeded(for snapshot: Snapshot) -> Bool {
        snapshot.upstreams.contains { $0.plan != nil }
    }

    /// Looks after the targets of this snapshot from now on. Any thread.
    func follow(_ snapshot: Snapshot) {
        let upstreams: [CompiledUpstream] = snapshot.upstreams.filter { $0.plan != nil }
        self.shown.withLock { $0.upstreams = upstreams }
        self.loop.execute { self.take(upstreams) }
    }

    /// Ends the thread. Any thread but its own.
    func stop() {
        self.loop.stop()
        self.loop.join()
    }

    // MARK: On the loop

    private func take(_ upstreams: [CompiledUpstream]) {
        var checks: [ObjectIdentifier: TargetCheck] = [:]
        var outliers: [String: OutlierWatch] = [:]
        for upstream in upstreams {
            if let definition: ActiveHealth = upstream.definition.activeHealth {
                for target in upstream.targets where target.weight > 0 {
                    checks[ObjectIdentifier(target.state)] = self.check(target, definition, upstream)
                }
            }
            if let definition: OutlierEjection = upstream.definition.outliers {
                outliers[upstream.key] = self.outlierWatch(upstream, definition)
            }
        }
        for (key, check) in self.checks where checks[key] !== check { check.stop(on: self.loop) }
        for (key, watch) in self.outliers where outliers[key] !== watch { watch.stop(now: self.loop.now) }
        let began: [TargetCheck] = checks.filter { self.checks[$0.key] !== $0.value }.map { $0.value }
        self.checks = checks
        self.outliers = outliers
        let counts: [ObjectIdentifier: CheckCounts] = checks.mapValues { $0.counts }
        self.shown.withLock { $0.counts = counts }
        for check in began { check.start(on: self.loop, table: self.table) }
        if !outliers.isEmpty, !self.isTicking { self.tickLater() }
    }

    private func check(
        _ target: CompiledTarget, _ definition: ActiveHealth, _ upstream: CompiledUpstream
    ) -> TargetCheck {
        let settings: UpstreamTLS? = target.url.scheme == .https ? upstream.definition.tls : nil
        let old: TargetCheck? = self.checks[ObjectIdentifier(target.state)]
        let tls: TargetTLS? = settings.map { TargetTLS($0, self.contexts.context(for: $0), target.url) }
        if let old: TargetCheck = old, old.isSame(definition, tls) { return old }
        return TargetCheck(
            definition, state: target.state, url: target.url,
            address: self.book.address(target.place),
            tls: tls,
            counts: old?.counts ?? CheckCounts())
    }

    private func outlierWatch(_ upstream: CompiledUpstream, _ definition: OutlierEjection) -> OutlierWatch {
        let states: [TargetState] = upstream.targets.filter { $0.weight > 0 }.map { $0.state }
        if let old: OutlierWatch = self.outliers[upstream.key], old.isSame(definition, states) { return old }
        return OutlierWatch(definition, states, now: self.loop.now)
    }

    private func tickLater() {
        self.isTicking = true
        self.loop.schedule(ActionTimer { self.runTick() }, at: self.loop.now &+ UpstreamWatch.tick)
    }

    private func runTick() {
        self.isTicking = false
        for watch in self.outliers.values { watch.tick(now: self.loop.now) }
        if !self.outliers.isEmpty { self.tickLater() }
    }

    // MARK: Metrics

    /// Shows the state of targets when metrics are scraped.
    func publish(in registry: MetricRegistry) {
        let book: AddressBook = self.book
        registry.samples(
            "passerelle_gateway_dns_lookups_total", kind: .counter, help: "Names of targets looked up."
        ) { [MetricSample(labels: [:], value: Double(book.lookups.load(ordering: .relaxed)))] }
        registry.samples(
            "passerelle_gateway_dns_failures_total", kind: .counter,
            help: "Look-ups that no server answered; the last good answer stays."
        ) { [MetricSample(labels: [:], value: Double(book.failures.load(ordering: .relaxed)))] }
        registry.samples(
            "passerelle_gateway_target_up", kind: .gauge,
            help: "Whether a target gets requests: 1, or 0 while checks, failures or comparisons keep it out."
        ) {
            let now: UInt64 = UpstreamWatch.monotonicNow()
            return self.samples { $0.isUp(now: now) ? 1 : 0 }
        }
        registry.samples(
            "passerelle_gateway_target_ejections_total", kind: .counter, help: "How often a target was taken out."
        ) { self.samples { Double($0.ejections.load(ordering: .relaxed)) } }
        registry.samples(
            "passerelle_gateway_target_connections", kind: .gauge, help: "Connections open to a target."
        ) { self.samples { Double($0.connections.load(ordering: .relaxed)) } }
        registry.samples(
            "passerelle_gateway_target_requests_in_flight", kind: .gauge,
            help: "Requests on their way to a target, where balancing counts them."
        ) { self.samples { Double($0.inFlight.load(ordering: .relaxed)) } }
        registry.samples(
            "passerelle_gateway_target_requests_waiting", kind: .gauge, help: "Requests that wait for a connection."
        ) { self.samples { Double($0.waiting.load(ordering: .relaxed)) } }
        registry.samples(
            "passerelle_gateway_target_queue_refusals_total", kind: .counter,
            help: "Requests refused because too many waited for a connection, or for too long."
        ) { self.samples { Double($0.queueRefused.load(ordering: .relaxed)) } }
        registry.samples(
            "passerelle_gateway_health_checks_total", kind: .counter, help: "Health checks by result."
        ) { self.checkSamples() }
        registry.samples(
            "passerelle_gateway_circuit_open", kind: .gauge,
            help: "A breaker's state: 0 closed, 1 open, 0.5 half-open. Without a target: the upstream's."
        ) { self.breakerSamples { UpstreamWatch.value(of: $0) } }
        registry.samples(
            "passerelle_gateway_circuit_openings_total", kind: .counter, help: "How often a breaker opened."
        ) { self.openingSamples() }
        registry.samples(
            "passerelle_gateway_retries_total", kind: .counter,
            help: "Requests sent again by rule, and those the budget did not allow."
        ) { self.retrySamples() }
        registry.samples(
            "passerelle_gateway_mirrored_total", kind: .counter,
            help:
                "Copies for mirrors: answered, failed; not made because too many were on their way, or the request unfit."
        ) { self.mirrorSamples() }
    }

    private static func monotonicNow() -> UInt64 { MonotonicTime.now }

    private static func value(of state: CircuitBreaker.State) -> Double {
        switch state {
        case .closed: return 0
        case .open: return 1
        case .halfOpen: return 0.5
        }
    }

    private var upstreams: [CompiledUpstream] { self.shown.withLock { $0.upstreams } }

    private static func labels(_ upstream: CompiledUpstream, _ target: CompiledTarget?) -> [(String, String)] {
        self.owner(upstream) + [("target", target?.url.text ?? "")]
    }

    private static func owner(_ upstream: CompiledUpstream) -> [(String, String)] {
        var labels: [(String, String)] = [("tenant", upstream.api.tenant), ("api", upstream.api.id)]
        if let route: String = upstream.route { labels.append(("route", route)) }
        return labels
    }

    private func samples(_ value: (TargetState) -> Double) -> [MetricSample] {
        var samples: [MetricSample] = []
        for upstream in self.upstreams {
            for target in upstream.targets {
                samples.append(
                    MetricSample(
                        labels: MetricLabels(UpstreamWatch.labels(upstream, target)), value: value(target.state)))
            }
        }
        return samples
    }

    private func checkSamples() -> [MetricSample] {
        let counts: [ObjectIdentifier: CheckCounts] = self.shown.withLock { $0.counts }
        var samples: [MetricSample] = []
        for upstream in self.upstreams {
            for target in upstream.targets {
                guard let count: CheckCounts = counts[ObjectIdentifier(target.state)] else { continue }
                let labels: [(String, String)] = UpstreamWatch.labels(upstream, target)
                samples.append(
                    MetricSample(
                        labels: MetricLabels(labels + [("result", "good")]),
                        value: Double(count.good.load(ordering: .relaxed))))
                samples.append(
                    MetricSample(
                        labels: MetricLabels(labels + [("result", "bad")]),
                        value: Double(count.bad.load(ordering: .relaxed))))
            }
        }
        return samples
    }

    private func breakerSamples(_ value: (CircuitBreaker.State) -> Double) -> [MetricSample] {
        var samples: [MetricSample] = []
        for upstream in self.upstreams {
            guard let plan: UpstreamPlan = upstream.plan, plan.breaker != nil else { continue }
            if plan.breakerScope == .upstream {
                let state: CircuitBreaker.State = upstream.state.breaker.withLock { $0.state }
                samples.append(
                    MetricSample(labels: MetricLabels(UpstreamWatch.labels(upstream, nil)), value: value(state)))
                continue
            }
            for target in upstream.targets {
                let state: CircuitBreaker.State = target.state.breaker.withLock { $0.state }
                samples.append(
                    MetricSample(labels: MetricLabels(UpstreamWatch.labels(upstream, target)), value: value(state)))
            }
        }
        return samples
    }

    private func retrySamples() -> [MetricSample] {
        var samples: [MetricSample] = []
        for upstream in self.upstreams where upstream.plan?.retries != nil {
            let names: [(String, String)] = UpstreamWatch.owner(upstream)
            let made: UInt64 = upstream.state.retries.load(ordering: .relaxed)
            let refused: UInt64 = upstream.state.retriesRefused.load(ordering: .relaxed)
            samples.append(MetricSample(labels: MetricLabels(names + [("result", "made")]), value: Double(made)))
            samples.append(MetricSample(labels: MetricLabels(names + [("result", "refused")]), value: Double(refused)))
        }
        return samples
    }

    private func mirrorSamples() -> [MetricSample] {
        var samples: [MetricSample] = []
        for upstream in self.upstreams {
            guard let counts: MirrorCounts = upstream.plan?.mirror?.counts else { continue }
            let names: [(String, String)] = UpstreamWatch.owner(upstream)
            let results: [(String, UInt64)] = [
                ("answered", counts.answered.load(ordering: .relaxed)),
                ("failed", counts.failed.load(ordering: .relaxed)),
                ("refused", counts.refused.load(ordering: .relaxed)),
                ("unfit", counts.unfit.load(ordering: .relaxed)),
            ]
            for (result, count) in results {
                samples.append(MetricSample(labels: MetricLabels(names + [("result", result)]), value: Double(count)))
            }
        }
        return samples
    }

    private func openingSamples() -> [MetricSample] {
        var samples: [MetricSample] = []
        for upstream in self.upstreams {
            guard let plan: UpstreamPlan = upstream.plan, plan.breaker != nil else { continue }
            if plan.breakerScope == .upstream {
                samples.append(
                    MetricSample(
                        labels: MetricLabels(UpstreamWatch.labels(upstream, nil)),
                        value: Double(upstream.state.openings.load(ordering: .relaxed))))
                continue
            }
            for target in upstream.targets {
                samples.append(
                    MetricSample(
                        labels: MetricLabels(UpstreamWatch.labels(upstream, target)),
                        value: Double(target.state.openings.load(ordering: .relaxed))))
            }
        }
        return samples
    }
}

/// The clock that loops read, for those who are on none.
enum MonotonicTime {
    static var now: UInt64 { clinux_monotonic_nanoseconds() }
}
