import JSON

/// The values of `format` that are checked.
enum SchemaFormat: String, CaseIterable, Sendable {
    case dateTime = "date-time"
    case date
    case uuid
    case uri
    case email
    case hostname
    case ipv4
    case ipv6
    case int32
    case int64

    /// What a problem says was expected.
    var words: String {
        switch self {
        case .dateTime: return "a date and time as in 2026-01-02T03:04:05Z (RFC 3339)"
        case .date: return "a date as in 2026-01-02 (RFC 3339)"
        case .uuid: return "a UUID as in 0190a5d2-7c3f-7000-8000-0123456789ab"
        case .uri: return "an absolute URI as in https://example.com/path (RFC 3986)"
        case .email: return "an e-mail address as in name@example.com"
        case .hostname: return "a host name as in api.example.com"
        case .ipv4: return "an IPv4 address as in 192.0.2.1"
        case .ipv6: return "an IPv6 address as in 2001:db8::1"
        case .int32: return "an integer of 32 bits"
        case .int64: return "an integer of 64 bits"
        }
    }

    /// Whether a string is in this format; formats of numbers do not concern strings.
    func matches(_ text: String) -> Bool {
        let bytes: [UInt8] = Array(text.utf8)
        switch self {
        case .dateTime: return DateFormat.isDateTime(bytes)
        case .date: return DateFormat.isDate(bytes[...])
        case .uuid: return NameFormat.isUUID(bytes)
        case .uri: return NameFormat.isURI(bytes)
        case .email: return NameFormat.isEmail(bytes)
        case .hostname: return NameFormat.isHostname(bytes[...])
        case .ipv4: return AddressFormat.isIPv4(bytes[...])
        case .ipv6: return AddressFormat.isIPv6(bytes)
        case .int32, .int64: return true
        }
    }

    /// Whether a number is in this format; formats of strings do not concern numbers.
    func matches(_ number: JSONValue) -> Bool {
        switch self {
        case .int32: return number.integer.map { Int32(exactly: $0) != nil } ?? false
        case .int64: return number.integer != nil
        default: return true
        }
    }
}

/// Dates and times of RFC 3339 section 5.6.
enum DateFormat {
    static func isDateTime(_ text: [UInt8]) -> Bool {
        guard text.count >= 20, self.isDate(text[..<10]), text[10] | 0x20 == UInt8(ascii: "t"),
            text[13] == UInt8(ascii: ":"),
            text[16] == UInt8(ascii: ":"), let hour: Int = self.number(text[11..<13]), hour < 24,
            let minute: Int = self.number(text[14..<16]), minute < 60, let second: Int = self.number(text[17..<19]),
            second <= 60
        else { return false }
        var rest: ArraySlice<UInt8> = text[19...]
        if rest.first == UInt8(ascii: ".") {
            let fraction: ArraySlice<UInt8> = rest.dropFirst().prefix {
                $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9")
            }
            if fraction.isEmpty { return false }
            rest = rest.dropFirst(fraction.count + 1)
        }
        if rest.count == 1 { return rest.first.map { $0 | 0x20 } == UInt8(ascii: "z") }
        return self.isOffset(Array(rest))
    }

    private static func isOffset(_ text: [UInt8]) -> Bool {
        guard text.count == 6, text[0] == UInt8(ascii: "+") || text[0] == UInt8(ascii: "-"),
            text[3] == UInt8(ascii: ":"),
            let hour: Int = self.number(text[1..<3]), let minute: Int = self.number(text[4..<6])
        else { return false }
        return hour < 24 && minute < 60
    }

    static func isDate(_ text: ArraySlice<UInt8>) -> Bool {
        let bytes: [UInt8] = Array(text)
        guard bytes.count == 10, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            let year: Int = self.number(bytes[0..<4]), let month: Int = self.number(bytes[5..<7]),
            (1...12).contains(month),
            let day: Int = self.number(bytes[8..<10])
        else { return false }
        let isLeap: Bool = year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
        let days: [Int] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return day >= 1 && day <= days[month - 1]
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        var value: Int = 0
        for digit: UInt8 in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return value
    }
}

