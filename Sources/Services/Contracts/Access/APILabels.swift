package import JSON

/// The labels of an API: keys with values, by which people find and group APIs and by which conditions of roles hold.
///
/// They say nothing to gateways. A key is 1 to 63, a value 0 to 63 letters (A-Z, a-z), digits, `-`, `_` and `.`, with a letter or a
/// digit at each end; both are compared byte by byte.
package struct APILabels: Sendable, Hashable {
    /// Labels of one API at most.
    package static let countMax: Int = 32
    package static let lengthMax: Int = 63

    private let values: [String: String]

    package init(_ values: [String: String] = [:]) { self.values = values }

    /// As `stored` wrote them; what is none is left out.
    package init(stored text: String) {
        if text.utf8.count <= 2 {
            self.values = [:]
            return
        }
        var values: [String: String] = [:]
        for member in (try? JSONReader.parse(text))?.object?.members ?? [] { values[member.key] = member.value.text }
        self.values = values
    }

    package var isEmpty: Bool { self.values.isEmpty }
    package var count: Int { self.values.count }

    package subscript(key: String) -> String? { self.values[key] }

    /// An object, in the order of the keys.
    package var json: JSONValue {
        var object: JSONObject = [:]
        for key in self.values.keys.sorted() { object[key] = .string(self.values[key] ?? "") }
        return .object(object)
    }

    package var stored: String { self.json.jsonText }

    /// The labels with some set and, where the value is nil, taken away (RFC 7396).
    package func merging(_ changes: [String: String?]) -> APILabels {
        var values: [String: String] = self.values
        for (key, value) in changes { values[key] = value }
        return APILabels(values)
    }

    /// What is expected of a key, where it is none.
    package static func problem(key: String) -> String? {
        Self.isWord(key) && !key.isEmpty ? nil : "expected a key of 1 to \(Self.wordExpected)"
    }

    /// What is expected of a value, where it is none.
    package static func problem(value: String) -> String? {
        Self.isWord(value) ? nil : "expected a value of 0 to \(Self.wordExpected)"
    }

    private static let wordExpected: String =
        "\(lengthMax) letters, digits, '-', '_' and '.', with a letter or a digit at each end"

    private static func isWord(_ text: String) -> Bool {
        let bytes: [UInt8] = Array(text.utf8)
        guard bytes.count <= Self.lengthMax, let first: UInt8 = bytes.first, let last: UInt8 = bytes.last else {
            return bytes.isEmpty
        }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122)
        }
        func isInside(_ byte: UInt8) -> Bool {
            isAlphanumeric(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
        }
        return isAlphanumeric(first) && isAlphanumeric(last) && bytes.allSatisfy { isInside($0) }
    }
}

/// Which labels are looked for: `team=payments,tier=gold`, all of which an API must have.
package struct LabelSelector: Sendable {
    /// Labels of one selector at most.
    package static let countMax: Int = 8
    /// Of its text, bytes.
    package static let bytesMax: Int = countMax * (2 * APILabels.lengthMax + 2)
    package static let expected: String =
        "expected 1 to \(countMax) labels as KEY=VALUE, parted by commas, for example team=payments,tier=gold"

    private let wanted: [(key: String, value: String)]

    /// Nil where the text is none.
    package init?(_ text: String) {
        var wanted: [(key: String, value: String)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair: [Substring] = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { return nil }
            let (key, value): (String, String) = (String(pair[0]), String(pair[1]))
            guard APILabels.problem(key: key) == nil, APILabels.problem(value: value) == nil else { return nil }
            wanted.append((key, value))
        }
        guard wanted.count <= Self.countMax else { return nil }
        self.wanted = wanted
    }

    package func matches(_ labels: APILabels) -> Bool {
        self.wanted.allSatisfy { labels[$0.key] == $0.value }
    }
}
