import Crypto
import HTTP
import TLS
import Testing

struct ChangingCertificatesTests {
    private static func trusting(_ authority: CertificateAuthority) throws -> TLSContext {
        try .client(TLSClientConfiguration(trust: .authorities([authority.identity.certificate])))
    }

    private static func server(of authority: CertificateAuthority) throws -> TLSContext {
        try .server(
            TLSServerConfiguration(certificates: [TLSCertificate(authority.issueServer(names: ["127.0.0.1"]))]))
    }

    @Test func connectionsGetTheCertificateThatIsInUseWhenTheyCome() async throws {
        // Ignores SIGPIPE, which these need too.
        _ = try TestCertificates.shared.get()
        let first: CertificateAuthority = try CertificateAuthority(name: "first")
        let second: CertificateAuthority = try CertificateAuthority(name: "second")
        try await TestServer.with(
            tls: Self.server(of: first), handler: { _ in HTTPResponse(status: 204, fields: [:], body: .bytes([])) }
        ) { server in
            let url: String = "https://\(server.address)/"
            try await TestClient.with(tls: Self.trusting(first)) { early in
                #expect(try await early.send(url).status == 204)
                server.server.use(try Self.server(of: second))
                // One that is open stays what it was.
                #expect(try await early.send(url).status == 204)
            }
            try await TestClient.with(tls: Self.trusting(second)) { late in
                let status: Int = try await late.send(url).status
                #expect(status == 204)
            }
            try await TestClient.with(tls: Self.trusting(first)) { stranger in
                await #expect(throws: HTTPClientError.self) { try await stranger.send(url) }
            }
        }
    }
}
