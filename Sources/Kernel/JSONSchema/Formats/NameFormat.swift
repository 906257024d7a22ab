import JSON

/// UUIDs, e-mail addresses and other short names.
enum NameFormat {
    static func isUUID(_ text: [UInt8]) -> Bool {
        guard text.count == 36 else { return false }
        for (index, byte) in text.enumerated() {
            if [8, 13, 18, 23].contains(index) {
                if byte != UInt8(ascii: "-") { return false }
            } else if !self.isHex(byte) {
                return false
            }
        }
        return true
    }

    /// A local part, plain or quoted (RFC 5321 section 4.1.2), `@`, and a host name or an address in brackets.
    static func isEmail(_ text: String, isInternational: Bool) -> Bool {
        let bytes: [UInt8] = Array(text.utf8)
        guard let at: Int = bytes.lastIndex(of: UInt8(ascii: "@")), (1...64).contains(at) else { return false }
        let domain: [UInt8] = Array(bytes[(at + 1)...])
        guard self.isLocalPart(bytes[..<at], isInternational: isInternational) else { return false }
        if domain.first == UInt8(ascii: "["), domain.last == UInt8(ascii: "]"), domain.count > 2 {
            let literal: [UInt8] = Array(domain[1..<(domain.count - 1)])
            if literal.starts(with: "IPv6:".utf8) { return AddressFormat.isIPv6(Array(literal[5...])) }
            return AddressFormat.isIPv4(literal[...])
        }
        return HostnameFormat.matches(String(decoding: domain, as: UTF8.self), isInternational: isInternational)
    }

    private static func isLocalPart(_ text: ArraySlice<UInt8>, isInternational: Bool) -> Bool {
        let quote: UInt8 = UInt8(ascii: "\"")
        if text.first == quote {
            return text.count > 2 && text.last == quote && self.isQuoted(text.dropFirst().dropLast(), isInternational)
        }
        var previous: UInt8 = UInt8(ascii: ".")
        for byte: UInt8 in text {
            if byte == UInt8(ascii: ".") {
                if previous == byte { return false }
            } else if !self.isLetter(byte), !self.isDigit(byte), !"!#$%&'*+-/=?^_`{|}~".utf8.contains(byte),
                !(isInternational && byte >= 0x80)
            {
                return false
            }
            previous = byte
        }
        return previous != UInt8(ascii: ".")
    }

    /// Printable characters, with a backslash before `"` and `\`.
    private static func isQuoted(_ text: ArraySlice<UInt8>, _ isInternational: Bool) -> Bool {
        var isEscaped: Bool = false
        for byte: UInt8 in text {
            if byte < 0x20 || byte == 0x7f || (byte > 0x7f && !isInternational) { return false }
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                return false
            }
        }
        return !isEscaped
    }

    /// A number of levels up, then a JSON pointer or `#` (draft-bhutton-relative-json-pointer).
    static func isRelativePointer(_ text: String) -> Bool {
        let digits: Substring.UTF8View = text.utf8.prefix(while: self.isDigit)
        guard let first: UInt8 = digits.first, digits.count == 1 || first != UInt8(ascii: "0") else { return false }
        let rest: String = String(Substring(text.utf8.dropFirst(digits.count)))
        return rest == "#" || JSONPointer(parsing: rest) != nil
    }

    /// Groups of four of the alphabet, `=` only where the last one is short (RFC 4648 section 4).
    static func isBase64(_ text: [UInt8]) -> Bool {
        guard text.count.isMultiple(of: 4) else { return false }
        let padding: Int = text.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
        return text.dropLast(padding).allSatisfy { self.isLetter($0) || self.isDigit($0) || $0 == 0x2b || $0 == 0x2f }
    }

    static func isHex(_ byte: UInt8) -> Bool {
        self.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }
}
