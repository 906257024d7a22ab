import Crypto
import EventLoops
import Files
import GatewayConfiguration
import JSON
import Synchronization
import TLS
import Telemetry
import Time

/// The files of the HTTPS listener: reads them, looks whether they change, and gives what they hold to new connections.
///
/// Files that are wrong change nothing: what was shown before is shown on, and the log says why. Connections under way keep the
/// certificate they began with; sessions are resumed under the next one.
final class CertificateKeeper: Sendable {
    /// One certificate as it is shown.
    private struct Shown {
        let file: String
        let names: [String]
        /// Seconds since 1970 UTC.
        let notAfter: Int64
    }

    private struct State {
        var shown: [Shown] = []
        var taken: UInt64 = 0
        var refused: UInt64 = 0
        var worker: EventLoop?
    }

    /// How often the files are looked at; a change is taken when two looks see the same.
    private static let lookInterval: Duration = .seconds(1)
    /// Bytes of one file at most.
    private static let fileBytesMax: Int = 1 << 20
    /// Seconds before its end at which a certificate is warned of when it is loaded.
    private static let warningSeconds: Int64 = 14 * 86_400

    private let listener: HTTPSListener
    private let folder: String
    private let logger: Logger
    private let keys: TLSTicketKeys
    /// Hears of lists of revoked certificates, so that connections under way are refused too.
    private let revocations: TokenRevocations?
    /// Of the files that are read first.
    private let firstSeen: [FileSignature?]
    private let state: Mutex<State> = Mutex(State())

    /// Files are relative to `folder`.
    init(
        _ listener: HTTPSListener, folder: String, logger: Logger, metrics: MetricRegistry?,
        revocations: TokenRevocations? = nil
    ) {
        self.revocations = revocations
        self.listener = listener
        self.folder = folder
        self.logger = logger
        self.keys = TLSTicketKeys(lifetime: listener.ticketLifetime)
        self.firstSeen = CertificateKeeper.signatures(of: listener, in: folder)
        if let metrics { self.publish(in: metrics) }
    }

    // MARK: Reading

    /// What the files hold now. Blocks.
    func load() throws(GatewayEngine.StartError) -> TLSContext {
        let (context, shown, lists): (TLSContext, [Shown], RevocationLists?) = try self.read()
        self.tell(shown, "a certificate is served")
        self.state.withLock { $0.shown = shown }
        if let lists: RevocationLists { self.revocations?.use(lists) }
        return context
    }

    private func read() throws(GatewayEngine.StartError) -> (TLSContext, [Shown], RevocationLists?) {
        var certificates: [TLSCertificate] = []
        var shown: [Shown] = []
        for files in self.listener.certificates {
            let chain: String = try self.text(files.certificate)
            let key: String = try self.text(files.key)
            do {
                let certificate: TLSCertificate = try TLSCertificate(chainPEM: chain, keyPEM: key)
                certificates.append(certificate)
                shown.append(
                    Shown(
                        file: files.certificate, names: certificate.chain[0].dnsNames,
                        notAfter: certificate.chain[0].validity.notAfter))
            } catch {
                throw .certificate("\(files.certificate) with \(files.key): \(error)")
            }
        }
        let clients: TLSServerConfiguration.ClientCertificates = try self.clientCertificates()
        let lists: RevocationLists? = try self.revocationLists()
        do throws(TLSError) {
            return (
                try TLSContext.server(
                    TLSServerConfiguration(
                        certificates: certificates,
                        minimumVersion: self.listener.minimumVersion == .tls13 ? .tls13 : .tls12,
                        applicationProtocols: ["h2", "http/1.1"], clientCertificates: clients,
                        revocations: lists.map { TLSServerConfiguration.Revocations($0, needsEveryIssuer: true) },
                        ticketLifetime: self.listener.ticketLifetime, ticketKeys: self.keys,
                        ciphers: self.listener.ciphers)), shown, lists
            )
        } catch {
            throw .certificate("the HTTPS listener: \(error)")
        }
    }

    private func clientCertificates() throws(GatewayEngine.StartError) -> TLSServerConfiguration.ClientCertificates {
        guard let rule: ClientCertificateRule = self.listener.clientCertificates else { return .none }
        let text: String = try self.text(rule.authorities)
        do throws(CryptoError) {
            let authorities: [Certificate] = try Certificate.chain(pem: text)
            return rule.isRequired ? .required(authorities) : .optional(authorities)
        } catch {
            throw .certificate("\(rule.authorities): \(error)")
        }
    }

    private func revocationLists() throws(GatewayEngine.StartError) -> RevocationLists? {
        guard let path: String = self.listener.clientCertificates?.revocationLists else { return nil }
        let text: String = try self.text(path, bytesMax: RevocationLists.bytesMax)
        do throws(CryptoError) {
            return try RevocationLists(pem: text)
        } catch {
            throw .certificate("\(path): \(error)")
        }
    }

