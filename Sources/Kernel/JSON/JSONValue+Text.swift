extension JSONValue {
    /// Compact JSON, members in their order.
    package func serialized() -> [UInt8] {
        var writer: JSONWriter = JSONWriter()
        writer.value(self)
        return writer.bytes
    }

    /// Compact JSON as a string.
    package var jsonText: String { String(decoding: self.serialized(), as: UTF8.self) }

    /// JSON for people: a line a member or element, two spaces a level, a line feed at the end.
    package func pretty() -> [UInt8] {
        var bytes: [UInt8] = []
        self.appendPretty(to: &bytes, indent: 0)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private func appendPretty(to bytes: inout [UInt8], indent: Int) {
        switch self {
        case .array(let elements) where !elements.isEmpty:
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                Self.breakLine(&bytes, indent: indent + 1, isFirst: index == 0)
                element.appendPretty(to: &bytes, indent: indent + 1)
            }
            Self.breakLine(&bytes, indent: indent, isFirst: true)
            bytes.append(UInt8(ascii: "]"))
        case .object(let object) where !object.isEmpty:
            bytes.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                Self.breakLine(&bytes, indent: indent + 1, isFirst: index == 0)
                bytes.append(contentsOf: JSONValue.string(member.key).serialized())
                bytes.append(UInt8(ascii: ":"))
                bytes.append(UInt8(ascii: " "))
                member.value.appendPretty(to: &bytes, indent: indent + 1)
            }
            Self.breakLine(&bytes, indent: indent, isFirst: true)
            bytes.append(UInt8(ascii: "}"))
        default: bytes.append(contentsOf: self.serialized())
        }
    }

    private static func breakLine(_ bytes: inout [UInt8], indent: Int, isFirst: Bool) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent * 2))
    }

    /// The canonical form of RFC 8785: no white space, members sorted by the UTF-16 units of their keys, ECMAScript numbers.
    ///
    /// Numbers are doubles there: an integer beyond 2^53 is written as the nearest double. What must keep every digit belongs in
    /// a string.
    package func canonical() -> [UInt8] {
        var writer: JSONWriter = JSONWriter()
        self.writeCanonical(to: &writer)
        return writer.bytes
    }

    private func writeCanonical(to writer: inout JSONWriter) {
        switch self {
        case .int(let value): writer.canonicalNumber(Double(value))
        case .double(let value): writer.canonicalNumber(value)
        case .array(let elements):
            writer.beginArray()
            for element: JSONValue in elements { element.writeCanonical(to: &writer) }
            writer.endArray()
        case .object(let object):
            writer.beginObject()
            let sorted: [JSONObject.Member] = object.members.sorted { Self.precedes($0.key, $1.key) }
            for member: JSONObject.Member in sorted {
                writer.key(member.key)
                member.value.writeCanonical(to: &writer)
            }
            writer.endObject()
        default: writer.value(self)
        }
    }

    /// Whether `left` comes before `right` by UTF-16 units, told from UTF-8: the orders differ only in that four-byte sequences
    /// (surrogate pairs) come before the three-byte ones of U+E000 to U+FFFF, whose lead bytes are EE and EF.
    static func precedes(_ left: String, _ right: String) -> Bool {
        var (left, right): (String, String) = (left, right)
        return left.withUTF8 { a in
            right.withUTF8 { b in
                for index: Int in 0..<min(a.count, b.count) where a[index] != b[index] {
                    let (x, y): (UInt8, UInt8) = (a[index], b[index])
                    if x >= 0xEE, y >= 0xEE, (x >= 0xF0) != (y >= 0xF0) { return x >= 0xF0 }
                    return x < y
                }
                return a.count < b.count
            }
        }
    }
}
