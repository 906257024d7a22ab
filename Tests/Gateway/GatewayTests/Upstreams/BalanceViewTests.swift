import Testing

@testable import Gateway

struct BalanceViewTests {
    private static func member(
        _ weight: Int, up: Bool = true, local: Bool = false, since: UInt64 = 0
    ) -> BalanceView.Member {
        BalanceView.Member(weight: weight, isUp: up, isLocal: local, upSince: since)
    }

    @Test func whoIsDownTakesNoPart() {
        let view: BalanceView = BalanceView(
            [Self.member(2), Self.member(3, up: false), Self.member(0)], now: 10, rules: BalanceView.Rules())
        #expect(view.weights == [200, 0, 0])
        #expect(view.hasAny && !view.isPanicking)
    }

    /// Below the threshold everybody takes part: half of the servers would only break down under all of the load.
    @Test func belowTheThresholdHealthDoesNotCount() {
        let rules: BalanceView.Rules = BalanceView.Rules(panicThreshold: 50)
        let half: BalanceView = BalanceView([Self.member(1), Self.member(1, up: false)], now: 1, rules: rules)
        #expect(half.weights == [100, 0] && !half.isPanicking)
        let third: BalanceView = BalanceView(
            [Self.member(1), Self.member(1, up: false), Self.member(1, up: false)], now: 1, rules: rules)
        #expect(third.weights == [100, 100, 100] && third.isPanicking)
        let none: BalanceView = BalanceView([Self.member(1, up: false)], now: 1, rules: BalanceView.Rules())
        #expect(none.weights == [0] && !none.hasAny)
    }

    @Test func aTargetThatCameBackGetsMoreAndMore() {
        let second: UInt64 = 1_000_000_000
        let rules: BalanceView.Rules = BalanceView.Rules(slowStart: 10 * second)
        let members: [BalanceView.Member] = [Self.member(4), Self.member(4, since: 100 * second)]
        var shares: [Int] = []
        for age: UInt64 in [0, 1, 3, 5, 9, 10, 60] {
            let view: BalanceView = BalanceView(members, now: (100 + age) * second, rules: rules)
            #expect(view.weights[0] == 400)
            #expect(view.isMoving == (age < 10))
            shares.append(view.weights[1])
        }
        #expect(shares == [20, 40, 120, 200, 360, 400, 400])
    }

    @Test func anOwnZoneInHealthKeepsEverything() {
        let rules: BalanceView.Rules = BalanceView.Rules(usesZones: true)
        var members: [BalanceView.Member] = [Self.member(10, local: true), Self.member(10), Self.member(10)]
        #expect(BalanceView(members, now: 1, rules: rules).localShare == 1000)
        members[0].isUp = false
        #expect(BalanceView(members, now: 1, rules: rules).localShare == 0)
    }

    /// With 35 of 100 in health, and 70 enough, half stays.
    @Test(arguments: [(10, 1000), (7, 1000), (6, 857), (5, 714), (1, 142), (0, 0)])
    func anOwnZoneGivesAwayWhatIsMissing(_ up: Int, _ share: Int) {
        var members: [BalanceView.Member] = []
        for index in 0..<10 { members.append(Self.member(1, up: index < up, local: true)) }
        members.append(Self.member(5))
        #expect(BalanceView(members, now: 1, rules: BalanceView.Rules(usesZones: true)).localShare == share)
    }

    @Test func nothingIsGivenAwayToNobody() {
        let members: [BalanceView.Member] = [
            Self.member(1, local: true), Self.member(1, up: false, local: true), Self.member(9, up: false),
        ]
        #expect(BalanceView(members, now: 1, rules: BalanceView.Rules(usesZones: true)).localShare == 1000)
    }
}
