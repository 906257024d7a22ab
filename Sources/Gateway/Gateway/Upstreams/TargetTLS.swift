import GatewayConfiguration
import TLS

/// How TLS is spoken with one target.
final class TargetTLS {
    let settings: UpstreamTLS
    /// Nil when the settings do not make one: then no connection is made.
    private let context: TLSContext?
    /// The same, offering HTTP/2; nil: not offered.
    private let http2Context: TLSContext?
    /// The name or address that is asked for and that the certificate must be valid for.
    private let name: String
    /// Whose sessions are resumed.
    private let peer: String

    init(_ settings: UpstreamTLS, _ context: TLSContext?, http2: TLSContext? = nil, _ url: TargetURL) {
        self.http2Context = http2
        self.settings = settings
        self.context = context
        let host: String = url.host.hasPrefix("[") ? String(url.host.dropFirst().dropLast()) : url.host
        self.name = settings.serverName ?? host
        self.peer = "\(self.name) \(url.host):\(url.port)"
    }

    /// Whether connections may go on under what another one stands for; nil: in the clear.
    static func isSame(_ left: TargetTLS?, _ right: TargetTLS?) -> Bool {
        guard let left, let right else { return left == nil && right == nil }
        return left.settings == right.settings && left.context === right.context
            && left.http2Context === right.http2Context
    }

    func session(_ fd: Int32, offersHTTP2: Bool = false) -> TLSSession? {
        guard let context: TLSContext = offersHTTP2 ? self.http2Context : self.context else { return nil }
        return try? TLSSession(client: context, descriptor: fd, host: self.name, peer: self.peer)
    }
}