/// UUIDs, URIs, host names and e-mail addresses.
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

    /// A scheme, a colon, and nothing that a URI cannot hold (RFC 3986 section 2).
    static func isURI(_ text: [UInt8]) -> Bool {
        guard let colon: Int = text.firstIndex(of: UInt8(ascii: ":")), colon > 0, self.isLetter(text[0]) else {
            return false
        }
        for byte: UInt8 in text[..<colon]
        where !self.isLetter(byte) && !self.isDigit(byte) && !"+-.".utf8.contains(byte) {
            return false
        }
        var index: Int = colon + 1
        guard index < text.count else { return false }
        while index < text.count {
            let byte: UInt8 = text[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < text.count, self.isHex(text[index + 1]), self.isHex(text[index + 2]) else {
                    return false
                }
            } else if !self.isLetter(byte), !self.isDigit(byte), !"-._~:/?#[]@!$&'()*+,;=".utf8.contains(byte) {
                return false
            }
            index += 1
        }
        return true
    }

    /// One `@` between the unquoted form of a local part (RFC 5321 section 4.1.2) and a host name.
    static func isEmail(_ text: [UInt8]) -> Bool {
        guard let at: Int = text.lastIndex(of: UInt8(ascii: "@")), (1...64).contains(at) else { return false }
        var previous: UInt8 = UInt8(ascii: ".")
        for byte: UInt8 in text[..<at] {
            if byte == UInt8(ascii: ".") {
                if previous == byte { return false }
            } else if !self.isLetter(byte), !self.isDigit(byte), !"!#$%&'*+-/=?^_`{|}~".utf8.contains(byte) {
                return false
            }
            previous = byte
        }
        return previous != UInt8(ascii: ".") && self.isHostname(text[(at + 1)...])
    }

    /// Labels of letters, digits and inner hyphens, 63 bytes at most each, 253 together (RFC 1123 section 2.1).
    static func isHostname(_ text: ArraySlice<UInt8>) -> Bool {
        guard (1...253).contains(text.count) else { return false }
        for label: ArraySlice<UInt8> in text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard let first: UInt8 = label.first, let last: UInt8 = label.last, label.count <= 63,
                first != UInt8(ascii: "-"), last != UInt8(ascii: "-")
            else { return false }
            for byte: UInt8 in label where !self.isLetter(byte) && !self.isDigit(byte) && byte != UInt8(ascii: "-") {
                return false
            }
        }
        return true
    }

    static func isHex(_ byte: UInt8) -> Bool {
        self.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}

/// Textual Internet addresses.
enum AddressFormat {
    /// Four decimal numbers up to 255 without leading zeros (RFC 3986's `IPv4address`).
    static func isIPv4(_ text: ArraySlice<UInt8>) -> Bool {
        let parts: [ArraySlice<UInt8>] = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return false }
        for part: ArraySlice<UInt8> in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return false }
            var value: Int = 0
            for digit: UInt8 in part {
                guard NameFormat.isDigit(digit) else { return false }
                value = value * 10 + Int(digit - UInt8(ascii: "0"))
            }
            if value > 255 { return false }
        }
        return true
    }

    /// Eight groups of up to four digits, one run of zeros left out, the last two perhaps as IPv4 (RFC 4291 section 2.2).
    static func isIPv6(_ text: [UInt8]) -> Bool {
        guard (2...45).contains(text.count) else { return false }
        let colon: UInt8 = UInt8(ascii: ":")
        var groups: Int = 0
        var hasGap: Bool = false
        var index: Int = 0
        if text[0] == colon {
            guard text[1] == colon else { return false }
            hasGap = true
            index = 2
        }
        while index < text.count {
            let group: ArraySlice<UInt8> = text[index...].prefix { $0 != colon }
            if group.contains(UInt8(ascii: ".")) {
                guard index + group.count == text.count, self.isIPv4(group) else { return false }
                groups += 2
                break
            }
            guard (1...4).contains(group.count), group.allSatisfy(NameFormat.isHex) else { return false }
            groups += 1
            index += group.count
            if index == text.count { break }
            index += 1
            if index == text.count { return false }
            if text[index] == colon {
                if hasGap { return false }
                hasGap = true
                index += 1
            }
        }
        return hasGap ? groups < 8 : groups == 8
    }
}
