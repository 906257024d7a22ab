package import EventLoops
package import HTTP
package import TLS

/// How the platform calls addresses that somebody has configured: within the egress rules, with a time-out, at most so many bytes; again
/// where that is harmless, and for a while not at all where a server fails all the time.
package protocol OutgoingCalls: Sendable {
    /// - Throws: in words for the log, when there is no answer, a longer one, or the address is forbidden.
    func send(_ request: HTTPClientRequest, bytesMax: Int) async throws(OutgoingCallError) -> OutgoingAnswer
}

/// What came back.
package struct OutgoingAnswer: Sendable {
    package let status: Int
    package let fields: HTTPFields
    package let bytes: [UInt8]

    package init(status: Int, fields: HTTPFields, bytes: [UInt8]) {
        self.status = status
        self.fields = fields
        self.bytes = bytes
    }
}

/// Why a call has no answer.
package struct OutgoingCallError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Calls over HTTP/1.1. Redirects are not followed: what comes back with one is no answer.
package final class HTTPOutgoingCalls: OutgoingCalls {
    /// For a whole call.
    package static let timeout: Duration = .seconds(10)
    /// Calls to one host at a time.
    static let connectionsPerHostMax: Int = 8

    private let client: GuardedClient

    /// - Parameter egress: judges every address right before connecting to exactly that address.
    package init(
        group: EventLoopGroup, tls: TLSContext, egress: @escaping @Sendable (SocketAddress) -> EgressVerdict,
        resolver: any NameResolver = SystemResolver(), timeout: Duration = HTTPOutgoingCalls.timeout
    ) {
        var configuration: HTTPClientConfiguration = HTTPClientConfiguration(
            tls: tls, egress: egress, resolver: resolver)
        configuration.timeouts.connect = timeout / 2
        configuration.timeouts.response = timeout
        configuration.timeouts.body = timeout
        configuration.timeouts.total = timeout
        configuration.limits.connectionsPerOriginMax = Self.connectionsPerHostMax
        self.client = GuardedClient(HTTPClient(group: group, configuration: configuration))
    }

    package func send(
        _ request: HTTPClientRequest, bytesMax: Int
    ) async throws(OutgoingCallError) -> OutgoingAnswer {
        do throws(HTTPClientError) {
            let answer: GuardedClient.Answer = try await self.client.send(request, bytesMax: bytesMax)
            return OutgoingAnswer(status: answer.status, fields: answer.fields, bytes: answer.bytes)
        } catch {
            throw OutgoingCallError("\(error)")
        }
    }

    /// Servers that are not called for now, and those whose last call failed.
    package var circuits: (open: Int, failing: Int) {
        let failing: [GuardedClient.Circuit] = self.client.failing
        return (failing.count(where: \.isOpen), failing.count)
    }
}
