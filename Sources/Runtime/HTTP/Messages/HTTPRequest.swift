package import Crypto
package import EventLoops

/// A request as a handler of the control plane sees it.
package struct HTTPRequest: Sendable {
    package var method: HTTPMethod
    /// The request target in origin form, as sent: path and query.
    package var target: String
    /// Path, still percent-encoded; begins with "/" (or is "*" for OPTIONS).
    package var path: String
    /// What follows "?", still encoded; nil without "?".
    package var query: String?
    package var fields: HTTPFields
    package var body: HTTPBody
    /// The other end of the connection; whom a proxy speaks for, `TrustedProxies` finds out.
    package var remoteAddress: SocketAddress
    /// Whether the connection is TLS.
    package var isSecure: Bool
    /// What the client showed in the TLS handshake, verified against the server's authorities; nil if it showed none.
    package var clientCertificate: Certificate?
    /// Lets a handler that waits long end early when the server drains; nil outside a server.
    var drainFlag: DrainFlag?

    package init(
        method: HTTPMethod, target: String, fields: HTTPFields = HTTPFields(), body: HTTPBody = .empty,
        remoteAddress: SocketAddress = SocketAddress.loopback(port: 0), isSecure: Bool = false,
        clientCertificate: Certificate? = nil
    ) {
        self.method = method
        self.target = target
        let utf8: String.UTF8View = target.utf8
        if let mark: String.Index = utf8.firstIndex(of: UInt8(ascii: "?")) {
            self.path = String(target[..<mark])
            self.query = String(target[utf8.index(after: mark)...])
        } else {
            self.path = target
            self.query = nil
        }
        self.fields = fields
        self.body = body
        self.remoteAddress = remoteAddress
        self.isSecure = isSecure
        self.clientCertificate = clientCertificate
    }

    /// For handlers that wait (long polls): when the server begins to drain, cancel this handler's task at once instead of
    /// at the deadline. What it then returns is still sent. Any thread.
    package func endWhenDraining() { self.drainFlag?.raise() }
}
