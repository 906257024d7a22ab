/// Percent-encoding (RFC 3986 section 2.1) of text.
enum PercentText {
    private static let digits: [UInt8] = Array("0123456789ABCDEF".utf8)

    /// Everything but unreserved characters encoded.
    static func encoded(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            if PlainBytes.isUnreserved(byte) {
                out.append(byte)
            } else {
                out.append(UInt8(ascii: "%"))
                out.append(Self.digits[Int(byte >> 4)])
                out.append(Self.digits[Int(byte & 15)])
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// What is no encoding stays as it is; bytes that are no UTF-8 become replacement characters.
    static func decoded(_ text: String, plusIsSpace: Bool = false) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) || plusIsSpace else { return text }
        var out: [UInt8] = []
        var rest: ArraySlice<UInt8> = Array(text.utf8)[...]
        while let byte: UInt8 = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2, let high: UInt8 = PlainBytes.hexValue(rest[rest.startIndex]),
                let low: UInt8 = PlainBytes.hexValue(rest[rest.startIndex + 1])
            {
                out.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                out.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// A query string as names and values, decoded as forms are (`+` is a space).
enum QueryText {
    struct Pair: Equatable {
        var name: String
        var value: String
        /// As it was sent, so that what nobody changes stays as it is.
        var raw: String
    }

    static func pairs(_ query: String) -> [Pair] {
        var pairs: [Pair] = []
        for piece in query.utf8.split(separator: UInt8(ascii: "&")) {
            let raw: String = String(Substring(piece))
            let equals: Substring.UTF8View.Index? = piece.firstIndex(of: UInt8(ascii: "="))
            let name: String = String(Substring(piece[..<(equals ?? piece.endIndex)]))
            let value: String = equals.map { String(Substring(piece[piece.index(after: $0)...])) } ?? ""
            pairs.append(
                Pair(
                    name: PercentText.decoded(name, plusIsSpace: true),
                    value: PercentText.decoded(value, plusIsSpace: true), raw: raw))
        }
        return pairs
    }

    static func pair(_ name: String, _ value: String) -> Pair {
        Pair(name: name, value: value, raw: PercentText.encoded(name) + "=" + PercentText.encoded(value))
    }

    static func text(_ pairs: [Pair]) -> [UInt8] { Array(pairs.map(\.raw).joined(separator: "&").utf8) }
}

/// Cookies of a request (RFC 6265 section 4.2.1).
enum CookieText {
    static func pairs(_ fields: [String]) -> [(name: String, value: String)] {
        var pairs: [(name: String, value: String)] = []
        for field in fields {
            for piece in field.utf8.split(separator: UInt8(ascii: ";")) {
                let trimmed: Substring.UTF8View = piece.drop { $0 == 0x20 || $0 == 0x09 }
                guard let equals: Substring.UTF8View.Index = trimmed.firstIndex(of: UInt8(ascii: "=")) else { continue }
                pairs.append(
                    (String(Substring(trimmed[..<equals])), String(Substring(trimmed[trimmed.index(after: equals)...])))
                )
            }
        }
        return pairs
    }

    static func value(_ name: String, in fields: [String]) -> String? {
        self.pairs(fields).first { $0.name == name }?.value
    }
}

/// Media types of messages.
enum MediaText {
    /// The type without parameters, in lower case.
    static func essence(_ value: String) -> String {
        let type: Substring = value.prefix { $0 != ";" }
        return String(type.filter { $0 != " " && $0 != "\t" }).lowercased()
    }

    static func isJSON(_ essence: String) -> Bool {
        essence == "application/json" || essence == "text/json" || essence.hasSuffix("+json")
    }
}
