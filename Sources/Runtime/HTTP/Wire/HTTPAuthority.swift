/// HOST or HOST:PORT as in a Host field: a name, an IPv4 address, or an IPv6 address in brackets (RFC 9110, 4.2).
package enum HTTPAuthority {
    /// Longest authority taken: 255 for a name, and brackets, colon and port.
    static let countMax: Int = 263

    private static let nameLow: UInt64 = 0x03FF_6000_0000_0000
    private static let nameHigh: UInt64 = 0x47FF_FFFE_87FF_FFFE

    /// Letters, digits, `-`, `.`, `_`, `~`. Percent escapes and sub-delimiters, legal in a registered name, never occur in
    /// host names and are refused.
    @inline(__always)
    private static func isName(_ byte: UInt8) -> Bool {
        let mask: UInt64 = byte < 64 ? self.nameLow : self.nameHigh
        return byte < 128 && (mask >> UInt64(byte & 63)) & 1 == 1
    }

    static func isWellFormed(_ base: UnsafePointer<UInt8>, count: Int) -> Bool {
        guard count > 0, count <= self.countMax else { return false }
        var index: Int = 0
        if base[0] == 0x5B {
            index = 1
            while index < count, WireText.hexDigit(base[index]) != nil || base[index] == 0x3A || base[index] == 0x2E {
                index += 1
            }
            guard index > 2, index < count, base[index] == 0x5D else { return false }
            index += 1
        } else {
            while index < count, self.isName(base[index]) { index += 1 }
            if index == 0 { return false }
        }
        if index == count { return true }
        guard base[index] == 0x3A, count - index <= 6 else { return false }
        // An empty port is legal ("host:"), and means the default.
        for place in index + 1..<count where !WireText.isDigit(base[place]) { return false }
        return true
    }

    /// Whether both name the same host and port, without case.
    static func isSame(_ base: UnsafePointer<UInt8>, _ left: Range<Int>, _ right: Range<Int>) -> Bool {
        left.count == right.count
            && WireText.equalsIgnoringCase(base + left.lowerBound, base + right.lowerBound, count: left.count)
    }

    /// The host of an authority without its port: what routes are matched by. Brackets stay.
    package static func hostCount(_ authority: UnsafeRawBufferPointer) -> Int {
        guard let first: UInt8 = authority.first else { return 0 }
        var index: Int = authority.count
        // Only the last six bytes can be a port; a colon before them belongs to an IPv6 address.
        let floor: Int = max(0, authority.count - 6)
        while index > floor {
            index -= 1
            if authority[index] == 0x5D { return authority.count }
            if authority[index] == 0x3A {
                return first == 0x5B && authority[index - 1] != 0x5D ? authority.count : index
            }
        }
        return authority.count
    }
}
