import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import Testing
import Time

@testable import Observability

@Suite struct HealthRoutesTests {
    @Test func theProcessIsUpForAnyone() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/healthz", token: nil)
        #expect(answer.status == 200 && answer.json["status"]?.text == "up")
        #expect(try await fixture.harness.send("HEAD", "/healthz", token: nil).status == 200)
        await fixture.stop()
    }

    @Test func readyOnlyWhenEveryServiceHasStarted() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        fixture.readiness.expect(service: "catalog")
        fixture.readiness.expect(service: "audit")
        fixture.readiness.started(service: "catalog")
        let before: TestAnswer = try await fixture.harness.send("GET", "/readyz", token: nil)
        #expect(before.status == 503 && before.json["status"]?.text == "not-ready")
        #expect(before.json["checks"]?[0] == ["name": "service:catalog", "ok": true])
        #expect(
            before.json["checks"]?[1] == [
                "name": "service:audit", "ok": false, "reason": "the service has not started yet",
                "since": "2026-01-01T00:00:00.000Z",
            ])
        fixture.readiness.started(service: "audit")
        #expect(try await fixture.harness.send("GET", "/readyz", token: nil).status == 200)
        await fixture.stop()
    }

    @Test func aFailingPartIsNamedWithReasonAndSince() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        fixture.readiness.add("store", store: fixture.harness.services.store)
        fixture.readiness.add("audit-tree") {
            Unreadiness(reason: "a tile is missing", since: Timestamp(milliseconds: 1_767_225_600_000))
        }
        let answer: TestAnswer = try await fixture.harness.send("GET", "/readyz", token: nil)
        #expect(answer.status == 503 && answer.fields["Cache-Control"] == "no-store")
        #expect(answer.json["checks"]?[0] == ["name": "store", "ok": true])
        #expect(answer.json["checks"]?[1]?["reason"]?.text == "a tile is missing")
        await fixture.stop()
    }

    @Test func aStoppingProcessIsNotReady() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        #expect(try await fixture.harness.send("GET", "/readyz", token: nil).status == 200)
        fixture.readiness.drain()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/readyz", token: nil)
        #expect(answer.status == 503 && answer.json["checks"]?[0]?["name"]?.text == "process")
        #expect(try await fixture.harness.send("GET", "/healthz", token: nil).status == 200)
        await fixture.stop()
    }

    @Test func metricsAreInPrometheusForm() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/metrics", token: nil)
        #expect(answer.status == 200 && answer.fields["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
        let text: String = String(decoding: answer.bytes, as: UTF8.self)
        #expect(text.contains("# TYPE passerelle_rest_requests_total counter"))
        #expect(text.contains("passerelle_traffic_lines_refused_total 0"))
        await fixture.stop()
    }
}
