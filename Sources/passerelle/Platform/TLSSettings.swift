import Deployments
import Documents
import EventLoops
import GatewayConfiguration
import Glibc
import HTTP
import Secrets

/// How the control plane speaks TLS: `tls` of the settings. Without it, it speaks plain HTTP.
struct TLSSettings: Sendable {
    enum Certificate: Sendable, Equatable {
        /// Of the platform's own authority, renewed by itself.
        case own
        /// From files, read again when they change.
        case files(CertificateFiles)
    }

    var certificate: Certificate
    /// What an own certificate is valid for. Default: the issuer's host, the address, this machine's name, and localhost.
    var names: [String] = []
    /// How long certificates are good that the platform issues to itself and to gateways. Default 90 d, 10 s…398 d.
    var lifetime: Duration = .seconds(90 * 86_400)
    /// The oldest version spoken. Default TLS 1.2.
    var minimumVersion: UpstreamTLS.Version = .tls12
    /// Who vouches for callers, and whether they must show a certificate. Default: only gateways show one.
    var clients: ClientCertificateRule?
    /// By what gateways may call. Default: by token or certificate.
    var gateways: GatewayCredentials = .either

    static let lifetimes: ClosedRange<Duration> = .seconds(10) ... .seconds(398 * 86_400)

    static func read(_ decoder: NodeDecoder, _ before: TLSSettings?) -> TLSSettings? {
        let known: [String] = [
            "certificate", "names", "lifetime", "min_version", "client_certificates", "gateways",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return before }
        guard let certificate: Certificate = fields.required("certificate").flatMap({ Self.certificate($0) }) else {
            return before
        }
        var settings: TLSSettings = TLSSettings(certificate: certificate)
        if let names: [String] = fields["names"]?.list(count: 1...50, { Self.name($0) }) { settings.names = names }
        if let lifetime: Duration = fields["lifetime"]?.duration(in: Self.lifetimes) { settings.lifetime = lifetime }
        if let version: NodeDecoder = fields["min_version"] {
            settings.minimumVersion = UpstreamTLS.Version.read(version) ?? .tls12
        }
        if let clients: NodeDecoder = fields["client_certificates"] {
            settings.clients = ClientCertificateRule.read(clients)
        }
        let gateways: GatewayCredentials? = fields.choice(
            "gateways", default: .either, ["either": .either, "token": .token, "certificate": .certificate])
        settings.gateways = gateways ?? .either
        return settings
    }

    private static func certificate(_ decoder: NodeDecoder) -> Certificate? {
        if case .string = decoder.node.kind { return decoder.choice(["own": Certificate.own]) }
        return CertificateFiles.read(decoder).map { .files($0) }
    }

    private static func name(_ decoder: NodeDecoder) -> String? {
        decoder.string { PlatformCertificates.problem(name: $0) }
    }

    /// The names an own certificate is valid for.
    func ownNames(address: String, issuer: String?) -> [String] {
        if !self.names.isEmpty { return self.names }
        var wanted: [String] = []
        if let issuer: String, let host: String = URLParts(issuer)?.host { wanted.append(host) }
        if let host: String = SocketAddress(address)?.host, host != "0.0.0.0", host != "::" { wanted.append(host) }
        var buffer: [CChar] = [CChar](repeating: 0, count: 256)
        gethostname(&buffer, buffer.count - 1)
        wanted.append(
            String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased())
        wanted += ["localhost", "127.0.0.1"]
        var names: [String] = []
        for name in wanted where PlatformCertificates.problem(name: name) == nil && !names.contains(name) {
            names.append(name)
        }
        return names
    }
}
