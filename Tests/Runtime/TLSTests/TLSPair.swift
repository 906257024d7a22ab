import Crypto
import Glibc
import TLS
import Testing

/// A client and a server session over a pair of connected sockets.
final class TLSPair {
    private(set) var client: TLSSession?
    private(set) var server: TLSSession?
    let clientDescriptor: Int32
    let serverDescriptor: Int32

    init(_ clientContext: TLSContext, _ serverContext: TLSContext, host: String = "localhost", peer: String? = nil)
        throws
    {
        signal(SIGPIPE, SIG_IGN)
        (self.clientDescriptor, self.serverDescriptor) = TLSPair.sockets()
        self.client = try TLSSession(
            client: clientContext, descriptor: self.clientDescriptor, host: host, peer: peer ?? host)
        self.server = try TLSSession(server: serverContext, descriptor: self.serverDescriptor)
    }

    deinit {
        self.client = nil
        self.server = nil
        close(self.clientDescriptor)
        close(self.serverDescriptor)
    }

    static func sockets() -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    /// Lets both go on until both are done or have failed.
    func handshake() throws -> (client: TLSResult, server: TLSResult) {
        var clientResult: TLSResult = .wantRead
        var serverResult: TLSResult = .wantRead
        for _ in 0..<20 {
            if TLSPair.isOpen(clientResult) { clientResult = try #require(self.client).handshake() }
            if TLSPair.isOpen(serverResult) { serverResult = try #require(self.server).handshake() }
            if !TLSPair.isOpen(clientResult), !TLSPair.isOpen(serverResult) { break }
        }
        return (clientResult, serverResult)
    }

    private static func isOpen(_ result: TLSResult) -> Bool { result == .wantRead || result == .wantWrite }

    /// Shakes hands and carries a message each way: afterwards the client has seen the server's tickets.
    func connect() throws {
        let (client, server): (TLSResult, TLSResult) = try self.handshake()
        try #require(client == .done(0) && server == .done(0), "client \(client), server \(server)")
        #expect(try self.exchange("ping", from: self.client, to: self.server) == "ping")
        #expect(try self.exchange("pong", from: self.server, to: self.client) == "pong")
    }

    func exchange(_ text: String, from sender: TLSSession?, to receiver: TLSSession?) throws -> String {
        let bytes: [UInt8] = Array(text.utf8)
        #expect(try bytes.withUnsafeBytes { try #require(sender).write($0) } == .done(bytes.count))
        return String(decoding: try TLSPair.read(try #require(receiver)).bytes, as: UTF8.self)
    }

    /// Reads until there is nothing more.
    static func read(_ session: TLSSession) throws -> (bytes: [UInt8], end: TLSResult) {
        var all: [UInt8] = []
        var block: [UInt8] = [UInt8](repeating: 0, count: 4096)
        while true {
            let result: TLSResult = block.withUnsafeMutableBytes { session.read(into: $0) }
            guard case .done(let count) = result else { return (all, result) }
            all += block[0..<count]
        }
    }

    func dropClient() { self.client = nil }
    func dropServer() { self.server = nil }
}

/// An authority and certificates for all tests.
enum TLSFixture {
    static let authority: CertificateAuthority? = try? CertificateAuthority(name: "Test CA")

    static func server(_ names: [String]) throws -> TLSCertificate {
        TLSCertificate(try #require(TLSFixture.authority).issueServer(names: names))
    }

    static func trust() throws -> TLSClientConfiguration.Trust {
        .authorities([try #require(TLSFixture.authority).identity.certificate])
    }

    static func clientContext() throws -> TLSContext { try .client(TLSClientConfiguration(trust: TLSFixture.trust())) }

    static func serverContext(_ names: [String] = ["localhost", "127.0.0.1", "::1"]) throws -> TLSContext {
        try .server(TLSServerConfiguration(certificates: [TLSFixture.server(names)]))
    }
}
