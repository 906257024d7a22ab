/// Names and values of a query string or an `application/x-www-form-urlencoded` body, decoded, in order
/// (WHATWG URL, section 5, but strict: what is broken is refused, not repaired).
package struct QueryParameters: Sendable, Equatable {
    /// Most pairs read from one text; more are refused so that lookups stay cheap.
    package static let countMax: Int = 1_000

    package struct Pair: Sendable, Equatable {
        package let name: String
        package let value: String
    }

    package private(set) var pairs: [Pair] = []

    package init() {}

    /// Reads `a=1&b=two+words&c`. A name without `=` has an empty value; empty parts (`a=1&&b=2`) are skipped.
    package static func parse(_ text: String) throws(QueryError) -> QueryParameters {
        var result: QueryParameters = QueryParameters()
        var offset: Int = 0
        for part in text.utf8.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) {
            defer { offset += part.count + 1 }
            if part.isEmpty { continue }
            guard result.pairs.count < self.countMax else {
                throw QueryError(offset: offset, expected: "at most \(self.countMax) parameters")
            }
            result.pairs.append(try self.pair(Substring(part), at: offset))
        }
        return result
    }

    /// The body of a form. Bytes that are not ASCII are refused: a form escapes them.
    package static func parseForm(_ bytes: [UInt8]) throws(QueryError) -> QueryParameters {
        for index in bytes.indices where bytes[index] <= 0x20 || bytes[index] >= 0x7F {
            throw QueryError(offset: index, expected: "printable ASCII, everything else as %XX")
        }
        return try self.parse(String(decoding: bytes, as: UTF8.self))
    }

    package var isEmpty: Bool { self.pairs.isEmpty }

    /// The first value of this name; names compare exactly.
    package subscript(name: String) -> String? {
        for pair in self.pairs where pair.name == name { return pair.value }
        return nil
    }

    package func all(_ name: String) -> [String] {
        var values: [String] = []
        for pair in self.pairs where pair.name == name { values.append(pair.value) }
        return values
    }

    package mutating func append(_ name: String, _ value: String) {
        self.pairs.append(Pair(name: name, value: value))
    }

    /// The text to put after `?` or into a form body.
    package var encoded: String {
        var text: String = ""
        for pair in self.pairs {
            if !text.isEmpty { text += "&" }
            text += PercentCoding.encode(pair.name)
            text += "="
            text += PercentCoding.encode(pair.value)
        }
        return text
    }

    private static func pair(_ part: Substring, at offset: Int) throws(QueryError) -> Pair {
        let utf8: Substring.UTF8View = part.utf8
        let equals: Substring.Index = utf8.firstIndex(of: UInt8(ascii: "=")) ?? utf8.endIndex
        guard let name: String = PercentCoding.decode(part[..<equals], plusIsSpace: true) else {
            throw QueryError(offset: offset, expected: "a name whose % escapes are two hex digits and UTF-8")
        }
        if equals == utf8.endIndex { return Pair(name: name, value: "") }
        guard let value: String = PercentCoding.decode(part[utf8.index(after: equals)...], plusIsSpace: true) else {
            throw QueryError(
                offset: offset, expected: "a value for '\(name)' whose % escapes are two hex digits and UTF-8")
        }
        return Pair(name: name, value: value)
    }
}

/// Why a query or a form could not be read: where (byte offset of the parameter) and what was expected.
package struct QueryError: Error, Sendable, Equatable, CustomStringConvertible {
    package let offset: Int
    package let expected: String

    package var description: String { "at byte \(self.offset): expected \(self.expected)" }
}
