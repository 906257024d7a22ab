/// Text with places that a request fills: `/internal/{id}`, `Bearer {header.x-token}`, `{claims.sub}`.
///
/// `{{` and `}}` stand for braces. What the names mean:
///
/// | name | value |
/// | --- | --- |
/// | `id` | the path parameter, or the named group of a regular expression |
/// | `*` | what follows a prefix, without its slash |
/// | `header.NAME`, `query.NAME`, `cookie.NAME` | of the client's request, the first of that name |
/// | `claims.a.b` | a member of the verified token |
/// | `subject`, `application`, `tenant`, `api`, `route` | who calls, and what |
/// | `method`, `scheme`, `host`, `path`, `query`, `remote` | the request; the path as the client sent it |
package struct TextTemplate: Sendable, Hashable {
    package enum Source: Sendable, Hashable {
        case parameter(String)
        case rest
        case header(String)
        case query(String)
        case cookie(String)
        case claim([String])
        case property(Property)
    }

    package enum Property: String, Sendable, Hashable, CaseIterable {
        case subject, application, tenant, api, route, method, scheme, host, path, query, remote
    }

    package enum Part: Sendable, Hashable {
        case text(String)
        case value(Source)
    }

    package let parts: [Part]
    package let source: String

    package static let lengthMax: Int = 4096
    package static let partsMax: Int = 64

    /// Reads a template; the error says what was expected.
    package init(parsing text: String) throws(PatternError) {
        guard text.utf8.count <= Self.lengthMax else {
            throw PatternError("expected at most \(Self.lengthMax) bytes")
        }
        var parts: [Part] = []
        var literal: [UInt8] = []
        var rest: ArraySlice<UInt8> = Array(text.utf8)[...]
        while let byte: UInt8 = rest.popFirst() {
            let isBrace: Bool = byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}")
            if !isBrace {
                literal.append(byte)
            } else if rest.first == byte {
                literal.append(byte)
                rest = rest.dropFirst()
            } else {
                guard byte == UInt8(ascii: "{"), let end: Int = rest.firstIndex(of: UInt8(ascii: "}")) else {
                    throw PatternError("expected '{' and '}' around a name; '{{' and '}}' for braces")
                }
                if !literal.isEmpty { parts.append(.text(String(decoding: literal, as: UTF8.self))) }
                literal = []
                parts.append(.value(try Self.read(String(decoding: rest[..<end], as: UTF8.self))))
                rest = rest[(end + 1)...]
            }
        }
        if !literal.isEmpty { parts.append(.text(String(decoding: literal, as: UTF8.self))) }
        guard parts.count <= Self.partsMax else { throw PatternError("expected at most \(Self.partsMax) places") }
        self.parts = parts
        self.source = text
    }

    private static func read(_ name: String) throws(PatternError) -> Source {
        if name == "*" { return .rest }
        if let property: Property = Property(rawValue: name) { return .property(property) }
        let parts: [String] = name.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        if parts.count == 1 {
            guard EntryRules.problem(id: name) == nil || name.hasPrefix("_") else {
                throw PatternError("expected a name in braces such as {id}, {header.x-name} or {claims.sub}")
            }
            return .parameter(name)
        }
        switch parts[0] {
        case "header":
            guard let field: String = HeaderRules.name(parts[1]) else {
                throw PatternError("expected the name of a header field after 'header.'")
            }
            return .header(field)
        case "query" where !parts[1].isEmpty: return .query(parts[1])
        case "cookie" where !parts[1].isEmpty: return .cookie(parts[1])
        case "claims" where !parts[1].isEmpty: return .claim(parts[1].split(separator: ".").map(String.init))
        default:
            throw PatternError(
                "expected one of header., query., cookie. and claims. before a dot, found '\(parts[0]).'")
        }
    }

    /// Names of path parameters it asks for.
    package var parameters: [String] {
        var names: [String] = []
        for case .value(.parameter(let name)) in self.parts { names.append(name) }
        return names
    }

    /// Whether it tells who calls: what only the gateway knows, and a client must not be able to say instead.
    package var namesCaller: Bool {
        self.parts.contains { part in
            switch part {
            case .value(.claim), .value(.property(.subject)), .value(.property(.application)): true
            default: false
            }
        }
    }

    /// The text itself where it asks for nothing.
    package var fixedText: String? {
        switch self.parts.count {
        case 0: return ""
        case 1:
            if case .text(let text) = self.parts[0] { return text }
            return nil
        default: return nil
        }
    }
}
