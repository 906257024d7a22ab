import Documents
import Identifiers

extension NodeDecoder {
    /// What `convert` makes of a string; what it throws is the problem.
    func pattern<Value>(_ convert: (String) throws(PatternError) -> Value) -> Value? {
        guard let text: String = self.string() else { return nil }
        do throws(PatternError) {
            return try convert(text)
        } catch {
            self.problem(error.message)
            return nil
        }
    }

    func host() -> HostPattern? {
        self.pattern { (text: String) throws(PatternError) -> HostPattern in try HostPattern(parsing: text) }
    }

    func path() -> PathPattern? {
        self.pattern { (text: String) throws(PatternError) -> PathPattern in try PathPattern(parsing: text) }
    }

    /// A regular expression that has to match the whole of a text.
    func expression() -> TextExpression? {
        self.pattern { (text: String) throws(PatternError) -> TextExpression in try TextExpression(parsing: text) }
    }

    /// The name of a header field, in lower case.
    func fieldName() -> String? {
        self.parsed("the name of a header field") { HeaderRules.name($0) }
    }

    func id() -> String? {
        guard let text: String = self.string() else { return nil }
        guard let message: String = EntryRules.problem(id: text) else { return text }
        self.problem(message)
        return nil
    }

    func tenant() -> String? {
        guard let text: String = self.string() else { return nil }
        guard let message: String = Slug.validate(text) else { return text }
        self.problem(message)
        return nil
    }
}

extension NodeFields {
    /// A field that may be absent: `.some(nil)` then, nil after a problem.
    func optional<Value>(_ key: String, _ read: (NodeDecoder) -> Value?) -> Value?? {
        guard let decoder: NodeDecoder = self[key] else { return .some(nil) }
        guard let value: Value = read(decoder) else { return nil }
        return .some(value)
    }

    /// An id, or the default tenant.
    func tenant() -> String? {
        self.value("tenant", default: EntryRules.defaultTenant) { $0.tenant() }
    }
}

/// What a policy or condition may say about header fields.
package enum HeaderRules {
    static let nameLengthMax: Int = 128
    static let valueLengthMax: Int = 4096

    /// Fields that frame or route a message: the gateway itself writes or removes them.
    private static let reserved: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
        "proxy-connection", "proxy-authenticate", "proxy-authorization", "date",
    ]

    /// The name in lower case, or nil when it is none (RFC 9110 section 5.6.2).
    package static func name(_ text: String) -> String? {
        guard !text.isEmpty, text.utf8.count <= self.nameLengthMax else { return nil }
        for byte in text.utf8 where !self.isToken(byte) { return nil }
        return text.lowercased()
    }

    package static func isReserved(_ name: String) -> Bool { self.reserved.contains(name) }

    /// Why a text cannot be a field's value, or nil when it can: no control characters, so nobody adds a line of their own.
    package static func problem(value: String) -> String? {
        guard value.utf8.count <= self.valueLengthMax else { return "expected at most \(self.valueLengthMax) bytes" }
        for byte in value.utf8 where (byte < 0x20 && byte != 0x09) || byte == 0x7f {
            return "expected a value without control characters"
        }
        return nil
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        if EntryRules.isAlphanumeric(byte) { return true }
        switch byte {
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"),
            UInt8(ascii: "_"),
            UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            return true
        default: return false
        }
    }
}
