package import EventLoops
package import TLS

/// How one HTTP server of the control plane listens and what it puts up with.
package struct HTTPServerConfiguration: Sendable {
    /// Port 0 takes a free one; `start` returns it.
    package var address: SocketAddress
    /// Certificates and rules of TLS at the start (`HTTPServer.use` changes them); nil serves in the clear.
    package var tls: TLSContext?
    package var limits: HTTPServerLimits
    package var timeouts: HTTPServerTimeouts
    /// Where listening sockets come from. Default: they are opened.
    package var listeners: Listeners

    package init(
        address: SocketAddress, tls: TLSContext? = nil, limits: HTTPServerLimits = HTTPServerLimits(),
        timeouts: HTTPServerTimeouts = HTTPServerTimeouts(), listeners: Listeners = Listeners()
    ) {
        self.listeners = listeners
        self.address = address
        self.tls = tls
        self.limits = limits
        self.timeouts = timeouts
    }
}

/// What is refused, each with the answer it earns.
package struct HTTPServerLimits: Sendable {
    /// Heads: header section (431), number of fields (431), target (414).
    package var heads: HTTPLimits = .standard
    /// Bytes of any request body (413). Handlers ask for less with `collect(max:)`.
    package var bodyBytesMax: Int = 64 << 20
    /// Bytes of a streamed body that wait for the handler before the connection stops reading.
    package var bodyBytesUnreadMax: Int = 64 << 10
    /// Bodies declared no longer than this arrive whole before the handler starts, which saves a crossing of threads.
    package var bodyBytesHeldMax: Int = 16 << 10
    /// Bytes of later requests kept while one is answered; reading stops there.
    package var pipelinedBytesMax: Int = 16 << 10
    /// Bytes of a body that nobody reads which are thrown away to keep the connection; with more to come it is closed.
    package var discardedBytesMax: Int = 64 << 10
    /// Connections at a time; the next one gets 503.
    package var connectionsMax: Int = 10_000
    /// Connections of one address (IPv6: of one /64 network) once half of all are taken; its next one gets 503. Before that one
    /// address, such as that of a proxy, may have as many as it likes.
    package var connectionsPerAddressMax: Int = 1_250
    /// Connections over `connectionsMax` that get their 503 at a time; beyond, they are closed without a word.
    package var refusalsMax: Int = 128

    package init() {}
}

/// How long a client may take. A connection that is waiting for its handler has no limit here: handlers have their own.
package struct HTTPServerTimeouts: Sendable {
    /// For the TLS handshake.
    package var handshake: Duration = .seconds(10)
    /// From the first byte of a head, or from the connection, to the end of the head (408).
    package var head: Duration = .seconds(10)
    /// Between requests; then the connection is closed.
    package var idle: Duration = .seconds(75)
    /// In which a body must bring at least `progressBytesMin` more bytes, or its rest (408).
    package var body: Duration = .seconds(20)
    /// In which a client must take at least `progressBytesMin` bytes of what waits for it; then it is dropped.
    package var write: Duration = .seconds(20)
    /// How long a connection that ends with an error still reads, so that the client sees the answer before a reset.
    package var linger: Duration = .seconds(2)
    /// Bytes a period of `body` or `write` must move: one byte a period would hold a connection for ever.
    package var progressBytesMin: Int = 1024

    package init() {}
}
