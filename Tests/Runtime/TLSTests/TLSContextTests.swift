import Crypto
import Glibc
import TLS
import Testing

@Suite struct TLSContextTests {
    // MARK: Certificates by name

    @Test(arguments: [
        ("a.example.com", "a.example.com"), ("A.EXAMPLE.com", "a.example.com"), ("b.example.com", "*.example.com"),
        ("example.com", "first"), ("x.b.example.com", "first"), ("other.org", "first"), ("127.0.0.1", "first"),
        ("c.example.net", "*.example.net"),
    ])
    func theNamedHostChoosesTheCertificate(host: String, expected: String) throws {
        let server: TLSContext = try .server(
            TLSServerConfiguration(certificates: [
                TLSFixture.server(["first", "127.0.0.1"]), TLSFixture.server(["a.example.com"]),
                TLSFixture.server(["*.example.com", "*.example.net"]), TLSFixture.server(["a.example.com", "later"]),
            ]))
        let client: TLSContext = try .client(TLSClientConfiguration(trust: .anyone))
        let pair = try TLSPair(client, server, host: host)
        try pair.connect()
        #expect(pair.client?.peerCertificate?.dnsNames.contains(expected) == true)
        #expect(pair.client?.peerCertificate?.dnsNames.contains("later") == false)
    }

    @Test func aChainIsSentWhole() throws {
        let root: CertificateAuthority = try #require(TLSFixture.authority)
        let authority = try CertificateAuthority(name: "Intermediate CA", under: root)
        let issued: CertifiedKey = try authority.issueServer(names: ["localhost"])
        let chain: String = try issued.certificate.pem() + authority.identity.certificate.pem()
        let certificate = try TLSCertificate(chainPEM: chain, keyPEM: issued.key.pem())
        #expect(certificate.chain.count == 2)
        // As the default certificate, and as one chosen by name.
        for certificates in [[certificate], [try TLSFixture.server(["other"]), certificate]] {
            let server: TLSContext = try .server(TLSServerConfiguration(certificates: certificates))
            try TLSPair(TLSFixture.clientContext(), server).connect()
        }
        let incomplete: TLSContext = try .server(TLSServerConfiguration(certificates: [TLSCertificate(issued)]))
        guard case .failed(.certificate) = try TLSPair(TLSFixture.clientContext(), incomplete).handshake().client else {
            Issue.record("a certificate without its intermediate was accepted")
            return
        }
    }

