import JSON
import JSONSchema
import Testing

struct SchemaFormatTests {
    private func accepts(_ value: JSONValue, _ format: String) throws -> Bool {
        try JSONSchema(compiling: ["format": .string(format)]).validate(value).isEmpty
    }

    @Test(
        arguments: [
            (
                "date-time",
                [
                    "2026-01-02T03:04:05Z", "2024-02-29t23:59:60.123456789z", "1998-12-31T15:59:60-08:00",
                    "2000-02-29T00:00:00-00:00",
                ]
            ),
            ("date", ["2026-12-31", "0000-01-01"]),
            ("uuid", ["0190a5d2-7c3f-7000-8000-0123456789ab", "0190A5D2-7C3F-7000-8000-0123456789AB"]),
            ("uri", ["https://example.com/a?b=c#d", "mailto:a@b.c", "urn:x:1", "http://[::1]:8080/%C3%A9"]),
            ("email", ["a@b", "first.last+tag@mail.example.com", "o'neil@example.com"]),
            ("hostname", ["a", "api.example.com", "xn--bcher-kva.example", "1.2.3"]),
            ("ipv4", ["0.0.0.0", "192.0.2.255"]),
            (
                "ipv6",
                [
                    "::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1", "1::8", "1:2:3:4:5:6:1.2.3.4",
                    "1:2:3:4:5:6:7::", "fe80::AB",
                ]
            ),
        ])
    func acceptsStrings(_ format: String, _ texts: [String]) throws {
        for text: String in texts { #expect(try self.accepts(.string(text), format), "\(text)") }
        #expect(try self.accepts(7, format), "a number is no concern of \(format)")
    }

    @Test(
        arguments: [
            (
                "date-time",
                [
                    "", "2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", "2026-02-29T00:00:00Z",
                    "2026-01-02T24:00:00Z", "2024-02-29T23:59:60+23:59", "2026-01-02T03:04:05.Z",
                    "2026-01-02T03:04:05+24:00",
                    "2026-01-02T03:04:05Zx", "1900-02-29T00:00:00Z",
                ]
            ),
            ("date", ["2026-13-01", "2026-00-01", "2026-01-00", "26-01-01", "2026-01-1a", "2026/01/01"]),
            (
                "uuid",
                [
                    "0190a5d2-7c3f-7000-8000-0123456789a", "0190a5d27c3f700080000123456789ab",
                    "0190a5d2-7c3f-7000-8000-0123456789ag",
                ]
            ),
            (
                "uri",
                [
                    "", "example.com", "/path", "http://a:b", "1http://a", "http://a b", "http://é", "http://a%2",
                    "http://a%zz",
                ]
            ),
            (
                "email",
                ["", "a", "@b", "a@", "a..b@c", ".a@b", "a.@b", "a b@c", "\"a@c", "a@[1]", "a@b_c", "é@b", "a@b\u{0}"]
            ),
            ("hostname", ["", "-a", "a-", "a..b", "a_b", "a.", ".a", "é"]),
            ("ipv4", ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.a", "1.2.3.", " 1.2.3.4"]),
            (
                "ipv6",
                [
                    "", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4:5:6:7:8::", "12345::",
                    "g::", "1:", ":1", "::1.2.3", "1.2.3.4::", "::1%eth0", "::1\u{0}",
                ]
            ),
        ])
    func refusesStrings(_ format: String, _ texts: [String]) throws {
        for text: String in texts { #expect(try !self.accepts(.string(text), format), "\(text)") }
    }

    @Test func checksIntegerWidths() throws {
        #expect(try self.accepts(2_147_483_647, "int32"))
        #expect(try !self.accepts(2_147_483_648, "int32"))
        #expect(try self.accepts(.int(.min), "int64"))
        #expect(try !self.accepts(.double(1e19), "int64"))
        #expect(try !self.accepts(1.5, "int32"))
    }
}
