import JSON
import Patterns

/// One schema object, compiled. What it does not mention is nil or empty and costs nothing.
package final class SchemaRule: @unchecked Sendable {
    // Safe to share: only the compiler changes a rule, before it hands any out.

    /// Kinds of values, as `type` names them.
    package struct Types: OptionSet, Sendable {
        package let rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let null: Types = Types(rawValue: 1)
        package static let boolean: Types = Types(rawValue: 2)
        package static let integer: Types = Types(rawValue: 4)
        /// Includes integers.
        package static let number: Types = Types(rawValue: 8)
        package static let string: Types = Types(rawValue: 16)
        package static let array: Types = Types(rawValue: 32)
        package static let object: Types = Types(rawValue: 64)

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
        /// Not said.
        case anything
        /// Said to be anything: such members count as looked at.
        case all
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

    /// The resource it belongs to.
    var resource: Int = 0
    /// The schema `false`.
    var isNever: Bool = false
    var types: Types? = nil
    var choices: [JSONValue]? = nil

    var length: Bounds = Bounds()
    var pattern: RegularExpression? = nil
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
    var contains: Int? = nil
    /// How many elements `contains` has to fit.
    var containsCount: Bounds = Bounds(min: 1)
    var unevaluatedItems: Int? = nil

    var memberCount: Bounds = Bounds()
    var properties: [ExactKey: Int] = [:]
    var propertyNames: [String] = []
    var patternProperties: [(pattern: RegularExpression, rule: Int)] = []
    var required: [String] = []
    var additional: Additional = .anything
    /// What names of members have to fit.
    var names: Int? = nil
    var dependentRequired: [(name: String, needs: [String])] = []
    var dependentSchemas: [(name: String, rule: Int)] = []
    var unevaluatedProperties: Int? = nil

    var reference: Int? = nil
    var dynamicReference: DynamicReference? = nil
    var allOf: [Int] = []
    var anyOf: [Int] = []
    var oneOf: [Int] = []
    var not: Int? = nil
    var condition: Int? = nil
    var then: Int? = nil
    var otherwise: Int? = nil
    /// Says which of `oneOf` or `anyOf` a value is meant to be.
    var discriminator: Discriminator? = nil

    /// Whether what its parts have looked at has to be kept in mind.
    var hasUnevaluated: Bool { self.unevaluatedItems != nil || self.unevaluatedProperties != nil }

    /// Whether a member's name decides what applies to its value.
    var namesMatter: Bool {
        if case .anything = self.additional { return !self.properties.isEmpty || !self.patternProperties.isEmpty }
        return true
    }

    /// Rules that look at the same value as this one.
    var inPlace: [Int] {
        var indices: [Int] = self.allOf + self.anyOf + self.oneOf + self.dependentSchemas.map(\.rule)
        for index: Int? in [
            self.reference, self.dynamicReference?.rule, self.not, self.condition, self.then, self.otherwise,
        ] {
            if let index: Int { indices.append(index) }
        }
        return indices
    }

    /// `$dynamicRef`: the outermost resource passed through that has this anchor decides; without a name it is a plain reference.
    struct DynamicReference: Sendable {
        var name: String?
        /// What it means where nothing decides otherwise.
        var rule: Int
    }

    /// OpenAPI's choice among schemas by the value of one member.
    struct Discriminator: Sendable {
        var property: String
        /// Rules by the values of the member.
        var rules: [ExactKey: Int]
        var values: [String]
    }
}

/// The kinds of values a schema allows.
package typealias SchemaKinds = SchemaRule.Types

extension SchemaRule.Types {
    /// What the rule and those it refers to allow; everything when they do not say.
    static func of(_ index: Int, in rules: [SchemaRule]) -> SchemaRule.Types {
        var kinds: SchemaRule.Types = .all
        var index: Int? = index
        // References in a row; circles were refused when the schema was compiled.
        while let current: Int = index {
            let rule: SchemaRule = rules[current]
            if let types: SchemaRule.Types = rule.types { kinds.formIntersection(types.widened) }
            for part: Int in rule.allOf {
                if let types: SchemaRule.Types = rules[part].types { kinds.formIntersection(types.widened) }
            }
            if !rule.anyOf.isEmpty || !rule.oneOf.isEmpty {
                var union: SchemaRule.Types = []
                for part: Int in rule.anyOf + rule.oneOf { union.formUnion(rules[part].types ?? .all) }
                kinds.formIntersection(union.widened)
            }
            index = rule.reference
        }
        return kinds
    }

    static let all: SchemaRule.Types = SchemaRule.Types(rawValue: 127)

    /// A number may be an integer.
    private var widened: SchemaRule.Types { self.contains(.number) ? self.union(.integer) : self }
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
