package import HTTP

/// What happens to every request of the control plane before it finds its route.
package struct Edge: Sendable {
    /// Proxies in front of the control plane. Default: none.
    package var proxies: TrustedProxies = TrustedProxies()

    package init() {}

    /// The request as its sender sent it: from the sender's address, whoever passed it on.
    func asSent(_ request: HTTPRequest) -> HTTPRequest {
        var request: HTTPRequest = request
        request.remoteAddress = self.proxies.client(peer: request.remoteAddress, fields: request.fields)
        return request
    }
}
