import EventLoops
import Files
import HTTP
import Synchronization
import TLS

/// Calls to authorization servers, away from the loops that serve; its own loop and connections are made when first needed.
final class AuthenticationNetwork: Sendable {
    private let client: Mutex<HTTPClient?> = Mutex(nil)

    /// For a whole call that gets keys.
    private let callMax: Duration

    private let egress: @Sendable (SocketAddress) -> EgressVerdict

    init(callMax: Duration, egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }) {
        self.callMax = callMax
        self.egress = egress
    }

    /// The body of a successful answer; nil for any other, or none.
    func get(_ url: String, max: Int) async -> [UInt8]? {
        guard let parts: URLParts = URLParts(url) else { return nil }
        var fields: HTTPFields = HTTPFields()
        fields.append("Accept", "application/json")
        let request: HTTPClientRequest = HTTPClientRequest(url: parts, fields: fields)
        return await self.send(request, timeout: self.callMax, max: max)
    }

    /// Sends a request; nil when the answer is not 200 to 299, too long, too late, or none.
    func send(_ request: HTTPClientRequest, timeout: Duration, max: Int) async -> [UInt8]? {
        guard let client: HTTPClient = self.ready() else { return nil }
        var request: HTTPClientRequest = request
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        timeouts.connect = min(timeout, .seconds(5))
        timeouts.response = timeout
        timeouts.body = timeout
        timeouts.total = timeout
        request.timeouts = timeouts
        do throws(HTTPClientError) {
            let response: HTTPClientResponse = try await client.send(request)
            let body: [UInt8] = try await response.body.collect(max: max)
            return response.isSuccess ? body : nil
        } catch {
            return nil
        }
    }

    /// A file's bytes; nil when it cannot be read or is too long.
    func readFile(_ path: String, max: Int) async -> [UInt8]? { try? Files.read(path, bytesMax: max) }

    private func ready() -> HTTPClient? {
        self.client.withLock { client in
            if let client { return client }
            guard let tls: TLSContext = try? TLSContext.client(TLSClientConfiguration()) else { return nil }
            let made: HTTPClient = HTTPClient(
                group: EventLoopGroup(count: 1, name: "authentication"),
                configuration: HTTPClientConfiguration(tls: tls, egress: self.egress))
            client = made
            return made
        }
    }

    deinit { self.client.withLock { $0 }?.shutdown() }
}
