import Crypto
import Files
import GatewayConfiguration
import Time

/// The certificate the demo shows when it listens with TLS and was given none: for localhost, signed by itself, kept in the data
/// folder so that every start shows the same.
enum DemoCertificate {
    private static let fileBytesMax: Int = 64 * 1_024
    /// Seconds a kept certificate has left at least.
    private static let leftSeconds: Int64 = 7 * 86_400

    static func files(in data: String) -> CertificateFiles {
        CertificateFiles(certificate: "\(data)/demo-tls.pem", key: "\(data)/demo-tls.key")
    }

    /// Makes the files where they are needed and missing, or end soon.
    static func prepare(_ settings: Settings) throws {
        let files: CertificateFiles = Self.files(in: settings.data)
        guard let listener: HTTPSListener = settings.https, listener.certificates == [files], !Self.isGood(files) else {
            return
        }
        try Files.makeFolder(settings.data)
        let made: CertifiedKey = try CertificateAuthority.selfSigned(names: ["localhost", "127.0.0.1"])
        try Files.replace(files.key, with: Array(made.key.pem().utf8))
        try Files.replace(files.certificate, with: Array(made.certificate.pem().utf8))
    }

    private static func isGood(_ files: CertificateFiles) -> Bool {
        guard let bytes: [UInt8] = try? Files.read(files.certificate, bytesMax: Self.fileBytesMax),
            let certificate: Certificate = try? Certificate.chain(pem: String(decoding: bytes, as: UTF8.self)).first,
            Files.exists(files.key)
        else { return false }
        return certificate.validity.notAfter - SystemClock().now().seconds > Self.leftSeconds
    }
}
