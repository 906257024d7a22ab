/// Character classes and comparisons of HTTP/1.1, made for reading in place.
package enum WireText {
    /// tchar of RFC 9110, 5.6.2, one bit a character: 0–63 and 64–127.
    private static let tokenLow: UInt64 = 0x03FF_6CFA_0000_0000
    private static let tokenHigh: UInt64 = 0x57FF_FFFF_C7FF_FFFE

    /// Letters, digits and !#$%&'*+-.^_`|~.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        let mask: UInt64 = byte < 64 ? self.tokenLow : self.tokenHigh
        return byte < 128 && (mask >> UInt64(byte & 63)) & 1 == 1
    }

    /// What a field value may hold: visible characters, space, tab, and bytes from 0x80 (obs-text).
    @inline(__always)
    static func isValue(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7F) || byte == 0x09 }

    /// Looks at eight bytes at once: the lowest set bit of the result is bit 7 of the first one below 0x20 or equal to 0x7F;
    /// 0 when there is none. Bits above the lowest may be wrong, because a borrow runs upwards.
    @inline(__always)
    static func controls(_ bytes: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let below: UInt64 = (bytes &- (ones &* 0x20)) & ~bytes
        let deleted: UInt64 = bytes ^ (ones &* 0x7F)
        return (below | ((deleted &- ones) & ~deleted)) & 0x8080_8080_8080_8080
    }

    /// Looks at eight bytes at once: the lowest set bit of the result is bit 7 of the first one that is no letter and no `-`;
    /// 0 when there is none. Exact for every byte: nothing is carried from one to the next.
    @inline(__always)
    static func notLettersOrDashes(_ bytes: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let seven: UInt64 = ones &* 0x7F
        // Sums of two numbers below 0x80: their bit 7 says whether the bound was reached.
        let lowered: UInt64 = (bytes | ones &* 0x20) & seven
        let isLetter: UInt64 = (lowered &+ ones &* (0x80 - 0x61)) & ~(lowered &+ ones &* (0x80 - 0x7B))
        let dash: UInt64 = (bytes & seven) ^ (ones &* 0x2D)
        let isDash: UInt64 = ~(dash &+ seven)
        return ~((isLetter | isDash) & ~bytes) & (ones &* 0x80)
    }

    /// Characters of a path: those of RFC 3986, and `[`, `]` and `|`, which browsers send unescaped.
    private static let pathLow: UInt64 = 0x2FFF_FFF2_0000_0000
    private static let pathHigh: UInt64 = 0x57FF_FFFE_AFFF_FFFF

    /// Characters of a query: those of a path, and `?`, `\`, `^`, `` ` ``, `{` and `}`, which browsers send unescaped.
    private static let queryLow: UInt64 = 0xAFFF_FFF2_0000_0000
    private static let queryHigh: UInt64 = 0x7FFF_FFFF_FFFF_FFFF

    @inline(__always)
    static func isPath(_ byte: UInt8) -> Bool {
        let mask: UInt64 = byte < 64 ? self.pathLow : self.pathHigh
        return byte < 128 && (mask >> UInt64(byte & 63)) & 1 == 1
    }

    @inline(__always)
    static func isQuery(_ byte: UInt8) -> Bool {
        let mask: UInt64 = byte < 64 ? self.queryLow : self.queryHigh
        return byte < 128 && (mask >> UInt64(byte & 63)) & 1 == 1
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// The value of a hexadecimal digit, or nil.
    @inline(__always)
    static func hexDigit(_ byte: UInt8) -> UInt8? {
        if byte &- 0x30 < 10 { return byte &- 0x30 }
        let letter: UInt8 = (byte | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    /// Whether the bytes at `start`, as many as `text` has, are `text`.
    @inline(__always)
    package static func equals(_ start: UnsafeRawPointer, _ text: StaticString) -> Bool {
        let wanted: UnsafeRawPointer = UnsafeRawPointer(text.utf8Start)
        var difference: UInt8 = 0
        for index in 0..<text.utf8CodeUnitCount {
            difference |=
                start.load(fromByteOffset: index, as: UInt8.self) ^ wanted.load(fromByteOffset: index, as: UInt8.self)
        }
        return difference == 0
    }

    /// As `equals`, whatever the case of letters; `text` is lower case and made of letters, digits and `-`.
    ///
    /// Setting bit 5 lowers letters and leaves digits and `-` as they are; no other token character becomes one of these.
    @inline(__always)
    package static func equalsIgnoringCase(_ start: UnsafeRawPointer, _ text: StaticString) -> Bool {
        let wanted: UnsafeRawPointer = UnsafeRawPointer(text.utf8Start)
        var difference: UInt8 = 0
        for index in 0..<text.utf8CodeUnitCount {
            let byte: UInt8 = start.load(fromByteOffset: index, as: UInt8.self) | 0x20
            difference |= byte ^ wanted.load(fromByteOffset: index, as: UInt8.self)
        }
        return difference == 0
    }

    /// Compares two ranges of equal length, ASCII letters without case.
    package static func equalsIgnoringCase(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, count: Int) -> Bool {
        for index in 0..<count {
            let first: UInt8 = self.lowered(left.load(fromByteOffset: index, as: UInt8.self))
            let second: UInt8 = self.lowered(right.load(fromByteOffset: index, as: UInt8.self))
            if first != second { return false }
        }
        return true
    }

    @inline(__always)
    static func lowered(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }
}
