import GatewayConfiguration
import Testing

@testable import Gateway

struct OutlierDetectorTests {
    private static let second: UInt64 = 1_000_000_000

    /// Lets expectations move a detector on.
    private final class Bench {
        private var detector: OutlierDetector

        init(count: Int) { self.detector = OutlierDetector(count: count) }

        func compare(_ samples: [OutlierDetector.Sample], now: UInt64, rules: OutlierDetector.Rules) -> [Int] {
            self.detector.compare(samples, now: now, rules: rules)
        }
        func release(now: UInt64) -> [Int] { self.detector.release(now: now) }
        func isOut(_ index: Int) -> Bool { self.detector.isOut(index) }
        func outUntil(_ index: Int) -> UInt64 { self.detector.outUntil(index) }
    }

    private static func rules(
        margin: Int = 30, factor: Int = 0, share: Int = 50, eject: Int = 30, most: Int = 100
    ) -> OutlierDetector.Rules {
        OutlierDetector.Rules(
            OutlierEjection(
                requestsMin: 20, errorMargin: margin, latencyFactor: factor, shareMax: share,
                ejectFor: .seconds(eject), ejectMax: .seconds(most)))
    }

    private static func sample(_ requests: UInt64, failures: UInt64 = 0, mean: UInt64 = 1000) -> OutlierDetector.Sample
    {
        OutlierDetector.Sample(
            requests: requests, failures: failures, microseconds: (requests - failures) * mean)
    }

    @Test func theOneThatFailsIsPutOut() {
        let detector: Bench = Bench(count: 4)
        let samples: [OutlierDetector.Sample] = [
            Self.sample(100, failures: 2), Self.sample(100, failures: 40), Self.sample(100), Self.sample(100),
        ]
        #expect(detector.compare(samples, now: 1, rules: Self.rules()) == [1])
        #expect(detector.isOut(1) && !detector.isOut(0))
    }

    /// When all fail alike the reason is elsewhere, and putting servers out makes it worse.
    @Test func whereAllFailNobodyIsPutOut() {
        let detector: Bench = Bench(count: 3)
        let samples: [OutlierDetector.Sample] = [
            Self.sample(100, failures: 90), Self.sample(100, failures: 80), Self.sample(100, failures: 95),
        ]
        #expect(detector.compare(samples, now: 1, rules: Self.rules()).isEmpty)
    }

    @Test func fewRequestsProveNothing() {
        let detector: Bench = Bench(count: 2)
        #expect(
            detector.compare([Self.sample(100), Self.sample(19, failures: 19)], now: 1, rules: Self.rules()).isEmpty)
        #expect(
            detector.compare([Self.sample(0), Self.sample(50, failures: 50)], now: 1, rules: Self.rules()).isEmpty,
            "without peers there is nothing to compare with")
    }

    @Test func theSlowOneIsPutOut() {
        let samples: [OutlierDetector.Sample] = [
            Self.sample(50, mean: 10_000), Self.sample(50, mean: 12_000), Self.sample(50, mean: 40_000),
        ]
        let detector: Bench = Bench(count: 3)
        #expect(detector.compare(samples, now: 1, rules: Self.rules()).isEmpty, "latency counts only where asked for")
        #expect(detector.compare(samples, now: 1, rules: Self.rules(factor: 300)) == [2])
    }

    @Test func microsecondsAreNoise() {
        let detector: Bench = Bench(count: 2)
        let samples: [OutlierDetector.Sample] = [Self.sample(50, mean: 100), Self.sample(50, mean: 900)]
        #expect(detector.compare(samples, now: 1, rules: Self.rules(factor: 200)).isEmpty)
    }

    @Test func theWorstGoFirstAndNotTooMany() {
        let detector: Bench = Bench(count: 10)
        var samples: [OutlierDetector.Sample] = []
        for index in 0..<10 { samples.append(Self.sample(1000, failures: index < 4 ? 600 + UInt64(index) * 100 : 0)) }
        #expect(detector.compare(samples, now: 1, rules: Self.rules(share: 20)) == [3, 2])
        #expect(detector.compare(samples, now: 2, rules: Self.rules(share: 20)).isEmpty, "two are out already")
        #expect(detector.compare(samples, now: 3, rules: Self.rules(share: 30)) == [1])
    }

    @Test func oneMayAlwaysBeOutButNeverTheLast() {
        let detector: Bench = Bench(count: 3)
        let samples: [OutlierDetector.Sample] = [
            Self.sample(100, failures: 100), Self.sample(100), Self.sample(100),
        ]
        #expect(detector.compare(samples, now: 1, rules: Self.rules(share: 1)) == [0])
        let single: Bench = Bench(count: 1)
        #expect(single.compare([Self.sample(100, failures: 100)], now: 1, rules: Self.rules(share: 100)).isEmpty)
    }

    @Test func eachTimeItStaysOutLonger() {
        let detector: Bench = Bench(count: 2)
        let bad: [OutlierDetector.Sample] = [Self.sample(100, failures: 100), Self.sample(100)]
        var now: UInt64 = 0
        var spans: [UInt64] = []
        for _ in 0..<5 {
            #expect(detector.compare(bad, now: now, rules: Self.rules()) == [0])
            spans.append((detector.outUntil(0) - now) / Self.second)
            #expect(detector.release(now: detector.outUntil(0) - 1).isEmpty)
            now = detector.outUntil(0)
            #expect(detector.release(now: now) == [0])
        }
        #expect(spans == [30, 60, 90, 100, 100])
    }

    @Test func goodBehaviourShortensTheNextTime() {
        let detector: Bench = Bench(count: 2)
        let bad: [OutlierDetector.Sample] = [Self.sample(100, failures: 100), Self.sample(100)]
        let good: [OutlierDetector.Sample] = [Self.sample(100), Self.sample(100)]
        _ = detector.compare(bad, now: 0, rules: Self.rules())
        _ = detector.release(now: 30 * Self.second)
        _ = detector.compare(good, now: 40 * Self.second, rules: Self.rules())
        _ = detector.compare(bad, now: 50 * Self.second, rules: Self.rules())
        #expect(detector.outUntil(0) == 80 * Self.second)
    }
}

struct CheckRecordTests {
    @Test func severalInARowChangeTheState() {
        var record: CheckRecord = CheckRecord()
        var changes: [Bool] = []
        for isGood in [true, false, false, true, false, false, false, true, false, true, true] {
            changes.append(record.add(isGood, healthyAfter: 2, unhealthyAfter: 3))
        }
        #expect(changes == [false, false, false, false, false, false, true, false, false, false, true])
        #expect(record.isUp)
    }

    @Test func theFirstResultCountsAtOnce() {
        var record: CheckRecord = CheckRecord()
        var changes: [Bool] = []
        for isGood in [false, true, true] { changes.append(record.add(isGood, healthyAfter: 2, unhealthyAfter: 3)) }
        #expect(changes == [true, false, true])
    }
}
