package import GatewayConfiguration
package import HTTP

/// What a gateway remembers of one request: plain numbers of a fixed size, written into a ring when the request is over.
package struct RequestRecord: BitwiseCopyable, Sendable {
    /// Nanoseconds since 1970, UTC, when the head was complete.
    package var started: Int64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    /// The trace it belongs to; both zero: none.
    package var traceHigh: UInt64 = 0
    package var traceLow: UInt64 = 0
    /// The span of the gateway's own work, which the upstream was told as its parent; 0: requests are not traced.
    package var span: UInt64 = 0
    /// The caller's span; 0: the trace begins here.
    package var parentSpan: UInt64 = 0
    /// The other end of the client's connection.
    package var client: IPAddress = IPAddress(high: 0, low: 0)
    package var durationMicroseconds: UInt32 = 0
    /// From the request's last byte to the head of the upstream's answer; 0: none.
    package var upstreamMicroseconds: UInt32 = 0
    package var route: IdentityNumber = .none
    package var application: IdentityNumber = .none
    package var subscription: IdentityNumber = .none
    /// The server it went to.
    package var target: IdentityNumber = .none
    /// From `started` to the beginning of the last try at a target.
    package var attemptDelayMicroseconds: UInt32 = 0
    package var status: UInt16 = 0
    package var reason: RequestReason = .none
    /// The trace is recorded by those who take part in it.
    package var isSampled: Bool = false
    private var methodCode: UInt8 = MethodCode.other.rawValue
    /// Tries at targets; 0: nothing went upstream.
    package var attempts: UInt8 = 0
    /// Length of the path kept beside it in the ring.
    var pathLength: UInt16 = 0

    package init() {}

    package var method: MethodCode {
        get { MethodCode(rawValue: self.methodCode) ?? .other }
        set { self.methodCode = newValue.rawValue }
    }
}
