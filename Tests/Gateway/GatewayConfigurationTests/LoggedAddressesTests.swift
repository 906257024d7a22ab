import Testing

@testable import GatewayConfiguration

struct LoggedAddressesTests {
    @Test(
        arguments: [
            ("192.0.2.7", "192.0.2.0"), ("10.1.2.255", "10.1.2.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("::1", "::"), ("::ffff:192.0.2.7", "192.0.2.0"),
        ])
    func aNetworkTakesThePlaceOfAnAddress(address: String, network: String) throws {
        let parsed: IPAddress = try #require(IPAddress(text: address))
        #expect(LoggedAddresses.truncated.shown(parsed)?.text == network)
        #expect(LoggedAddresses.full.shown(parsed) == parsed)
        #expect(LoggedAddresses.none.shown(parsed) == nil)
    }

    @Test func onlyTheNetworkIsWrittenUnlessSaidOtherwise() { #expect(AccessLogRules().addresses == .truncated) }
}
