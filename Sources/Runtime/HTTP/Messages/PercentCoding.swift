/// Percent-encoding of RFC 3986, section 2.1: strict when decoding, minimal when encoding.
package enum PercentCoding {
    /// What stays as it is when text is encoded. Everything else becomes `%XX` of its UTF-8 bytes.
    package enum Unreserved: Sendable {
        /// Letters, digits and `-._~`: safe anywhere in a URL.
        case component
        /// The above and what RFC 3986 allows in one path segment: `!$&'()*+,;=:@`.
        case pathSegment
    }

    /// The text without its escapes, or nil if a `%` lacks its two hex digits, the result is not UTF-8, or it holds a zero
    /// byte (no name or value of ours may; C libraries would cut it).
    ///
    /// `plusIsSpace` is for forms and queries only (WHATWG URL, section 5.1); in a path a plus is a plus.
    package static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
        if !self.needsDecoding(text, plusIsSpace: plusIsSpace) { return String(text) }
        guard let bytes: [UInt8] = self.decodeBytes(text, plusIsSpace: plusIsSpace) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    package static func encode(_ text: some StringProtocol, keeping unreserved: Unreserved = .component) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count + 8)
        for byte in text.utf8 {
            if self.stays(byte, unreserved) {
                bytes.append(byte)
            } else {
                bytes.append(UInt8(ascii: "%"))
                bytes.append(self.digit(byte >> 4))
                bytes.append(self.digit(byte & 15))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The value of a hex digit in either case, or nil.
    package static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
        default: return nil
        }
    }

    private static func needsDecoding(_ text: some StringProtocol, plusIsSpace: Bool) -> Bool {
        for byte in text.utf8 {
            if byte == UInt8(ascii: "%") || byte == 0 || (plusIsSpace && byte == UInt8(ascii: "+")) { return true }
        }
        return false
    }

    private static func decodeBytes(_ text: some StringProtocol, plusIsSpace: Bool) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var input = text.utf8.makeIterator()
        while let byte: UInt8 = input.next() {
            var decoded: UInt8 = byte
            if byte == UInt8(ascii: "%") {
                guard let high: UInt8 = input.next(), let low: UInt8 = input.next() else { return nil }
                guard let top: UInt8 = self.hexValue(high), let bottom: UInt8 = self.hexValue(low) else { return nil }
                decoded = top << 4 | bottom
            } else if plusIsSpace && byte == UInt8(ascii: "+") {
                decoded = 0x20
            }
            guard decoded != 0 else { return nil }
            bytes.append(decoded)
        }
        return bytes
    }

    private static func stays(_ byte: UInt8, _ unreserved: Unreserved) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            return true
        case UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("),
            UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"),
            UInt8(ascii: "="), UInt8(ascii: ":"), UInt8(ascii: "@"):
            return unreserved == .pathSegment
        default:
            return false
        }
    }

    private static func digit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10
    }
}
