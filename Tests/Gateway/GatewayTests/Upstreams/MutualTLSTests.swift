import Crypto
import EventLoops
import Foundation
import GatewayConfiguration
import TLS
import Testing

@testable import Gateway

/// Targets that ask who the gateway is, and how little it may be satisfied with.
struct MutualTLSTests {
    /// Certificates of one test in a folder of their own.
    private final class Folder {
        let url: URL = URL(filePath: NSTemporaryDirectory()).appending(path: "tls-\(UUID().uuidString)")
        let authority: CertificateAuthority
        let server: CertifiedKey

        init() throws {
            self.authority = try CertificateAuthority(name: "test")
            self.server = try self.authority.issueServer(names: ["localhost", "127.0.0.1"])
            try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(at: self.url) }

        func write(_ certified: CertifiedKey, as name: String = "client") throws -> CertificateFiles {
            let files: CertificateFiles = CertificateFiles(
                certificate: self.url.appending(path: "\(name).pem").path,
                key: self.url.appending(path: "\(name).key").path)
            try Data(try certified.certificate.pem().utf8).write(to: URL(filePath: files.certificate))
            try Data(try certified.key.pem().utf8).write(to: URL(filePath: files.key))
            return files
        }
    }

    /// Serves those who show a certificate of this authority.
    private static func upstream(_ folder: Folder) throws -> RawUpstream {
        let context: TLSContext = try TLSContext.server(
            TLSServerConfiguration(
                certificates: [TLSCertificate(folder.server)], applicationProtocols: ["http/1.1"],
                clientCertificates: .required([folder.authority.identity.certificate])))
        return try RawUpstream { (session: RawUpstream.Session) in
            guard let secure: SecureSocket = try? SecureSocket(server: session.socket, context), secure.handshake()
            else { return }
            while true {
                let head: String = secure.receive(until: "\r\n\r\n")
                if head.isEmpty { return }
                session.upstream.record(RawMessage(head: head))
                secure.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
            }
        }
    }

    private static func gateway(_ port: UInt16, _ tls: UpstreamTLS) async throws -> GatewayUnderTest {
        try await GatewayUnderTest.start([port]) { (api: inout APIDefinition) in
            api.upstream.tls = tls
            if let url: TargetURL = try? TargetURL(parsing: "https://127.0.0.1:\(port)") {
                api.upstream.targets = [TargetDefinition(url: url)]
            }
        }
    }

    private static func status(_ gateway: GatewayUnderTest) throws -> Int {
        try gateway.exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").status
    }

    @Test func showsItsCertificateToATargetThatAsks() async throws {
        let folder: Folder = try Folder()
        let upstream: RawUpstream = try Self.upstream(folder)
        var tls: UpstreamTLS = UpstreamTLS(authorities: try folder.authority.identity.certificate.pem())
        for certified in [nil, try CertificateAuthority(name: "other").issueClient(name: "gateway")] {
            tls.certificate = try certified.map { .files(try folder.write($0, as: "other")) }
            let gateway: GatewayUnderTest = try await Self.gateway(upstream.port, tls)
            #expect(try Self.status(gateway) == 502)
            await gateway.stop()
        }
        #expect(upstream.requests.isEmpty)
        tls.certificate = .files(try folder.write(try folder.authority.issueClient(name: "gateway")))
        let gateway: GatewayUnderTest = try await Self.gateway(upstream.port, tls)
        #expect(try Self.status(gateway) == 200)
        await gateway.stop()
    }

    /// As a document says it whose secrets were opened: chain and key may be one text.
    @Test func showsACertificateThatIsText() async throws {
        let folder: Folder = try Folder()
        let upstream: RawUpstream = try Self.upstream(folder)
        let client: CertifiedKey = try folder.authority.issueClient(name: "gateway")
        let (chain, key): (String, String) = (try client.certificate.pem(), try client.key.pem())
        var tls: UpstreamTLS = UpstreamTLS(authorities: try folder.authority.identity.certificate.pem())
        for (chain, key) in [(chain, key), (chain + key, chain + key)] {
            tls.certificate = .texts(chain: chain, key: key)
            let gateway: GatewayUnderTest = try await Self.gateway(upstream.port, tls)
            #expect(try Self.status(gateway) == 200)
            await gateway.stop()
        }
    }

