/// An absolute `http` or `https` URL taken apart, strictly (RFC 3986): what a client connects to and asks for.
///
/// Refused: other schemes, user names and passwords (they end in logs), fragments (they are never sent), characters
/// that RFC 3986 does not allow unescaped, broken escapes, ports outside 1–65535, host names over 253 bytes.
package struct URLParts: Sendable, Hashable {
    /// Longest URL accepted, the limit of a request target (gateway.md).
    package static let bytesMax: Int = 8 * 1024
    static let hostBytesMax: Int = 253

    package enum Scheme: String, Sendable {
        case http, https
        package var defaultPort: UInt16 { self == .http ? 80 : 443 }
    }

    package let scheme: Scheme
    /// Lower case; an IPv6 address without its brackets.
    package let host: String
    /// The port given, or the scheme's own.
    package let port: UInt16
    /// Begins with "/"; still percent-encoded.
    package let path: String
    /// What follows "?", still percent-encoded; nil without "?".
    package let query: String?

    package init?(_ text: String) {
        guard let parts: URLParts = try? URLParts.parse(text) else { return nil }
        self = parts
    }

    package init(scheme: Scheme, host: String, port: UInt16, path: String, query: String?) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.query = query
    }

    /// Same as `init?`, saying what is wrong and where.
    package static func parse(_ text: String) throws(URLError) -> URLParts {
        var parser: URLParser = URLParser(bytes: Array(text.utf8))
        return try parser.parse()
    }

    /// What goes into the request line: path and query.
    package var target: String {
        if let query: String = self.query { return self.path + "?" + query }
        return self.path
    }

    /// What goes into `Host`: the port only if it is not the scheme's own, brackets around IPv6.
    package var authority: String {
        let name: String = self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]" : self.host
        return self.port == self.scheme.defaultPort ? name : "\(name):\(self.port)"
    }

    /// The normal form of the whole URL.
    package var text: String { "\(self.scheme.rawValue)://\(self.authority)\(self.target)" }
}

/// Why a text is not a URL we take: byte offset and what was expected there.
package struct URLError: Error, Sendable, Equatable, CustomStringConvertible {
    package let offset: Int
    package let expected: String

    package var description: String { "at byte \(self.offset): expected \(self.expected)" }
}

/// Reads one URL from left to right.
private struct URLParser {
    let bytes: [UInt8]
    var at: Int = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func parse() throws(URLError) -> URLParts {
        guard self.bytes.count <= URLParts.bytesMax else {
            throw URLError(offset: URLParts.bytesMax, expected: "at most \(URLParts.bytesMax) bytes")
        }
        let scheme: URLParts.Scheme = try self.scheme()
        try self.refuseUserInformation()
        let host: String = try self.host()
        let port: UInt16 = try self.port() ?? scheme.defaultPort
        let path: String = try self.path()
        let query: String? = try self.query()
        return URLParts(scheme: scheme, host: host, port: port, path: path, query: query)
    }

    private mutating func scheme() throws(URLError) -> URLParts.Scheme {
        guard let colon: Int = self.bytes.firstIndex(of: UInt8(ascii: ":")) else {
            throw URLError(offset: 0, expected: "http:// or https://")
        }
        let name: String = ASCIICase.lowered(String(decoding: self.bytes[..<colon], as: UTF8.self))
        guard let scheme: URLParts.Scheme = URLParts.Scheme(rawValue: name) else {
            throw URLError(offset: 0, expected: "the scheme http or https")
        }
        self.at = colon + 1
        for _ in 0..<2 {
            guard self.current == UInt8(ascii: "/") else {
                throw URLError(offset: self.at, expected: "// after the scheme")
            }
            self.at += 1
        }
        return scheme
    }

    /// Looks for "@" before the authority ends, so that the error says what is meant instead of "bad host".
    private func refuseUserInformation() throws(URLError) {
        for index in self.at..<self.bytes.count {
            switch self.bytes[index] {
            case UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"): return
            case UInt8(ascii: "@"): throw URLError(offset: self.at, expected: "a host without user name or password")
            default: continue
            }
        }
    }

