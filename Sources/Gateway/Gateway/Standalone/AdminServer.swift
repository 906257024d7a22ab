package import EventLoops
import GatewayConfiguration
import HTTP
import JSON
package import Telemetry

/// `/healthz`, `/readyz` and `/metrics` of a gateway that runs alone, on an address of their own; with a token also what can be
/// changed there.
package final class AdminServer: Sendable {
    private let server: HTTPServer
    private let group: EventLoopGroup

    /// `isReady` is asked for every `/readyz`.
    package convenience init(
        address: SocketAddress, metrics: MetricRegistry, listeners: Listeners = Listeners(),
        isReady: @escaping @Sendable () -> Bool
    ) {
        self.init(address: address, metrics: metrics, listeners: listeners, purges: nil, isReady: isReady)
    }

    /// `purges` nil: stored responses cannot be forgotten here.
    init(
        address: SocketAddress, metrics: MetricRegistry, listeners: Listeners, purges: PurgeEndpoint?,
        isReady: @escaping @Sendable () -> Bool
    ) {
        self.group = EventLoopGroup(count: 1, name: "admin")
        self.server = HTTPServer(
            configuration: HTTPServerConfiguration(address: address, listeners: listeners), group: self.group
        ) {
            (request: HTTPRequest) async -> HTTPResponse in
            if request.path == PurgeEndpoint.path, let purges { return await purges.answer(request) }
            return AdminServer.answer(request, metrics: metrics, isReady: isReady)
        }
    }

    /// Listens; the address tells the port when it was 0.
    package func start() throws(SystemError) -> SocketAddress { try self.server.start() }

    package func stop() async {
        await self.server.drain(deadline: .seconds(1))
        self.group.shutdown()
    }

    private static func answer(
        _ request: HTTPRequest, metrics: MetricRegistry, isReady: () -> Bool
    ) -> HTTPResponse {
        guard request.path == "/healthz" || request.path == "/readyz" || request.path == "/metrics" else {
            return self.text(404, "There is /healthz, /readyz and /metrics.\n")
        }
        guard request.method == .get || request.method == .head else {
            var response: HTTPResponse = self.text(405, "Only GET is answered here.\n")
            response.fields["Allow"] = "GET, HEAD"
            return response
        }
        if request.path == "/healthz" { return self.text(200, "ok\n") }
        if request.path == "/readyz" { return isReady() ? self.text(200, "ready\n") : self.text(503, "not ready\n") }
        let format: MetricFormat = MetricFormat(accept: request.fields["Accept"])
        return HTTPResponse(
            status: 200, fields: ["Content-Type": format.contentType, "Vary": "Accept"],
            body: .bytes(metrics.text(format)))
    }

    private static func text(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(
            status: status, fields: ["Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"],
            body: .bytes(Array(text.utf8)))
    }
}
