import GatewayConfiguration

/// Finds targets that do worse than their peers, and says for how long they stay out. Pure: counts and time are handed in.
struct OutlierDetector {
    struct Rules: Equatable, Sendable {
        var requestsMin: UInt64
        /// Percentage points above the peers.
        var errorMargin: Double
        /// Times the peers' median, in percent; 0: latency does not count.
        var latencyFactor: Double
        var shareMax: Int
        /// Nanoseconds.
        var ejectFor: UInt64
        var ejectMax: UInt64

        init(_ definition: OutlierEjection) {
            self.requestsMin = UInt64(definition.requestsMin)
            self.errorMargin = Double(definition.errorMargin)
            self.latencyFactor = Double(definition.latencyFactor)
            self.shareMax = definition.shareMax
            self.ejectFor = definition.ejectFor.nanoseconds
            self.ejectMax = definition.ejectMax.nanoseconds
        }
    }

    /// What one target did since the last comparison.
    struct Sample: Equatable {
        var requests: UInt64 = 0
        var failures: UInt64 = 0
        /// Of all answered requests together, to the head of the answer.
        var microseconds: UInt64 = 0

        var errorShare: Double { self.requests == 0 ? 0 : Double(self.failures) * 100 / Double(self.requests) }
        var answered: UInt64 { self.requests - min(self.requests, self.failures) }
        var latency: Double { self.answered == 0 ? 0 : Double(self.microseconds) / Double(self.answered) }
    }

    /// Differences below this are noise, whatever their ratio: 1 ms.
    private static let latencyMin: Double = 1000

    private struct Record {
        /// 0: in.
        var outUntil: UInt64 = 0
        /// How often it was put out; goes down with every interval it stays in.
        var times: UInt64 = 0
    }

    private var records: [Record]

    init(count: Int) {
        self.records = [Record](repeating: Record(), count: count)
    }

    func isOut(_ index: Int) -> Bool { self.records[index].outUntil != 0 }
    func outUntil(_ index: Int) -> UInt64 { self.records[index].outUntil }

    /// Takes back those whose time is over, and names them.
    mutating func release(now: UInt64) -> [Int] {
        var back: [Int] = []
        for index in self.records.indices where self.isOut(index) && self.records[index].outUntil <= now {
            self.records[index].outUntil = 0
            back.append(index)
        }
        return back
    }

    /// Compares the samples of one interval; the places that are put out now, worst first.
    mutating func compare(_ samples: [Sample], now: UInt64, rules: Rules) -> [Int] {
        var suspects: [(index: Int, badness: Double)] = []
        var known: [Int] = []
        for index in samples.indices where !self.isOut(index) && samples[index].requests >= rules.requestsMin {
            known.append(index)
        }
        for index in known {
            let badness: Double = OutlierDetector.badness(of: index, among: known, samples, rules)
            if badness > 0 { suspects.append((index, badness)) }
        }
        suspects.sort { $0.badness == $1.badness ? $0.index < $1.index : $0.badness > $1.badness }
        var room: Int = max(1, samples.count * rules.shareMax / 100)
        for index in samples.indices where self.isOut(index) { room -= 1 }
        // Never the last one.
        room = min(room, samples.count - 1)
        var ejected: [Int] = []
        for suspect in suspects.prefix(max(0, room)) {
            self.records[suspect.index].times += 1
            let times: UInt64 = self.records[suspect.index].times
            self.records[suspect.index].outUntil = now &+ min(rules.ejectFor &* min(times, 1000), rules.ejectMax)
            ejected.append(suspect.index)
        }
        for index in samples.indices where !self.isOut(index) && self.records[index].times > 0 {
            self.records[index].times -= 1
        }
        return ejected
    }

    /// How much worse than its peers it is; 0: it is not.
    private static func badness(of index: Int, among known: [Int], _ samples: [Sample], _ rules: Rules) -> Double {
        var peers: Sample = Sample()
        var latencies: [Double] = []
        for other in known where other != index {
            peers.requests += samples[other].requests
            peers.failures += samples[other].failures
            if samples[other].answered > 0 { latencies.append(samples[other].latency) }
        }
        guard peers.requests > 0 else { return 0 }
        let excess: Double = samples[index].errorShare - peers.errorShare
        if excess >= rules.errorMargin { return 1000 + excess }
        guard rules.latencyFactor > 0, !latencies.isEmpty, samples[index].answered > 0 else { return 0 }
        latencies.sort()
        // The upper middle: of two peers the slower one is the measure.
        let median: Double = latencies[latencies.count / 2]
        let own: Double = samples[index].latency
        if own * 100 >= median * rules.latencyFactor, own - median >= self.latencyMin { return own / max(1, median) }
        return 0
    }
}
