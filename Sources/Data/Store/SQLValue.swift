/// A parameter of a statement. Parameters are always bound, never written into the SQL text.
package enum SQLValue: Sendable, Equatable {
    case null
    case int(Int64)
    case double(Double)
    case text(String)
    case bytes([UInt8])

    /// A value for a column of the neutral type `bool` (0 or 1).
    package static func bool(_ value: Bool) -> SQLValue { .int(value ? 1 : 0) }

    /// A text, or NULL for nil.
    package static func optional(_ value: String?) -> SQLValue { value.map { .text($0) } ?? .null }

    /// An integer, or NULL for nil.
    package static func optional(_ value: Int64?) -> SQLValue { value.map { .int($0) } ?? .null }

    /// Bytes, or NULL for nil.
    package static func optional(_ value: [UInt8]?) -> SQLValue { value.map { .bytes($0) } ?? .null }
}

extension SQLValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
    ExpressibleByNilLiteral, ExpressibleByBooleanLiteral
{
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(stringLiteral value: String) { self = .text(value) }
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
}
