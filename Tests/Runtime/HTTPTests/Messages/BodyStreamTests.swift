import Synchronization
import Testing

@testable import HTTP

/// Counts what a stream asks of its source.
private final class CountingSource: BodySource {
    struct Counts: Equatable {
        var wanted: Int = 0
        var drained: Int = 0
        var abandoned: Int = 0
    }
    private let counts: Mutex<Counts> = Mutex(Counts())
    var seen: Counts { self.counts.withLock { $0 } }
    func bodyWanted() { self.counts.withLock { $0.wanted += 1 } }
    func bodyDrained() { self.counts.withLock { $0.drained += 1 } }
    func bodyAbandoned() { self.counts.withLock { $0.abandoned += 1 } }
}

@Suite struct BodyStreamTests {
    private let source: CountingSource = CountingSource()
    private let stream: BodyStream<HTTPError>

    init() {
        self.stream = BodyStream(source: self.source, unreadBytesMax: 8, cancelled: .disconnected)
    }

    private func append(_ text: String) -> Bool {
        Array(text.utf8).withUnsafeBytes { self.stream.append($0) }
    }

    @Test func asksForTheBodyOnceAndOnlyIfNothingCame() async throws {
        #expect(self.append("ab"))
        #expect(try await self.stream.next() == Array("ab".utf8))
        #expect(self.source.seen == CountingSource.Counts())

        let fresh: BodyStream<HTTPError> = BodyStream(source: self.source, unreadBytesMax: 8, cancelled: .disconnected)
        fresh.fail(.bodyTimeout)
        await #expect(throws: HTTPError.bodyTimeout) { try await fresh.next() }
        #expect(self.source.seen.wanted == 0)
    }

    @Test func pausesAtTheLimitAndGoesOnWhenDrained() async throws {
        #expect(self.append("1234"))
        #expect(!self.append("56789"))
        #expect(self.source.seen.drained == 0)
        #expect(try await self.stream.next() == Array("123456789".utf8))
        #expect(self.source.seen.drained == 1)
        #expect(self.append("x"))
        #expect(try await self.stream.next() == Array("x".utf8))
        #expect(self.source.seen.drained == 1)
        #expect(self.stream.unreadPeak == 9)
    }

    @Test func deliversWhatCameBeforeTheEndOrTheFailure() async throws {
        _ = self.append("a")
        self.stream.finish()
        #expect(try await self.stream.next() == Array("a".utf8))
        #expect(try await self.stream.next() == nil)
        #expect(try await self.stream.next() == nil)

        let broken: BodyStream<HTTPError> = BodyStream(source: self.source, unreadBytesMax: 8, cancelled: .disconnected)
        _ = [UInt8]([1]).withUnsafeBytes { broken.append($0) }
        broken.fail(.disconnected)
        broken.finish()
        #expect(try await broken.next() == [1])
        await #expect(throws: HTTPError.disconnected) { try await broken.next() }
    }

    @Test func wakesAWaitingConsumer() async throws {
        let stream: BodyStream<HTTPError> = self.stream
        let source: CountingSource = self.source
        let consumer: Task<[UInt8]?, any Error> = Task { try await stream.next() }
        while source.seen.wanted == 0 { await Task.yield() }
        #expect(self.append("late"))
        #expect(try await consumer.value == Array("late".utf8))
    }

    @Test func aCancelledConsumerGetsItsErrorAndTheSourceIsTold() async {
        let stream: BodyStream<HTTPError> = self.stream
        let source: CountingSource = self.source
        let consumer: Task<[UInt8]?, any Error> = Task { try await stream.next() }
        while source.seen.wanted == 0 { await Task.yield() }
        consumer.cancel()
        await #expect(throws: HTTPError.disconnected) { try await consumer.value }
        #expect(self.source.seen.abandoned == 1)
        #expect(self.append("ignored"))
        await #expect(throws: HTTPError.disconnected) { try await stream.next() }
        stream.abandon()
        #expect(self.source.seen.abandoned == 1)
    }

    @Test func abandoningAFinishedBodyTellsNobody() {
        self.stream.finish()
        self.stream.abandon()
        #expect(self.source.seen.abandoned == 0)
    }

    @Test func collectStopsAtItsLimit() async throws {
        _ = self.append("1234")
        _ = self.append("56")
        let body: HTTPBody = HTTPBody(self.stream, declaredLength: nil)
        await #expect(throws: HTTPError.bodyTooLarge(limit: 5)) { try await body.collect(max: 5) }
        #expect(self.source.seen.abandoned == 1)

        let declared: HTTPBody = HTTPBody(self.stream, declaredLength: 100)
        await #expect(throws: HTTPError.bodyTooLarge(limit: 5)) { try await declared.collect(max: 5) }
        #expect(try await HTTPBody([1, 2]).collect(max: 2) == [1, 2])
    }

    @Test func bytesIterateAsOneChunk() async throws {
        var chunks: [[UInt8]] = []
        for try await chunk in HTTPBody([1, 2]) { chunks.append(chunk) }
        #expect(chunks == [[1, 2]])
        for try await _ in HTTPBody.empty { Issue.record("an empty body has no chunks") }
    }
}
