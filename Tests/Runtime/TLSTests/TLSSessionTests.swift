import Crypto
import Glibc
import TLS
import Testing

@Suite struct TLSSessionTests {
    @Test(arguments: TLSVersion.allCases)
    func carriesBytesBothWays(version: TLSVersion) throws {
        let client: TLSContext = try .client(TLSClientConfiguration(trust: TLSFixture.trust(), minimumVersion: version))
        let pair = try TLSPair(client, TLSFixture.serverContext())
        try pair.connect()
        #expect(pair.client?.version == .tls13)
        #expect(pair.server?.serverName == "localhost")
        #expect(pair.client?.applicationProtocol == nil)
        #expect(pair.client?.peerCertificate?.dnsNames == ["localhost"])
        #expect(pair.server?.peerCertificate == nil)
    }

    @Test func largeMessagesGoInPieces() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        try pair.connect()
        let (client, server): (TLSSession, TLSSession) = (try #require(pair.client), try #require(pair.server))
        let message: [UInt8] = Random.bytes(3_000_000)
        var sent: Int = 0
        var received: [UInt8] = []
        var waits: Int = 0
        while received.count < message.count {
            let result: TLSResult = message[sent...].withUnsafeBytes { client.write($0) }
            switch result {
            case .done(let count): sent += count
            case .wantWrite: waits += 1
            default: throw TLSError.protocolViolation("\(result)")
            }
            if result == .wantWrite || sent == message.count { received += try TLSPair.read(server).bytes }
        }
        #expect(received == message)
        #expect(waits > 0)
    }

    @Test func goodbyeIsTold() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        try pair.connect()
        #expect(pair.client?.shutdown() == .done(0))
        #expect(try TLSPair.read(#require(pair.server)).end == .closed)
        #expect(pair.server?.shutdown() == .done(0))
        #expect(try TLSPair.read(#require(pair.client)).end == .closed)
    }

    @Test func anEndWithoutGoodbyeIsSeen() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        try pair.connect()
        Glibc.shutdown(pair.clientDescriptor, Int32(SHUT_RDWR))
        #expect(try TLSPair.read(#require(pair.server)).end == .failed(.truncated))
        #expect(pair.server?.shutdown() == .done(0))
    }

    @Test func writingToAClosedConnectionFails() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        try pair.connect()
        Glibc.shutdown(pair.clientDescriptor, Int32(SHUT_RDWR))
        #expect([1, 2].withUnsafeBytes { pair.server?.write($0) } == .failed(.system(EPIPE)))
    }

    @Test func writingNothingDoesNothing() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        #expect(pair.client?.write(UnsafeRawBufferPointer(start: nil, count: 0)) == .done(0))
        #expect(pair.client?.shutdown() == .done(0))
        #expect(pair.client?.isHandshakeDone == false)
    }

    @Test func plainHTTPIsRecognised() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        let request: String = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        #expect(Glibc.write(pair.clientDescriptor, request, request.utf8.count) == request.utf8.count)
        #expect(pair.server?.handshake() == .failed(.plainHTTP))
    }

    @Test func rubbishFailsTheHandshake() throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext())
        let rubbish: [UInt8] = [0x16, 0x03, 0x01, 0x00, 0x05] + [UInt8](repeating: 0xFF, count: 200)
        #expect(Glibc.write(pair.clientDescriptor, rubbish, rubbish.count) == rubbish.count)
        guard case .failed(.protocolViolation) = try #require(pair.server).handshake() else {
            Issue.record("rubbish was taken for TLS")
            return
        }
    }

    @Test func anOldClientIsRefused() throws {
        let server: TLSContext = try .server(
            TLSServerConfiguration(certificates: [TLSFixture.server(["localhost"])], minimumVersion: .tls13))
        let pair = try TLSPair(TLSFixture.clientContext(), server)
        // A ClientHello of TLS 1.2 without supported_versions, one cipher, no extensions.
        let hello: [UInt8] =
            [0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0xC0, 0x2F, 1, 0]
        #expect(Glibc.write(pair.clientDescriptor, hello, hello.count) == hello.count)
        #expect(pair.server?.handshake() == .failed(.protocolViolation("unsupported protocol")))
    }

    // MARK: Who is who

    @Test(arguments: ["localhost", "127.0.0.1", "::1", "LOCALHOST"])
    func theServerMustBeWhoItWasExpectedToBe(host: String) throws {
        try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext(), host: host).connect()
    }

    @Test(arguments: ["example.com", "127.0.0.2", "a.localhost"])
    func anotherHostsCertificateIsRefused(host: String) throws {
        let pair = try TLSPair(TLSFixture.clientContext(), TLSFixture.serverContext(), host: host)
        let reason: String = host == "127.0.0.2" ? "IP address mismatch" : "hostname mismatch"
        #expect(try pair.handshake().client == .failed(.certificate(reason)))
    }

    @Test func aCertificateOfAnotherAuthorityIsRefused() throws {
        let stranger = try CertificateAuthority(name: "Other CA")
        let server: TLSContext = try .server(
            TLSServerConfiguration(certificates: [TLSCertificate(stranger.issueServer(names: ["localhost"]))]))
        let pair = try TLSPair(TLSFixture.clientContext(), server)
        guard case .failed(.certificate) = try pair.handshake().client else {
            Issue.record("a stranger's certificate was accepted")
            return
        }
    }

    @Test func theMachinesAuthoritiesDoNotKnowOurs() throws {
        let pair = try TLSPair(.client(TLSClientConfiguration()), TLSFixture.serverContext())
        guard case .failed(.certificate) = try pair.handshake().client else {
            Issue.record("a test certificate was accepted")
            return
        }
    }

    @Test func anExpiredCertificateIsRefused() throws {
        let expired: CertifiedKey = try #require(TLSFixture.authority).issueServer(
            names: ["localhost"], lifetime: .seconds(-10))
        let server: TLSContext = try .server(TLSServerConfiguration(certificates: [TLSCertificate(expired)]))
        let pair = try TLSPair(TLSFixture.clientContext(), server)
        #expect(try pair.handshake().client == .failed(.certificate("certificate has expired")))
    }

    @Test func aClientCertificateIsNoServerCertificate() throws {
        let client: CertifiedKey = try #require(TLSFixture.authority).issueClient(name: "localhost")
        let server: TLSContext = try .server(TLSServerConfiguration(certificates: [TLSCertificate(client)]))
        guard case .failed(.certificate) = try TLSPair(TLSFixture.clientContext(), server).handshake().client else {
            Issue.record("a client's certificate was accepted for a server")
            return
        }
    }

    @Test func anyoneIsAcceptedOnlyOnRequest() throws {
        let client: TLSContext = try .client(TLSClientConfiguration(trust: .anyone))
        let server: TLSContext = try .server(
            TLSServerConfiguration(certificates: [TLSCertificate(CertificateAuthority.selfSigned(names: ["other"]))]))
        try TLSPair(client, server, host: "localhost").connect()
    }

    @Test func aSelfSignedCertificateCanBeTrustedAsItIs() throws {
        let own: CertifiedKey = try CertificateAuthority.selfSigned(names: ["localhost"])
        let client: TLSContext = try .client(TLSClientConfiguration(trust: .authorities([own.certificate])))
        let server: TLSContext = try .server(TLSServerConfiguration(certificates: [TLSCertificate(own)]))
        try TLSPair(client, server).connect()
    }
}
