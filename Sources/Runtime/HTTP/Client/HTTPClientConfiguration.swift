package import EventLoops
package import TLS

/// How a client connects and what it puts up with.
package struct HTTPClientConfiguration: Sendable {
    /// For https; nil refuses https URLs.
    package var tls: TLSContext?
    /// Asked about every address right before connecting to exactly that address.
    package var egress: @Sendable (SocketAddress) -> EgressVerdict
    package var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
    package var limits: HTTPClientLimits = HTTPClientLimits()
    package var resolver: any NameResolver

    package init(
        tls: TLSContext?, egress: @escaping @Sendable (SocketAddress) -> EgressVerdict,
        resolver: any NameResolver = SystemResolver()
    ) {
        self.tls = tls
        self.egress = egress
        self.resolver = resolver
    }
}

package struct HTTPClientLimits: Sendable {
    /// Heads of responses.
    package var heads: HTTPLimits = .standard
    package var connectionsPerOriginMax: Int = 32
    package var connectionsMax: Int = 1024
    /// Requests that wait for a connection; the next one is refused.
    package var waitingMax: Int = 1024
    /// How long a connection is kept without a request. Shorter than what servers do, who otherwise close it just when the
    /// next request is on its way.
    package var idle: Duration = .seconds(20)
    /// Bytes of a body that wait for the caller before the connection stops reading.
    package var bodyBytesUnreadMax: Int = 64 << 10
    /// Responses of 1xx before the real one.
    package var interimResponsesMax: Int = 8

    package init() {}
}
