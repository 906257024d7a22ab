import Bytes
import Crypto
import Glibc
import TLS
import Testing

/// Servers that look certificates of clients up in lists.
struct TLSRevocationTests {
    private static let now: Int64 = Int64(time(nil))

    /// Who issues certificates to clients; each test has its own.
    private let authority: IssuingAuthority

    init() throws {
        self.authority = try .root(name: "Callers", organization: nil, validity: (Self.now - 300, Self.now + 86_400))
    }

    private func client(_ name: String) throws -> TLSCertificate {
        let key: PrivateKey = try .generate(.p256)
        let certificate: Certificate = try self.authority.issue(
            IssuingAuthority.Wish(
                commonName: name, organization: nil, names: [], usage: .client,
                validity: (Self.now - 300, Self.now + 3_600)), for: try key.publicKey(), places: nil)
        return try TLSCertificate(chain: [certificate], key: key)
    }

    private func lists(
        revoking revoked: [TLSCertificate] = [], by other: IssuingAuthority? = nil, until end: Int64 = now + 3_600
    ) throws -> RevocationLists {
        let entries: [RevokedCertificate] = revoked.map {
            RevokedCertificate(serial: $0.chain[0].serial, at: Self.now, reason: .superseded)
        }
        let der: [UInt8] = try (other ?? self.authority).revocationList(
            number: 1, thisUpdate: Self.now - 7_200, nextUpdate: end, revoked: entries)
        return try RevocationLists(pem: Self.pem(der))
    }

    private static func pem(_ der: [UInt8]) -> String {
        "-----BEGIN X509 CRL-----\n\(Base64.encode(der))\n-----END X509 CRL-----\n"
    }

    private func server(
        _ lists: RevocationLists?, needsEveryIssuer: Bool = true, keys: TLSTicketKeys? = nil
    ) throws -> TLSContext {
        try .server(
            TLSServerConfiguration(
                certificates: [TLSFixture.server(["localhost"])],
                clientCertificates: .required([self.authority.identity.certificate]),
                revocations: lists.map { TLSServerConfiguration.Revocations($0, needsEveryIssuer: needsEveryIssuer) },
                ticketKeys: keys))
    }

    private func outcome(_ certificate: TLSCertificate, _ server: TLSContext) throws -> TLSResult {
        let client: TLSContext = try .client(
            TLSClientConfiguration(trust: TLSFixture.trust(), certificate: certificate))
        return try TLSPair(client, server).handshake().server
    }

    @Test func whatAListNamesIsRefusedAndNothingElse() throws {
        let (good, bad): (TLSCertificate, TLSCertificate) = (try self.client("good"), try self.client("bad"))
        let lists: RevocationLists = try self.lists(revoking: [bad])
        for needsEveryIssuer in [true, false] {
            let server: TLSContext = try self.server(lists, needsEveryIssuer: needsEveryIssuer)
            #expect(try self.outcome(good, server) == .done(0))
            #expect(try self.outcome(bad, server) == .failed(.certificate("certificate revoked")))
        }
        #expect(lists.name(bad.chain[0]))
        #expect(!lists.name(good.chain[0]))
        // The serial number alone says nothing: it is one of that issuer.
        let other: IssuingAuthority = try .root(
            name: "Others", organization: nil, validity: (Self.now - 300, Self.now + 86_400))
        #expect(try !self.lists(revoking: [bad], by: other).name(bad.chain[0]))
    }

    @Test func anIssuerWithoutAListIsRefusedWhereEveryoneNeedsOne() throws {
        let other: IssuingAuthority = try .root(
            name: "Others", organization: nil, validity: (Self.now - 300, Self.now + 86_400))
        let (lists, client): (RevocationLists, TLSCertificate) = (try self.lists(by: other), try self.client("good"))
        #expect(try self.outcome(client, self.server(lists)) == .failed(.certificate("unable to get certificate CRL")))
        #expect(try self.outcome(client, self.server(lists, needsEveryIssuer: false)) == .done(0))
    }

    @Test(arguments: [true, false])
    func aListThatHasEndedLetsNobodyIn(needsEveryIssuer: Bool) throws {
        let lists: RevocationLists = try self.lists(until: Self.now - 3_600)
        let server: TLSContext = try self.server(lists, needsEveryIssuer: needsEveryIssuer)
        #expect(try self.outcome(self.client("good"), server) == .failed(.certificate("CRL has expired")))
    }

    @Test func aForgedListLetsNobodyIn() throws {
        let forger: IssuingAuthority = try .root(
            name: "Callers", organization: nil, validity: (Self.now - 300, Self.now + 86_400))
        for needsEveryIssuer in [true, false] {
            let server: TLSContext = try self.server(
                self.lists(by: forger), needsEveryIssuer: needsEveryIssuer)
            let outcome: TLSResult = try self.outcome(self.client("good"), server)
            guard case .failed(.certificate) = outcome else {
                Issue.record("a list that another key signed was taken: \(outcome), \(needsEveryIssuer)")
                return
            }
        }
    }

    @Test func noSessionOutlivesAChangeOfTheLists() throws {
        let keys: TLSTicketKeys = TLSTicketKeys(lifetime: .seconds(100))
        let shown: TLSCertificate = try self.client("bad")
        let client: TLSContext = try .client(TLSClientConfiguration(trust: TLSFixture.trust(), certificate: shown))
        let before: TLSContext = try self.server(self.lists(), keys: keys)
        for isResumed in [false, true] {
            let pair: TLSPair = try TLSPair(client, before)
            try pair.connect()
            #expect(pair.server?.isResumed == isResumed)
        }
        let after: TLSContext = try self.server(self.lists(revoking: [shown]), keys: keys)
        #expect(try TLSPair(client, after).handshake().server == .failed(.certificate("certificate revoked")))
    }

    @Test(arguments: ["", "none", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
    func whatIsNoListIsRefused(text: String) throws {
        #expect(throws: CryptoError.self) { try RevocationLists(pem: text) }
        // Also behind one that is good: half a file is no file.
        if !text.isEmpty, text != "none" {
            let der: [UInt8] = try self.authority.revocationList(
                number: 1, thisUpdate: Self.now, nextUpdate: Self.now + 60, revoked: [])
            #expect(throws: CryptoError.self) { try RevocationLists(pem: Self.pem(der) + text) }
        }
    }
}
