/// URIs (RFC 3986) and, with characters beyond ASCII, IRIs (RFC 3987).
struct URIFormat {
    let isInternational: Bool

    /// With a scheme.
    func isURI(_ text: [UInt8]) -> Bool {
        guard let colon: Int = text.firstIndex(of: UInt8(ascii: ":")), self.isScheme(text[..<colon]) else {
            return false
        }
        return self.isHierarchy(text[(colon + 1)...])
    }

    /// With or without a scheme.
    func isReference(_ text: [UInt8]) -> Bool {
        if self.isURI(text) { return true }
        // The first segment of a relative path has no colon (section 4.2), or it would be a scheme.
        let segment: ArraySlice<UInt8> = text.prefix { !"/?#".utf8.contains($0) }
        return !segment.contains(UInt8(ascii: ":")) && self.isHierarchy(text[...])
    }

    private func isScheme(_ text: ArraySlice<UInt8>) -> Bool {
        guard let first: UInt8 = text.first, NameFormat.isLetter(first) else { return false }
        return text.allSatisfy { NameFormat.isLetter($0) || NameFormat.isDigit($0) || "+-.".utf8.contains($0) }
    }

    /// Authority, path, query and fragment.
    private func isHierarchy(_ text: ArraySlice<UInt8>) -> Bool {
        var rest: ArraySlice<UInt8> = text
        if let hash: Int = rest.firstIndex(of: UInt8(ascii: "#")) {
            guard self.isMade(rest[(hash + 1)...], of: "/?:@") else { return false }
            rest = rest[..<hash]
        }
        if let mark: Int = rest.firstIndex(of: UInt8(ascii: "?")) {
            guard self.isMade(rest[(mark + 1)...], of: "/?:@") else { return false }
            rest = rest[..<mark]
        }
        if rest.starts(with: "//".utf8) {
            rest = rest.dropFirst(2)
            let end: Int = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
            guard self.isAuthority(rest[..<end]) else { return false }
            rest = rest[end...]
        }
        return self.isMade(rest, of: "/:@")
    }

    private func isAuthority(_ text: ArraySlice<UInt8>) -> Bool {
        var rest: ArraySlice<UInt8> = text
        if let at: Int = rest.lastIndex(of: UInt8(ascii: "@")) {
            guard self.isMade(rest[..<at], of: ":") else { return false }
            rest = rest[(at + 1)...]
        }
        if rest.first == UInt8(ascii: "[") {
            guard let end: Int = rest.firstIndex(of: UInt8(ascii: "]")), self.isLiteral(Array(rest[..<end].dropFirst()))
            else { return false }
            rest = rest[(end + 1)...]
            return rest.isEmpty || self.isPort(rest)
        }
        if let colon: Int = rest.lastIndex(of: UInt8(ascii: ":")) {
            guard self.isPort(rest[colon...]) else { return false }
            rest = rest[..<colon]
        }
        return self.isMade(rest, of: "")
    }

    private func isPort(_ text: ArraySlice<UInt8>) -> Bool {
        text.first == UInt8(ascii: ":") && text.dropFirst().allSatisfy(NameFormat.isDigit)
    }

    private func isLiteral(_ text: [UInt8]) -> Bool {
        if let first: UInt8 = text.first, first | 0x20 == UInt8(ascii: "v") {
            guard let dot: Int = text.firstIndex(of: UInt8(ascii: ".")), dot > 1, dot + 1 < text.count else {
                return false
            }
            return text[1..<dot].allSatisfy(NameFormat.isHex) && self.isMade(text[(dot + 1)...], of: ":")
        }
        return AddressFormat.isIPv6(text)
    }

    /// Only unreserved characters, sub-delimiters, percent-encodings and `more`.
    private func isMade(_ text: ArraySlice<UInt8>, of more: String) -> Bool {
        var index: Int = text.startIndex
        while index < text.endIndex {
            let byte: UInt8 = text[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < text.endIndex, NameFormat.isHex(text[index + 1]), NameFormat.isHex(text[index + 2])
                else { return false }
                index += 2
            } else if byte >= 0x80 {
                if !self.isInternational { return false }
            } else if !NameFormat.isLetter(byte), !NameFormat.isDigit(byte), !"-._~!$&'()*+,;=".utf8.contains(byte),
                !more.utf8.contains(byte)
            {
                return false
            }
            index += 1
        }
        return true
    }
}

/// URI templates (RFC 6570): literals, and expressions in braces.
enum URITemplateFormat {
    static func matches(_ text: [UInt8]) -> Bool {
        var index: Int = 0
        while index < text.count {
            let byte: UInt8 = text[index]
            switch byte {
            case UInt8(ascii: "{"):
                guard let end: Int = text[index...].firstIndex(of: UInt8(ascii: "}")) else { return false }
                guard self.isExpression(text[(index + 1)..<end]) else { return false }
                index = end
            case UInt8(ascii: "%"):
                guard index + 2 < text.count, NameFormat.isHex(text[index + 1]), NameFormat.isHex(text[index + 2])
                else {
                    return false
                }
                index += 2
            case ...0x20, 0x7f: return false
            default: if "\"<>\\^`|}".utf8.contains(byte) { return false }
            }
            index += 1
        }
        return true
    }

    private static func isExpression(_ text: ArraySlice<UInt8>) -> Bool {
        var rest: ArraySlice<UInt8> = text
        if let first: UInt8 = rest.first, "+#./;?&".utf8.contains(first) { rest = rest.dropFirst() }
        return rest.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).allSatisfy(self.isVariable)
    }

    /// A name, perhaps with `*` or `:` and a length below 10000.
    private static func isVariable(_ text: ArraySlice<UInt8>) -> Bool {
        var name: ArraySlice<UInt8> = text
        if name.last == UInt8(ascii: "*") {
            name = name.dropLast()
        } else if let colon: Int = name.firstIndex(of: UInt8(ascii: ":")) {
            let length: ArraySlice<UInt8> = name[(colon + 1)...]
            guard (1...4).contains(length.count), length.allSatisfy(NameFormat.isDigit),
                length.first != UInt8(ascii: "0")
            else { return false }
            name = name[..<colon]
        }
        for part: ArraySlice<UInt8> in name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        where part.isEmpty { return false }
        return name.allSatisfy {
            NameFormat.isLetter($0) || NameFormat.isDigit($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
                || $0 == UInt8(ascii: "%")
        }
    }
}
