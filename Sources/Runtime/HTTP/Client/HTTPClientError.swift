package import EventLoops

/// Why a request of ours got no (whole) response.
package enum HTTPClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Which clock ran out.
    package enum Phase: String, Sendable {
        /// Waiting for a free connection, resolving, connecting, TLS.
        case connect
        /// From the request to the response's head.
        case response
        /// Between two pieces of the body.
        case body
        /// The request as a whole.
        case total
    }

    /// The caller's fault: a field, method or URL that cannot be sent.
    case invalidRequest(String)
    /// The name has no address.
    case unresolved(host: String, reason: String)
    /// The egress rules forbid every address of the host.
    case forbidden(address: SocketAddress, reason: String)
    /// No address accepted the connection.
    case connectFailed(SystemError)
    /// The certificate is not trusted, or TLS failed.
    case tls(String)
    case timedOut(Phase)
    /// The connection ended before the response's head; `wasReused` says that it may have been closed for idleness, and
    /// `wasSent` whether the server can have seen the request.
    case closedBeforeResponse(wasReused: Bool, wasSent: Bool)
    /// The connection ended inside the body.
    case truncated
    /// The response breaks the rules of HTTP/1.1.
    case malformedResponse(String)
    /// More than the caller wants.
    case bodyTooLarge(limit: Int)
    /// A queue of the client is full: too many requests at a time.
    case overloaded(String)
    /// Calls to the server failed so often that none is made for now (`GuardedClient`).
    case circuitOpen(server: String, retrySeconds: Int)
    /// The caller's task was cancelled.
    case cancelled
    /// `shutdown` has been called.
    case shutDown

    /// Whether the same request may succeed later without anyone changing anything. Whether repeating it is safe depends on
    /// its method too.
    package var isTransient: Bool {
        switch self {
        case .unresolved, .connectFailed, .timedOut, .closedBeforeResponse, .truncated, .overloaded, .circuitOpen:
            return true
        case .invalidRequest, .forbidden, .tls, .malformedResponse, .bodyTooLarge, .cancelled, .shutDown: return false
        }
    }

    package var description: String {
        switch self {
        case .invalidRequest(let detail): return "the request cannot be sent: \(detail)"
        case .unresolved(let host, let reason): return "\(host) cannot be resolved: \(reason)"
        case .forbidden(let address, let reason): return "connecting to \(address) is not allowed: \(reason)"
        case .connectFailed(let error): return "\(error)"
        case .tls(let reason): return reason
        case .timedOut(let phase): return "time-out (\(phase.rawValue))"
        case .closedBeforeResponse: return "the server closed the connection without a response"
        case .truncated: return "the server closed the connection inside the response"
        case .malformedResponse(let detail): return "the response is malformed: \(detail)"
        case .bodyTooLarge(let limit): return "the response has more than \(limit) bytes"
        case .overloaded(let what): return what
        case .circuitOpen(let server, let seconds):
            return "\(server) failed again and again, and is asked again within \(seconds) s"
        case .cancelled: return "cancelled"
        case .shutDown: return "the client is shut down"
        }
    }
}
