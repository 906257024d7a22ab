import Synchronization

/// Takes what a producer streams, without a connection: for calls within the process, and for tests.
package final class ResponseRecorder: Sendable {
    private let sink: RecordingSink = RecordingSink()
    /// What to hand to the producer.
    package let writer: ResponseWriter

    package init() { self.writer = ResponseWriter(sink: self.sink, framing: .untilClose) }

    /// Everything written so far.
    package var received: [UInt8] { self.sink.bytes.withLock { $0 } }

    /// As if the client had gone: every later write fails.
    package func disconnect() { self.writer.fail(.disconnected) }
}

private final class RecordingSink: ResponseSink {
    let bytes: Mutex<[UInt8]> = Mutex([])

    func outputReady(_ writer: ResponseWriter) {
        // As a loop does: take until nothing is left, then the next write tells again.
        while true {
            let taken: [UInt8] = writer.take().bytes
            if taken.isEmpty { return }
            self.bytes.withLock { $0.append(contentsOf: taken) }
        }
    }
}

extension HTTPResponse.Body {
    /// The whole body, in memory: a stream is run to its end.
    package func collect() async throws -> [UInt8] {
        switch self {
        case .bytes(let bytes): return bytes
        case .stream(let producer):
            let recorder: ResponseRecorder = ResponseRecorder()
            try await producer(recorder.writer)
            return recorder.received
        }
    }
}
