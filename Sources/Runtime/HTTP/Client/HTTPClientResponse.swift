/// A response's head, and its body as it comes.
package struct HTTPClientResponse: Sendable {
    package let status: Int
    package let fields: HTTPFields
    package let body: HTTPClientBody

    package var isSuccess: Bool { self.status >= 200 && self.status < 300 }

    /// The body as server-sent events, decoded as they come.
    package var events: ServerSentEvents { ServerSentEvents(body: self.body) }
}

/// The body of a response: bytes that came with the head, or a stream with back-pressure.
///
/// Letting go of it unread closes the connection, if there is more to come.
package struct HTTPClientBody: Sendable, AsyncSequence {
    package typealias Element = [UInt8]
    package typealias Failure = HTTPClientError

    enum Storage: Sendable {
        case bytes([UInt8])
        case stream(StreamHandle)
    }

    let storage: Storage
    /// The length the response declared; nil for a chunked one or one that ends with its connection.
    package let declaredLength: Int?

    init(_ bytes: [UInt8]) {
        self.storage = .bytes(bytes)
        self.declaredLength = bytes.count
    }

    init(_ stream: BodyStream<HTTPClientError>, declaredLength: Int?) {
        self.storage = .stream(StreamHandle(stream))
        self.declaredLength = declaredLength
    }

    /// The whole body, or `bodyTooLarge` as soon as it is known to be over `max`.
    package func collect(max: Int) async throws(HTTPClientError) -> [UInt8] {
        if let declared: Int = self.declaredLength, declared > max { throw HTTPClientError.bodyTooLarge(limit: max) }
        switch self.storage {
        case .bytes(let bytes): return bytes
        case .stream(let handle):
            var collected: [UInt8] = []
            while let chunk: [UInt8] = try await handle.stream.next() {
                guard collected.count + chunk.count <= max else {
                    handle.stream.abandon()
                    throw HTTPClientError.bodyTooLarge(limit: max)
                }
                if collected.isEmpty { collected = chunk } else { collected.append(contentsOf: chunk) }
            }
            return collected
        }
    }

    package func makeAsyncIterator() -> Iterator { Iterator(storage: self.storage) }

    package struct Iterator: AsyncIteratorProtocol {
        var storage: Storage

        package mutating func next() async throws(HTTPClientError) -> [UInt8]? {
            switch self.storage {
            case .bytes(let bytes):
                self.storage = .bytes([])
                return bytes.isEmpty ? nil : bytes
            case .stream(let handle):
                return try await handle.stream.next()
            }
        }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws(HTTPClientError) -> [UInt8]? {
            try await self.next()
        }
    }
}

/// Tells the connection when the last reference to a body is gone.
final class StreamHandle: Sendable {
    let stream: BodyStream<HTTPClientError>

    init(_ stream: BodyStream<HTTPClientError>) {
        self.stream = stream
    }

    deinit { self.stream.abandon() }
}

/// The events of a response body. Ends when the server ends the stream; throws `HTTPClientError` when the connection breaks and
/// `ServerSentEventError` when the stream is not one of events.
package struct ServerSentEvents: Sendable, AsyncSequence {
    package typealias Element = ServerSentEvent

    let body: HTTPClientBody

    package func makeAsyncIterator() -> Iterator { Iterator(chunks: self.body.makeAsyncIterator()) }

    package struct Iterator: AsyncIteratorProtocol {
        var chunks: HTTPClientBody.Iterator
        private var decoder: ServerSentEventDecoder = ServerSentEventDecoder()
        private var ready: [ServerSentEvent] = []
        private var position: Int = 0

        init(chunks: HTTPClientBody.Iterator) {
            self.chunks = chunks
        }

        package mutating func next() async throws -> ServerSentEvent? {
            while self.position == self.ready.count {
                guard let chunk: [UInt8] = try await self.chunks.next() else { return nil }
                self.ready = try self.decoder.decode(chunk)
                self.position = 0
            }
            self.position += 1
            return self.ready[self.position - 1]
        }
    }
}