    private func text(
        _ path: String, bytesMax: Int = CertificateKeeper.fileBytesMax
    ) throws(GatewayEngine.StartError) -> String {
        do throws(FileError) {
            let bytes: [UInt8] = try Files.read(CertificateKeeper.whole(path, self.folder), bytesMax: bytesMax)
            return String(decoding: bytes, as: UTF8.self)
        } catch {
            throw .certificate(error.description)
        }
    }

    private static func whole(_ path: String, _ folder: String) -> String {
        path.hasPrefix("/") ? path : "\(folder)/\(path)"
    }

    // MARK: Changes, on the worker's thread

    /// Looks after the files from now on, on a thread of its own; `install` is called there with each fresh context.
    func follow(_ install: @escaping @Sendable (TLSContext) -> Void) {
        let worker: EventLoop = EventLoop.start(name: "certificates")
        self.state.withLock { $0.worker = worker }
        worker.execute { self.look(worker, last: [], taken: self.firstSeen, install) }
    }

    func stop() {
        let worker: EventLoop? = self.state.withLock { (state: inout State) -> EventLoop? in state.worker.take() }
        worker?.stop()
        worker?.join()
    }

    /// What was taken is told by its signatures from before it was read: a change while it was read is seen by the next look.
    private func look(
        _ worker: EventLoop, last: [FileSignature?], taken: [FileSignature?],
        _ install: @escaping @Sendable (TLSContext) -> Void
    ) {
        let now: [FileSignature?] = CertificateKeeper.signatures(of: self.listener, in: self.folder)
        let isChange: Bool = now == last && now != taken
        if isChange { self.take(install) }
        let timer: ActionTimer = ActionTimer {
            self.look(worker, last: now, taken: isChange ? now : taken, install)
        }
        worker.schedule(timer, after: CertificateKeeper.lookInterval)
    }

    private func take(_ install: @Sendable (TLSContext) -> Void) {
        do throws(GatewayEngine.StartError) {
            let (context, shown, lists): (TLSContext, [Shown], RevocationLists?) = try self.read()
            let now: Int64 = SystemClock().now().seconds
            if let over: Shown = shown.first(where: { $0.notAfter <= now }) {
                throw .certificate("\(over.file): the certificate ended \(CertificateKeeper.date(over.notAfter))")
            }
            install(context)
            if let lists: RevocationLists { self.revocations?.use(lists) }
            self.state.withLock { (state: inout State) in
                state.shown = shown
                state.taken += 1
            }
            self.tell(shown, "a changed certificate is served")
        } catch {
            self.state.withLock { $0.refused += 1 }
            self.logger.error(
                "changed certificates are refused, those before stay", ["problem": .string(error.description)])
        }
    }

    private static func signatures(of listener: HTTPSListener, in folder: String) -> [FileSignature?] {
        var signatures: [FileSignature?] = []
        for files in listener.certificates {
            signatures.append(FileSignature(self.whole(files.certificate, folder)))
            signatures.append(FileSignature(self.whole(files.key, folder)))
        }
        if let rule: ClientCertificateRule = listener.clientCertificates {
            signatures.append(FileSignature(self.whole(rule.authorities, folder)))
            if let lists: String = rule.revocationLists { signatures.append(FileSignature(self.whole(lists, folder))) }
        }
        return signatures
    }

    // MARK: Telling

    private func tell(_ shown: [Shown], _ message: String) {
        let now: Int64 = SystemClock().now().seconds
        for certificate in shown {
            let fields: JSONObject = [
                "file": .string(certificate.file), "names": .array(certificate.names.map { JSONValue.string($0) }),
                "expires": .string(CertificateKeeper.date(certificate.notAfter)),
            ]
            if certificate.notAfter - now < CertificateKeeper.warningSeconds {
                self.logger.warning("\(message); it ends soon or has ended", fields)
            } else {
                self.logger.info(message, fields)
            }
        }
    }

    private static func date(_ seconds: Int64) -> String {
        Timestamp(seconds: seconds).rfc3339
    }

    private func publish(in metrics: MetricRegistry) {
        metrics.samples(
            "passerelle_gateway_certificate_expiry_timestamp_seconds", kind: .gauge,
            help: "When a served certificate ends, in seconds since 1970 UTC."
        ) { [weak self] in
            let shown: [Shown] = self?.state.withLock { $0.shown } ?? []
            return shown.map { MetricSample(labels: ["certificate": $0.file], value: Double($0.notAfter)) }
        }
        metrics.samples(
            "passerelle_gateway_certificate_reloads_total", kind: .counter,
            help: "Changes of certificate files, by whether they were taken."
        ) { [weak self] in
            let counts: (UInt64, UInt64) = self?.state.withLock { ($0.taken, $0.refused) } ?? (0, 0)
            return [
                MetricSample(labels: ["result": "taken"], value: Double(counts.0)),
                MetricSample(labels: ["result": "refused"], value: Double(counts.1)),
            ]
        }
    }
}
