import Crypto
import Files
import Glibc
import HTTP
import TLS
import Time

/// Whom a caller trusts to be the control plane, and what it shows there: files that options or the environment name, or those that
/// `login` saved for this control plane. Nothing of it is read where the control plane speaks plain HTTP.
struct ControlPlaneTrust: Sendable, Equatable {
    static let authoritiesVariable: String = "PASSERELLE_CA"
    static let certificateVariable: String = "PASSERELLE_CLIENT_CERTIFICATE"
    static let keyVariable: String = "PASSERELLE_CLIENT_KEY"
    private static let fileBytesMax: Int = 1 << 20

    /// The authorities to trust, PEM; nil: those of this machine.
    var authorities: String?
    /// The certificate to show, with its chain, PEM; nil: none.
    var certificate: String?
    /// Its private key, PEM; nil: in the same file.
    var key: String?

    /// Whatever of the command calls the control plane finds them in the environment.
    static func take(from arguments: Arguments) {
        let variables: [(option: String, variable: String)] = [
            ("ca", Self.authoritiesVariable), ("client-certificate", Self.certificateVariable),
            ("client-key", Self.keyVariable),
        ]
        for (option, variable) in variables {
            if let file: String = arguments[option] { setenv(variable, file, 1) }
        }
    }

    /// What the environment names.
    static var ofEnvironment: ControlPlaneTrust {
        ControlPlaneTrust(
            authorities: Login.environment(Self.authoritiesVariable),
            certificate: Login.environment(Self.certificateVariable), key: Login.environment(Self.keyVariable))
    }

    /// What counts for the control plane at this address.
    static func find(url: String) -> ControlPlaneTrust {
        guard URLParts(url)?.scheme == .https else { return ControlPlaneTrust() }
        var trust: ControlPlaneTrust = Self.ofEnvironment
        guard let saved: Login = Login.saved(), saved.url == url else { return trust }
        trust.authorities = trust.authorities ?? saved.trust.authorities
        if trust.certificate == nil, trust.key == nil {
            trust.certificate = saved.trust.certificate
            trust.key = saved.trust.key
        }
        return trust
    }

    /// The same with paths that are good in every working folder.
    var absolute: ControlPlaneTrust {
        func absolute(_ path: String?) -> String? {
            guard let path: String, !path.hasPrefix("/"), let folder: UnsafeMutablePointer<CChar> = getcwd(nil, 0)
            else {
                return path
            }
            defer { free(folder) }
            return "\(String(cString: folder))/\(path)"
        }
        return ControlPlaneTrust(
            authorities: absolute(self.authorities), certificate: absolute(self.certificate), key: absolute(self.key))
    }

    // MARK: What is in the files

    /// - Throws: `CommandError` that names the file and what is wrong with it.
    func configuration(at now: Timestamp) throws(CommandError) -> TLSClientConfiguration {
        let authorities: [Certificate]? = try Self.authorities(self.authorities)
        return TLSClientConfiguration(
            trust: authorities.map { .authorities($0) } ?? .system, certificate: try self.identity(at: now))
    }

    /// The certificates in a file; nil when none is named.
    static func authorities(_ file: String?) throws(CommandError) -> [Certificate]? {
        guard let file: String else { return nil }
        do {
            return try Certificate.chain(pem: Self.text(file))
        } catch {
            throw .failed("The authorities in \(file) cannot be used: \(error)")
        }
    }

    /// The certificate to show; nil when none is named.
    func identity(at now: Timestamp) throws(CommandError) -> TLSCertificate? {
        guard let file: String = self.certificate else {
            guard self.key == nil else {
                throw .usage("--client-key belongs to --client-certificate FILE: give both, or the certificate alone.")
            }
            return nil
        }
        let found: TLSCertificate
        do {
            found = try TLSCertificate(chainPEM: Self.text(file), keyPEM: Self.text(self.key ?? file))
        } catch {
            let key: String = self.key.map { " with the key in \($0)" } ?? ", which has to hold its key, too,"
            throw .failed("The client certificate in \(file)\(key) cannot be used: \(error)")
        }
        let end: Int64 = found.chain[0].validity.notAfter
        guard end > now.seconds else {
            throw .failed(
                "The client certificate in \(file) ended at \(Timestamp(seconds: end).rfc3339). Have another one issued."
            )
        }
        return found
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Files.read(path, bytesMax: Self.fileBytesMax), as: UTF8.self)
    }

    // MARK: What a failure has to do with it

    /// What to do where the two sides do not speak the same, or do not trust each other; empty: nothing of that kind.
    func hint(about error: any Error) -> String {
        switch error as? HTTPClientError {
        case .tls(let reason) where reason.contains("alert"):
            // What the other side did not like.
            if reason.contains("version") { return "" }
            return self.certificate.map {
                "\nIt does not take the certificate in \($0): of which authority must it be, and for clients?"
            } ?? Self.wanted
        case .tls(let reason) where reason.contains("certificate"):
            return
                "\nName its authority, if you know it for the right one: --ca FILE or \(Self.authoritiesVariable)."
        case .tls(let reason) where reason.contains("wrong version") || reason.contains("packet length"):
            return "\nIt does not speak TLS there: does the URL begin with http?"
        // With TLS 1.3 a client learns that it should have shown one when it has sent its request already.
        case .closedBeforeResponse where self.certificate == nil: return Self.wanted
        default: return ""
        }
    }

    private static let wanted: String =
        "\nIf it asks for a certificate: --client-certificate FILE and --client-key FILE, or \(certificateVariable) and \(keyVariable)."
}
