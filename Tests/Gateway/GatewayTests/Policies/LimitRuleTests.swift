import GatewayConfiguration
import Glibc
import Synchronization
import Testing

@testable import Gateway

struct LimitRuleTests {
    private static let second: UInt64 = 1_000_000_000
    /// Any moment of a monotonic clock.
    private static let start: UInt64 = 123_456_000_000_000

    /// A word that outlives the test's closures.
    private final class Word: Sendable {
        let value: LimitWord = LimitWord(0)

        var raw: UInt64 { self.value.load(ordering: .relaxed) }

        func take(_ rule: LimitRule, now: UInt64) -> Bool { rule.take(self.value, now: now) }

        func giveBack(_ rule: LimitRule, now: UInt64) { rule.giveBack(self.value, now: now) }
    }

    private static func rule(
        _ limit: Int64, _ window: Duration = .seconds(1), _ algorithm: RateLimitPolicy.Algorithm = .window
    ) -> LimitRule {
        LimitRule(limit: limit, window: window, algorithm: algorithm)
    }

    @Test(arguments: [RateLimitPolicy.Algorithm.window, .tokenBucket], [Int64(1), 3, 10, 1000, 99_991])
    func aBurstIsAdmittedUpToTheLimit(_ algorithm: RateLimitPolicy.Algorithm, limit: Int64) {
        let rule: LimitRule = Self.rule(limit, .seconds(1), algorithm)
        let word: Word = Word()
        var admitted: Int64 = 0
        for _ in 0..<(limit + 5) where word.take(rule, now: Self.start) { admitted += 1 }
        #expect(admitted == limit)
    }

