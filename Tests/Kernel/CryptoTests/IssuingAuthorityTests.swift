import Crypto
import Testing

@Suite struct IssuingAuthorityTests {
    private static let now: Int64 = 1_800_000_000
    private static let places: IssuingAuthority.Places = IssuingAuthority.Places(
        revocationList: "http://127.0.0.1:8001/v1/pki/a/crl", issuer: "http://127.0.0.1:8001/v1/pki/a/certificate")

    private static func issuing(until end: Int64 = now + 86_400 * 400) throws -> IssuingAuthority {
        let root: IssuingAuthority = try .root(
            name: "Root", organization: "acme", validity: (Self.now - 300, Self.now + 86_400 * 4_000))
        return try root.intermediate(
            name: "Issuing", organization: "acme", validity: (Self.now - 300, end),
            constraints: NameConstraints(domains: ["example.com"], ranges: []), places: Self.places)
    }

    private static func wish(
        names: [String] = ["a.example.com"], usage: IssuingAuthority.Usage = .server, lifetime: Int64 = 3_600
    ) -> IssuingAuthority.Wish {
        IssuingAuthority.Wish(
            commonName: "a", organization: "acme", names: names, usage: usage,
            validity: (Self.now - 300, Self.now + lifetime))
    }

    @Test func issuesWhatWasWished() throws {
        let authority: IssuingAuthority = try Self.issuing()
        let key: PrivateKey = try .generate(.p384)
        let made: Certificate = try authority.issue(
            Self.wish(names: ["a.example.com", "10.0.0.1", "2001:db8::1"]), for: try key.publicKey(),
            places: Self.places)
        #expect(made.subject == "CN=a,O=acme")
        #expect(made.dnsNames == ["a.example.com"])
        #expect(made.addresses == ["10.0.0.1", "2001:db8::1"])
        #expect(made.validity == (Self.now - 300, Self.now + 3_600))
        #expect(made.belongs(to: key))
        #expect(made.serial.count == 16)
        #expect(try Certificate.chain(pem: made.pem())[0].der() == made.der())
    }

    @Test func issuesNothingThatOutlivesTheAuthority() throws {
        let authority: IssuingAuthority = try Self.issuing(until: Self.now + 1_000)
        let key: PublicKey = try PrivateKey.generate(.p256).publicKey()
        let made: Certificate = try authority.issue(Self.wish(), for: key, places: nil)
        #expect(made.validity.notAfter == Self.now + 1_000)
    }

    @Test func serialNumbersDiffer() throws {
        let authority: IssuingAuthority = try Self.issuing()
        let key: PublicKey = try PrivateKey.generate(.p256).publicKey()
        var serials: Set<[UInt8]> = []
        for _ in 0..<50 { serials.insert(try authority.issue(Self.wish(), for: key, places: nil).serial) }
        #expect(serials.count == 50)
    }

    @Test func refusesServersWithoutNames() throws {
        let authority: IssuingAuthority = try Self.issuing()
        let key: PublicKey = try PrivateKey.generate(.p256).publicKey()
        #expect(throws: CryptoError.self) { try authority.issue(Self.wish(names: []), for: key, places: nil) }
        #expect(throws: CryptoError.self) {
            try authority.issue(Self.wish(names: ["a,DNS:b.example.com"]), for: key, places: nil)
        }
        let client: Certificate = try authority.issue(Self.wish(names: [], usage: .client), for: key, places: nil)
        #expect(client.dnsNames.isEmpty)
    }

    @Test(arguments: [
        ("example.com", true), ("a.example.com", true), ("*.example.com", true), ("badexample.com", false),
        ("example.com.evil.org", false), ("10.1.2.3", true), ("10.2.0.1", false), ("2001:db8::5", true),
        ("2001:db9::5", false), ("::ffff:10.1.2.3", false),
    ])
    func namesAreAllowedBelowADomain(name: String, isAllowed: Bool) throws {
        let constraints: NameConstraints = NameConstraints(
            domains: ["example.com"],
            ranges: [try #require(AddressBlock("10.1.0.0/16")), try #require(AddressBlock("2001:db8::/32"))])
        #expect(constraints.allow(name) == isAllowed)
    }

    @Test(arguments: ["", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0", "example.com", "::/129", "10.1.0.0/8/8"])
    func refusesWhatIsNoRange(text: String) { #expect(AddressBlock(text) == nil) }

    @Test func rangesAreMasked() throws {
        #expect(try #require(AddressBlock("10.1.2.3/12")).text == "10.0.0.0/12")
        #expect(try #require(AddressBlock("10.1.2.3")).text == "10.1.2.3/32")
        #expect(try #require(AddressBlock("2001:db8:ffff::/33")).text == "2001:db8:8000::/33")
    }

    // MARK: Requests

    @Test(arguments: [KeyKind.p256, .p384, .p521, .ed25519, .rsa])
    func requestsGoThroughPEM(kind: KeyKind) throws {
        let key: PrivateKey = try .generate(kind)
        let request: SigningRequest = try SigningRequest(pem: SigningRequest.make(for: key, commonName: "gw-1"))
        #expect(request.commonName == "gw-1")
        #expect(request.names.isEmpty)
        #expect(try request.publicKey.pem() == key.publicKey().pem())
    }

    @Test func refusesRequestsThatTheirKeyDidNotSign() throws {
        let pem: String = try SigningRequest.make(for: .generate(.p256), commonName: "first")
        var lines: [String] = pem.split(separator: "\n").map(String.init)
        // The signature stands at the end.
        let last: Int = lines.count - 2
        lines[last] = String(lines[last].reversed())
        #expect(throws: CryptoError.self) { try SigningRequest(pem: lines.joined(separator: "\n") + "\n") }
    }

    @Test(arguments: [
        "", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        String(repeating: "a", count: 70_000),
    ])
    func refusesWhatIsNoRequest(text: String) {
        #expect(throws: CryptoError.self) { try SigningRequest(pem: text) }
    }
}
