import Crypto
import EventLoops
import Files
import Gateway
import GatewayConfiguration
import HTTP
import JSON
import Synchronization
import TLS
import Telemetry
import Time

/// How a gateway apart shows its control plane who it is: by its token until it has a certificate, then by that.
///
/// ```
/// gateway/link.pem     the key and the certificate with its chain, mode 0600, replaced as a whole; sealed where there is a master key
/// ```
/// The first certificate is asked for by the token, each next one by the one before, at two thirds of its life. One that is refused
/// is followed by another try with the token, which is read anew: so a gateway that was locked out comes back with a new one.
///
/// Where the control plane lets nobody in without a certificate, the settings name one to show until then: it opens the
/// connection, and the token says who calls. A gateway that stays with its token shows it always, and follows its files.
final class LinkIdentity: Sendable {
    private static let fileBytesMax: Int = 64 << 10
    private static let tokenBytesMax: Int = 1_024
    /// How often it is looked whether something is due.
    private static let lookEvery: Duration = .seconds(1)
    /// First and longest pause after a failure.
    private static let pauses: ClosedRange<Duration> = .seconds(1) ... .seconds(300)

    private struct State {
        var certificate: TLSCertificate?
        var link: RemoteLink?
    }

    private let settings: Settings
    private let url: URLParts
    private let authorities: [Certificate]?
    private let key: String
    private let folderKey: FolderKey?
    private let group: EventLoopGroup = EventLoopGroup(count: 1, name: "link")
    private let clock: any WallClock
    private let logger: Logger
    private let state: Mutex<State> = Mutex(State())

    private var path: String { "\(self.settings.data)/gateway/link.pem" }

    /// - Throws: `CommandError.failed` when a file that is named cannot be read.
    ///
    /// - Parameter folderKey: what its files are sealed with; nil: they lie there in clear.
    init(
        _ settings: Settings, url: URLParts, folderKey: FolderKey?, logger: Logger, clock: any WallClock = SystemClock()
    ) throws {
        self.folderKey = folderKey
        self.settings = settings
        self.url = url
        self.logger = logger
        self.clock = clock
        self.authorities = try ControlPlaneTrust.authorities(settings.controlPlaneAuthorities)
        self.key = try GatewayKey(folder: "\(settings.data)/gateway", folderKey: folderKey).publicText
        _ = try self.token()
        if self.certifies {
            let kept: TLSCertificate? = Self.read(self.path, with: folderKey)
            self.state.withLock { $0.certificate = kept }
        }
    }

    /// Whether it asks for certificates: over TLS only, where they can be shown.
    private var certifies: Bool { self.url.scheme == .https && self.settings.gatewayCertificate }

    // MARK: The link

    /// The link as it is now.
    func link() throws -> RemoteLink {
        if let link: RemoteLink = self.state.withLock({ $0.link }) { return link }
        return try self.connect(self.usable(at: self.clock.now()))
    }

    /// A fresh link; calls that are under way end on the one before.
    @discardableResult
    private func connect(_ certificate: TLSCertificate?) throws -> RemoteLink {
        let link: RemoteLink = try self.made(certificate, token: certificate == nil ? try self.token() : nil)
        self.state.withLock { $0.link = link }
        return link
    }

    private func made(_ certificate: TLSCertificate?, token: String?) throws -> RemoteLink {
        let trust: TLSClientConfiguration.Trust = self.authorities.map { .authorities($0) } ?? .system
        let shown: TLSCertificate? = try certificate ?? self.given?.identity(at: self.clock.now())
        let client: HTTPClient = HTTPClient(
            group: self.group,
            configuration: HTTPClientConfiguration(
                tls: try TLSContext.client(TLSClientConfiguration(trust: trust, certificate: shown)),
                egress: { _ in .allow }))
        return RemoteLink(
            client: client, controlPlane: self.url, id: GatewayProcess.name(self.settings), token: token,
            address: "http://\(self.settings.gatewayAddress)", key: self.key)
    }

    /// What the settings name to be shown; nil: nothing, or the control plane speaks plain HTTP.
    private var given: ControlPlaneTrust? {
        guard self.url.scheme == .https, let files: CertificateFiles = self.settings.gatewayClientCertificate else {
            return nil
        }
        return ControlPlaneTrust(certificate: files.certificate, key: files.key)
    }

