/// What a handler answers.
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are written by the server: it knows the framing. The one
/// exception: a stream whose length is known may set `Content-Length`, and is then held to it.
package struct HTTPResponse: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Called after the head is on its way, in the handler's task. Returning ends the body; throwing breaks the
        /// connection, so that the client sees that the body is not whole.
        case stream(@Sendable (ResponseWriter) async throws -> Void)
    }

    package var status: Int
    package var fields: HTTPFields
    package var body: Body
    /// A stream that its client re-opens by itself, such as server-sent events: its task is cancelled when the server begins
    /// to drain, instead of at the deadline.
    package var endsWhenDraining: Bool = false

    /// What a stream sends while its producer is silent.
    package struct Heartbeat: Sendable {
        package let interval: Duration
        /// Sent between two writes of the producer: each of its writes is then a whole unit of the format.
        package let bytes: [UInt8]

        package init(interval: Duration, bytes: [UInt8]) {
            self.interval = interval
            self.bytes = bytes
        }
    }

    /// Keeps proxies from closing a quiet stream, and finds clients that are gone without a word.
    package var heartbeat: Heartbeat?

    package init(status: Int, fields: HTTPFields = HTTPFields(), body: Body = .bytes([])) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    package init(
        status: Int, fields: HTTPFields = HTTPFields(),
        stream: @escaping @Sendable (ResponseWriter) async throws -> Void
    ) {
        self.init(status: status, fields: fields, body: .stream(stream))
    }

    package static func text(_ text: String, status: Int = 200) -> HTTPResponse {
        HTTPResponse(
            status: status, fields: ["content-type": "text/plain; charset=utf-8"], body: .bytes(Array(text.utf8)))
    }

    /// A stream of server-sent events; ends when the server drains, because such clients reconnect. While there is nothing to
    /// send, a comment goes out every `heartbeat`.
    package static func events(
        heartbeat: Duration = .seconds(15), _ producer: @escaping @Sendable (ResponseWriter) async throws -> Void
    ) -> HTTPResponse {
        var response: HTTPResponse = HTTPResponse(
            status: 200, fields: ["content-type": ServerSentEvent.mediaType, "cache-control": "no-store"],
            stream: producer)
        response.endsWhenDraining = true
        response.heartbeat = Heartbeat(interval: heartbeat, bytes: ServerSentEvent.heartbeat)
        return response
    }
}
