import Contracts
import JSON
import Testing
import Time

@testable import Observability

@Suite struct TrafficModelTests {
    private let now: Timestamp = Timestamp(milliseconds: 1_767_225_600_000)

    private func rollup(_ lines: [TrafficReport.Line]) -> TrafficRollup {
        TrafficRollup(TrafficReport(gatewayID: "gw_1", sequence: 1, lines: lines), now: self.now)
    }

    @Test func linesOfOneMinuteAreSummed() throws {
        let rollup: TrafficRollup = self.rollup([
            trafficLine(),
            trafficLine(minute: 1_767_225_600_000 + 59_999, requests: 1, duration: 2_000, durationMax: 2_000),
            trafficLine(minute: 1_767_225_660_000), trafficLine(statusClass: 5), trafficLine(tenant: "globex"),
        ])
        #expect(rollup.rows.count == 4 && rollup.refusedLines == 0)
        let key: TrafficKey = TrafficKey(
            tenant: "acme", minute: 1_767_225_600_000, apiID: "api_1", environment: "dev", applicationID: "app_1",
            route: "/pets", statusClass: 2)
        #expect(
            rollup.rows[key]
                == TrafficSums(
                    requests: 11, durationMicroseconds: 7_000, durationMicrosecondsMax: 2_000, bytesIn: 200,
                    bytesOut: 4_000))
    }

    @Test func linesThatCannotBeRightAreLeftOutAndCounted() {
        let day: Int64 = 86_400_000
        let bad: [TrafficReport.Line] = [
            trafficLine(requests: 0), trafficLine(requests: -1), trafficLine(duration: -1), trafficLine(bytesIn: -1),
            trafficLine(bytesOut: Int64.max), trafficLine(duration: 1, durationMax: 2), trafficLine(statusClass: 0),
            trafficLine(statusClass: 6), trafficLine(tenant: ""),
            trafficLine(route: String(repeating: "a", count: 513)),
            trafficLine(minute: self.now.milliseconds - 31 * day), trafficLine(minute: self.now.milliseconds + 600_000),
            trafficLine(minute: Int64.min), trafficLine(minute: Int64.max),
        ]
        let rollup: TrafficRollup = self.rollup(bad + [trafficLine()])
        #expect(rollup.rows.count == 1 && rollup.refusedLines == bad.count)
    }

    @Test func aReportBeyondTheLimitIsCutAndSaid() {
        let rollup: TrafficRollup = self.rollup(Array(repeating: trafficLine(), count: TrafficRollup.linesMax + 3))
        #expect(rollup.rows.count == 1 && rollup.refusedLines == 3)
        #expect(rollup.rows.values.first?.requests == Int64(TrafficRollup.linesMax) * 10)
    }

    @Test func sumsStopInsteadOfOverflowing() {
        var sums: TrafficSums = TrafficSums(requests: Int64.max - 1)
        sums.add(TrafficSums(requests: 5))
        #expect(sums.requests == Int64.max)
    }

    @Test func aQuestionCoversWholeMinutes() throws {
        let question: TrafficQuestion = try TrafficQuestion(
            grouping: .api, interval: nil, from: "2026-01-01T00:00:30Z", to: "2026-01-01T00:02:01Z", now: self.now)
        #expect(question.minutes == 1_767_225_600_000..<1_767_225_780_000)
        let lastHour: TrafficQuestion = try TrafficQuestion(
            grouping: .api, interval: nil, from: nil, to: nil, now: self.now)
        #expect(lastHour.minutes == (1_767_225_600_000 - 3_600_000)..<1_767_225_600_000)
    }

    @Test(
        arguments: [
            ("yesterday", nil, nil, "from"), (nil, "now", nil, "to"),
            ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", nil, "from"),
            ("2025-11-01T00:00:00Z", "2026-01-01T00:00:00Z", nil, "from"),
            ("2025-12-20T00:00:00Z", "2026-01-01T00:00:00Z", "minute", "interval"),
        ] as [(String?, String?, String?, String)])
    func aQuestionThatCannotBeAskedNamesTheParameter(from: String?, to: String?, interval: String?, parameter: String) {
        let error: TrafficProblem? = #expect(throws: TrafficProblem.self) {
            try TrafficQuestion(
                grouping: .api, interval: interval.flatMap { TrafficQuestion.Interval(rawValue: $0) }, from: from,
                to: to,
                now: self.now)
        }
        #expect(error?.parameter == parameter)
    }

    @Test func aGroupTellsErrorsApart() throws {
        var group: TrafficGroup = TrafficGroup(name: "api_1", start: 1_767_225_600_000)
        group.add(TrafficSums(requests: 8, durationMicroseconds: 8_000, durationMicrosecondsMax: 1_500), statusClass: 2)
        group.add(TrafficSums(requests: 2, durationMicroseconds: 2_000, durationMicrosecondsMax: 500), statusClass: 5)
        let json: JSONValue = group.json(member: "api_id")
        #expect(json["requests"] == 10 && json["client_errors"] == 0 && json["server_errors"] == 2)
        #expect(json["duration_ms_mean"]?.number == 1 && json["duration_ms_max"]?.number == 1.5)
        #expect(json["api_id"]?.text == "api_1" && json["time"]?.text == "2026-01-01T00:00:00.000Z")
    }
}
