import HTTP
import JSON
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Deployments

/// What tenants ask gateways to forget, and how gateways learn of it.
struct CachePurgeTests {
    private static let path: String = "/v1/tenants/acme/cache/purges"

    private static func purge(
        _ fixture: DeploymentsFixture, _ body: JSONObject, token: String? = "devops@acme"
    ) async throws -> TestAnswer {
        var sent: JSONObject = body
        // The clock stands still: nothing is waited for.
        sent["wait_seconds"] = 0
        return try await fixture.send("POST", Self.path, token: token, .object(sent))
    }

    private static func feed(
        _ fixture: DeploymentsFixture, since: Int64?, gateway: String = "gw-1", wait: Int = 0
    ) async throws -> JSONValue {
        let since: String = since.map { "since=\($0)&" } ?? ""
        let answer: TestAnswer = try await fixture.send(
            "GET", "/v1/gateways/\(gateway)/purges?\(since)wait=\(wait)", token: fixture.token)
        try #require(answer.status == 200, "\(answer.json)")
        return answer.json
    }

    @Test func gatewaysAreToldInOrderAndCounted() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let api: String = try await fixture.apiID()
        #expect(try await Self.feed(fixture, since: nil) == ["number": 0, "all": false, "orders": []])
        let first: TestAnswer = try await Self.purge(
            fixture, ["api": "orders", "environment": "dev", "url": "http://API.example.com:80/%6frders/../x"])
        #expect(first.status == 400, "a path that servers read differently")
        let address: TestAnswer = try await Self.purge(
            fixture, ["api": "orders", "environment": "dev", "url": "http://api.example.com:8000/%6frders?page=2"])
        #expect(address.status == 202)
        #expect(address.fields["Location"] == "\(Self.path)/1")
        #expect(address.json == ["number": 1, "complete": false, "gateways": ["done": 0, "pending": 1, "away": 0]])
        #expect(try await Self.purge(fixture, ["tag": "red"]).json["number"]?.integer == 2)
        #expect(try await Self.purge(fixture, ["all": true]).json["number"]?.integer == 3)
        let feed: JSONValue = try await Self.feed(fixture, since: 0)
        #expect(feed["number"]?.integer == 3)
        #expect(
            feed["orders"]?.elements == [
                [
                    "tenant": "acme", "apis": [.string("\(api).dev")], "host": "api.example.com:8000",
                    "target": "/orders?page=2",
                ],
                ["tenant": "acme", "apis": [], "tag": "red"], ["tenant": "acme", "apis": []],
            ])
        // Asking again says what was done.
        _ = try await Self.feed(fixture, since: 2)
        let third: JSONValue = try await fixture.send("GET", "\(Self.path)/3").json
        #expect(third["gateways"] == ["done": 0, "pending": 1, "away": 0])
        let second: JSONValue = try await fixture.send("GET", "\(Self.path)/2").json
        #expect(second == ["number": 2, "complete": true, "gateways": ["done": 1, "pending": 0, "away": 0]])
        let entries: [JSONValue] = try await fixture.harness.auditEntries("cache.purged")
        #expect(entries.map { $0["resource"]?["id"]?.text } == ["1", "2", "3"])
        #expect(entries[1]["changes"]?["tag"]?.text == "red")
        await fixture.harness.stop()
    }

    @Test func aWaitingGatewayIsWoken() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        _ = try await Self.feed(fixture, since: nil)
        // The clock stands still: only the order can end this wait.
        async let waiting: JSONValue = Self.feed(fixture, since: 0, wait: 10)
        #expect(try await Self.purge(fixture, ["all": true]).status == 202)
        #expect(try await waiting["number"]?.integer == 1)
        await fixture.harness.stop()
    }

    @Test func whoMissesAnOrderForgetsEverything() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        _ = try await Self.purge(fixture, ["all": true])
        fixture.harness.clock.advance(by: .seconds(90_000))
        _ = try await Self.purge(fixture, ["tag": "red"])
        // The first is not kept any more; a number of the future is one of a database that was restored since.
        for since: Int64 in [0, 7] {
            #expect(try await Self.feed(fixture, since: since) == ["number": 2, "all": true, "orders": []])
        }
        #expect(try await Self.feed(fixture, since: 1)["orders"]?.elements?.count == 1)
        #expect(try await fixture.send("GET", "\(Self.path)/1").status == 404)
        await fixture.harness.stop()
    }

    @Test(
        arguments: [
            ([:], ""), (["all": true, "tag": "x"], ""), (["tag": "x", "url": "http://x/"], "/url"),
            (["all": true, "environment": "dev"], "/environment"), (["api": "nothing"], "/api"),
            (["api": "orders", "environment": "moon"], "/environment"), (["api": "orders", "url": "orders"], "/url"),
            (["api": "orders", "url": "ftp://x/"], "/url"),
        ] as [(JSONObject, String)]) func refusesWhatIsNotClear(_ body: JSONObject, pointer: String) async throws
    {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let answer: TestAnswer = try await Self.purge(fixture, body)
        #expect(answer.status == 400, "\(answer.json)")
        #expect(answer.json["errors"]?.elements?.first?["pointer"]?.text == pointer, "\(answer.json)")
        #expect(try await Self.feed(fixture, since: nil)["number"]?.integer == 0)
        await fixture.harness.stop()
    }

    @Test func onlyThoseWhoMayPurge() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        #expect(try await Self.purge(fixture, ["all": true], token: "viewer@acme").status == 403)
        #expect(try await Self.purge(fixture, ["all": true], token: "devops@globex").status == 404)
        #expect(try await Self.purge(fixture, ["all": true]).status == 200, "there is no gateway to wait for")
        #expect(try await fixture.send("GET", "\(Self.path)/1", token: "devops@globex").status == 404)
        #expect(try await fixture.send("GET", "/v1/gateways/gw-1/purges", token: "devops@acme").status == 403)
        await fixture.harness.stop()
    }
}
