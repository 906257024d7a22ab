/// One request to send. Redirects are not followed: the caller sees them.
package struct HTTPClientRequest: Sendable {
    package var method: HTTPMethod
    package var url: URLParts
    /// Without the fields that frame a message or name the host: `Host`, `Content-Length`, `Connection` and their kin are
    /// written by the client, and refused here.
    package var fields: HTTPFields
    package var body: [UInt8]
    package var timeouts: HTTPClientTimeouts?

    package init(
        method: HTTPMethod = .get, url: URLParts, fields: HTTPFields = HTTPFields(), body: [UInt8] = [],
        timeouts: HTTPClientTimeouts? = nil
    ) {
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
        self.timeouts = timeouts
    }
}

/// How long each part of a request may take; nil: no limit.
package struct HTTPClientTimeouts: Sendable {
    /// A connection: waiting for one, resolving, connecting, TLS.
    package var connect: Duration = .seconds(5)
    /// From the request to the head of the response. Longer for long polls.
    package var response: Duration? = .seconds(30)
    /// Between two pieces of the body while the caller waits for one. nil for streams of events without heartbeats.
    package var body: Duration? = .seconds(30)
    /// Everything, until the body is complete. nil for streams that go on.
    package var total: Duration? = .seconds(60)

    package init() {}

    /// For streams of events and long polls: no limit but that of the connection, and of silence.
    package static func streaming(silence: Duration?) -> HTTPClientTimeouts {
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        timeouts.response = silence
        timeouts.body = silence
        timeouts.total = nil
        return timeouts
    }
}

/// A request checked and written out, ready for any connection to its origin.
struct PreparedRequest: Sendable {
    let origin: Origin
    let isHead: Bool
    let isIdempotent: Bool
    let timeouts: HTTPClientTimeouts
    let head: [UInt8]
    let body: [UInt8]

    init(_ request: HTTPClientRequest, defaults: HTTPClientTimeouts) throws(HTTPClientError) {
        self.origin = Origin(scheme: request.url.scheme, host: request.url.host, port: request.url.port)
        self.isHead = request.method == .head
        self.isIdempotent = request.method.isIdempotent
        self.timeouts = request.timeouts ?? defaults
        self.body = request.body
        self.head = try PreparedRequest.makeHead(request)
    }

    private static func makeHead(_ request: HTTPClientRequest) throws(HTTPClientError) -> [UInt8] {
        if request.method == .connect { throw .invalidRequest("CONNECT is not for a client of resources") }
        guard HeadWriter.isToken(request.method.name) else { throw .invalidRequest("the method is not a token") }
        var head: HeadWriter = HeadWriter(capacity: 512)
        head.requestLine(request.method.name, request.url.target)
        guard head.field("host", request.url.authority) else { throw .invalidRequest("the host is not a host name") }
        for line in request.fields {
            if FramingFields.contains(line.name) || ASCIICase.equal(line.name, "host") {
                throw .invalidRequest("the field \(line.name) is written by the client itself")
            }
            guard head.field(line.name, line.value) else {
                // The value may be a secret; the name, if it can be printed, is not.
                let name: String = HeadWriter.isToken(line.name) ? line.name : "(unnamed)"
                throw .invalidRequest("the field \(name) holds characters that no field may hold")
            }
        }
        if !request.body.isEmpty || self.announcesEmptyBody(request.method) { head.contentLength(request.body.count) }
        head.endHead()
        return head.bytes
    }

    /// Methods whose meaning expects a body say so when it is empty (RFC 9110, section 8.6).
    private static func announcesEmptyBody(_ method: HTTPMethod) -> Bool {
        switch method {
        case .post, .put, .patch: return true
        default: return false
        }
    }
}

/// What connections are pooled by.
struct Origin: Sendable, Hashable {
    let scheme: URLParts.Scheme
    let host: String
    let port: UInt16
}
