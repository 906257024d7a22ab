/// A JSON value (RFC 8259) as a tree.
///
/// Numbers without fraction and exponent that fit are `int`; all others are `double`. Equality is that of JSON Schema: `1` and
/// `1.0` are equal, the order of an object's members does not matter, and strings are equal when their bytes are (no Unicode
/// normalisation).
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    /// Always finite: readers refuse anything else and writers trap on it. See `number(orNull:)`.
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

extension JSONValue {
    /// The string, or nil for any other kind.
    package var text: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    /// The number when it is integral and fits 64 bits, however it was written (`1`, `1.0`, `1e0`).
    package var integer: Int64? {
        switch self {
        case .int(let value): return value
        case .double(let value): return Int64(exactly: value)
        default: return nil
        }
    }

    /// The number as a double; integers beyond 2^53 are rounded.
    package var number: Double? {
        switch self {
        case .int(let value): return Double(value)
        case .double(let value): return value
        default: return nil
        }
    }

    package var boolean: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    package var elements: [JSONValue]? {
        if case .array(let values) = self { return values }
        return nil
    }

    package var object: JSONObject? {
        if case .object(let members) = self { return members }
        return nil
    }

    package var isNull: Bool {
        if case .null = self { return true }
        return false
    }

    /// The member `key`, or nil when there is none or this is no object.
    package subscript(key: String) -> JSONValue? { self.object?[key] }

    /// The element at `index`, or nil when there is none or this is no array.
    package subscript(index: Int) -> JSONValue? {
        guard case .array(let values) = self, values.indices.contains(index) else { return nil }
        return values[index]
    }

    /// A computed number, or null when it is infinite or not a number, which JSON cannot say.
    package static func number(orNull value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }

    /// What kind of value this is, with its article, as problems name it: "a string", "an object", "null".
    package var kindName: String {
        switch self {
        case .null: return "null"
        case .bool: return "a boolean"
        case .int: return "an integer"
        case .double: return "a number"
        case .string: return "a string"
        case .array: return "an array"
        case .object: return "an object"
        }
    }
}

extension JSONValue: Equatable {
    package static func == (left: JSONValue, right: JSONValue) -> Bool {
        switch (left, right) {
        case (.null, .null): return true
        case (.bool(let a), .bool(let b)): return a == b
        case (.int(let a), .int(let b)): return a == b
        case (.double(let a), .double(let b)): return a == b
        case (.int(let a), .double(let b)), (.double(let b), .int(let a)): return Int64(exactly: b) == a
        case (.string(let a), .string(let b)): return a.hasSameBytes(as: b)
        case (.array(let a), .array(let b)): return a == b
        case (.object(let a), .object(let b)): return a == b
        default: return false
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(stringLiteral value: String) { self = .string(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral members: (String, JSONValue)...) { self = .object(JSONObject(literal: members)) }
}

extension JSONValue: CustomStringConvertible {
    /// Compact JSON text.
    package var description: String { self.jsonText }
}

extension String {
    /// Whether both are the same UTF-8 bytes. `==` also equates different spellings of one character, which JSON tells apart.
    package func hasSameBytes(as other: String) -> Bool {
        // Canonical equality first: it is fast, and necessary. Only its rare matches beyond ASCII need the second look.
        guard self == other else { return false }
        var (left, right): (String, String) = (self, other)
        return left.withUTF8 { a in
            right.withUTF8 { b in a.count == b.count && a.elementsEqual(b) }
        }
    }
}
