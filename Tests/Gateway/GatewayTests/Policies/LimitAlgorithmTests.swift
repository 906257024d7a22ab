import GatewayConfiguration
import Synchronization
import Testing

@testable import Gateway

/// Ways of counting beside windows from the first request and token buckets.
struct LimitAlgorithmTests {
    private static let second: UInt64 = 1_000_000_000
    /// The start of a window of ten seconds.
    private static let start: UInt64 = 123_450 * second

    private final class Word: Sendable {
        let value: LimitWord = LimitWord(0)

        func take(_ rule: LimitRule, _ now: UInt64) -> Bool { rule.take(self.value, now: now) }

        func admitted(_ rule: LimitRule, of tries: Int, _ now: UInt64) -> Int {
            var count: Int = 0
            for _ in 0..<tries where self.take(rule, now) { count += 1 }
            return count
        }

        func standing(_ rule: LimitRule, _ now: UInt64) -> LimitStanding {
            rule.standing(self.value.load(ordering: .relaxed), now: now)
        }
    }

    private static let sliding: LimitRule = LimitRule(limit: 10, window: .seconds(10), algorithm: .slidingWindow)

    @Test func aSlidingWindowHasNoBurstAtABorder() {
        let word: Word = Word()
        // All of the limit at the end of a window leaves nothing at the start of the next.
        #expect(word.admitted(Self.sliding, of: 20, Self.start + 9 * Self.second) == 10)
        #expect(word.admitted(Self.sliding, of: 20, Self.start + 10 * Self.second) == 0)
        // Half a window later half of it is out of sight.
        #expect(word.admitted(Self.sliding, of: 20, Self.start + 15 * Self.second) == 5)
        // Two windows later nothing is left.
        #expect(word.admitted(Self.sliding, of: 20, Self.start + 40 * Self.second) == 10)
    }

    @Test func aSlidingWindowSaysWhenToComeBack() {
        let word: Word = Word()
        #expect(word.admitted(Self.sliding, of: 20, Self.start + 2 * Self.second) == 10)
        for moment in [Self.start + 2 * Self.second, Self.start + 9 * Self.second, Self.start + 10 * Self.second] {
            let standing: LimitStanding = word.standing(Self.sliding, moment)
            #expect(standing.remaining == 0)
            let copy: Word = Word()
            copy.value.store(word.value.load(ordering: .relaxed), ordering: .relaxed)
            #expect(!copy.take(Self.sliding, moment + standing.retryNanoseconds - Self.second / 100))
            #expect(copy.take(Self.sliding, moment + standing.retryNanoseconds + 1))
        }
    }

    @Test func aSlidingWindowGivesBackAndTakesAnEarlierReading() {
        let word: Word = Word()
        #expect(word.admitted(Self.sliding, of: 10, Self.start) == 10)
        Self.sliding.giveBack(word.value, now: Self.start)
        // A loop whose clock is a window behind counts in the window that is there.
        #expect(word.take(Self.sliding, Self.start - 1))
        #expect(!word.take(Self.sliding, Self.start - 1))
    }

    @Test func aQuotaCountsUntilTheCalendarTurns() {
        let rule: LimitRule = LimitRule(limit: 5, window: .month)
        let word: Word = Word()
        // 2027-01-15T08:00:00Z.
        let now: UInt64 = 1_800_000_000 * Self.second
        #expect(word.admitted(rule, of: 9, now) == 5)
        let standing: LimitStanding = word.standing(rule, now)
        #expect(standing.remaining == 0)
        #expect(standing.retryNanoseconds == (16 * 86_400 + 16 * 3600) * Self.second)
        #expect(word.admitted(rule, of: 9, now + standing.retryNanoseconds - 1) == 0)
        #expect(word.admitted(rule, of: 9, now + standing.retryNanoseconds) == 5)
    }

    @Test func whatOthersCountedIsAdded() {
        let rule: LimitRule = LimitRule(limit: 10, window: .day)
        let word: Word = Word()
        let now: UInt64 = 1_800_000_000 * Self.second
        #expect(word.admitted(rule, of: 3, now) == 3)
        rule.adjust(word.value, by: 5, now: now)
        #expect(word.admitted(rule, of: 9, now) == 2)
        rule.adjust(word.value, by: -100, now: now)
        #expect(word.admitted(rule, of: 20, now) == 10)
        #expect(rule.drain(word.value, now: now) == 10)
        #expect(rule.drain(word.value, now: now) == 0)
    }

    @Test func requestsAtOnceEndAndMakeRoom() {
        let rule: LimitRule = LimitRule(concurrent: 3, scope: .divided)
        let word: Word = Word()
        #expect(word.admitted(rule, of: 9, 0) == 3)
        #expect(word.standing(rule, 0).retryNanoseconds == Self.second)
        LimitRule.end(word.value)
        #expect(word.admitted(rule, of: 9, 0) == 1)
        #expect(rule.shared(by: 2).limit == 1)
        #expect(LimitRule(concurrent: 3, scope: .gateway).shared(by: 2).limit == 3)
    }

    @Test func aSpikeArrestSpreadsEvenly() {
        let rule: LimitRule = LimitRule(spike: 10, window: .seconds(1), burst: 1)
        let word: Word = Word()
        #expect(word.admitted(rule, of: 5, Self.start) == 1)
        #expect(word.admitted(rule, of: 5, Self.start + 99_000_000) == 0)
        #expect(word.admitted(rule, of: 5, Self.start + 100_000_000) == 1)
        // After a long silence still only the burst.
        #expect(word.admitted(rule, of: 50, Self.start + 100 * Self.second) == 1)
        #expect(rule.shared(by: 2).interval == 200_000_000)
        let burst: LimitRule = LimitRule(spike: 10, window: .seconds(1), burst: 4)
        #expect(Word().admitted(burst, of: 50, Self.start) == 4)
    }

    @Test(arguments: [
        LimitRule(limit: 1000, window: .seconds(10), algorithm: .slidingWindow), LimitRule(limit: 1000, window: .year),
        LimitRule(concurrent: 1000, scope: .gateway),
    ])
    func isExactForManyThreads(_ rule: LimitRule) async {
        let word: Word = Word()
        let admitted: Int = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 { group.addTask { word.admitted(rule, of: 1000, Self.start) } }
            var sum: Int = 0
            for await count in group { sum += count }
            return sum
        }
        #expect(admitted == 1000)
    }
}
