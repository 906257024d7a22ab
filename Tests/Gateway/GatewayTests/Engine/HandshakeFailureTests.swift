import Crypto
import EventLoops
import Files
import GatewayConfiguration
import TLS
import Telemetry
import TestKit
import Testing

@testable import Gateway

/// Handshakes that come to nothing are counted by what went wrong; those that succeed are not, however their connection ends.
struct HandshakeFailureTests {
    private let folder: TemporaryFolder = TemporaryFolder()
    private let metrics: MetricRegistry = MetricRegistry()

    /// A gateway with TLS; `asks`: clients must show a certificate of the authority.
    private func start(_ authority: CertificateAuthority, asks: Bool, headTimeout: Duration = .seconds(600))
        async throws
        -> (GatewayEngine, UInt16)
    {
        let server: CertifiedKey = try authority.issueServer(names: ["localhost"])
        self.folder.write(Array(try server.certificate.pem().utf8), to: "a.pem")
        self.folder.write(Array(try server.key.pem().utf8), to: "a.key")
        self.folder.write(Array(try authority.identity.certificate.pem().utf8), to: "ca.pem")
        var https: HTTPSListener = HTTPSListener(
            address: "127.0.0.1:0", certificates: [CertificateFiles(certificate: "a.pem", key: "a.key")])
        if asks { https.clientCertificates = ClientCertificateRule(authorities: "ca.pem") }
        var settings: EngineSettings = .patient
        settings.headTimeout = headTimeout
        let live: LiveState = LiveState()
        let engine: GatewayEngine = GatewayEngine(
            process: ProcessSettings(listen: ListenSettings(http: nil, https: https), workers: .fixed(1)),
            snapshot: Snapshot.compile(try GatewayUnderTest.document([1]), previous: nil, carrying: live).snapshot,
            engine: settings, folder: self.folder.path,
            observation: GatewayEngine.Observation(live: live, metrics: self.metrics))
        return (engine, try #require(try await engine.start().https).port)
    }

    private func counts(_ reason: String, _ count: Int) async -> Bool {
        let metrics: MetricRegistry = self.metrics
        return await eventually {
            String(decoding: metrics.prometheusText(), as: UTF8.self).contains(
                "passerelle_gateway_tls_handshake_failures_total{reason=\"\(reason)\"} \(count)\n")
        }
    }

    private func client(_ port: UInt16, trusting authority: CertificateAuthority) throws -> SecureSocket {
        let context: TLSContext = try TLSContext.client(
            TLSClientConfiguration(
                trust: .authorities([authority.identity.certificate]), applicationProtocols: ["http/1.1"]))
        return try SecureSocket(client: RawSocket(port: port), context, host: "localhost")
    }

    @Test func sayWhatWentWrong() async throws {
        let authority: CertificateAuthority = try CertificateAuthority(name: "one")
        let (engine, port): (GatewayEngine, UInt16) = try await self.start(authority, asks: false)
        let plain: RawSocket = try RawSocket(port: port)
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await self.counts("plain-http", 1))
        let stranger: SecureSocket = try self.client(port, trusting: try CertificateAuthority(name: "other"))
        #expect(!stranger.handshake())
        #expect(await self.counts("refused", 1))
        let noise: RawSocket = try RawSocket(port: port)
        noise.send([UInt8](repeating: 0x80, count: 200))
        #expect(await self.counts("refused", 2))
        let gone: RawSocket = try RawSocket(port: port)
        gone.send([0x16, 0x03, 0x01, 0x02, 0x00])
        gone.close()
        #expect(await self.counts("closed", 1))
        // One that is agreed on and ends without a word of TLS.
        let good: SecureSocket = try self.client(port, trusting: authority)
        #expect(good.handshake())
        good.send("GET /../ HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(good.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 400"))
        good.close()
        #expect(await eventually { engine.connectionCount == 0 })
        for (reason, count) in [("plain-http", 1), ("refused", 2), ("closed", 1), ("certificate", 0), ("timeout", 0)] {
            #expect(await self.counts(reason, count))
        }
        await engine.drain(deadline: .milliseconds(200))
    }

    @Test func sayThatACertificateIsMissing() async throws {
        let authority: CertificateAuthority = try CertificateAuthority(name: "one")
        let (engine, port): (GatewayEngine, UInt16) = try await self.start(authority, asks: true)
        let client: SecureSocket = try self.client(port, trusting: authority)
        _ = client.handshake()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\n") == "")
        #expect(await self.counts("certificate", 1))
        await engine.drain(deadline: .milliseconds(200))
    }

    @Test func sayThatAClientDidNotGoOn() async throws {
        let authority: CertificateAuthority = try CertificateAuthority(name: "one")
        let (engine, port): (GatewayEngine, UInt16) = try await self.start(
            authority, asks: false, headTimeout: .seconds(1))
        let silent: RawSocket = try RawSocket(port: port)
        silent.send([0x16])
        #expect(await self.counts("timeout", 1))
        #expect(silent.receiveAll() == "")
        await engine.drain(deadline: .milliseconds(200))
    }
}
