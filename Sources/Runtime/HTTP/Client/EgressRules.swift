package import EventLoops

/// Whether an outgoing connection may be made.
package enum EgressVerdict: Sendable, Equatable {
    case allow
    /// The reason is shown to whoever configured the request.
    case refuse(String)
}

/// The usual egress rules: addresses that are not on the public Internet are refused unless their range is allowed.
///
/// What counts is the address connected to, so that a public name with a private address (DNS rebinding) gains nothing.
/// IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4) are judged by the address inside.
package struct EgressRules: Sendable {
    /// Ranges allowed although they are not public, such as 127.0.0.0/8.
    package var allowed: [AddressRange]
    /// Whether addresses of the machine and of private networks are allowed, too: those where one's own servers are. Addresses that
    /// are nobody's server are not, nor are those at which clouds tell machines their credentials.
    package var allowsPrivate: Bool

    package init(allowed: [AddressRange] = [], allowsPrivate: Bool = false) {
        self.allowed = allowed
        self.allowsPrivate = allowsPrivate
    }

    package func verdict(_ address: SocketAddress) -> EgressVerdict {
        for range in self.allowed where range.contains(address) { return .allow }
        let judged: SocketAddress = EgressRules.inner(address)
        for range in self.allowed where range.contains(judged) { return .allow }
        for range in EgressRules.metadata where range.contains(judged) {
            return .refuse("\(address.host) is a cloud's metadata service")
        }
        for (range, name) in EgressRules.special where range.contains(judged) {
            if self.allowsPrivate, EgressRules.ownNames.contains(name) { return .allow }
            return .refuse("\(address.host) is \(name)")
        }
        return .allow
    }

    /// Where clouds tell machines their credentials, besides link-local addresses: AWS by IPv6, Alibaba, Azure, Oracle.
    private static let metadata: [AddressRange] = [
        "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    ].compactMap { AddressRange($0) }

    /// What `allowsPrivate` is about.
    private static let ownNames: Set<String> = ["a private address", "a shared address", "a loopback address"]

    /// IANA's special-purpose address registries, as far as something could listen there.
    private static let special: [(AddressRange, String)] = [
        ("0.0.0.0/8", "no address of a host"), ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a shared address"), ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"), ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a protocol assignment"), ("192.0.2.0/24", "a documentation address"),
        ("192.168.0.0/16", "a private address"), ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"), ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"), ("240.0.0.0/4", "a reserved address"),
        ("::1", "a loopback address"), ("::", "no address of a host"), ("100::/64", "a discard address"),
        ("64:ff9b:1::/48", "a translated address"),
        ("2001:db8::/32", "a documentation address"), ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"), ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    ].compactMap { (text: String, name: String) -> (AddressRange, String)? in
        AddressRange(text).map { ($0, name) }
    }

    private static let embedded: [(AddressRange, offset: Int)] = [
        ("::ffff:0:0/96", 12), ("::/96", 12), ("64:ff9b::/96", 12), ("2002::/16", 2),
    ].compactMap { (text: String, offset: Int) -> (AddressRange, offset: Int)? in
        AddressRange(text).map { ($0, offset) }
    }

    /// The IPv4 address inside, if there is one.
    private static func inner(_ address: SocketAddress) -> SocketAddress {
        guard address.family == .v6 else { return address }
        // ::1 and :: lie in the range of the old embedded form, and are judged as what they are.
        if let loopback: AddressRange = AddressRange("::/127"), loopback.contains(address) { return address }
        for (range, offset) in self.embedded where range.contains(address) {
            let bytes: [16 of UInt8] = address.bytes
            return SocketAddress(
                v4: bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3], port: address.port)
        }
        return address
    }
}

/// A block of addresses in CIDR notation: "10.0.0.0/8", "fe80::/10"; a bare address is a block of one.
package struct AddressRange: Sendable, Equatable, CustomStringConvertible {
    private let base: SocketAddress
    private let prefixBits: Int

    /// nil for anything but an address, and a prefix length within it; bits after the prefix must be zero.
    package init?(_ text: String) {
        let parts: [Substring] = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let base: SocketAddress = SocketAddress(host: parts[0], port: 0) else { return nil }
        let bitsMax: Int = base.family == .v4 ? 32 : 128
        var bits: Int = bitsMax
        if parts.count == 2 {
            guard let given: Int = Int(parts[1]), String(given) == parts[1], given >= 0, given <= bitsMax else {
                return nil
            }
            bits = given
        }
        self.base = base
        self.prefixBits = bits
        for bit in bits..<bitsMax where AddressRange.bit(bit, of: base) { return nil }
    }

    package func contains(_ address: SocketAddress) -> Bool {
        guard address.family == self.base.family else { return false }
        for bit in 0..<self.prefixBits
        where AddressRange.bit(bit, of: address) != AddressRange.bit(bit, of: self.base) {
            return false
        }
        return true
    }

    package var description: String { "\(self.base.host)/\(self.prefixBits)" }

    /// Bit 0 is the first of the address as written.
    private static func bit(_ index: Int, of address: SocketAddress) -> Bool {
        let place: Int = address.family == .v4 ? 96 + index : index
        return address.bytes[place / 8] & (0x80 >> UInt8(place % 8)) != 0
    }
}
