import Crypto
import Files
import GatewayConfiguration
import Synchronization
import TLS
import Telemetry
import TestKit
import Testing

@testable import Gateway

/// The files of the HTTPS listener, followed.
struct CertificateKeeperTests {
    /// Replaced as a whole, as who renews certificates does.
    private static func write(_ text: String, to name: String, in folder: TemporaryFolder) throws {
        try Files.replace(folder.file(name), with: Array(text.utf8))
    }

    private static func write(_ certified: CertifiedKey, in folder: TemporaryFolder) throws {
        try Self.write(certified.key.pem(), to: "a.key", in: folder)
        try Self.write(certified.certificate.pem(), to: "a.pem", in: folder)
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
        let folder: TemporaryFolder = TemporaryFolder()
        let first: CertifiedKey = try CertificateAuthority.selfSigned(names: ["localhost"])
        try Self.write(first, in: folder)
        let metrics: MetricRegistry = MetricRegistry()
        let keeper: CertificateKeeper = CertificateKeeper(
            Self.listener(), folder: folder.path, logger: .silent, metrics: metrics)
        _ = try keeper.load()
        let expiry: String = "passerelle_gateway_certificate_expiry_timestamp_seconds{certificate=\"a.pem\"}"
        #expect(Self.metric(metrics, expiry) == Double(first.certificate.validity.notAfter))
        // A change that came before anybody followed is a change too.
        let second: CertifiedKey = try CertificateAuthority.selfSigned(names: ["localhost"], lifetime: .seconds(86_400))
        try Self.write(second, in: folder)
        let installed: Atomic<Int> = Atomic(0)
        keeper.follow { _ in installed.wrappingAdd(1, ordering: .relaxed) }
        #expect(await eventually { Self.reloads(metrics, "taken") >= 1 })
        #expect(Self.metric(metrics, expiry) == Double(second.certificate.validity.notAfter))
        let before: Int = installed.load(ordering: .relaxed)
        #expect(before >= 1)
        try Self.write("no certificate", to: "a.pem", in: folder)
        #expect(await eventually { Self.reloads(metrics, "refused") >= 1 })
        #expect(installed.load(ordering: .relaxed) == before)
        #expect(Self.metric(metrics, expiry) == Double(second.certificate.validity.notAfter))
        keeper.stop()
    }

    @Test func namesTheFileThatIsWrong() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        try Self.write(CertificateAuthority.selfSigned(names: ["localhost"]), in: folder)
        let rule: ClientCertificateRule = ClientCertificateRule(authorities: "ca.pem")
        let keeper: CertificateKeeper = CertificateKeeper(
            Self.listener(rule), folder: folder.path, logger: .silent, metrics: nil)
        for text in [nil, "nobody"] {
            if let text { try Self.write(text, to: "ca.pem", in: folder) }
            let error: GatewayEngine.StartError? = #expect(throws: GatewayEngine.StartError.self) {
                _ = try keeper.load()
            }
            #expect(error?.description.contains("ca.pem") == true)
        }
        try Self.write(CertificateAuthority(name: "CA").identity.certificate.pem(), to: "ca.pem", in: folder)
        _ = try keeper.load()
        // A key of another.
        try Self.write(CertificateAuthority.selfSigned(names: ["localhost"]).key.pem(), to: "a.key", in: folder)
        let error: GatewayEngine.StartError? = #expect(throws: GatewayEngine.StartError.self) {
            _ = try keeper.load()
        }
        #expect(error?.description.contains("a.pem with a.key") == true)
    }
}
