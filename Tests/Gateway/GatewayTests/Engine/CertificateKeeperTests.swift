import Crypto
import Files
import GatewayConfiguration
import Glibc
import Synchronization
import TLS
import Telemetry
import Testing

@testable import Gateway

/// The files of the HTTPS listener, followed.
struct CertificateKeeperTests {
    private final class Folder: Sendable {
        let path: String

        init() throws {
            var template: [CChar] = Array("/tmp/passerelle-keeper-XXXXXX".utf8CString)
            self.path = try #require(mkdtemp(&template).map { String(cString: $0) })
        }

        deinit {
            for name in ["a.pem", "a.key", "ca.pem"] { unlink("\(self.path)/\(name)") }
            rmdir(self.path)
        }

        func write(_ text: String, to name: String) throws {
            try Files.replace("\(self.path)/\(name)", with: Array(text.utf8))
        }

        func write(_ certified: CertifiedKey) throws {
            try self.write(certified.key.pem(), to: "a.key")
            try self.write(certified.certificate.pem(), to: "a.pem")
        }
    }

    private static func listener(_ clients: ClientCertificateRule? = nil) -> HTTPSListener {
        HTTPSListener(
            address: "127.0.0.1:0", certificates: [CertificateFiles(certificate: "a.pem", key: "a.key")],
            clientCertificates: clients)
    }

    private static func metric(_ metrics: MetricRegistry, _ series: String) -> Double? {
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix(series + " ") {
            return Double(line.dropFirst(series.count + 1))
        }
        return nil
    }

    private static func reloads(_ metrics: MetricRegistry, _ result: String) -> Double {
        Self.metric(metrics, "passerelle_gateway_certificate_reloads_total{result=\"\(result)\"}") ?? 0
    }

    @Test func takesChangedFilesAndRefusesWrongOnes() async throws {
        let folder: Folder = try Folder()
        let first: CertifiedKey = try CertificateAuthority.selfSigned(names: ["localhost"])
        try folder.write(first)
        let metrics: MetricRegistry = MetricRegistry()
        let keeper: CertificateKeeper = CertificateKeeper(
            Self.listener(), folder: folder.path, logger: .silent, metrics: metrics)
        _ = try keeper.load()
        let expiry: String = "passerelle_gateway_certificate_expiry_timestamp_seconds{certificate=\"a.pem\"}"
        #expect(Self.metric(metrics, expiry) == Double(first.certificate.validity.notAfter))
        // A change that came before anybody followed is a change too.
        let second: CertifiedKey = try CertificateAuthority.selfSigned(names: ["localhost"], lifetime: .seconds(86_400))
        try folder.write(second)
        let installed: Atomic<Int> = Atomic(0)
        keeper.follow { _ in installed.wrappingAdd(1, ordering: .relaxed) }
        #expect(await eventually { Self.reloads(metrics, "taken") >= 1 })
        #expect(Self.metric(metrics, expiry) == Double(second.certificate.validity.notAfter))
        let before: Int = installed.load(ordering: .relaxed)
        #expect(before >= 1)
        try folder.write("no certificate", to: "a.pem")
        #expect(await eventually { Self.reloads(metrics, "refused") >= 1 })
        #expect(installed.load(ordering: .relaxed) == before)
        #expect(Self.metric(metrics, expiry) == Double(second.certificate.validity.notAfter))
        keeper.stop()
    }

    @Test func namesTheFileThatIsWrong() throws {
        let folder: Folder = try Folder()
        try folder.write(CertificateAuthority.selfSigned(names: ["localhost"]))
        let rule: ClientCertificateRule = ClientCertificateRule(authorities: "ca.pem")
        let keeper: CertificateKeeper = CertificateKeeper(
            Self.listener(rule), folder: folder.path, logger: .silent, metrics: nil)
        for text in [nil, "nobody"] {
            if let text { try folder.write(text, to: "ca.pem") }
            let error: GatewayEngine.StartError? = #expect(throws: GatewayEngine.StartError.self) {
                _ = try keeper.load()
            }
            #expect(error?.description.contains("ca.pem") == true)
        }
        try folder.write(CertificateAuthority(name: "CA").identity.certificate.pem(), to: "ca.pem")
        _ = try keeper.load()
        // A key of another.
        try folder.write(CertificateAuthority.selfSigned(names: ["localhost"]).key.pem(), to: "a.key")
        let error: GatewayEngine.StartError? = #expect(throws: GatewayEngine.StartError.self) {
            _ = try keeper.load()
        }
        #expect(error?.description.contains("a.pem with a.key") == true)
    }
}
