/// The address of an upstream server: `http://host:port/base`.
package struct TargetURL: Sendable, Hashable {
    package enum Scheme: String, Sendable {
        case http
        case https
    }

    package let scheme: Scheme
    /// Name or address literal, lower case; IPv6 with brackets.
    package let host: String
    package let port: UInt16
    /// Put before every forwarded path; empty, or starts with `/` and does not end with one.
    package let basePath: String

    /// Reads a URL; the error says what was expected.
    package init(parsing text: String) throws(PatternError) {
        let expected: PatternError = PatternError(
            "expected a URL such as 'http://127.0.0.1:9700' or 'https://api.example.com/base'")
        let scheme: Scheme
        var rest: Substring
        if text.hasPrefix("http://") {
            scheme = .http
            rest = text.dropFirst(7)
        } else if text.hasPrefix("https://") {
            scheme = .https
            rest = text.dropFirst(8)
        } else {
            throw expected
        }
        guard !text.utf8.contains(UInt8(ascii: "@")) else {
            throw PatternError("expected a URL without user and password")
        }
        guard !text.utf8.contains(UInt8(ascii: "?")), !text.utf8.contains(UInt8(ascii: "#")) else {
            throw PatternError("expected a URL without query and fragment")
        }
        var path: Substring = ""
        if let slash: Substring.Index = rest.firstIndex(of: "/") {
            path = rest[slash...]
            rest = rest[..<slash]
        }
        let (name, port): (Substring, UInt16?) = try Self.authority(rest, expected: expected)
        guard let host: HostPattern = try? HostPattern(parsing: String(name)), !host.isWildcard else { throw expected }
        self.scheme = scheme
        self.host = host.name
        self.port = port ?? (scheme == .http ? 80 : 443)
        self.basePath = try Self.base(path)
    }

    private static func authority(
        _ text: Substring, expected: PatternError
    ) throws(PatternError) -> (Substring, UInt16?) {
        var end: Substring.Index = text.startIndex
        if text.hasPrefix("[") {
            guard let bracket: Substring.Index = text.firstIndex(of: "]") else { throw expected }
            end = text.index(after: bracket)
        } else {
            end = text.firstIndex(of: ":") ?? text.endIndex
        }
        guard end < text.endIndex else { return (text, nil) }
        let digits: Substring = text[end...].dropFirst()
        let isNumber: Bool = !digits.isEmpty && digits.utf8.allSatisfy { $0 >= 48 && $0 <= 57 }
        guard text[end] == ":", isNumber, let port = UInt16(digits), port > 0 else {
            throw PatternError("expected a port from 1 to 65535")
        }
        return (text[..<end], port)
    }

    /// A base path by the rules of exact patterns, without its trailing slash.
    private static func base(_ text: Substring) throws(PatternError) -> String {
        guard !text.isEmpty, text != "/" else { return "" }
        let pattern: PathPattern = try PathPattern(parsing: String(text))
        guard pattern.kind == .exact else { throw PatternError("expected a base path without parameters and '*'") }
        return pattern.text.hasSuffix("/") ? String(pattern.text.dropLast()) : pattern.text
    }

    /// The URL with its port, as it is compared and shown.
    package var text: String { "\(self.scheme.rawValue)://\(self.host):\(self.port)\(self.basePath)" }
}
