import Testing

@testable import Deployments

struct CompletionRulesTests {
    /// Deployment of version 10 that started at 100 s; the process is up since second 0 and it is second 110 unless said.
    private static let version: Int64 = 10
    private static let entry: String = "acme/api_1.dev"
    private static let second: Int64 = 1_000

    private static func gateway(
        _ id: String, version: Int64 = 10, seen: Int64 = 109, quarantined: [String] = []
    ) -> GatewayStatus {
        GatewayStatus(
            id: id, group: "default", address: "", version: version, hash: "",
            quarantined: quarantined.map { QuarantinedEntry(entry: $0, reason: "because of \($0)") },
            lastSeen: seen * Self.second, firstSeen: 0)
    }

    private static func decide(
        _ gateways: [GatewayStatus], now: Int64 = 110, upSince: Int64 = 0, refusal: String? = nil,
        entry: String? = entry
    ) -> CompletionRules.Verdict {
        CompletionRules.decide(
            version: self.version, entry: entry, refusal: refusal, startedAt: 100 * Self.second, gateways: gateways,
            now: now * Self.second, upSince: upSince * Self.second)
    }

    private static func response(
        acknowledged: [String] = [], away: [String] = [], waiting: [String] = [], quarantined: [String] = []
    ) -> CompletionRules.Response {
        CompletionRules.Response(
            version: Self.version, acknowledged: acknowledged, away: away, waiting: waiting, quarantined: quarantined)
    }

    @Test func succeedsWhenEveryLiveGatewayHasIt() {
        #expect(Self.decide([Self.gateway("a")]) == .succeed(Self.response(acknowledged: ["a"])))
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", version: 99)])
                == .succeed(Self.response(acknowledged: ["a", "b"])), "a later version contains it")
    }

    @Test func waitsForALiveGatewayThatIsBehind() {
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", version: 9)])
                == .wait(Self.response(acknowledged: ["a"], waiting: ["b"])))
    }

    @Test func namesAGatewayThatIsAwayAndDoesNotWaitForIt() {
        let gateways: [GatewayStatus] = [Self.gateway("a"), Self.gateway("b", version: 9, seen: 95)]
        #expect(Self.decide(gateways) == .succeed(Self.response(acknowledged: ["a"], away: ["b"])))
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", version: 9, seen: 96)])
                == .wait(Self.response(acknowledged: ["a"], waiting: ["b"])), "14 seconds are not 15")
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", seen: 95)])
                == .succeed(Self.response(acknowledged: ["a"], away: ["b"])), "away is away, whatever it had")
    }

    @Test func failsWhenALiveGatewayTakesTooLong() {
        let gateways: (Int64) -> [GatewayStatus] = {
            [Self.gateway("a", seen: $0), Self.gateway("b", version: 9, seen: $0)]
        }
        #expect(
            Self.decide(gateways(129), now: 129) == .wait(Self.response(acknowledged: ["a"], waiting: ["b"])))
        #expect(
            Self.decide(gateways(130), now: 130)
                == .fail(
                    Self.response(acknowledged: ["a"], waiting: ["b"]), reason: "Not confirmed within 30 s by b."))
    }

    /// A control plane that was down for a minute must not blame gateways that could not reach it.
    @Test func theTimeBeforeTheStartDoesNotCount() {
        let gateways: (Int64) -> [GatewayStatus] = { [Self.gateway("a", version: 9, seen: $0)] }
        #expect(Self.decide(gateways(161), now: 161, upSince: 160) == .wait(Self.response(waiting: ["a"])))
        #expect(Self.decide(gateways(189), now: 189, upSince: 160) == .wait(Self.response(waiting: ["a"])))
        #expect(
            Self.decide(gateways(190), now: 190, upSince: 160)
                == .fail(Self.response(waiting: ["a"]), reason: "Not confirmed within 30 s by a."))
    }

    @Test func failsWhenNoGatewayLives() {
        #expect(
            Self.decide([]) == .fail(Self.response(), reason: "No gateway of the target is live (none ever called in).")
        )
        #expect(
            Self.decide([Self.gateway("a", seen: 90), Self.gateway("b", seen: 1)])
                == .fail(Self.response(away: ["a", "b"]), reason: "No gateway of the target is live (away: a, b)."))
    }

    @Test func gatewaysHaveTimeToCallInAfterAStart() {
        #expect(Self.decide([], now: 110, upSince: 100) == .wait(Self.response()))
        #expect(Self.decide([Self.gateway("a", seen: 1)], now: 114, upSince: 100) == .wait(Self.response(away: ["a"])))
        #expect(
            Self.decide([], now: 115, upSince: 100)
                == .fail(Self.response(), reason: "No gateway of the target is live (none ever called in)."))
    }

    @Test func failsWhenAGatewayQuarantinesTheEntry() {
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", quarantined: [Self.entry])])
                == .fail(
                    Self.response(acknowledged: ["a"], quarantined: ["b"]),
                    reason: "The gateway cannot run this revision: because of \(Self.entry)"))
        #expect(
            Self.decide([Self.gateway("a", version: 9), Self.gateway("b", quarantined: [Self.entry])])
                == .fail(
                    Self.response(waiting: ["a"], quarantined: ["b"]),
                    reason: "The gateway cannot run this revision: because of \(Self.entry)"), "without waiting on")
    }

    @Test func aQuarantineOfSomethingElseOrOfBeforeDoesNotMatter() {
        #expect(
            Self.decide([Self.gateway("a", quarantined: ["acme/api_1.prod", "globex/api_1.dev"])])
                == .succeed(Self.response(acknowledged: ["a"])))
        #expect(
            Self.decide([Self.gateway("a", version: 9, quarantined: [Self.entry])])
                == .wait(Self.response(waiting: ["a"])), "it has not seen this version yet")
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", seen: 90, quarantined: [Self.entry])])
                == .succeed(Self.response(acknowledged: ["a"], away: ["b"])), "it is away")
        #expect(
            Self.decide([Self.gateway("a", quarantined: [Self.entry])], entry: nil)
                == .succeed(Self.response(acknowledged: ["a"])), "it is being taken away")
    }

    @Test func failsAtOnceWhenNoSnapshotCanHoldIt() {
        #expect(
            Self.decide([Self.gateway("a"), Self.gateway("b", version: 9)], refusal: "no routes")
                == .fail(Self.response(waiting: ["b"]), reason: "The gateway cannot run this revision: no routes"))
        #expect(
            Self.decide([], refusal: "no routes")
                == .fail(Self.response(), reason: "The gateway cannot run this revision: no routes"))
    }
}