    private mutating func host() throws(URLError) -> String {
        let start: Int = self.at
        if self.current == UInt8(ascii: "[") { return try self.bracketedHost() }
        while let byte: UInt8 = self.current, URLCharacter.isHost(byte) { self.at += 1 }
        let name: String = ASCIICase.lowered(String(decoding: self.bytes[start..<self.at], as: UTF8.self))
        guard !name.isEmpty else { throw URLError(offset: start, expected: "a host name or address") }
        guard name.utf8.count <= URLParts.hostBytesMax else {
            throw URLError(offset: start, expected: "a host name of at most \(URLParts.hostBytesMax) bytes")
        }
        return name
    }

    /// The inside of `[…]`: only what an IPv6 address can hold; whether it is one, the socket address parser says.
    private mutating func bracketedHost() throws(URLError) -> String {
        self.at += 1
        let start: Int = self.at
        while let byte: UInt8 = self.current, byte != UInt8(ascii: "]") {
            guard byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".") || PercentCoding.hexValue(byte) != nil else {
                throw URLError(offset: self.at, expected: "an IPv6 address in brackets")
            }
            self.at += 1
        }
        let text: String = ASCIICase.lowered(String(decoding: self.bytes[start..<self.at], as: UTF8.self))
        guard self.current != nil, text.utf8.contains(UInt8(ascii: ":")) else {
            throw URLError(offset: start, expected: "an IPv6 address and a closing bracket")
        }
        self.at += 1
        return text
    }

    private mutating func port() throws(URLError) -> UInt16? {
        guard self.current == UInt8(ascii: ":") else { return nil }
        self.at += 1
        let start: Int = self.at
        var value: Int = 0
        while let byte: UInt8 = self.current, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), value <= 65_535 {
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
            self.at += 1
        }
        guard self.at > start, value >= 1, value <= 65_535 else {
            throw URLError(offset: start, expected: "a port from 1 to 65535")
        }
        return UInt16(value)
    }

    private mutating func path() throws(URLError) -> String {
        guard let byte: UInt8 = self.current else { return "/" }
        if byte == UInt8(ascii: "?") { return "/" }
        guard byte == UInt8(ascii: "/") else { throw URLError(offset: self.at, expected: "a path, a query or the end") }
        let start: Int = self.at
        try self.skip(until: UInt8(ascii: "?"))
        return String(decoding: self.bytes[start..<self.at], as: UTF8.self)
    }

    private mutating func query() throws(URLError) -> String? {
        guard self.current == UInt8(ascii: "?") else { return nil }
        self.at += 1
        let start: Int = self.at
        try self.skip(until: nil)
        return String(decoding: self.bytes[start..<self.at], as: UTF8.self)
    }

    private mutating func skip(until end: UInt8?) throws(URLError) {
        while let byte: UInt8 = self.current, byte != end {
            if byte == UInt8(ascii: "%") {
                guard self.at + 2 < self.bytes.count, PercentCoding.hexValue(self.bytes[self.at + 1]) != nil,
                    PercentCoding.hexValue(self.bytes[self.at + 2]) != nil
                else { throw URLError(offset: self.at, expected: "two hex digits after %") }
            } else if byte == UInt8(ascii: "#") {
                throw URLError(offset: self.at, expected: "no fragment")
            } else if !URLCharacter.isPathOrQuery(byte) {
                throw URLError(offset: self.at, expected: "a character that a URL may hold, or its %XX")
            }
            self.at += 1
        }
    }

    private var current: UInt8? { self.at < self.bytes.count ? self.bytes[self.at] : nil }
}

/// Character classes of RFC 3986.
private enum URLCharacter {
    /// Letters, digits, "-", "." and "_" (names of containers have it); no escapes, no internationalised names unencoded.
    static func isHost(_ byte: UInt8) -> Bool {
        self.isAlphanumeric(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
    }

    /// `pchar`, "/" and "?".
    static func isPathOrQuery(_ byte: UInt8) -> Bool {
        if self.isAlphanumeric(byte) { return true }
        switch byte {
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "!"),
            UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "="),
            UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "%"):
            return true
        default:
            return false
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            return true
        default:
            return false
        }
    }
}
