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
        ("/a/{name}.json", .template, "/a/{}.json"),
        ("/a/{from}-{to}", .template, "/a/{}-{}"),
        ("/a/{id:[0-9]{3}}", .template, "/a/{:[0-9]{3}}"),
        ("/a/{id:[^/]+}/b", .template, "/a/{:[^/]+}/b"),
        ("/a/{id:[{}/]}x", .template, "/a/{:[{}/]}x"),
        ("/a/{id:[]}]+}", .template, "/a/{:[]}]+}"),
        ("/a/{id:\\}}", .template, "/a/{:\\}}"),
        ("/a/{lang:[a-z]{2}}{rest}/*", .prefix, "/a/{:[a-z]{2}}{}/*"),
        ("/caf\u{e9}-{x}%2f", .template, "/caf%C3%A9-{}%2F"),
        ("/v1/{name}:cancel", .template, "/v1/{}:cancel"),
    ]) func readsPaths(_ text: String, kind: PathPattern.Kind, shape: String) throws {
        let pattern: PathPattern = try PathPattern(parsing: text)
        #expect(pattern.kind == kind)
        #expect(pattern.shape == shape)
        #expect(try PathPattern(parsing: pattern.text) == pattern)
    }

    @Test(
        arguments: [
            ("{name}.json", "a.json", [("name", "a")]), ("{name}.json", "a.b.json", [("name", "a.b")]),
            ("{name}.json", ".json", nil), ("{name}.json", "a.jso", nil), ("{name}.json", "json", nil),
            ("x-{name}", "x-1", [("name", "1")]), ("x-{name}", "y-1", nil),
            // Both sides of one text do not share their bytes.
            ("aba{x}aba", "ababa", nil), ("aba{x}aba", "aba1aba", [("x", "1")]),
            ("{from}-{to}", "a-b-c", [("from", "a"), ("to", "b-c")]), ("{from}-{to}", "-b", nil),
            ("{id:[0-9]+}", "17", [("id", "17")]), ("{id:[0-9]+}", "17a", nil), ("{id:[0-9]+}", "", nil),
            ("{id:a|bc}", "bc", [("id", "bc")]), ("{id:a|bc}", "b", nil),
            ("v{major:[0-9]+}.{minor:[0-9]+}", "v1.20", [("major", "1"), ("minor", "20")]),
            // Groups of a rule are its own.
            ("{id:(?<name>a+)(b)}-{n}", "aab-7", [("id", "aab"), ("n", "7")]),
            // Text beside parameters is no expression.
            ("a.b+{x}(c)", "a.b+1(c)", [("x", "1")]), ("{x}.{y}", "axb", nil),
        ] as [(String, String, [(String, String)]?)])
    func readsValuesInsideASegment(_ text: String, segment: String, expected: [(String, String)]?) throws {
        let path: PathPattern = try PathPattern(parsing: "/" + text)
        guard case .pattern(let pattern) = path.segments[0] else {
            Issue.record("\(text) is no pattern")
            return
        }
        let found: [(name: String, value: String)]? = pattern.values(in: Array(segment.utf8))
        #expect(found?.map { $0.name } == expected?.map { $0.0 })
        #expect(found?.map { $0.value } == expected?.map { $0.1 })
        #expect(try pattern.matches(Array(segment.utf8)) == (expected != nil))
    }

    @Test func aRuleThatRunsAwayIsAnError() throws {
        let path: PathPattern = try PathPattern(parsing: "/{id:(a+)+}")
        guard case .pattern(let pattern) = path.segments[0] else {
            Issue.record("no pattern")
            return
        }
        let hostile: [UInt8] = Array((String(repeating: "a", count: 60) + "b").utf8)
        #expect(throws: (any Error).self) { try pattern.matches(hostile) }
        #expect(pattern.values(in: hostile) == nil)
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
