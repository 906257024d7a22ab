/// A host an API answers for: exact (`api.example.com`), or a wildcard (`*.example.com`: every name below, however deep).
///
/// Kept in lower case, without port and trailing dot. An address literal (`127.0.0.1`, `[::1]`) is an exact host.
package struct HostPattern: Sendable, Hashable {
    /// The name, without `*.` for a wildcard.
    package let name: String
    package let isWildcard: Bool

    /// Bytes of a host name at most, RFC 1035 section 2.3.4.
    package static let lengthMax: Int = 253

    /// Reads a pattern; the error says what was expected.
    package init(parsing text: String) throws(PatternError) {
        var rest: Substring = text[...]
        let isWildcard: Bool = rest.hasPrefix("*.")
        if isWildcard { rest = rest.dropFirst(2) }
        if rest.hasSuffix(".") { rest = rest.dropLast() }
        let lower: String = String(rest).lowercased()
        let isValid: Bool = lower.hasPrefix("[") ? (!isWildcard && Self.isAddress(lower)) : Self.isName(lower)
        guard isValid, lower.utf8.count <= Self.lengthMax else {
            throw PatternError(
                "expected a host name such as 'api.example.com' or '*.example.com', without scheme, port or path")
        }
        self.name = lower
        self.isWildcard = isWildcard
    }

    package var text: String { self.isWildcard ? "*." + self.name : self.name }

    private static func isName(_ text: String) -> Bool {
        for label in text.split(separator: ".", omittingEmptySubsequences: false) {
            guard !label.isEmpty, label.utf8.count <= 63, !label.hasPrefix("-"), !label.hasSuffix("-") else {
                return false
            }
            for byte in label.utf8 {
                let isMark: Bool = byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                if !isMark && !EntryRules.isAlphanumeric(byte) { return false }
            }
        }
        return true
    }

    private static func isAddress(_ text: String) -> Bool {
        guard text.hasSuffix("]"), let address = IPAddress(text: String(text.dropFirst().dropLast())) else {
            return false
        }
        return !address.isIPv4
    }
}
