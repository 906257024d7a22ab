import Contracts
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
///
/// In place of a file may stand a secret of the platform, `secret://NAME`: its versions are followed as files are.
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
        /// Lists of revoked certificates of callers, PEM; empty: there are none.
        var lists: String = ""
    }

    /// What the platform's own authority has to do with it, and until when nobody looks again, nanoseconds of the monotonic clock.
    private struct Issued: Sendable {
        /// Chain and key, PEM; nil: files are shown.
        var shown: (chain: String, key: String)?
        let root: String
        let keptUntil: UInt64
    }

    private let settings: TLSSettings
    private let names: [String]
    private let data: String
    private let services: ServiceEnvironment
    private let certificates: PlatformCertificates
    private let secrets: any SecretsOffer
    private let tickets: TLSTicketKeys = TLSTicketKeys(lifetime: HTTPSListener.ticketLifetimeDefault)
    private let shown: Mutex<Material?> = Mutex(nil)
    /// When what is shown ends, seconds since 1970 UTC.
    private let end: Mutex<Int64> = Mutex(0)
    private let issued: Mutex<Issued?> = Mutex(nil)
    private let lists: Mutex<RevocationLists?> = Mutex(nil)

    init(
        _ settings: TLSSettings, names: [String], data: String, services: ServiceEnvironment,
        certificates: PlatformCertificates, secrets: any SecretsOffer
    ) {
        self.settings = settings
        self.secrets = secrets
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
                let isSettled: Bool = !self.hasFiles || now == last
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

    /// Whether a certificate was revoked by a list of `client_certificates.revocation_lists`, as last read: for connections that are
    /// open. Handshakes look it up themselves.
    func refuses(_ certificate: Certificate) -> Bool {
        self.lists.withLock { $0?.name(certificate) ?? false }
    }

    private var hasFiles: Bool { self.settings.certificate != .own || self.settings.clients != nil }

    private var pause: Duration { self.hasFiles ? Self.filesEvery : self.ownPause }

    private var ownPause: Duration {
        min(max(self.settings.lifetime / 60, Self.ownEvery.lowerBound), Self.ownEvery.upperBound)
    }

    // MARK: Parts

    private func material() async throws -> Material {
        let issued: Issued? = try await self.issuedNow()
        var material: Material
        switch self.settings.certificate {
        case .files(let files):
            material = Material(
                chain: try await self.text(files.certificate), key: try await self.text(files.key), clients: "")
        case .own:
            material = Material(chain: issued?.shown?.chain ?? "", key: issued?.shown?.key ?? "", clients: "")
        }
        if self.settings.gateways != .token { material.clients += issued?.root ?? "" }
        if let rule: ClientCertificateRule = self.settings.clients {
            material.clients += try await self.text(rule.authorities)
            if let path: String = rule.revocationLists {
                material.lists = try Self.text(ofFile: path, bytesMax: RevocationLists.bytesMax)
            }
        }
        return material
    }

    /// What the platform's own authority gives, where it is needed; files are looked at more often than it is asked.
    private func issuedNow() async throws -> Issued? {
        let isOwn: Bool = self.settings.certificate == .own
        guard isOwn || self.settings.gateways != .token else { return nil }
        let now: UInt64 = self.services.clock.monotonic()
        if let known: Issued = self.issued.withLock({ $0 }), now < known.keptUntil { return known }
        let keptUntil: UInt64 = now + UInt64(self.ownPause.components.seconds) * 1_000_000_000 - 500_000_000
        let issued: Issued
        if isOwn {
            let own: PlatformCertificates.Own = try await self.certificates.own(
                names: self.names, in: self.services.store)
            issued = Issued(shown: (own.chain, try own.key.pem()), root: own.root, keptUntil: keptUntil)
        } else {
            issued = Issued(root: try await self.certificates.root(in: self.services.store), keptUntil: keptUntil)
        }
        try self.keepRoot(issued.root)
        self.issued.withLock { $0 = issued }
        return issued
    }

    /// What is in a file, or in the present version of a secret.
    private func text(_ place: String) async throws -> String {
        guard let name: String = Self.secret(place) else { return try Self.text(ofFile: place) }
        let secrets: any SecretsOffer = self.secrets
        let value: String? = try await self.services.store.read { reader in
            try secrets.currentVersion(tenant: "", name: name, in: reader).flatMap {
                try secrets.value(tenant: "", name: name, version: $0, in: reader)
            }
        }
        guard let value: String else { throw CommandError.failed("the platform has no secret '\(name)'") }
        return value
    }

    /// The name of the secret in place of a file; nil: it is a file.
    private static func secret(_ place: String) -> String? {
        guard SecretReference.isOneReference(place) else { return nil }
        return SecretReference.names(in: .string(place)).first
    }

    private static func text(ofFile path: String, bytesMax: Int = fileBytesMax) throws -> String {
        String(decoding: try Files.read(path, bytesMax: bytesMax), as: UTF8.self)
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
        let lists: RevocationLists? = material.lists.isEmpty ? nil : try RevocationLists(pem: material.lists)
        let context: TLSContext = try Self.context(self.settings, certificate, clients, lists, self.tickets)
        self.shown.withLock { $0 = material }
        self.lists.withLock { $0 = lists }
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
        _ clients: TLSServerConfiguration.ClientCertificates = .none, _ lists: RevocationLists? = nil,
        _ tickets: TLSTicketKeys? = nil
    ) throws -> TLSContext {
        try TLSContext.server(
            TLSServerConfiguration(
                certificates: [certificate], minimumVersion: settings.minimumVersion == .tls13 ? .tls13 : .tls12,
                applicationProtocols: ["http/1.1"], clientCertificates: clients,
                // The platform's own authority has none there: what it revoked is looked up with each request.
                revocations: lists.map { TLSServerConfiguration.Revocations($0, needsEveryIssuer: false) },
                ticketLifetime: HTTPSListener.ticketLifetimeDefault, ticketKeys: tickets))
    }

    /// What is wrong with the files that are named; nil when nothing is, or there are none. Secrets are not looked at.
    static func problem(of settings: TLSSettings?) -> String? {
        guard let settings: TLSSettings else { return nil }
        do {
            if case .files(let files) = settings.certificate {
                _ = try Self.certificate(inFiles: files)
            }
            if let rule: ClientCertificateRule = settings.clients, Self.secret(rule.authorities) == nil {
                _ = try Certificate.chain(pem: Self.text(ofFile: rule.authorities))
            }
            if let path: String = settings.clients?.revocationLists {
                _ = try RevocationLists(pem: Self.text(ofFile: path, bytesMax: RevocationLists.bytesMax))
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Nil: a part of it is a secret.
    private static func certificate(inFiles files: CertificateFiles) throws -> TLSCertificate? {
        guard Self.secret(files.certificate) == nil, Self.secret(files.key) == nil else { return nil }
        return try TLSCertificate(chainPEM: Self.text(ofFile: files.certificate), keyPEM: Self.text(ofFile: files.key))
    }

    /// What a platform shows while it is sealed: the files, or a certificate that nobody vouches for where secrets are needed, or the
    /// authority's key: they are sealed, too.
    static func sealed(_ settings: Settings) throws -> TLSContext? {
        guard let tls: TLSSettings = settings.tls else { return nil }
        if case .files(let files) = tls.certificate,
            let certificate: TLSCertificate = try Self.certificate(inFiles: files)
        {
            return try Self.context(tls, certificate)
        }
        let made: CertifiedKey = try CertificateAuthority.selfSigned(
            names: settings.controlPlaneNames, lifetime: .seconds(86_400))
        return try Self.context(tls, TLSCertificate(made))
    }
}