    /// Every request would fail: the version before stays, and each field that is wrong is named, without what it holds.
    @Test func textsThatAreNoCertificateAreQuarantined() throws {
        let folder: Folder = try Folder()
        let client: CertifiedKey = try folder.authority.issueClient(name: "gateway")
        let (chain, key): (String, String) = (try client.certificate.pem(), try client.key.pem())
        let other: String = try folder.authority.issueClient(name: "other").key.pem()
        let target: TargetURL = try TargetURL(parsing: "https://127.0.0.1:9700")
        func document(_ tls: UpstreamTLS, ofRoute: Bool) throws -> GatewayDocument {
            var document: GatewayDocument = try GatewayUnderTest.document([9700])
            let upstream: UpstreamDefinition = UpstreamDefinition(targets: [TargetDefinition(url: target)], tls: tls)
            if ofRoute { document.apis[0].routes[0].upstream = upstream } else { document.apis[0].upstream = upstream }
            return document
        }
        let live: LiveState = LiveState()
        let good: UpstreamTLS = UpstreamTLS(authorities: chain, certificate: .texts(chain: chain, key: key))
        let place: String = "upstream.tls."
        let isNoKey: String = "expected an unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)"
        let isNoChain: String = "expected certificates in PEM (-----BEGIN CERTIFICATE-----)"
        for (chain, key, authorities, found) in [
            ("hidden", key, chain, ["certificate.cert_pem: \(isNoChain)"]),
            (chain, chain, chain, ["certificate.key_pem: \(isNoKey)"]),
            (chain, key, "hidden", ["authorities: \(isNoChain)"]),
            (
                chain, other, chain,
                ["certificate: the private key does not belong to the first certificate of the chain"]
            ),
            (
                "hidden", "hidden", "hidden",
                ["authorities: \(isNoChain)", "certificate.cert_pem: \(isNoChain)", "certificate.key_pem: \(isNoKey)"]
            ),
        ] {
            let bad: UpstreamTLS = UpstreamTLS(
                authorities: authorities, certificate: .texts(chain: chain, key: key))
            for ofRoute in [false, true] {
                let before: Snapshot = Snapshot.compile(
                    try document(good, ofRoute: ofRoute), previous: nil, carrying: live
                ).snapshot
                #expect(before.apis.count == 1)
                let (after, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
                    try document(bad, ofRoute: ofRoute), previous: before, carrying: live)
                #expect(quarantined.first?.problems == found.map { (ofRoute ? "route /*: " : "") + place + $0 })
                #expect(quarantined.first?.isEarlierVersionLive == true)
                #expect(after.upstreams.last?.definition.tls == good)
            }
        }
    }

    /// The files are replaced: what goes live next is served with the new certificate, and files that are broken change nothing.
    @Test func readsFilesAgainThatChanged() async throws {
        let folder: Folder = try Folder()
        let upstream: RawUpstream = try Self.upstream(folder)
        let stranger: CertifiedKey = try CertificateAuthority(name: "other").issueClient(name: "gateway")
        let files: CertificateFiles = try folder.write(stranger)
        let gateway: GatewayUnderTest = try await Self.gateway(
            upstream.port,
            UpstreamTLS(authorities: try folder.authority.identity.certificate.pem(), certificate: .files(files))
        )
        #expect(try Self.status(gateway) == 502)
        _ = try folder.write(try folder.authority.issueClient(name: "gateway"))
        await gateway.engine.apply(gateway.snapshot)
        #expect(try Self.status(gateway) == 200)
        let connections: Int = upstream.connectionCount
        // Nothing changed: connections stay.
        await gateway.engine.apply(gateway.snapshot)
        #expect(try Self.status(gateway) == 200)
        #expect(upstream.connectionCount == connections)
        try Data("broken".utf8).write(to: URL(filePath: files.key))
        await gateway.engine.apply(gateway.snapshot)
        #expect(try Self.status(gateway) == 200)
        await gateway.stop()
    }

    /// OpenSSL's own server, which speaks TLS 1.2 and no more.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")))
    func refusesVersionsThatAreTooOld() async throws {
        let folder: Folder = try Folder()
        let files: CertificateFiles = try folder.write(folder.server, as: "server")
        let process: Process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = [
            "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-www", "-cert", files.certificate, "-key", files.key,
        ]
        let output: Pipe = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        defer { process.terminate() }
        var text: String = ""
        while !text.hasSuffix("\n") || !text.contains("ACCEPT ") {
            let more: Data = output.fileHandleForReading.availableData
            try #require(!more.isEmpty)
            text += String(decoding: more, as: UTF8.self)
        }
        let port: UInt16 = try #require(
            text.split(separator: "\n").first { $0.hasPrefix("ACCEPT ") }?.split(separator: ":").last.flatMap {
                UInt16($0)
            })
        for (version, status) in [(UpstreamTLS.Version.tls13, 502), (.tls12, 200)] {
            let gateway: GatewayUnderTest = try await Self.gateway(
                port,
                UpstreamTLS(authorities: try folder.authority.identity.certificate.pem(), minimumVersion: version))
            #expect(try Self.status(gateway) == status)
            await gateway.stop()
        }
    }

    @Test func saysWhatIsWrongWithFilesAndAuthorities() throws {
        let folder: Folder = try Folder()
        var files: CertificateFiles = try folder.write(try folder.authority.issueClient(name: "a"))
        let other: CertificateFiles = try folder.write(try folder.authority.issueClient(name: "b"), as: "other")
        #expect(TLSContextBook.problem(UpstreamTLS(certificate: .files(files)), folder: "/") == nil)
        files.key = other.key
        let mixed: String? = TLSContextBook.problem(UpstreamTLS(certificate: .files(files)), folder: "/")
        #expect(mixed?.hasPrefix("certificate: ") == true)
        files.key = "missing.key"
        let missing: String? = TLSContextBook.problem(UpstreamTLS(certificate: .files(files)), folder: folder.url.path)
        #expect(missing?.contains("missing.key") == true)
        let authorities: String? = TLSContextBook.problem(UpstreamTLS(authorities: "no PEM"), folder: "/")
        #expect(authorities?.hasPrefix("authorities: ") == true)
        let path: String = folder.url.appending(path: "gateway.yaml").path
        let text: String = """
            version: 1
            apis:
              - id: a
                routes: [{path: /*}]
                upstream: {targets: [{url: "https://x"}], tls: {certificate: {cert: client.pem, key: KEY}}}
            """
        for (key, count) in [("client.key", 0), ("none.key", 1)] {
            try Data(text.replacing("KEY", with: key).utf8).write(to: URL(filePath: path))
            let problems: [String] = StandaloneGateway.check(path)
            #expect(problems.count == count)
            #expect(problems.allSatisfy { $0.contains("upstream.tls.certificate") && $0.contains("none.key") })
        }
    }
}
