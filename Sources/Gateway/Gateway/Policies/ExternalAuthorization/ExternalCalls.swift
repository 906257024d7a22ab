import EventLoops
import HTTP
import Synchronization
import TLS

/// The client that policies ask other services with: one for the process, on a loop of its own, made when it is first needed.
final class ExternalCalls: Sendable {
    private let made: Mutex<HTTPClient?> = Mutex(nil)

    private let egress: @Sendable (SocketAddress) -> EgressVerdict

    init(egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }) { self.egress = egress }

    /// Reads the system's authorities the first time: not on a loop.
    func client() -> HTTPClient {
        self.made.withLock { (made: inout HTTPClient?) -> HTTPClient in
            if let client: HTTPClient = made { return client }
            let tls: TLSContext? = try? TLSContext.client(
                TLSClientConfiguration(trust: .system, applicationProtocols: ["http/1.1"]))
            var configuration: HTTPClientConfiguration = HTTPClientConfiguration(tls: tls, egress: self.egress)
            configuration.limits.connectionsPerOriginMax = 256
            let client: HTTPClient = HTTPClient(
                group: EventLoopGroup(count: 1, name: "policies"), configuration: configuration)
            made = client
            return client
        }
    }
}