    private func token() throws -> String {
        guard let file: String = self.settings.gatewayTokenFile else {
            throw CommandError.usage("A gateway apart needs --gateway-token-file.")
        }
        do {
            let bytes: [UInt8] = try Files.read(file, bytesMax: Self.tokenBytesMax)
            return String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self)
        } catch {
            throw CommandError.failed("The gateway token cannot be read: \(error)")
        }
    }

    /// The certificate, while it has not ended.
    private func usable(at now: Timestamp) -> TLSCertificate? {
        let certificate: TLSCertificate? = self.state.withLock { $0.certificate }
        guard let certificate: TLSCertificate, certificate.chain[0].validity.notAfter > now.seconds else { return nil }
        return certificate
    }

    // MARK: Certificates

    /// Asks for certificates when they are due, and follows the files of the one that is shown until there is one, until cancelled;
    /// `use` gets each fresh link.
    func keep(_ use: @Sendable (RemoteLink) -> Void) async {
        guard self.certifies || self.given != nil else { return }
        var pause: Duration = Self.pauses.lowerBound
        var nextTry: UInt64 = 0
        var shown: [UInt8]? = self.givenFingerprint
        repeat {
            let now: Timestamp = self.clock.now()
            if self.certifies, self.isDue(at: now), self.clock.monotonic() >= nextTry {
                do {
                    use(try await self.obtain())
                    pause = Self.pauses.lowerBound
                } catch {
                    if Task.isCancelled { return }
                    self.logger.warning(
                        "the gateway got no certificate for its link",
                        ["error": .string("\(error)\((self.given ?? ControlPlaneTrust()).hint(about: error))")])
                    nextTry = self.clock.monotonic() + UInt64(pause.components.seconds) * 1_000_000_000
                    pause = min(pause * 2, Self.pauses.upperBound)
                }
            } else if self.usable(at: now) == nil, let found: [UInt8] = self.givenFingerprint, found != shown,
                let link: RemoteLink = try? self.connect(nil)
            {
                shown = found
                self.logger.info("the gateway shows another certificate to its control plane")
                use(link)
            }
        } while (try? await self.clock.sleep(for: Self.lookEvery)) != nil
    }

    /// Which certificate the files hold that the settings name; nil: none that can be shown.
    private var givenFingerprint: [UInt8]? {
        try? self.given?.identity(at: self.clock.now())?.chain[0].fingerprint
    }

    private func isDue(at now: Timestamp) -> Bool {
        guard let certificate: TLSCertificate = self.usable(at: now) else { return true }
        if self.state.withLock({ $0.link })?.isRefused == true { return true }
        let validity: (notBefore: Int64, notAfter: Int64) = certificate.chain[0].validity
        let made: Int64 = max(validity.notBefore, self.madeAt ?? validity.notBefore)
        return now.seconds >= made + (validity.notAfter - made) * 2 / 3
    }

    /// When the present certificate came, seconds since 1970 UTC: certificates are valid from a little before they are made.
    private var madeAt: Int64? { Folders.modified(self.path) }

    private func obtain() async throws -> RemoteLink {
        let key: PrivateKey = try .generate(.p256)
        let request: String = try SigningRequest.make(for: key, commonName: GatewayProcess.name(self.settings))
        let chain: String = try await self.ask(request)
        let certificate: TLSCertificate = try TLSCertificate(chain: Certificate.chain(pem: chain), key: key)
        try FolderKey.write(Array((try key.pem() + chain).utf8), to: self.path, with: self.folderKey)
        self.state.withLock { $0.certificate = certificate }
        self.logger.info(
            "the gateway has a certificate for its link",
            ["expires": .string(Timestamp(seconds: certificate.chain[0].validity.notAfter).rfc3339)])
        return try self.connect(certificate)
    }

    /// By the certificate there is; where that is not taken, or there is none, by the token.
    private func ask(_ request: String) async throws -> String {
        if let certificate: TLSCertificate = self.usable(at: self.clock.now()) {
            do {
                return try await self.made(certificate, token: nil).certificate(for: request)
            } catch LinkError.refused(let status, _) where status == 401 || status == 409 {
                // Revoked, or of an authority of before: below.
            }
        }
        return try await self.made(nil, token: try self.token()).certificate(for: request)
    }

    private static func read(_ path: String, with key: FolderKey?) -> TLSCertificate? {
        guard let bytes: [UInt8] = try? FolderKey.read(path, bytesMax: Self.fileBytesMax, with: key) else { return nil }
        let text: String = String(decoding: bytes, as: UTF8.self)
        return try? TLSCertificate(chainPEM: text, keyPEM: text)
    }
}
