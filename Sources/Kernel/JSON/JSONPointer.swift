import Bytes

/// A place in a JSON document (RFC 6901): "/paths/~1orders/get".
package struct JSONPointer: Sendable, Hashable {
    /// Unescaped reference tokens; none means the whole document.
    package private(set) var tokens: [String]

    package static let root: JSONPointer = JSONPointer(tokens: [])

    package init(tokens: [String]) { self.tokens = tokens }

    /// Reads "" or "/a/b~1c"; nil when the text does not begin with "/" or a "~" is followed by neither 0 nor 1.
    package init?(parsing text: String) {
        self.tokens = []
        if text.isEmpty { return }
        let bytes: [UInt8] = Array(text.utf8)
        guard bytes[0] == UInt8(ascii: "/") else { return nil }
        for part: ArraySlice<UInt8> in bytes[1...].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        {
            guard let token: String = Self.unescape(part) else { return nil }
            self.tokens.append(token)
        }
    }

    /// Reads a URI fragment such as "#/definitions/a%20b" (RFC 6901 section 6).
    package init?(fragment: String) {
        guard fragment.utf8.first == UInt8(ascii: "#"),
            let text: String = Self.percentDecoded(fragment.utf8.dropFirst())
        else { return nil }
        self.init(parsing: text)
    }

    package func appending(_ token: String) -> JSONPointer { JSONPointer(tokens: self.tokens + [token]) }

    package func appending(_ index: Int) -> JSONPointer { self.appending(String(index)) }

    /// The escaped form, "" for the whole document.
    package var text: String {
        var bytes: [UInt8] = []
        for token: String in self.tokens {
            bytes.append(UInt8(ascii: "/"))
            Self.escape(token, into: &bytes)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// One token with "~" and "/" escaped.
    package static func escaped(_ token: String) -> String {
        var bytes: [UInt8] = []
        self.escape(token, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The value at this place of `document`, or nil.
    package func resolve(in document: JSONValue) -> JSONValue? {
        var value: JSONValue = document
        for token: String in self.tokens {
            switch value {
            case .object(let object):
                guard let member: JSONValue = object[token] else { return nil }
                value = member
            case .array(let elements):
                guard let index: Int = Self.index(token), index < elements.count else { return nil }
                value = elements[index]
            default: return nil
            }
        }
        return value
    }

    /// The array index that `token` spells: decimal, no sign, no leading zeros.
    package static func index(_ token: String) -> Int? {
        let digits: String.UTF8View = token.utf8
        guard let first: UInt8 = digits.first, digits.count <= 18, digits.count == 1 || first != UInt8(ascii: "0")
        else {
            return nil
        }
        for digit: UInt8 in digits where digit < UInt8(ascii: "0") || digit > UInt8(ascii: "9") { return nil }
        return Int(token)
    }

    private static func escape(_ token: String, into bytes: inout [UInt8]) {
        for byte: UInt8 in token.utf8 {
            switch byte {
            case UInt8(ascii: "~"): bytes.append(contentsOf: [UInt8(ascii: "~"), UInt8(ascii: "0")])
            case UInt8(ascii: "/"): bytes.append(contentsOf: [UInt8(ascii: "~"), UInt8(ascii: "1")])
            default: bytes.append(byte)
            }
        }
    }

    private static func unescape(_ part: ArraySlice<UInt8>) -> String? {
        var token: [UInt8] = []
        var rest: ArraySlice<UInt8> = part
        while let byte: UInt8 = rest.popFirst() {
            guard byte == UInt8(ascii: "~") else {
                token.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "0"): token.append(UInt8(ascii: "~"))
            case UInt8(ascii: "1"): token.append(UInt8(ascii: "/"))
            default: return nil
            }
        }
        return String(decoding: token, as: UTF8.self)
    }

    private static func percentDecoded(_ text: Substring.UTF8View) -> String? {
        var bytes: [UInt8] = []
        var rest: Substring.UTF8View = text
        while let byte: UInt8 = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high: UInt8 = rest.popFirst().flatMap(Hex.value(of:)),
                let low: UInt8 = rest.popFirst().flatMap(Hex.value(of:))
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension JSONPointer: CustomStringConvertible {
    package var description: String { self.text }
}
