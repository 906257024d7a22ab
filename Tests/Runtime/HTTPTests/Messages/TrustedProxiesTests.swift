import EventLoops
import Testing

@testable import HTTP

@Suite struct TrustedProxiesTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let peer: String
        let lines: [String]
        let client: String

        init(_ peer: String, _ lines: [String], _ client: String) {
            (self.peer, self.lines, self.client) = (peer, lines, client)
        }

        var testDescription: String { "\(self.peer) \(self.lines)" }
    }

    private static func client(_ one: Case, _ field: TrustedProxies.Field, name: String) throws -> String {
        let ranges: [AddressRange] = ["10.0.0.0/8", "2001:db8:1::/48"].compactMap { AddressRange($0) }
        var fields: HTTPFields = HTTPFields()
        for line in one.lines { fields.append(name, line) }
        let peer: SocketAddress = try #require(SocketAddress(host: one.peer, port: 4_711))
        return TrustedProxies(ranges: ranges, field: field).client(peer: peer, fields: fields).host
    }

    @Test(arguments: [
        Case("10.0.0.1", [], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        // Written by whoever calls: the proxy appended what it saw.
        Case("10.0.0.1", ["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
        Case("10.0.0.1", ["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
        Case("10.0.0.1", ["10.0.0.9, 192.0.2.7"], "192.0.2.7"),
        Case("10.0.0.1", ["unknown, \"; DROP, 192.0.2.7"], "192.0.2.7"),
        // Through several of ours.
        Case("10.0.0.1", ["6.6.6.6, 192.0.2.7, 10.0.0.2,10.0.0.3"], "192.0.2.7"),
        Case("10.0.0.1", ["6.6.6.6, 192.0.2.7", "10.0.0.2", "10.0.0.3"], "192.0.2.7"),
        Case("10.0.0.1", ["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        // Forms of addresses.
        Case("10.0.0.1", ["192.0.2.7:51234"], "192.0.2.7"),
        Case("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        Case("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        Case("10.0.0.1", ["[2001:DB8:0:0::7]:443"], "2001:db8::7"),
        Case("10.0.0.1", ["::ffff:192.0.2.7"], "192.0.2.7"),
        Case("10.0.0.1", ["[::ffff:c000:207]:80"], "192.0.2.7"),
        Case("10.0.0.1", ["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
        Case("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        Case("2001:db8:1::1", ["\t 192.0.2.7 "], "192.0.2.7"),
        // Nothing to go by: the proxy itself.
        Case("10.0.0.1", [""], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7,"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7", ""], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7, unknown"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7, 10.0.0.2, x, 10.0.0.3"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.300"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7:99999"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7:"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7 6.6.6.6"], "10.0.0.1"),
        Case("10.0.0.1", ["[192.0.2.7]"], "10.0.0.1"),
        Case("10.0.0.1", ["[2001:db8::7"], "10.0.0.1"),
        Case("10.0.0.1", ["[]"], "10.0.0.1"),
        Case("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7\u{0}6.6.6.6"], "10.0.0.1"),
        Case("10.0.0.1", ["0xc0.0.2.7"], "10.0.0.1"),
        // Anybody else speaks for nobody.
        Case("192.0.2.9", ["192.0.2.7"], "192.0.2.9"),
        Case("192.0.2.9", ["10.0.0.2"], "192.0.2.9"),
        Case("11.0.0.1", ["192.0.2.7, 10.0.0.2"], "11.0.0.1"),
        Case("2001:db8:2::1", ["192.0.2.7"], "2001:db8:2::1"),
    ])
    func findsTheCallerInXForwardedFor(one: Case) throws {
        #expect(try Self.client(one, .xForwardedFor, name: "X-Forwarded-FOR") == one.client)
    }

    @Test(arguments: [
        Case("10.0.0.1", ["for=192.0.2.7"], "192.0.2.7"),
        Case("10.0.0.1", ["For=\"192.0.2.7:4711\";proto=https;by=10.0.0.1"], "192.0.2.7"),
        Case("10.0.0.1", ["for=6.6.6.6, for=192.0.2.7, for=10.0.0.2"], "192.0.2.7"),
        Case("10.0.0.1", ["proto=http;for=\"[2001:db8::7]:4711\""], "2001:db8::7"),
        Case("10.0.0.1", ["for=\"[2001:db8::7]\""], "2001:db8::7"),
        Case("10.0.0.1", ["for=\"192.0\\.2.7\""], "192.0.2.7"),
        // A quote that the caller left open hides nothing.
        Case("10.0.0.1", ["for=\", for=192.0.2.7"], "192.0.2.7"),
        Case("10.0.0.1", ["for=\"", "for=192.0.2.7"], "192.0.2.7"),
        // What the caller says of its host stands quoted, with commas in it: no element begins there.
        Case("10.0.0.1", ["for=192.0.2.7;host=\"a,for=6.6.6.6\""], "10.0.0.1"),
        Case("10.0.0.1", ["for=192.0.2.7;host=\"a,for=6.6.6.6;b=\";proto=\"https\""], "10.0.0.1"),
        Case("10.0.0.1", ["for=192.0.2.7;host=\"a,for=6.6.6.6;b=\\\"c\""], "10.0.0.1"),
        Case("10.0.0.1", ["for=_hidden"], "10.0.0.1"),
        Case("10.0.0.1", ["for=unknown"], "10.0.0.1"),
        Case("10.0.0.1", ["for=6.6.6.6;for=192.0.2.7"], "10.0.0.1"),
        Case("10.0.0.1", ["proto=https"], "10.0.0.1"),
        Case("10.0.0.1", ["192.0.2.7"], "10.0.0.1"),
        Case("10.0.0.1", ["for = 192.0.2.7"], "10.0.0.1"),
        Case("10.0.0.1", ["for=2001:db8::7"], "10.0.0.1"),
        Case("10.0.0.1", ["for=\"192.0.2.7\"x"], "10.0.0.1"),
        Case("10.0.0.1", ["for=\"192.0.2.7\\"], "10.0.0.1"),
        Case("10.0.0.1", ["for=192.0.2.7;"], "10.0.0.1"),
        Case("192.0.2.9", ["for=192.0.2.7"], "192.0.2.9"),
    ])
    func findsTheCallerInForwarded(one: Case) throws {
        #expect(try Self.client(one, .forwarded, name: "Forwarded") == one.client)
    }

    @Test(arguments: [
        (TrustedProxies.Field.xForwardedFor, "Forwarded", "for=192.0.2.7"),
        (.forwarded, "X-Forwarded-For", "192.0.2.7"),
    ])
    func theFieldThatProxiesDoNotWriteIsNotRead(field: TrustedProxies.Field, name: String, value: String) throws {
        #expect(try Self.client(Case("10.0.0.1", [value], ""), field, name: name) == "10.0.0.1")
    }

    @Test func looksAtSoManyHopsAndNoFurther() throws {
        let hops: [String] = [String](repeating: "10.0.0.2", count: TrustedProxies.hopsMax - 1)
        let all: String = (["192.0.2.7"] + hops).joined(separator: ",")
        #expect(try Self.client(Case("10.0.0.1", [all], ""), .xForwardedFor, name: "x-forwarded-for") == "192.0.2.7")
        let more: String = (["192.0.2.7", "10.0.0.2"] + hops).joined(separator: ",")
        #expect(try Self.client(Case("10.0.0.1", [more], ""), .xForwardedFor, name: "x-forwarded-for") == "10.0.0.1")
        let long: String = [String](repeating: "6.6.6.6", count: 4_000).joined(separator: ",") + ",192.0.2.7"
        #expect(try Self.client(Case("10.0.0.1", [long], ""), .xForwardedFor, name: "x-forwarded-for") == "192.0.2.7")
    }

    @Test func trustsNobodyUnlessTold() throws {
        let peer: SocketAddress = .loopback(port: 1)
        #expect(TrustedProxies().client(peer: peer, fields: ["X-Forwarded-For": "192.0.2.7"]) == peer)
    }
}
