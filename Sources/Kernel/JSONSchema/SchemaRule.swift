import JSON

/// One schema object, compiled. What it does not mention is nil or empty and costs nothing.
struct SchemaRule: Sendable {
    /// Kinds of values, as `type` names them.
    struct Types: OptionSet, Sendable {
        let rawValue: UInt8

        static let null: Types = Types(rawValue: 1)
        static let boolean: Types = Types(rawValue: 2)
        static let integer: Types = Types(rawValue: 4)
        /// Includes integers.
        static let number: Types = Types(rawValue: 8)
        static let string: Types = Types(rawValue: 16)
        static let array: Types = Types(rawValue: 32)
        static let object: Types = Types(rawValue: 64)

        static let names: [(name: String, type: Types, words: String)] = [
            ("null", .null, "null"), ("boolean", .boolean, "a boolean"), ("integer", .integer, "an integer"),
            ("number", .number, "a number"), ("string", .string, "a string"), ("array", .array, "an array"),
            ("object", .object, "an object"),
        ]

        func contains(kindOf value: JSONValue) -> Bool {
            switch value {
            case .null: return self.contains(.null)
            case .bool: return self.contains(.boolean)
            case .int: return self.contains(.integer) || self.contains(.number)
            case .double: return self.contains(.number) || (self.contains(.integer) && value.isIntegral)
            case .string: return self.contains(.string)
            case .array: return self.contains(.array)
            case .object: return self.contains(.object)
            }
        }

        /// "a string or null"
        var words: String {
            var parts: [String] = []
            for (_, type, words) in Self.names where self.contains(type) { parts.append(words) }
            return parts.joined(separator: " or ")
        }
    }

    /// What members that `properties` does not name may be.
    enum Additional: Sendable {
        case anything
        case nothing
        case rule(Int)
    }

    /// A lower and an upper bound of a length or a count.
    struct Bounds: Sendable {
        var min: Int = 0
        var max: Int = Int.max

        var isGiven: Bool { self.min > 0 || self.max < Int.max }

        /// "at least 3 elements", "1 to 63 characters"
        func words(_ unit: String) -> String {
            if self.max == Int.max { return "at least \(self.min) \(unit)" }
            if self.min == self.max { return "exactly \(self.min) \(unit)" }
            return self.min == 0 ? "at most \(self.max) \(unit)" : "\(self.min) to \(self.max) \(unit)"
        }
    }

    /// The schema `false`.
    var isNever: Bool = false
    var types: Types? = nil
    var choices: [JSONValue]? = nil

    var length: Bounds = Bounds()
    var format: SchemaFormat? = nil

    /// Numbers, kept as written so that large integers compare exactly.
    var minimum: JSONValue? = nil
    var maximum: JSONValue? = nil
    var exclusiveMinimum: JSONValue? = nil
    var exclusiveMaximum: JSONValue? = nil
    var multipleOf: JSONValue? = nil

    var count: Bounds = Bounds()
    var prefixItems: [Int] = []
    var items: Int? = nil
    var uniqueItems: Bool = false

    var memberCount: Bounds = Bounds()
    var properties: [String: Int] = [:]
    var propertyNames: [String] = []
    var required: [String] = []
    var additional: Additional = .anything

    var reference: Int? = nil
    var allOf: [Int] = []
    var anyOf: [Int] = []
    var oneOf: [Int] = []
    var not: Int? = nil

    /// Rules that look at the same value as this one.
    var inPlace: [Int] {
        var indices: [Int] = self.allOf + self.anyOf + self.oneOf
        if let reference: Int = self.reference { indices.append(reference) }
        if let not: Int = self.not { indices.append(not) }
        return indices
    }
}

extension JSONValue {
    /// Whether this is a number without fraction, of any size.
    var isIntegral: Bool {
        switch self {
        case .int: return true
        case .double(let value): return value == value.rounded(.towardZero)
        default: return false
        }
    }

    /// Whether the number is less than another; integers exactly.
    func isLess(than other: JSONValue) -> Bool {
        if case .int(let left) = self, case .int(let right) = other { return left < right }
        guard let left: Double = self.number, let right: Double = other.number else { return false }
        return left < right
    }
}
