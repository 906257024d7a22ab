import Crypto
import GatewayConfiguration
import Synchronization
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

    func session(_ fd: Int32, offersHTTP2: Bool = false) -> TLSSession? {
        guard let context: TLSContext = offersHTTP2 ? self.http2Context : self.context else { return nil }
        return try? TLSSession(client: context, descriptor: fd, host: self.name, peer: self.peer)
    }
}

/// The client contexts of the process, one for each way to trust. Made before a snapshot that needs them goes live, because
/// reading the system's authorities takes milliseconds that no loop has.
final class TLSContextBook: Sendable {
    private struct Entry {
        let verify: Bool
        let authorities: String?
        let http2: Bool
        let context: TLSContext?
    }

    private let entries: Mutex<[Entry]> = Mutex([])

    /// The context of these settings; made now if it is not there yet. Nil when the authorities are not certificates.
    func context(for settings: UpstreamTLS, http2: Bool = false) -> TLSContext? {
        self.entries.withLock { (entries: inout [Entry]) -> TLSContext? in
            for entry in entries
            where entry.verify == settings.verify && entry.authorities == settings.authorities && entry.http2 == http2 {
                return entry.context
            }
            let context: TLSContext? = TLSContextBook.make(settings, http2)
            entries.append(
                Entry(verify: settings.verify, authorities: settings.authorities, http2: http2, context: context))
            return context
        }
    }

    private static func make(_ settings: UpstreamTLS, _ http2: Bool) -> TLSContext? {
        var trust: TLSClientConfiguration.Trust = .system
        if !settings.verify {
            trust = .anyone
        } else if let text: String = settings.authorities {
            guard let authorities: [Certificate] = try? Certificate.chain(pem: text) else { return nil }
            trust = .authorities(authorities)
        }
        return try? TLSContext.client(
            TLSClientConfiguration(trust: trust, applicationProtocols: http2 ? ["h2", "http/1.1"] : ["http/1.1"]))
    }
}
