package import EventLoops
package import HTTP

/// Times and limits of client connections that no route sets. Nanoseconds where nothing else is said.
package struct EngineSettings: Sendable {
    /// From a request's first byte to the end of its head; beyond: 408.
    package var headTimeout: Duration = .seconds(15)
    /// Without a request, on a connection that may carry another one.
    package var keepAliveTimeout: Duration = .seconds(75)
    /// After an answer that ends the connection: how long the client may take to read it and close.
    package var lingerTimeout: Duration = .seconds(2)
    /// Bytes of a body that are read and dropped so that a connection survives an answer that did not need the body.
    package var discardBytesMax: Int = 64 * 1024
    /// Bytes that are read and dropped after an answer that ends the connection; a client that sends more is cut off.
    package var lingerBytesMax: Int = 4 * 1024 * 1024
    /// Connections of one loop; beyond it new ones are closed at once and counted.
    package var connectionsMax: Int = 200_000
    package var limits: HTTPLimits = .standard
    /// Whether targets may be at an address. Default: at every one.
    package var egress: @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }
    /// Where listening sockets come from. Default: they are opened.
    package var listeners: Listeners = Listeners()

    package init() {}
}

/// The same as numbers of nanoseconds, so that no request converts a duration.
struct LoopSettings {
    let headTimeout: UInt64
    let keepAliveTimeout: UInt64
    let lingerTimeout: UInt64
    let discardBytesMax: UInt64
    let lingerBytesMax: UInt64
    let connectionsMax: Int
    let limits: HTTPLimits

    init(_ settings: EngineSettings) {
        self.headTimeout = settings.headTimeout.nanoseconds
        self.keepAliveTimeout = settings.keepAliveTimeout.nanoseconds
        self.lingerTimeout = settings.lingerTimeout.nanoseconds
        self.discardBytesMax = UInt64(max(0, settings.discardBytesMax))
        self.lingerBytesMax = UInt64(max(0, settings.lingerBytesMax))
        self.connectionsMax = settings.connectionsMax
        self.limits = settings.limits
    }
}

extension Duration {
    /// Nanoseconds, never negative; at most 146 years.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds): (Int64, Int64) = self.components
        if seconds < 0 || attoseconds < 0 { return 0 }
        return UInt64(min(seconds, 1 << 32)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
