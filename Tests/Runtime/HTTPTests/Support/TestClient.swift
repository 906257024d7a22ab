import EventLoops
import HTTP
import TLS

/// A client with loops of its own; by default it may connect anywhere.
struct TestClient {
    let client: HTTPClient

    static func with(
        tls: TLSContext? = nil, resolver: any NameResolver = SystemResolver(),
        limits: HTTPClientLimits = HTTPClientLimits(),
        timeouts: HTTPClientTimeouts = HTTPClientTimeouts(),
        egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow },
        _ body: (TestClient) async throws -> Void
    ) async throws {
        let group: EventLoopGroup = EventLoopGroup(count: 2, name: "client")
        var configuration: HTTPClientConfiguration = HTTPClientConfiguration(
            tls: tls, egress: egress, resolver: resolver)
        configuration.limits = limits
        configuration.timeouts = timeouts
        let client: HTTPClient = HTTPClient(group: group, configuration: configuration)
        do {
            try await body(TestClient(client: client))
        } catch {
            client.shutdown()
            group.shutdown()
            throw error
        }
        client.shutdown()
        group.shutdown()
    }

    func request(
        _ url: String, method: HTTPMethod = .get, fields: HTTPFields = HTTPFields(), body: [UInt8] = [],
        timeouts: HTTPClientTimeouts? = nil
    ) throws -> HTTPClientRequest {
        HTTPClientRequest(method: method, url: try URLParts.parse(url), fields: fields, body: body, timeouts: timeouts)
    }

    func send(
        _ url: String, method: HTTPMethod = .get, fields: HTTPFields = HTTPFields(), body: [UInt8] = [],
        timeouts: HTTPClientTimeouts? = nil
    ) async throws -> HTTPClientResponse {
        try await self.client.send(
            try self.request(url, method: method, fields: fields, body: body, timeouts: timeouts))
    }

    func text(_ url: String, method: HTTPMethod = .get, body: [UInt8] = []) async throws -> String {
        let response: HTTPClientResponse = try await self.send(url, method: method, body: body)
        return String(decoding: try await response.body.collect(max: 64 << 20), as: UTF8.self)
    }
}
