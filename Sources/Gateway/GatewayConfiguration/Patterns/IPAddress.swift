import Glibc

/// An IPv4 or IPv6 address as 128 bits; IPv4 in its IPv6 form `::ffff:a.b.c.d`, so that both compare alike.
package struct IPAddress: Sendable, Hashable, BitwiseCopyable {
    /// The first 64 bits, as a number.
    package var high: UInt64
    /// The last 64 bits, as a number.
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address as a number in host order.
    package init(ipv4: UInt32) {
        self.init(high: 0, low: 0xffff_0000_0000 | UInt64(ipv4))
    }

    package var isIPv4: Bool { self.high == 0 && self.low >> 32 == 0xffff }

    /// Reads a literal such as `192.0.2.7` or `2001:db8::1`; nil when it is anything else.
    package init?(text: String) {
        var four: in_addr = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self.init(ipv4: UInt32(bigEndian: four.s_addr))
            return
        }
        var six: in6_addr = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        let words: (UInt64, UInt64) = withUnsafeBytes(of: &six) { bytes in
            (
                UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        self.init(high: words.0, low: words.1)
    }

    /// The usual literal, IPv6 without brackets.
    package var text: String {
        var buffer: [CChar] = [CChar](repeating: 0, count: 64)
        if self.isIPv4 {
            var four: in_addr = in_addr(s_addr: UInt32(truncatingIfNeeded: self.low).bigEndian)
            _ = inet_ntop(AF_INET, &four, &buffer, 64)
        } else {
            var words: (UInt64, UInt64) = (self.high.bigEndian, self.low.bigEndian)
            _ = inet_ntop(AF_INET6, &words, &buffer, 64)
        }
        let end: Int = buffer.firstIndex(of: 0) ?? 0
        return String(decoding: buffer[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A block of addresses, such as `10.0.0.0/8`, `2001:db8::/32` or one address.
package struct AddressBlock: Sendable, Hashable {
    /// The first address; bits behind the prefix are zero.
    package let base: IPAddress
    /// Leading bits that must be equal, 0 to 128, counted in the IPv6 form.
    package let bits: Int

    /// Reads a block; the error says what was expected.
    package init(parsing text: String) throws(PatternError) {
        let expected: PatternError = PatternError(
            "expected an address or a block such as '10.0.0.0/8' or '2001:db8::/32'")
        let parts: [Substring] = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(text: String(parts[0])) else { throw expected }
        let offset: Int = address.isIPv4 ? 96 : 0
        var bits: Int = 128
        if parts.count == 2 {
            let isNumber: Bool = !parts[1].isEmpty && parts[1].utf8.allSatisfy { $0 >= 48 && $0 <= 57 }
            guard isNumber, let given = Int(parts[1]), given <= 128 - offset else { throw expected }
            bits = given + offset
        }
        let (high, low): (UInt64, UInt64) = Self.masks(bits)
        guard address.high & ~high == 0, address.low & ~low == 0 else {
            let base: IPAddress = IPAddress(high: address.high & high, low: address.low & low)
            throw PatternError("expected no bits behind the prefix: '\(base.text)/\(bits - offset)'")
        }
        self.base = address
        self.bits = bits
    }

    /// The bits that count, as two masks.
    package static func masks(_ bits: Int) -> (high: UInt64, low: UInt64) {
        let high: UInt64 = bits == 0 ? 0 : (bits >= 64 ? ~0 : ~0 << UInt64(64 - bits))
        let low: UInt64 = bits <= 64 ? 0 : (bits >= 128 ? ~0 : ~0 << UInt64(128 - bits))
        return (high, low)
    }

    package func contains(_ address: IPAddress) -> Bool {
        let (high, low): (UInt64, UInt64) = Self.masks(self.bits)
        return address.high & high == self.base.high && address.low & low == self.base.low
    }

    /// `base/bits`, or the address alone when it is one.
    package var text: String {
        if self.bits == 128 { return self.base.text }
        return "\(self.base.text)/\(self.base.isIPv4 ? self.bits - 96 : self.bits)"
    }
}
