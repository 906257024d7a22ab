import Glibc
import Synchronization
package import Telemetry

/// Drains the rings of all loops and passes on what they hold: to metrics, then to the sinks.
///
/// One thread, every `intervalMilliseconds`, or as soon as a ring is half full. Everything that costs (names, histograms, JSON)
/// happens here and never on a loop.
package final class Collector: Sendable {
    private struct State {
        var batch: RecordBatch = RecordBatch()
        var sinks: [any RecordSink] = []
        var metrics: RequestMetrics?
    }

    package static let intervalMilliseconds: Int32 = 100

    private let rings: [RecordRing]
    private let identities: IdentityTable
    private let bell: CollectorBell = CollectorBell()
    private let state: Mutex<State>
    private let isStopping: Atomic<Bool> = Atomic(false)
    private let thread: Mutex<pthread_t?> = Mutex(nil)

    /// Makes a ring for each loop. `metrics` nil: none are kept.
    package init(
        loops: Int, live: LiveState, metrics: MetricRegistry?, sinks: [any RecordSink] = [],
        ringCapacity: Int = RecordRing.capacityDefault, keepsPaths: Bool = false, keepsAttempts: Bool = false
    ) {
        var rings: [RecordRing] = []
        let bell: CollectorBell = self.bell
        for _ in 0..<loops {
            rings.append(
                RecordRing(
                    capacity: ringCapacity, pathBytes: keepsPaths ? RecordRing.pathBytesDefault : 0, bell: bell,
                    keepsAttempts: keepsAttempts))
        }
        self.rings = rings
        self.identities = live.identities
        var state: State = State()
        state.sinks = sinks
        if let metrics {
            state.metrics = RequestMetrics(metrics)
            Self.publish(metrics, rings: rings, live: live)
        }
        self.state = Mutex(state)
    }

    /// The ring of a loop. Only that loop may add to it.
    package func ring(_ loop: Int) -> RecordRing { self.rings[loop] }

    /// Adds a taker of records; it gets those drained from now on. Any thread.
    package func add(_ sink: any RecordSink) {
        self.state.withLock { $0.sinks.append(sink) }
    }

    /// Drains once, on the calling thread. The thread of `start` does nothing else.
    package func collect() {
        self.state.withLock { state in
            state.batch.removeRecords()
            var dropped: UInt64 = 0
            for ring in self.rings {
                ring.drain(into: &state.batch)
                dropped += ring.dropped
            }
            state.batch.dropped = dropped
            if state.batch.isEmpty, state.batch.attempts.isEmpty { return }
            self.identities.extend(&state.batch.identities)
            state.metrics?.count(state.batch)
            for sink in state.sinks { sink.receive(state.batch) }
        }
    }

    /// Starts the thread. Once.
    package func start() {
        self.thread.withLock { thread in
            precondition(thread == nil, "a collector is started once")
            var handle: pthread_t = pthread_t()
            let result: Int32 = pthread_create(&handle, nil, Self.entry, Unmanaged.passRetained(self).toOpaque())
            precondition(result == 0, "pthread_create: errno \(result)")
            thread = handle
        }
    }

    /// Drains a last time and ends the thread. After the loops have ended, so that nothing is lost.
    package func stop() {
        let handle: pthread_t? = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let handle else { return }
        self.isStopping.store(true, ordering: .releasing)
        self.bell.ring()
        pthread_join(handle, nil)
        self.collect()
    }

    private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
        guard let context else { return nil }
        let collector: Collector = Unmanaged<Collector>.fromOpaque(context).takeRetainedValue()
        while !collector.isStopping.load(ordering: .acquiring) {
            collector.bell.wait(milliseconds: Collector.intervalMilliseconds)
            collector.collect()
        }
        return nil
    }

    /// Counts that are read when metrics are scraped.
    private static func publish(_ metrics: MetricRegistry, rings: [RecordRing], live: LiveState) {
        metrics.samples(
            "passerelle_gateway_records_dropped_total", kind: .counter,
            help: "Records of requests lost because a loop's ring was full."
        ) {
            var dropped: UInt64 = 0
            for ring in rings { dropped += ring.dropped }
            return [MetricSample(labels: [:], value: Double(dropped))]
        }
        metrics.samples(
            "passerelle_gateway_limit_subjects_evicted_total", kind: .counter,
            help: "Addresses and header values whose counts were pushed out before they had expired."
        ) { [MetricSample(labels: [:], value: Double(live.subjectEvictions))] }
    }
}
