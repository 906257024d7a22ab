import Contracts
import EventLog
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

@testable import Observability

@Suite struct EventAdministrationTests {
    /// A group that gives up every record whose number is odd.
    private func fixture() async throws -> (ObservabilityFixture, Consumer) {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let consumer: Consumer = try fixture.harness.services.log.consume(
            group: "tester", topics: [Topics.deployResults],
            handler: .external { record in
                let number: Int64 = (try? JSONReader.parse(record.value))?["n"]?.integer ?? 0
                return number.isMultiple(of: 2) ? .done : .poison(reason: "odd")
            })
        try await fixture.publish(2, tenant: "acme")
        try await eventually("the dead letter") {
            try await fixture.harness.send("GET", "/v1/events/dlq/deploy-results").json["items"]?.elements?.count == 1
        }
        return (fixture, consumer)
    }

    @Test func aDeadLetterIsShownRedrivenAndDropped() async throws {
        let (fixture, consumer): (ObservabilityFixture, Consumer) = try await self.fixture()
        let list: TestAnswer = try await fixture.harness.send("GET", "/v1/events/dlq/deploy-results")
        let letter: JSONValue = try #require(list.json["items"]?[0])
        #expect(letter["group"]?.text == "tester" && letter["reason"]?.text == "odd" && letter["outcome"] == .null)
        #expect(letter["record"]?["value"]?["n"] == 1)
        let shown: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/dlq/deploy-results/\(letter["offset"]?.integer ?? -1)")
        #expect(shown.status == 200 && shown.json == letter)
        let offset: Int64 = try #require(letter["offset"]?.integer)
        #expect(try await fixture.harness.send("POST", "/v1/events/dlq/deploy-results/\(offset)/redrive").status == 204)
        #expect(try await fixture.harness.send("POST", "/v1/events/dlq/deploy-results/\(offset)/redrive").status == 404)
        var again: Int64 = offset
        try await eventually("it to be given up again") {
            let open: TestAnswer = try await fixture.harness.send("GET", "/v1/events/dlq/deploy-results")
            again = open.json["items"]?[0]?["offset"]?.integer ?? offset
            return again > offset
        }
        #expect(try await fixture.harness.send("DELETE", "/v1/events/dlq/deploy-results/\(again)").status == 204)
        #expect(
            try await fixture.harness.send("GET", "/v1/events/dlq/deploy-results").json["items"]?.elements?.isEmpty
                == true)
        let settled: TestAnswer = try await fixture.harness.send("GET", "/v1/events/dlq/deploy-results?settled=true")
        #expect(settled.json["items"]?.elements?.compactMap { $0["outcome"]?.text } == ["redriven", "dropped"])
        #expect(try await fixture.harness.auditEntries("events.dead-letter-redriven").count == 1)
        #expect(try await fixture.harness.auditEntries("events.dead-letter-dropped").count == 1)
        await consumer.stop()
        await fixture.stop()
    }

    @Test func groupsShowTheirLagAndAreMoved() async throws {
        let (fixture, consumer): (ObservabilityFixture, Consumer) = try await self.fixture()
        await consumer.stop()
        try await fixture.publish(3, tenant: "acme", from: 10)
        let groups: TestAnswer = try await fixture.harness.send("GET", "/v1/events/groups")
        let own: [JSONValue] = (groups.json["items"]?.elements ?? []).filter { $0["group"]?.text == "tester" }
        #expect(own.count == 6 && own.compactMap { $0["lag"]?.integer }.reduce(0, +) == 3)
        let body: JSONValue = ["topic": "deploy-results", "to": "earliest"]
        #expect(try await fixture.harness.send("POST", "/v1/events/groups/tester/seek", body).status == 204)
        let moved: TestAnswer = try await fixture.harness.send("GET", "/v1/events/groups")
        #expect(moved.json["items"]?.elements?.compactMap { $0["lag"]?.integer }.reduce(0, +) == 5)
        #expect(try await fixture.harness.auditEntries("events.group-moved").first?["changes"] == body)
        let held: JSONValue = try #require(
            moved.json["items"]?.elements?.first { ($0["end"]?.integer ?? 0) > 0 && $0["group"]?.text == "tester" })
        let end: Int64 = try #require(held["end"]?.integer)
        let partition: JSONValue = held["partition"] ?? .null
        let exact: JSONValue = ["topic": "deploy-results", "partition": partition, "to": .string("\(end)")]
        #expect(try await fixture.harness.send("POST", "/v1/events/groups/tester/seek", exact).status == 204)
        let beyond: JSONValue = ["topic": "deploy-results", "partition": partition, "to": .string("\(end + 1)")]
        let refused: TestAnswer = try await fixture.harness.send("POST", "/v1/events/groups/tester/seek", beyond)
        #expect(refused.status == 400 && refused.json["errors"]?[0]?["pointer"]?.text == "/to")
        let again: TestAnswer = try await fixture.harness.send("GET", "/v1/events/groups")
        #expect(again.json["items"]?.elements?.compactMap { $0["lag"]?.integer }.reduce(0, +) == 5 - end)
        #expect(try await fixture.harness.send("DELETE", "/v1/events/groups/tester").status == 204)
        #expect(try await fixture.harness.send("DELETE", "/v1/events/groups/tester").status == 404)
        #expect(try await fixture.harness.auditEntries("events.group-deleted").count == 1)
        await fixture.stop()
    }

    @Test func aRunningGroupIsNotForgotten() async throws {
        let (fixture, consumer): (ObservabilityFixture, Consumer) = try await self.fixture()
        #expect(try await fixture.harness.send("DELETE", "/v1/events/groups/tester").status == 409)
        await consumer.stop()
        await fixture.stop()
    }

    @Test func anEventIsProducedInTheCallersNameToOpenTopicsOnly() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let event: JSONValue = ["key": "nightly", "value": ["status": "passed"], "type": "scan.ended"]
        let produced: TestAnswer = try await fixture.harness.send(
            "POST", "/v1/events/security-job-results?tenant=acme", event)
        #expect(produced.status == 201)
        try await fixture.harness.waitForNumbers(Topics.securityJobResults)
        let read: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/security-job-results?tenant=acme&from=earliest")
        let item: JSONValue = try #require(read.json["items"]?[0])
        #expect(item["id"] == produced.json["id"] && item["tenant"]?.text == "acme" && item["key"]?.text == "nightly")
        #expect(item["type"]?.text == "scan.ended" && item["value"]?["status"]?.text == "passed")
        #expect(item["actor"]?.text?.isEmpty == false)
        #expect(try await fixture.harness.send("POST", "/v1/events/security-job-results", event).status == 400)
        #expect(try await fixture.harness.send("POST", "/v1/events/deploy-requests?tenant=acme", event).status == 409)
        #expect(try await fixture.harness.send("POST", "/v1/events/audit-log?tenant=acme", event).status == 409)
        #expect(try await fixture.harness.send("POST", "/v1/events/nothing?tenant=acme", event).status == 404)
        for token: String in ["viewer@acme", "operator@acme"] {
            #expect(
                try await fixture.harness.send(
                    "POST", "/v1/events/security-job-results?tenant=acme", token: token, event
                ).status == 403)
        }
        await fixture.stop()
    }

    @Test func whatIsNotThereIsSaid() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        for (method, target) in [
            ("GET", "/v1/events/dlq/nothing"), ("GET", "/v1/events/dlq/deploy-results/7"),
            ("DELETE", "/v1/events/dlq/deploy-results/7"),
            ("POST", "/v1/events/dlq/deploy-results/x/redrive"), ("DELETE", "/v1/events/dlq/nothing/0"),
        ] {
            #expect(try await fixture.harness.send(method, target).status == 404, "\(method) \(target)")
        }
        let seek: JSONValue = ["topic": "deploy-results", "to": "earliest"]
        #expect(try await fixture.harness.send("POST", "/v1/events/groups/nobody/seek", seek).status == 404)
        let unclear: JSONValue = ["topic": "deploy-results", "to": "somewhere"]
        let answer: TestAnswer = try await fixture.harness.send("POST", "/v1/events/groups/nobody/seek", unclear)
        #expect(answer.status == 400 && answer.json["errors"]?[0]?["pointer"]?.text == "/to")
        await fixture.stop()
    }

    @Test(arguments: ["viewer@acme", "operator@acme", "cpi-tenant@acme"])
    func tenantRolesAdministerNothing(token: String) async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let seek: JSONValue = ["topic": "deploy-results", "to": "earliest"]
        #expect(try await fixture.harness.send("GET", "/v1/events/groups", token: token).status == 403)
        #expect(try await fixture.harness.send("POST", "/v1/events/groups/x/seek", token: token, seek).status == 403)
        #expect(try await fixture.harness.send("GET", "/v1/events/dlq/deploy-results", token: token).status == 403)
        #expect(try await fixture.harness.send("DELETE", "/v1/events/dlq/deploy-results/0", token: token).status == 403)
        await fixture.stop()
    }
}
