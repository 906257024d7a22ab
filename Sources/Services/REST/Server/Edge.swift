import Contracts
import EventLoops
package import GatewayConfiguration
package import HTTP

/// What happens to every request of the control plane before it finds its route: who sent it, whether a page of another origin may
/// read the answer, and whether its sender has sent too many.
package struct Edge: Sendable {
    /// Proxies in front of the control plane. Default: none.
    package var proxies: TrustedProxies = TrustedProxies()
    /// Which pages of other origins may read answers of `/v1`. Default: none.
    package var cors: CORSGrants?
    /// The origins of programs in browsers that get tokens here. Default: none.
    package var clientOrigins: (any ClientOrigins)?
    /// How many requests a sender may send. Default: any number.
    package var limits: (any RequestLimits)?

    package init() {}

    /// The request as its sender sent it: from the sender's address, whoever passed it on.
    func asSent(_ request: HTTPRequest) -> HTTPRequest {
        var request: HTTPRequest = request
        request.remoteAddress = self.proxies.client(peer: request.remoteAddress, fields: request.fields)
        return request
    }
}

// MARK: Limits

/// Counts requests. Offered by the gateway's buckets, used by the REST layer.
package protocol RequestLimits: Sendable {
    /// - Parameter now: nanoseconds of the monotonic clock.
    /// - Returns: nil when the request is admitted, otherwise the fields of the answer 429.
    func admit(_ sender: RequestSender, now: UInt64) -> [(name: String, value: String)]?
}

/// Against whose limit a request counts.
package enum RequestSender: Sendable, Equatable {
    /// Who signed in, or the token they use in place of that.
    case caller(String)
    /// Where somebody calls from whom nobody knows; of IPv6 the network.
    case address(String)

    /// Nil: the request counts against none. Gateways follow the platform by requests that it asks them for.
    init?(_ caller: Caller?, from address: SocketAddress) {
        guard let caller: Caller else {
            self = .address(address.network.host)
            return
        }
        switch caller.kind {
        case .gateway, .enrollingGateway, .platform: return nil
        case .user, .serviceAccount: self = .caller(caller.token?.id ?? caller.id)
        }
    }
}

extension Edge {
    /// What watches and measures the platform is answered also when others send too much.
    private static let unlimitedPaths: Set<String> = ["/healthz", "/readyz", "/metrics"]

    /// Counts a request. - Returns: who sent too many, and the fields of the answer; nil when it is admitted.
    func excess(
        _ request: HTTPRequest, of caller: Caller?, now: UInt64
    ) -> (sender: RequestSender, fields: [(name: String, value: String)])? {
        guard let limits: any RequestLimits = self.limits, !Self.unlimitedPaths.contains(request.path),
            let sender: RequestSender = RequestSender(caller, from: request.remoteAddress),
            let fields: [(name: String, value: String)] = limits.admit(sender, now: now)
        else { return nil }
        return (sender, fields)
    }
}
