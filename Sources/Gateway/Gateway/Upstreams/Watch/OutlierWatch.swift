import GatewayConfiguration
import Synchronization

/// Compares the targets of one upstream from time to time.
final class OutlierWatch {
    let definition: OutlierEjection
    let states: [TargetState]
    private let rules: OutlierDetector.Rules
    private var detector: OutlierDetector
    private var last: [OutlierDetector.Sample]
    private var compareAt: UInt64

    init(_ definition: OutlierEjection, _ states: [TargetState], now: UInt64) {
        self.definition = definition
        self.states = states
        self.rules = OutlierDetector.Rules(definition)
        self.detector = OutlierDetector(count: states.count)
        self.last = states.map { OutlierWatch.sums($0) }
        self.compareAt = now &+ definition.interval.nanoseconds
    }

    func isSame(_ definition: OutlierEjection, _ states: [TargetState]) -> Bool {
        guard self.definition == definition, self.states.count == states.count else { return false }
        for (own, other) in zip(self.states, states) where own !== other { return false }
        return true
    }

    func tick(now: UInt64) {
        for index in self.detector.release(now: now) { self.states[index].set(.outlier, false, now: now) }
        if now < self.compareAt { return }
        self.compareAt = now &+ self.definition.interval.nanoseconds
        var samples: [OutlierDetector.Sample] = []
        for (index, state) in self.states.enumerated() {
            let sums: OutlierDetector.Sample = OutlierWatch.sums(state)
            samples.append(
                OutlierDetector.Sample(
                    requests: sums.requests &- self.last[index].requests,
                    failures: sums.failures &- self.last[index].failures,
                    microseconds: sums.microseconds &- self.last[index].microseconds))
            self.last[index] = sums
        }
        for index in self.detector.compare(samples, now: now, rules: self.rules) {
            self.states[index].set(.outlier, true, now: now)
        }
    }

    func stop(now: UInt64) {
        for state in self.states { state.set(.outlier, false, now: now) }
    }

    private static func sums(_ state: TargetState) -> OutlierDetector.Sample {
        OutlierDetector.Sample(
            requests: state.sums.requests.load(ordering: .relaxed),
            failures: state.sums.failures.load(ordering: .relaxed),
            microseconds: state.sums.microseconds.load(ordering: .relaxed))
    }
}
