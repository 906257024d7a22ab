import Crypto
import Deployments
import Files
import GatewayConfiguration
import JSON
import REST
import Secrets
import Store
import Synchronization
import TLS
import Telemetry
import Time

/// TLS of the control plane: with files, which are read again when they change, or with a certificate of the platform's own
/// authority, which is renewed at two thirds of its life. What is wrong with a change leaves everything as it was.
final class ControlPlaneTLS: Sendable {
    /// The root of the platform's own authority, in the data folder: what callers trust.
    static let rootFile: String = "ca.pem"

    private static let fileBytesMax: Int = 1 << 20
    /// How often files are looked at; a change is taken when two looks see the same.
    private static let filesEvery: Duration = .seconds(1)
    /// How often it is looked whether the own certificate is due: the pauses' bounds.
    private static let ownEvery: ClosedRange<Duration> = .seconds(1) ... .seconds(60)

    /// What connections are made with.
    private struct Material: Sendable, Equatable {
        /// The certificate with its chain, PEM.
        var chain: String
        /// The private key, PEM.
        var key: String
        /// Authorities of callers, PEM; empty: they are not asked.
        var clients: String
    }

    private let settings: TLSSettings
    private let names: [String]
    private let data: String
    private let services: ServiceEnvironment
    private let certificates: PlatformCertificates
    private let tickets: TLSTicketKeys = TLSTicketKeys(lifetime: HTTPSListener.ticketLifetimeDefault)
    private let shown: Mutex<Material?> = Mutex(nil)
    /// When what is shown ends, seconds since 1970 UTC.
    private let end: Mutex<Int64> = Mutex(0)

    init(
        _ settings: TLSSettings, names: [String], data: String, services: ServiceEnvironment,
        certificates: PlatformCertificates
    ) {
        self.settings = settings
        self.names = names
        self.data = data
        self.services = services
        self.certificates = certificates
        services.metrics.gauge(
            "passerelle_control_plane_certificate_expiry_timestamp_seconds",
            help: "When the control plane's certificate ends, in seconds since 1970 UTC."
        ) { [weak self] in self?.end.withLock { Double($0) } ?? 0 }
    }

    /// What the first connections get.
    ///
    /// - Throws: `CommandError.failed` that names the file and what is wrong with it.
    func first() async throws -> TLSContext {
        do {
            let material: Material = try await self.material()
            return try self.take(material, "the control plane's certificate")
        } catch let error as CommandError {
            throw error
        } catch {
            throw CommandError.failed("The control plane cannot speak TLS: \(error)")
        }
    }

    /// Looks after it until cancelled; `use` gets each fresh context.
    func keep(_ use: @Sendable (TLSContext) -> Void) async {
        var last: Material? = self.shown.withLock { $0 }
        var isFailing: Bool = false
        while (try? await self.services.clock.sleep(for: self.pause)) != nil {
            do {
                let now: Material = try await self.material()
                let isSettled: Bool = self.settings.certificate == .own || now == last
                last = now
                isFailing = false
                guard isSettled, now != self.shown.withLock({ $0 }) else { continue }
                use(try self.take(now, "a changed certificate of the control plane"))
            } catch {
                // Said once, not every second.
                if !isFailing {
                    self.services.logger.error(
                        "the control plane's certificate could not be changed, the one before stays",
                        ["error": .string("\(error)")])
                }
                isFailing = true
            }
        }
    }

    private var pause: Duration {
        if case .files = self.settings.certificate { return Self.filesEvery }
        return min(max(self.settings.lifetime / 60, Self.ownEvery.lowerBound), Self.ownEvery.upperBound)
    }

    // MARK: Parts

