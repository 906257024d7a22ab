import Crypto
import EventLoops
import GatewayConfiguration
import Glibc
import TLS
import TestKit
import Testing

@testable import Gateway

/// TLS over a blocking socket: what a test says and hears in the clear.
final class SecureSocket {
    private let socket: RawSocket
    private let session: TLSSession

    init(client socket: RawSocket, _ context: TLSContext, host: String) throws {
        self.socket = socket
        self.session = try TLSSession(client: context, descriptor: socket.fd, host: host, peer: "test")
    }

    init(server socket: RawSocket, _ context: TLSContext) throws {
        self.socket = socket
        self.session = try TLSSession(server: context, descriptor: socket.fd)
    }

    func handshake() -> Bool { self.session.handshake() == .done(0) }

    func send(_ text: String) {
        var bytes: [UInt8] = [UInt8](text.utf8)
        while !bytes.isEmpty {
            guard case .done(let count) = bytes.withUnsafeBytes({ self.session.write($0) }) else { return }
            bytes.removeFirst(count)
        }
    }

    func receive(exactly wanted: Int) -> String {
        var all: [UInt8] = []
        var buffer: [UInt8] = [UInt8](repeating: 0, count: min(wanted, 65_536))
        while all.count < wanted {
            let room: Int = min(buffer.count, wanted - all.count)
            let result: TLSResult = buffer.withUnsafeMutableBytes {
                self.session.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<room]))
            }
            guard case .done(let count) = result, count > 0 else { break }
            all += buffer[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }

    func receive(until mark: String) -> String {
        var text: String = ""
        while !text.hasSuffix(mark) {
            let next: String = self.receive(exactly: 1)
            if next.isEmpty { return text }
            text += next
        }
        return text
    }

    var protocolName: String? { self.session.applicationProtocol }
    func close() { self.socket.close() }
}

struct EncryptionTests {
    private static func certified() throws -> CertifiedKey {
        try CertificateAuthority.selfSigned(names: ["localhost", "127.0.0.1"])
    }

    @Test(arguments: [1, 100, 70_000, 2_000_000]) func servesHTTPS(size: Int) async throws {
        let certified: CertifiedKey = try Self.certified()
        let folder: TemporaryFolder = TemporaryFolder()
        folder.write(try certified.certificate.pem(), to: "a.pem")
        folder.write(try certified.key.pem(), to: "a.key")
        let body: String = String(repeating: "b", count: size)
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n\(body)")
        let process: ProcessSettings = ProcessSettings(
            listen: ListenSettings(
                http: nil,
                https: HTTPSListener(
                    address: "127.0.0.1:0", certificates: [CertificateFiles(certificate: "a.pem", key: "a.key")])),
            workers: .fixed(1))
        let document: GatewayDocument = try GatewayUnderTest.document([upstream.port])
        let engine: GatewayEngine = GatewayEngine(
            process: process, snapshot: Snapshot.compile(document, previous: nil, carrying: LiveState()).snapshot,
            folder: folder.path)
        let port: UInt16 = try #require(try await engine.start().https).port
        let context: TLSContext = try TLSContext.client(
            TLSClientConfiguration(trust: .authorities([certified.certificate]), applicationProtocols: ["http/1.1"]))
        let client: SecureSocket = try SecureSocket(client: RawSocket(port: port), context, host: "localhost")
        #expect(client.handshake())
        #expect(client.protocolName == "http/1.1")
        for _ in 0..<3 {
            client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n\(body)")
            #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            let isSame: Bool = client.receive(exactly: size) == body
            #expect(isSame)
        }
        #expect(upstream.requests.allSatisfy { $0.body.count == size })
        let plain: RawSocket = try RawSocket(port: port)
        plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(plain.receiveAll() != "HTTP/1.1 200 OK")
        client.close()
        await engine.drain(deadline: .milliseconds(200))
    }

    private static func secureUpstream(_ certified: CertifiedKey) throws -> RawUpstream {
        let context: TLSContext = try TLSContext.server(
            TLSServerConfiguration(certificates: [TLSCertificate(certified)], applicationProtocols: ["http/1.1"]))
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

    private static func start(
        _ upstream: RawUpstream, _ tls: UpstreamTLS, http2: Bool = false
    ) async throws -> GatewayUnderTest {
        try await GatewayUnderTest.start([upstream.port]) { (api: inout APIDefinition) in
            api.upstream.tls = tls
            api.upstream.http2 = http2
            if let url: TargetURL = try? TargetURL(parsing: "https://127.0.0.1:\(upstream.port)") {
                api.upstream.targets = [TargetDefinition(url: url)]
            }
        }
    }

    @Test func speaksTLSWithTargets() async throws {
        let certified: CertifiedKey = try Self.certified()
        let upstream: RawUpstream = try Self.secureUpstream(certified)
        let gateway: GatewayUnderTest = try await Self.start(
            upstream, UpstreamTLS(authorities: try certified.certificate.pem()))
        let client: RawSocket = try gateway.connect()
        for _ in 0..<5 {
            client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.receiveMessage().text == "secret")
        }
        #expect(upstream.connectionCount == 1)
        await gateway.stop()
    }

    /// Asked for HTTP/2, a target that does not offer it is spoken to as before: the handshake says which it is.
    @Test func speaksTheOlderProtocolWithTargetsThatOfferNoOther() async throws {
        let certified: CertifiedKey = try Self.certified()
        let upstream: RawUpstream = try Self.secureUpstream(certified)
        let gateway: GatewayUnderTest = try await Self.start(
            upstream, UpstreamTLS(authorities: try certified.certificate.pem()), http2: true)
        let client: RawSocket = try gateway.connect()
        for _ in 0..<3 {
            client.send("POST /x HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.receiveMessage().text == "secret")
        }
        await gateway.stop()
    }

    /// A certificate nobody vouches for, or one for another name: nothing of the request is sent.
    @Test func refusesATargetThatIsNotTheOne() async throws {
        let certified: CertifiedKey = try Self.certified()
        let upstream: RawUpstream = try Self.secureUpstream(certified)
        let others: [UpstreamTLS] = [
            UpstreamTLS(), UpstreamTLS(authorities: try certified.certificate.pem(), serverName: "other.example"),
        ]
        for tls in others {
            let gateway: GatewayUnderTest = try await Self.start(upstream, tls)
            #expect(try gateway.exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").status == 502)
            await gateway.stop()
        }
        #expect(upstream.requests.isEmpty)
        let trusting: GatewayUnderTest = try await Self.start(upstream, UpstreamTLS(verify: false))
        #expect(try trusting.exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").text == "secret")
        await trusting.stop()
    }

    @Test func saysWhatIsWrongWithACertificate() async throws {
        let process: ProcessSettings = ProcessSettings(
            listen: ListenSettings(
                http: nil,
                https: HTTPSListener(
                    address: "127.0.0.1:0",
                    certificates: [CertificateFiles(certificate: "/missing.pem", key: "/missing.key")])),
            workers: .fixed(1))
        let engine: GatewayEngine = GatewayEngine(process: process, snapshot: .empty(LiveState()))
        let error: GatewayEngine.StartError? = await #expect(throws: GatewayEngine.StartError.self) {
            try await engine.start()
        }
        #expect(error?.description.contains("/missing.pem") == true)
        await engine.drain(deadline: .zero)
    }
}
