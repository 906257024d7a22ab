import Synchronization
import Testing

@testable import HTTP

private final class CountingSink: ResponseSink {
    private let told: Mutex<Int> = Mutex(0)
    var count: Int { self.told.withLock { $0 } }
    func outputReady(_ writer: ResponseWriter) { self.told.withLock { $0 += 1 } }
}

@Suite struct ResponseWriterTests {
    private let sink: CountingSink = CountingSink()

    @Test func framesChunksAndTellsTheLoopOnceUntilItTook() async throws {
        let writer: ResponseWriter = ResponseWriter(sink: self.sink, framing: .chunked)
        try await writer.write("hello world 12345")
        try await writer.write("")
        try await writer.write("a")
        #expect(self.sink.count == 1)
        let taken = writer.take()
        #expect(String(decoding: taken.bytes, as: UTF8.self) == "11\r\nhello world 12345\r\n1\r\na\r\n")
        #expect(!taken.isLast)
        try await writer.write("b")
        #expect(self.sink.count == 1)
        #expect(writer.take().bytes.count == 6)
        #expect(writer.take().bytes.isEmpty)
        #expect(writer.finish())
        #expect(self.sink.count == 2)
        let last = writer.take()
        #expect(String(decoding: last.bytes, as: UTF8.self) == "0\r\n\r\n")
        #expect(last.isLast)
        await #expect(throws: HTTPError.self) { try await writer.write("late") }
    }

    @Test func holdsAProducerToItsContentLength() async throws {
        let writer: ResponseWriter = ResponseWriter(sink: self.sink, framing: .counted(3))
        try await writer.write("ab")
        #expect(!writer.finish())
        await #expect(throws: HTTPError.invalidResponse("more bytes than the Content-Length of the response")) {
            try await writer.write("cd")
        }
        try await writer.write("c")
        #expect(writer.finish())
        #expect(writer.take().bytes == Array("abc".utf8))
    }

    @Test func suspendsAboveTheLimitUntilTheLoopTakes() async throws {
        let writer: ResponseWriter = ResponseWriter(sink: self.sink, framing: .untilClose)
        let big: [UInt8] = Array(repeating: 0, count: ResponseWriter.unsentBytesMax + 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await writer.write(big)
            }
            while writer.unsentPeak == 0 { await Task.yield() }
            #expect(writer.take().bytes.count == big.count)
            try await group.waitForAll()
        }
        #expect(writer.unsentPeak == big.count)
    }

    @Test func aGoneClientFailsWaitingAndLaterWrites() async throws {
        let writer: ResponseWriter = ResponseWriter(sink: self.sink, framing: .untilClose)
        let big: [UInt8] = Array(repeating: 0, count: ResponseWriter.unsentBytesMax + 1)
        let producer: Task<Void, any Error> = Task { try await writer.write(big) }
        while writer.unsentPeak == 0 { await Task.yield() }
        writer.fail(.disconnected)
        await #expect(throws: HTTPError.disconnected) { try await producer.value }
        await #expect(throws: HTTPError.disconnected) { try await writer.write("x") }
        #expect(writer.isDisconnected)
    }

    @Test func aCancelledWriteStopsWaiting() async throws {
        let writer: ResponseWriter = ResponseWriter(sink: self.sink, framing: .untilClose)
        let big: [UInt8] = Array(repeating: 0, count: ResponseWriter.unsentBytesMax + 1)
        let producer: Task<Void, any Error> = Task { try await writer.write(big) }
        while writer.unsentPeak == 0 { await Task.yield() }
        producer.cancel()
        await #expect(throws: HTTPError.disconnected) { try await producer.value }
        #expect(writer.take().bytes.count == big.count)
        try await writer.write("another task goes on")
    }
}