    @Test func aWindowAdmitsItsLimitHoweverTheRequestsLie() {
        let rule: LimitRule = Self.rule(10)
        let word: Word = Word()
        var admitted: Int = 0
        // One request every 20 ms: fifty in the window that begins with the first.
        for number in 0..<50 where word.take(rule, now: Self.start + UInt64(number) * 20_000_000) { admitted += 1 }
        #expect(admitted == 10)
        // The window ends a second after its first request, and is whole again.
        #expect(!word.take(rule, now: Self.start + Self.second - 1_000_000))
        for _ in 0..<10 { #expect(word.take(rule, now: Self.start + Self.second)) }
        #expect(!word.take(rule, now: Self.start + Self.second))
    }

    @Test func aWindowBeginsWithTheFirstRequestAfterTheLast() {
        let rule: LimitRule = Self.rule(1)
        let word: Word = Word()
        #expect(word.take(rule, now: Self.start))
        let later: UInt64 = Self.start + Self.second * 5 + 700_000_000
        #expect(word.take(rule, now: later))
        #expect(!word.take(rule, now: later + 900_000_000))
        #expect(word.take(rule, now: later + Self.second))
    }

    @Test func aTokenBucketRefillsEvenly() {
        let rule: LimitRule = Self.rule(10, .seconds(1), .tokenBucket)
        let word: Word = Word()
        for _ in 0..<10 { #expect(word.take(rule, now: Self.start)) }
        #expect(!word.take(rule, now: Self.start + 99_000_000))
        #expect(word.take(rule, now: Self.start + 100_000_000))
        #expect(!word.take(rule, now: Self.start + 100_000_000))
        // Full after a window, and no more than full after many.
        for _ in 0..<10 { #expect(word.take(rule, now: Self.start + Self.second * 60)) }
        #expect(!word.take(rule, now: Self.start + Self.second * 60))
    }

    @Test(arguments: [RateLimitPolicy.Algorithm.window, .tokenBucket])
    func whatIsGivenBackCanBeTakenAgain(_ algorithm: RateLimitPolicy.Algorithm) {
        let rule: LimitRule = Self.rule(3, .seconds(1), algorithm)
        let word: Word = Word()
        for _ in 0..<3 { #expect(word.take(rule, now: Self.start)) }
        word.giveBack(rule, now: Self.start)
        #expect(word.take(rule, now: Self.start))
        #expect(!word.take(rule, now: Self.start))
        for _ in 0..<9 { word.giveBack(rule, now: Self.start) }
        for _ in 0..<3 { #expect(word.take(rule, now: Self.start)) }
        #expect(!word.take(rule, now: Self.start))
    }

    @Test func sharesAddUpToTheLimit() {
        let rule: LimitRule = Self.rule(10)
        for gateways in [UInt64(1), 2, 3, 5, 10] {
            var admitted: UInt64 = 0
            for _ in 0..<gateways {
                let word: Word = Word()
                while word.take(rule.shared(by: gateways), now: Self.start) { admitted += 1 }
            }
            #expect(admitted <= 10 && admitted > 10 - gateways, "\(gateways) gateways admit \(admitted)")
        }
        // Never nothing: more gateways than requests would otherwise refuse everybody.
        #expect(rule.shared(by: 50).limit == 1)
        let bucket: LimitRule = Self.rule(10, .seconds(1), .tokenBucket).shared(by: 2)
        #expect(bucket.limit == 5)
        #expect(bucket.interval == 200_000_000)
    }

    @Test func standingTellsWhatIsLeft() {
        let window: LimitRule = Self.rule(10, .seconds(60))
        #expect(
            window.standing(0, now: Self.start)
                == LimitStanding(remaining: 10, resetNanoseconds: 0, retryNanoseconds: 0))
        let word: Word = Word()
        for _ in 0..<4 { #expect(word.take(window, now: Self.start)) }
        let later: UInt64 = Self.start + 15 * Self.second
        #expect(
            window.standing(word.raw, now: later)
                == LimitStanding(remaining: 6, resetNanoseconds: 45 * Self.second, retryNanoseconds: 0))
        for _ in 0..<6 { #expect(word.take(window, now: later)) }
        #expect(
            window.standing(word.raw, now: later)
                == LimitStanding(remaining: 0, resetNanoseconds: 45 * Self.second, retryNanoseconds: 45 * Self.second))
        let bucket: LimitRule = Self.rule(10, .seconds(1), .tokenBucket)
        let tokens: Word = Word()
        while tokens.take(bucket, now: Self.start) {}
        let standing: LimitStanding = bucket.standing(tokens.raw, now: Self.start + 50_000_000)
        #expect(standing == LimitStanding(remaining: 0, resetNanoseconds: 950_000_000, retryNanoseconds: 50_000_000))
    }

    /// Loops read the clock once a tick, so one may be a little behind another.
    @Test(arguments: [RateLimitPolicy.Algorithm.window, .tokenBucket])
    func anOlderReadingOfTheClockDoesNotOpenAnotherWindow(_ algorithm: RateLimitPolicy.Algorithm) {
        let rule: LimitRule = Self.rule(2, .seconds(1), algorithm)
        let word: Word = Word()
        var admitted: Int = 0
        for behind in [0, 30_000_000, 30_000_000, 0, 10_000_000, 0] as [UInt64]
        where word.take(rule, now: Self.start - behind) { admitted += 1 }
        #expect(admitted == 2)
    }

    @Test(arguments: [RateLimitPolicy.Algorithm.window, .tokenBucket])
    func eightThreadsAdmitExactlyTheLimit(_ algorithm: RateLimitPolicy.Algorithm) {
        let rule: LimitRule = Self.rule(1000, .seconds(1), algorithm)
        let word: Word = Word()
        let admitted: Int = Threads.count(8) { _ in
            var mine: Int = 0
            for _ in 0..<1000 where word.take(rule, now: Self.start) { mine += 1 }
            return mine
        }
        #expect(admitted == 1000)
    }
}

/// Runs work on threads of its own and adds up what they count.
enum Threads {
    private final class Total: Sendable {
        let value: Atomic<Int> = Atomic(0)
    }

    private final class Work: Sendable {
        let body: @Sendable (Int) -> Int
        let number: Int
        let total: Total

        init(_ body: @escaping @Sendable (Int) -> Int, number: Int, total: Total) {
            self.body = body
            self.number = number
            self.total = total
        }
    }

    static func count(_ threads: Int, _ body: @escaping @Sendable (Int) -> Int) -> Int {
        let total: Total = Total()
        var handles: [pthread_t] = []
        for number in 0..<threads {
            let work: Work = Work(body, number: number, total: total)
            var handle: pthread_t = pthread_t()
            let result: Int32 = pthread_create(
                &handle, nil,
                { context in
                    let work: Work = Unmanaged<Work>.fromOpaque(context!).takeRetainedValue()
                    work.total.value.wrappingAdd(work.body(work.number), ordering: .relaxed)
                    return nil
                }, Unmanaged.passRetained(work).toOpaque())
            precondition(result == 0)
            handles.append(handle)
        }
        for handle in handles { pthread_join(handle, nil) }
        return total.value.load(ordering: .relaxed)
    }
}
