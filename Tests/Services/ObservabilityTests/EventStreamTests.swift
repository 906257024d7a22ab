import HTTP
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Observability

@Suite struct EventStreamTests {
    private static let accept: [(String, String)] = [("Accept", "text/event-stream")]

    /// The events with data received so far, and the id a client would reconnect with.
    private func read(_ recorder: ResponseRecorder) throws -> (numbers: [Int64], lastID: String) {
        var decoder: ServerSentEventDecoder = ServerSentEventDecoder()
        let events: [ServerSentEvent] = try decoder.decode(recorder.received)
        return (
            try events.filter { !$0.data.isEmpty }.compactMap { try JSONReader.parse($0.data)["value"]?["n"]?.integer },
            decoder.lastEventID
        )
    }

    @Test func streamsWhatComesToWhomItBelongs() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let stream = await fixture.harness.open("/v1/events/deploy-results", token: "viewer@acme", fields: Self.accept)
        #expect(stream.status == 200)
        try await eventually("the stream to begin") { !stream.recorder.received.isEmpty }
        try await fixture.publish(2, tenant: "globex")
        try await fixture.publish(2, tenant: "acme", from: 10)
        try await eventually("both events") { try self.read(stream.recorder).numbers.sorted() == [10, 11] }
        stream.recorder.disconnect()
        try await fixture.publish(1, tenant: "acme", from: 12)
        await #expect(throws: HTTPError.disconnected) { try await stream.producer.value }
        await fixture.stop()
    }

    @Test func aReconnectingClientGoesOnWhereItWas() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let first = await fixture.harness.open("/v1/events/deploy-results", token: "viewer@acme", fields: Self.accept)
        try await eventually("the stream to begin") { try !self.read(first.recorder).lastID.isEmpty }
        let quiet: String = try self.read(first.recorder).lastID
        try await fixture.publish(3, tenant: "acme")
        try await eventually("three events") { try self.read(first.recorder).numbers.count == 3 }
        first.producer.cancel()
        _ = await first.producer.result
        let id: String = try self.read(first.recorder).lastID
        try await fixture.publish(2, tenant: "acme", from: 20)
        let second = await fixture.harness.open(
            "/v1/events/deploy-results", token: "viewer@acme", fields: Self.accept + [("Last-Event-ID", id)])
        try await eventually("the two that came meanwhile") {
            try self.read(second.recorder).numbers.sorted() == [20, 21]
        }
        second.producer.cancel()
        let third = await fixture.harness.open(
            "/v1/events/deploy-results", token: "viewer@acme", fields: Self.accept + [("Last-Event-ID", quiet)])
        try await eventually("all since the quiet beginning") { try self.read(third.recorder).numbers.count == 5 }
        third.producer.cancel()
        await fixture.stop()
    }

    @Test func aQuietStreamShowsItsPositionAndEndsInTheEnd() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let stream = await fixture.harness.open("/v1/events/deploy-results", fields: Self.accept)
        try await eventually("the stream to begin") { !stream.recorder.received.isEmpty }
        let once: Int = stream.recorder.received.count
        let ended: EndFlag = EndFlag()
        let watcher: Task<Void, Never> = Task {
            _ = await stream.producer.result
            ended.set()
        }
        // Two sleep on the clock when the stream waits: it, and the service's housekeeping.
        func beat() {
            if fixture.harness.clock.sleeperCount >= 2 { fixture.harness.clock.advance(by: EventStream.heartbeat) }
        }
        try await eventually("a heartbeat") {
            beat()
            return stream.recorder.received.count > once
        }
        #expect(!ended.isSet)
        try await eventually("the end of its life") {
            beat()
            return ended.isSet
        }
        try await stream.producer.value
        await watcher.value
        await fixture.stop()
    }

    @Test func auditReadersAreNotedOnceForAStream() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.audit(tenant: "acme")
        let stream = await fixture.harness.open(
            "/v1/events/audit-log?from=earliest", token: "auditor@acme", fields: Self.accept)
        try await eventually("the entry and the reading") {
            String(decoding: stream.recorder.received, as: UTF8.self).contains("audit.read")
        }
        stream.producer.cancel()
        _ = await stream.producer.result
        #expect(try await fixture.harness.auditEntries("audit.read").count == 1)
        await fixture.stop()
    }
}
