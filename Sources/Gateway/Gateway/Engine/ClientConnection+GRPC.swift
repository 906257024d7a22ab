import EventLoops
import HTTP

/// Calls of gRPC over HTTP/2: the gateway's own answers, and deadlines.
extension ClientConnection {
    /// An answer as gRPC clients understand it: 200, with the status in what are trailers and head at once. The record keeps the
    /// status that HTTP has for the reason.
    func composeGRPCAnswer(_ reason: RequestReason, lines: [UInt8], keeps: Bool) {
        let loop: GatewayLoop = self.loop
        loop.out.clear()
        loop.out.append("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nDate: ")
        loop.out.append(loop.events.httpDate())
        loop.out.append("\r\ngrpc-status: ")
        loop.out.append(decimal: reason.grpcStatus)
        // Sentences of reasons are printable ASCII without percent signs: as they stand (gRPC's percent-encoding).
        loop.out.append("\r\ngrpc-message: ")
        loop.out.append(text: reason.sentence)
        loop.out.append("\r\n")
        loop.out.append(lines)
        if !keeps { loop.out.append("Connection: close\r\n") }
        loop.out.append("Content-Length: 0\r\n\r\n")
    }

    /// The time the caller gave has passed.
    func callTimedOut() {
        guard self.phase == .exchange else { return }
        if self.exchange.responseStarted {
            self.abort(.upstreamTimeout)
            return
        }
        self.dropUpstream()
        self.answer(.upstreamTimeout)
    }
}

extension RequestReason {
    /// The code of gRPC that says the same (gRPC's "HTTP to gRPC status code mapping", and its list of codes).
    var grpcStatus: Int {
        switch self {
        // DEADLINE_EXCEEDED, UNAVAILABLE and UNIMPLEMENTED where the reason says more than the status.
        case .upstreamTimeout, .requestTimeout: return 4
        case .upstreamNotHTTP2, .noRoute, .methodNotAllowed: return 12
        case .clientClosed: return 1
        default: break
        }
        switch self.status {
        case 401: return 16
        case 403: return 7
        case 409: return 10
        case 413, 429, 431: return 8
        case 502, 503, 504: return 14
        case 400, 405, 414, 415, 417, 422: return 3
        default: return 13
        }
    }
}

/// Ends a call whose caller gave it so much time (`grpc-timeout`).
final class CallTimer: Timer {
    unowned(unsafe) var stream: HTTP2Stream?

    override func fired() { self.stream?.client?.callTimedOut() }
}
