import Testing

@testable import GatewayConfiguration

struct PatternTests {
    @Test(arguments: [
        ("/", PathPattern.Kind.exact, "/"),
        ("/a", .exact, "/a"),
        ("/a/", .exact, "/a/"),
        ("/a/{id}", .template, "/a/{}"),
        ("/a/{id}/", .template, "/a/{}/"),
        ("/*", .prefix, "/*"),
        ("/a/*", .prefix, "/a/*"),
        ("/a/{x-1}/b/*", .prefix, "/a/{}/b/*"),
        ("/%7Euser/%c3%a9", .exact, "/~user/%C3%A9"),
        ("/a b/\u{e9}", .exact, "/a%20b/%C3%A9"),
        ("/.well-known/x", .exact, "/.well-known/x"),
    ]) func readsPaths(_ text: String, kind: PathPattern.Kind, shape: String) throws {
        let pattern: PathPattern = try PathPattern(parsing: text)
        #expect(pattern.kind == kind)
        #expect(pattern.shape == shape)
        #expect(try PathPattern(parsing: pattern.text) == pattern)
    }

    @Test func boundsPaths() throws {
        let many: String = String(repeating: "/a", count: PathPattern.segmentsMax)
        _ = try PathPattern(parsing: many)
        #expect(throws: PatternError.self) { try PathPattern(parsing: many + "/a") }
        var parameters: String = ""
        for index in 0..<PathPattern.parametersMax { parameters += "/{p\(index)}" }
        _ = try PathPattern(parsing: parameters)
        #expect(throws: PatternError.self) { try PathPattern(parsing: parameters + "/{q}") }
        #expect(throws: PatternError.self) {
            try PathPattern(parsing: "/" + String(repeating: "x", count: PathPattern.lengthMax))
        }
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "1.2.3.4", true),
        ("0.0.0.0/0", "2001:db8::1", false), ("::/0", "1.2.3.4", true), ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false), ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::", false),
        ("2001:db8::1", "2001:db8::1", true), ("2001:db8::/65", "2001:db8::7fff:ffff:ffff:ffff", true),
        ("2001:db8::/65", "2001:db8::8000:0:0:0", false), ("::ffff:10.0.0.0/104", "10.1.2.3", true),
    ]) func blocksHoldAddresses(_ block: String, address: String, isInside: Bool) throws {
        let address: IPAddress = try #require(IPAddress(text: address))
        guard block != "::ffff:10.0.0.0/104" else {
            // The IPv6 form of IPv4 is IPv4 here, with IPv4's lengths.
            #expect(throws: PatternError.self) { try AddressBlock(parsing: block) }
            return
        }
        #expect(try AddressBlock(parsing: block).contains(address) == isInside)
        #expect(try AddressBlock(parsing: try AddressBlock(parsing: block).text) == AddressBlock(parsing: block))
    }

    @Test(arguments: [
        ("http://127.0.0.1:9700", "http://127.0.0.1:9700"), ("https://Api.Example.com", "https://api.example.com:443"),
        ("http://[::1]/", "http://[::1]:80"), ("http://x/a/b/", "http://x:80/a/b"), ("http://x/%7ea", "http://x:80/~a"),
    ]) func readsTargets(_ text: String, expected: String) throws {
        let url: TargetURL = try TargetURL(parsing: text)
        #expect(url.text == expected)
        #expect(try TargetURL(parsing: url.text) == url)
    }

    @Test(arguments: [
        "", "x", "http:/x", "http://", "http://x:", "http://x:1:2", "http://[::1", "http://[1.2.3.4]", "http://*.x",
        "http://x/*",
        "http://x/../y", "http://x#y", "HTTP://x",
    ]) func refusesOtherTargets(_ text: String) {
        #expect(throws: PatternError.self) { try TargetURL(parsing: text) }
    }

    @Test(arguments: ["", "*", "*.", ".x", "x..y", "-x", "x-", "a b", "x:80", "x/y", "[1.2.3.4]", "*.[::1]", "a.*.b"])
    func refusesOtherHosts(_ text: String) {
        #expect(throws: PatternError.self) { try HostPattern(parsing: text) }
    }

    @Test func digestsAreReadInEitherCase() throws {
        let text: String = String(repeating: "0aF9", count: 16)
        let digest: KeyDigest = try #require(KeyDigest(hex: text))
        #expect(digest.hex == text.lowercased())
        #expect(KeyDigest(hex: String(text.dropLast())) == nil)
        #expect(KeyDigest(hex: String(text.dropLast()) + "g") == nil)
    }
}
