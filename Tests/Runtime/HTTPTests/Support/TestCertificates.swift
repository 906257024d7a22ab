import Crypto
import Glibc
import TLS

/// An authority, a server on "localhost" and 127.0.0.1, and a client called "alice"; made once, keys are not cheap.
struct TestCertificates: Sendable {
    let authority: CertificateAuthority
    let server: CertifiedKey
    let client: CertifiedKey

    static let shared: Result<TestCertificates, any Error> = Result { try TestCertificates() }

    private init() throws {
        // OpenSSL writes to sockets without MSG_NOSIGNAL; programs ignore SIGPIPE as a whole.
        signal(SIGPIPE, SIG_IGN)
        self.authority = try CertificateAuthority(name: "Test root")
        self.server = try self.authority.issueServer(names: ["localhost", "127.0.0.1"])
        self.client = try self.authority.issueClient(name: "alice")
    }

    func serverContext(asking: Bool = false) throws -> TLSContext {
        try .server(
            TLSServerConfiguration(
                certificates: [TLSCertificate(self.server)],
                clientCertificates: asking ? .optional([self.authority.identity.certificate]) : .none))
    }

    func clientContext(showing: Bool = false) throws -> TLSContext {
        try .client(
            TLSClientConfiguration(
                trust: .authorities([self.authority.identity.certificate]),
                certificate: showing ? TLSCertificate(self.client) : nil))
    }
}
