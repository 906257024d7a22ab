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
