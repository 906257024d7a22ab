/// The body of a request as a handler sees it: bytes that are there already, or a stream with back-pressure.
///
/// One consumer reads it once. Not reading it is allowed: the server then discards what comes or closes the connection.
package struct HTTPBody: Sendable, AsyncSequence {
    package typealias Element = [UInt8]
    package typealias Failure = HTTPError

    enum Storage: Sendable {
        case bytes([UInt8])
        case stream(BodyStream<HTTPError>)
    }

    let storage: Storage
    /// The length the message declared; nil for a chunked one.
    package let declaredLength: Int?

    package static let empty: HTTPBody = HTTPBody([])

    package init(_ bytes: [UInt8]) {
        self.storage = .bytes(bytes)
        self.declaredLength = bytes.count
    }

    init(_ stream: BodyStream<HTTPError>, declaredLength: Int?) {
        self.storage = .stream(stream)
        self.declaredLength = declaredLength
    }

    /// Whether the message had a body of more than no bytes, as far as is known before reading.
    package var isEmpty: Bool { self.declaredLength == 0 }

    /// The whole body. Throws `bodyTooLarge` as soon as it is known to be over `max`, before reading if the message declared it.
    package func collect(max: Int) async throws(HTTPError) -> [UInt8] {
        if let declared: Int = self.declaredLength, declared > max { throw HTTPError.bodyTooLarge(limit: max) }
        switch self.storage {
        case .bytes(let bytes): return bytes
        case .stream(let stream):
            var collected: [UInt8] = []
            while let chunk: [UInt8] = try await stream.next() {
                guard collected.count + chunk.count <= max else {
                    stream.abandon()
                    throw HTTPError.bodyTooLarge(limit: max)
                }
                if collected.isEmpty { collected = chunk } else { collected.append(contentsOf: chunk) }
            }
            return collected
        }
    }

    package func makeAsyncIterator() -> Iterator { Iterator(storage: self.storage) }

    package struct Iterator: AsyncIteratorProtocol {
        var storage: Storage

        package mutating func next() async throws(HTTPError) -> [UInt8]? {
            switch self.storage {
            case .bytes(let bytes):
                self.storage = .bytes([])
                return bytes.isEmpty ? nil : bytes
            case .stream(let stream):
                return try await stream.next()
            }
        }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws(HTTPError) -> [UInt8]? {
            try await self.next()
        }
    }
}

/// Why a request's body could not be read to its end, or a response not written.
package enum HTTPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// More than `limit` bytes.
    case bodyTooLarge(limit: Int)
    /// The client sent nothing for the time allowed.
    case bodyTimeout
    /// The framing of the body is broken; the text says where.
    case malformedBody(String)
    /// The client is gone, or the server closes.
    case disconnected
    /// What the handler wanted to send breaks the framing: a programming error of the handler.
    case invalidResponse(String)

    /// The status to answer with. `disconnected` reaches nobody; the number is for logs.
    package var status: Int {
        switch self {
        case .bodyTooLarge: return 413
        case .bodyTimeout: return 408
        case .malformedBody: return 400
        case .disconnected: return 499
        case .invalidResponse: return 500
        }
    }

    package var description: String {
        switch self {
        case .bodyTooLarge(let limit): return "The body has more than \(limit) bytes."
        case .bodyTimeout: return "The body did not arrive in time."
        case .malformedBody(let detail): return detail
        case .disconnected: return "The connection was closed."
        case .invalidResponse(let detail): return detail
        }
    }
}
