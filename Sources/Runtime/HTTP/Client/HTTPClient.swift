import CLinux
package import EventLoops
import Synchronization

/// Sends requests over HTTP/1.1, in the clear or over TLS, on kept connections.
///
/// Connections live on the loops and are pooled by scheme, host and port. Redirects are not followed. A request is repeated by
/// the client in one case only: a kept connection turned out closed before any byte of the response, and either nothing was
/// sent or the method is idempotent. Everything else is for the caller to decide, who knows what the request means.
package final class HTTPClient: Sendable {
    let core: ClientCore

    package init(group: EventLoopGroup, configuration: HTTPClientConfiguration) {
        self.core = ClientCore(group: group, configuration: configuration)
    }

    deinit { self.core.shutdown() }

    /// Returns when the head of the response is there; the body follows in the response. Cancelling the caller's task closes
    /// the connection.
    package func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
        let prepared: PreparedRequest = try PreparedRequest(
            request, defaults: self.core.configuration.timeouts)
        if prepared.origin.scheme == .https && self.core.configuration.tls == nil {
            throw .invalidRequest("this client is not set up for https")
        }
        let now: UInt64 = clinux_monotonic_nanoseconds()
        let total: UInt64? = prepared.timeouts.total.map { now + $0.clampedNanoseconds }
        do throws(HTTPClientError) {
            return try await self.attempt(prepared, total: total, fresh: false)
        } catch .closedBeforeResponse(wasReused: true, let wasSent) where !wasSent || prepared.isIdempotent {
            return try await self.attempt(prepared, total: total, fresh: true)
        }
    }

    /// Closes every connection; requests in flight and later ones fail with `shutDown`. Before the loops are stopped.
    package func shutdown() { self.core.shutdown() }

    /// Connections open now, idle ones included.
    package var connectionsOpen: Int { self.core.connectionsOpen }

    private func attempt(
        _ request: PreparedRequest, total: UInt64?, fresh: Bool
    ) async throws(HTTPClientError) -> HTTPClientResponse {
        let connect: UInt64 = clinux_monotonic_nanoseconds() + request.timeouts.connect.clampedNanoseconds
        let exchange: ClientExchange = ClientExchange(
            request, connectDeadline: min(connect, total ?? .max), totalDeadline: total)
        let core: ClientCore = self.core
        let outcome: ClientExchange.Outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<ClientExchange.Outcome, Never>) in
                if exchange.begin(continuation) { core.dispatch(exchange, fresh: fresh) }
            }
        } onCancel: {
            core.giveUp(exchange, .cancelled)
        }
        return try outcome.get()
    }
}
