import Crypto
import Testing

@Suite struct CertificateTests {
    @Test func issuesServerCertificates() throws {
        let authority = try CertificateAuthority(name: "Test CA")
        let server: CertifiedKey = try authority.issueServer(names: [
            "api.example.com", "*.example.org", "127.0.0.1", "::1",
        ])
        #expect(server.certificate.commonName == "api.example.com")
        #expect(server.certificate.dnsNames == ["api.example.com", "*.example.org"])
        #expect(server.certificate.belongs(to: server.key))
        #expect(!server.certificate.belongs(to: authority.identity.key))
        let (notBefore, notAfter): (Int64, Int64) = server.certificate.validity
        #expect(notAfter - notBefore == 365 * 86_400 + 300)
    }

    @Test func aChainGoesThroughPEM() throws {
        let authority = try CertificateAuthority(name: "Test CA")
        let client: CertifiedKey = try authority.issueClient(name: "worker é")
        let pem: String = try client.certificate.pem() + authority.identity.certificate.pem()
        let chain: [Certificate] = try Certificate.chain(pem: "Comment\n" + pem)
        #expect(chain.map(\.commonName) == ["worker é", "Test CA"])
        #expect(
            chain.map(\.fingerprint) == [client.certificate.fingerprint, authority.identity.certificate.fingerprint])
        #expect(chain[0].dnsNames.isEmpty)
    }

    @Test func aSelfSignedCertificateStandsAlone() throws {
        let identity: CertifiedKey = try CertificateAuthority.selfSigned(
            names: ["localhost", "127.0.0.1"], lifetime: .seconds(60))
        #expect(identity.certificate.dnsNames == ["localhost"])
        #expect(identity.certificate.belongs(to: identity.key))
    }

    @Test(arguments: [[], [""], ["a,DNS:b"], ["a b"], ["a\nb"], ["a/b"], ["é"]])
    func refusesNamesThatCouldSmuggle(names: [String]) throws {
        let authority = try CertificateAuthority(name: "Test CA")
        #expect(throws: CryptoError.self) { try CertificateAuthority.selfSigned(names: names) }
        if !names.isEmpty { #expect(throws: CryptoError.self) { try authority.issueServer(names: names) } }
    }

    @Test func longNamesAreCut() throws {
        let authority = try CertificateAuthority(name: String(repeating: "n", count: 100))
        #expect(authority.identity.certificate.commonName?.count == 64)
    }

    @Test(arguments: [
        "", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA",
    ])
    func refusesWhatIsNoCertificate(pem: String) {
        #expect(throws: CryptoError.self) { try Certificate.chain(pem: pem) }
    }

    @Test func aBrokenCertificateAfterAGoodOneIsRefused() throws {
        let good: String = try CertificateAuthority.selfSigned(names: ["a"]).certificate.pem()
        #expect(throws: CryptoError.self) {
            try Certificate.chain(pem: good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        }
    }
}