    @Test func aKeyThatDoesNotBelongIsRefused() throws {
        let (one, other): (CertifiedKey, CertifiedKey) = (
            try CertificateAuthority.selfSigned(names: ["a"]), try CertificateAuthority.selfSigned(names: ["b"])
        )
        #expect(throws: CryptoError.self) {
            try TLSCertificate(chainPEM: one.certificate.pem(), keyPEM: other.key.pem())
        }
    }

    // MARK: Application protocols

    @Test(
        arguments: [
            (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"), (["http/1.1"], ["h2", "http/1.1"], "http/1.1"),
            (["h2"], [], nil), ([], ["h2"], nil),
        ] as [([String], [String], String?)])
    func theServersPreferenceDecides(offeredByServer: [String], offeredByClient: [String], agreed: String?) throws {
        let server: TLSContext = try .server(
            TLSServerConfiguration(
                certificates: [TLSFixture.server(["localhost"])], applicationProtocols: offeredByServer))
        let client: TLSContext = try .client(
            TLSClientConfiguration(trust: TLSFixture.trust(), applicationProtocols: offeredByClient))
        let pair = try TLSPair(client, server)
        try pair.connect()
        #expect(pair.client?.applicationProtocol == agreed)
        #expect(pair.server?.applicationProtocol == agreed)
    }

    @Test func noCommonProtocolEndsTheHandshake() throws {
        let server: TLSContext = try .server(
            TLSServerConfiguration(certificates: [TLSFixture.server(["localhost"])], applicationProtocols: ["h2"]))
        let client: TLSContext = try .client(
            TLSClientConfiguration(trust: TLSFixture.trust(), applicationProtocols: ["http/1.1"]))
        let results = try TLSPair(client, server).handshake()
        #expect(results.server == .failed(.protocolViolation("no application protocol")))
        guard case .failed = results.client else {
            Issue.record("the client was served")
            return
        }
    }

    // MARK: Resumption

    @Test func aSecondConnectionResumesTheFirst() throws {
        let (client, server): (TLSContext, TLSContext) = (
            try TLSFixture.clientContext(), try TLSFixture.serverContext()
        )
        let first = try TLSPair(client, server, peer: "localhost:1")
        try first.connect()
        #expect(first.client?.isResumed == false)
        first.dropClient()
        first.dropServer()
        let second = try TLSPair(client, server, peer: "localhost:1")
        try second.connect()
        #expect(second.client?.isResumed == true)
        #expect(second.server?.isResumed == true)
        let elsewhere = try TLSPair(client, server, peer: "localhost:2")
        try elsewhere.connect()
        #expect(elsewhere.client?.isResumed == false)
    }

    @Test func aTicketOfAnotherContextIsWorthNothing() throws {
        let client: TLSContext = try TLSFixture.clientContext()
        try TLSPair(client, TLSFixture.serverContext()).connect()
        let second = try TLSPair(client, TLSFixture.serverContext())
        try second.connect()
        #expect(second.client?.isResumed == false)
    }

    @Test func withoutTicketsNothingIsResumed() throws {
        let client: TLSContext = try TLSFixture.clientContext()
        let server: TLSContext = try .server(
            TLSServerConfiguration(certificates: [TLSFixture.server(["localhost"])], ticketLifetime: .zero))
        try TLSPair(client, server).connect()
        let second = try TLSPair(client, server)
        try second.connect()
        #expect(second.client?.isResumed == false)
    }

    // MARK: Client certificates

    private func serverAsking(
        _ wanted: ([Certificate]) -> TLSServerConfiguration.ClientCertificates
    ) throws -> TLSContext {
        let authority: Certificate = try #require(TLSFixture.authority).identity.certificate
        return try .server(
            TLSServerConfiguration(
                certificates: [TLSFixture.server(["localhost"])], clientCertificates: wanted([authority])))
    }

    private func client(showing authority: CertificateAuthority) throws -> TLSContext {
        let own = TLSCertificate(try authority.issueClient(name: "gateway-1"))
        return try .client(TLSClientConfiguration(trust: TLSFixture.trust(), certificate: own))
    }

    @Test func aClientShowsItsCertificate() throws {
        let (client, server): (TLSContext, TLSContext) = (
            try self.client(showing: #require(TLSFixture.authority)), try self.serverAsking { .required($0) }
        )
        let pair = try TLSPair(client, server)
        try pair.connect()
        #expect(pair.server?.peerCertificate?.commonName == "gateway-1")
        // Who resumes is still who was verified.
        let second = try TLSPair(client, server)
        try second.connect()
        #expect(second.server?.isResumed == true)
        #expect(second.server?.peerCertificate?.commonName == "gateway-1")
    }

    @Test func aClientWithoutCertificateIsServedWhereItIsOptional() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), self.serverAsking { .optional($0) })
        try pair.connect()
        #expect(pair.server?.peerCertificate == nil)
    }

    @Test func aClientWithoutCertificateIsRefusedWhereItIsRequired() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), self.serverAsking { .required($0) })
        #expect(try pair.handshake().server == .failed(.certificate("the client showed none")))
    }

    @Test func aStrangersClientCertificateIsRefusedEvenWhereItIsOptional() throws {
        let stranger = try CertificateAuthority(name: "Other CA")
        let pair = try TLSPair(self.client(showing: stranger), self.serverAsking { .optional($0) })
        guard case .failed(.certificate) = try pair.handshake().server else {
            Issue.record("a stranger was accepted")
            return
        }
    }

    @Test func aServerCertificateIsNoClientCertificate() throws {
        let own = TLSCertificate(try #require(TLSFixture.authority).issueServer(names: ["localhost"]))
        let client: TLSContext = try .client(TLSClientConfiguration(trust: TLSFixture.trust(), certificate: own))
        guard case .failed(.certificate) = try TLSPair(client, self.serverAsking { .required($0) }).handshake().server
        else {
            Issue.record("a server's certificate was accepted for a client")
            return
        }
    }

    // MARK: Configuration

    @Test func badConfigurationsAreRefused() throws {
        let certificate: TLSCertificate = try TLSFixture.server(["localhost"])
        #expect(throws: TLSError.self) { try TLSContext.server(TLSServerConfiguration(certificates: [])) }
        #expect(throws: TLSError.self) {
            try TLSContext.server(
                TLSServerConfiguration(certificates: [certificate], clientCertificates: .required([])))
        }
        #expect(throws: TLSError.self) {
            try TLSContext.server(TLSServerConfiguration(certificates: [certificate], applicationProtocols: [""]))
        }
        #expect(throws: TLSError.self) {
            try TLSContext.server(
                TLSServerConfiguration(certificates: [certificate], ticketLifetime: .seconds(700_000)))
        }
        #expect(throws: TLSError.self) { try TLSContext.client(TLSClientConfiguration(trust: .authorities([]))) }
    }

    @Test(arguments: ["", String(repeating: "a", count: 300)])
    func badHostNamesAreRefused(host: String) throws {
        let (one, other): (Int32, Int32) = TLSPair.sockets()
        defer {
            close(one)
            close(other)
        }
        let context: TLSContext = try TLSFixture.clientContext()
        #expect(throws: TLSError.self) { try TLSSession(client: context, descriptor: one, host: host, peer: "x") }
    }
}
