import GatewayConfiguration
import Testing

@testable import Gateway

struct SubjectTableTests {
    private static let now: UInt64 = 50_000_000_000
    private static let rule: LimitRule = LimitRule(limit: 3, window: .seconds(1), algorithm: .window)

    private static func fingerprint(_ number: UInt64) -> UInt64 {
        ByteHash.mix(number ^ 0x1234_5678, 0xe703_7ed1_a0b4_28db)
    }

    @Test func everySubjectHasItsOwnCount() {
        let table: SubjectTable = SubjectTable(capacity: 1024)
        for number in 0..<200 as Range<UInt64> {
            for _ in 0..<3 { #expect(table.take(Self.fingerprint(number), rule: Self.rule, now: Self.now)) }
            #expect(!table.wouldAdmit(Self.fingerprint(number), rule: Self.rule, now: Self.now))
            #expect(!table.take(Self.fingerprint(number), rule: Self.rule, now: Self.now))
        }
        #expect(table.evictions == 0)
        #expect(table.standing(Self.fingerprint(7), rule: Self.rule, now: Self.now).remaining == 0)
        table.giveBack(Self.fingerprint(7), rule: Self.rule, now: Self.now)
        #expect(table.take(Self.fingerprint(7), rule: Self.rule, now: Self.now))
        #expect(table.standing(Self.fingerprint(9999), rule: Self.rule, now: Self.now).remaining == 3)
    }

    @Test func expiredSubjectsMakeRoomWithoutLoss() {
        let table: SubjectTable = SubjectTable(capacity: 16)
        var now: UInt64 = Self.now
        for round in 0..<50 as Range<UInt64> {
            for number in 0..<16 as Range<UInt64> {
                #expect(table.take(Self.fingerprint(round * 100 + number), rule: Self.rule, now: now))
            }
            now += 1_000_000_000
        }
        #expect(table.evictions == 0)
    }

    @Test func aFullTableAdmitsAndCountsWhatItForgets() {
        let table: SubjectTable = SubjectTable(capacity: 16)
        for number in 0..<100 as Range<UInt64> {
            #expect(table.take(Self.fingerprint(number), rule: Self.rule, now: Self.now + number))
        }
        #expect(table.evictions == 84)
        // The last ones to come are still counted.
        #expect(table.standing(Self.fingerprint(99), rule: Self.rule, now: Self.now + 99).remaining == 2)
    }

    @Test(arguments: [UInt64(0), 1, 2, 3]) func reservedFingerprintsAreSubjectsLikeOthers(_ fingerprint: UInt64) {
        let table: SubjectTable = SubjectTable(capacity: 16)
        for _ in 0..<3 { #expect(table.take(fingerprint, rule: Self.rule, now: Self.now)) }
        #expect(!table.take(fingerprint, rule: Self.rule, now: Self.now))
    }

    /// Every thread meets every subject for the first time about when the others do.
    @Test func eightThreadsAdmitExactlyTheLimitOfEachSubject() {
        let table: SubjectTable = SubjectTable(capacity: 4096)
        let subjects: UInt64 = 500
        let admitted: Int = Threads.count(8) { thread in
            var mine: Int = 0
            for round in 0..<4 as Range<UInt64> {
                for number in 0..<subjects {
                    let subject: UInt64 = (number + round * 31 + UInt64(thread) % 2) % subjects
                    if table.take(Self.fingerprint(subject), rule: Self.rule, now: Self.now) { mine += 1 }
                }
            }
            return mine
        }
        #expect(admitted == Int(subjects) * 3)
        #expect(table.evictions == 0)
    }

    /// The same where expired subjects have to make room first.
    @Test func exactlyTheLimitAlsoInPlacesThatExpired() {
        let table: SubjectTable = SubjectTable(capacity: 1024)
        for number in 10_000..<14_000 as Range<UInt64> {
            _ = table.take(Self.fingerprint(number), rule: Self.rule, now: Self.now)
        }
        let later: UInt64 = Self.now + 5_000_000_000
        let before: UInt64 = table.evictions
        let admitted: Int = Threads.count(8) { _ in
            var mine: Int = 0
            for _ in 0..<4 {
                for number in 0..<200 as Range<UInt64>
                where table.take(Self.fingerprint(number), rule: Self.rule, now: later) { mine += 1 }
            }
            return mine
        }
        #expect(admitted == 600)
        #expect(table.evictions == before)
    }
}