    private func material() async throws -> Material {
        var material: Material
        var root: String?
        switch self.settings.certificate {
        case .files(let files):
            material = Material(
                chain: try Self.text(files.certificate), key: try Self.text(files.key), clients: "")
            if self.settings.gateways != .token {
                root = try await self.certificates.root(in: self.services.store)
            }
        case .own:
            let own: PlatformCertificates.Own = try await self.certificates.own(
                names: self.names, in: self.services.store)
            material = Material(chain: own.chain, key: try own.key.pem(), clients: "")
            root = own.root
        }
        if let root: String { try self.keepRoot(root) }
        if self.settings.gateways != .token { material.clients += root ?? "" }
        if let rule: ClientCertificateRule = self.settings.clients {
            material.clients += try Self.text(rule.authorities)
        }
        return material
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Files.read(path, bytesMax: Self.fileBytesMax), as: UTF8.self)
    }

    private func keepRoot(_ root: String) throws {
        let path: String = "\(self.data)/\(Self.rootFile)"
        if let kept: [UInt8] = try? Files.read(path, bytesMax: Self.fileBytesMax), kept == Array(root.utf8) { return }
        try Files.replace(path, with: Array(root.utf8), mode: 0o644)
    }

    private func take(_ material: Material, _ message: String) throws -> TLSContext {
        let certificate: TLSCertificate = try TLSCertificate(chainPEM: material.chain, keyPEM: material.key)
        let end: Int64 = certificate.chain[0].validity.notAfter
        let before: Material? = self.shown.withLock { $0 }
        guard before == nil || end > self.services.clock.now().seconds else {
            throw CommandError.failed("the certificate ended at \(Timestamp(seconds: end).rfc3339)")
        }
        var clients: TLSServerConfiguration.ClientCertificates = .none
        if !material.clients.isEmpty {
            let authorities: [Certificate] = try Certificate.chain(pem: material.clients)
            clients = self.settings.clients?.isRequired == true ? .required(authorities) : .optional(authorities)
        }
        let context: TLSContext = try Self.context(self.settings, certificate, clients, self.tickets)
        self.shown.withLock { $0 = material }
        self.end.withLock { $0 = end }
        self.services.logger.info(
            message,
            [
                "names": .array(certificate.chain[0].dnsNames.map { .string($0) }),
                "expires": .string(Timestamp(seconds: end).rfc3339),
            ])
        return context
    }

    private static func context(
        _ settings: TLSSettings, _ certificate: TLSCertificate,
        _ clients: TLSServerConfiguration.ClientCertificates = .none, _ tickets: TLSTicketKeys? = nil
    ) throws -> TLSContext {
        try TLSContext.server(
            TLSServerConfiguration(
                certificates: [certificate], minimumVersion: settings.minimumVersion == .tls13 ? .tls13 : .tls12,
                applicationProtocols: ["http/1.1"], clientCertificates: clients,
                ticketLifetime: HTTPSListener.ticketLifetimeDefault, ticketKeys: tickets))
    }

    /// What is wrong with the files that are named; nil when nothing is, or there are none.
    static func problem(of settings: TLSSettings?) -> String? {
        guard let settings: TLSSettings else { return nil }
        do {
            if case .files(let files) = settings.certificate {
                _ = try TLSCertificate(chainPEM: Self.text(files.certificate), keyPEM: Self.text(files.key))
            }
            if let rule: ClientCertificateRule = settings.clients {
                _ = try Certificate.chain(pem: Self.text(rule.authorities))
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// What a platform shows while it is sealed: the files, or a certificate that nobody vouches for, since the authority's key is
    /// sealed, too.
    static func sealed(_ settings: Settings) throws -> TLSContext? {
        guard let tls: TLSSettings = settings.tls else { return nil }
        switch tls.certificate {
        case .files(let files):
            return try Self.context(
                tls, try TLSCertificate(chainPEM: Self.text(files.certificate), keyPEM: Self.text(files.key)))
        case .own:
            let made: CertifiedKey = try CertificateAuthority.selfSigned(
                names: settings.controlPlaneNames, lifetime: .seconds(86_400))
            return try Self.context(tls, TLSCertificate(made))
        }
    }
}
