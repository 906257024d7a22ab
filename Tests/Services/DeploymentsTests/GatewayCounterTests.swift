import JSON
import REST
import ServiceTestKit
import Store
import Testing

@testable import Deployments

/// What gateways count together, and how many divide the rest.
struct GatewayCounterTests {
    private static func change(_ window: Int64, _ amount: Int64, key: String = "acme/a|quota") -> JSONValue {
        .object(["key": .string(key), "window": .int(window), "ends": "2030-01-01T00:00:00Z", "amount": .int(amount)])
    }

    @Test func addsUpWhatGatewaysCount() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let first: FakeGateway = fixture.gateway("one")
        let second: FakeGateway = fixture.gateway("two")
        #expect(try await first.count([Self.change(7, 3), Self.change(7, 2, key: "acme/b|quota")]).totals == [3, 2])
        #expect(try await second.count([Self.change(7, 4)]).totals == [7])
        #expect(try await first.count([Self.change(7, 0)]).totals == [7])
        // A new window begins at zero; one that has passed counts nothing.
        #expect(try await first.count([Self.change(8, 1)]).totals == [1])
        #expect(try await second.count([Self.change(7, 5)]).totals == [0])
        #expect(try await second.count([Self.change(8, 0)]).totals == [1])
        await fixture.harness.stop()
    }

    /// A sum that no longer fits an integer would be kept as another kind of number, and nobody could read it.
    @Test func aGatewayThatCountsAnythingSpoilsNoSum() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway("one")
        #expect(try await gateway.count([Self.change(7, 3)]).totals == [3])
        for sign: Int64 in [1, -1] {
            let edge: Int64 = sign * CountedAmount.totalMax
            try await fixture.harness.services.store.write { transaction in
                try transaction.execute("UPDATE gateway_counters SET total = $1", .int(edge))
            }
            #expect(try await gateway.count([Self.change(7, sign * CountedAmount.amountMax)]).totals == [edge])
            #expect(try await gateway.count([Self.change(7, -sign)]).totals == [edge - sign])
        }
        await fixture.harness.stop()
    }

    @Test func nothingIsKeptOfTenantsThatHaveEnded() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway("one")
        let key: String = "gone/a|quota"
        for _ in 0..<2 { #expect(try await gateway.count([Self.change(7, 3, key: key)]).totals == [3]) }
        #expect(try await gateway.count([Self.change(7, 4)]).totals == [4])
        let kept: [String] = try await fixture.harness.services.store.read { reader in
            try reader.rows("SELECT tenant FROM gateway_counters") { try $0.text(0) }
        }
        #expect(kept == ["acme"])
        await fixture.harness.stop()
    }

    @Test func refusesWhatIsNoCount() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway("one")
        let bad: JSONValue = .object(["key": "a", "window": 1, "ends": "tomorrow", "amount": 1])
        #expect(try await gateway.count([bad]).status == 400)
        #expect(try await gateway.count([.object(["key": "a"])]).status == 400)
        #expect(try await gateway.count([Self.change(1, 2_000_000_000_000)]).status == 400)
        await fixture.harness.stop()
    }

    @Test func tellsHowManyGatewaysAreLive() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let first: FakeGateway = fixture.gateway("one")
        let second: FakeGateway = fixture.gateway("two")
        try await first.pull()
        #expect(await first.liveGateways == "1")
        try await second.pull()
        try await first.pull()
        #expect(await first.liveGateways == "2")
        await fixture.harness.stop()
    }
}
