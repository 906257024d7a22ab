import JSON

/// Keywords that hold no other schemas.
extension SchemaCompiler {
    mutating func readValueKeyword(
        _ keyword: String, _ value: JSONValue, at place: SchemaPlace, into rule: SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "type": rule.types = try self.types(value, at: place)
        case "enum":
            guard let choices: [JSONValue] = value.elements, !choices.isEmpty || !self.options.refusesUnknown else {
                throw self.error("expected an array with at least one value", at: place)
            }
            rule.choices = self.narrowed(rule.choices, to: choices)
        case "const": rule.choices = self.narrowed(rule.choices, to: [value])
        case "pattern": rule.pattern = try self.pattern(value, at: place)
        case "format": rule.format = try self.format(value, at: place, rule)
        case "minLength": rule.length.min = try self.count(value, at: place)
        case "maxLength": rule.length.max = try self.count(value, at: place)
        case "minItems": rule.count.min = try self.count(value, at: place)
        case "maxItems": rule.count.max = try self.count(value, at: place)
        case "minProperties": rule.memberCount.min = try self.count(value, at: place)
        case "maxProperties": rule.memberCount.max = try self.count(value, at: place)
        case "minimum": rule.minimum = try self.number(value, at: place)
        case "maximum": rule.maximum = try self.number(value, at: place)
        case "exclusiveMinimum": rule.exclusiveMinimum = try self.number(value, at: place)
        case "exclusiveMaximum": rule.exclusiveMaximum = try self.number(value, at: place)
        case "multipleOf":
            rule.multipleOf = try self.number(value, at: place)
            guard let size: Double = value.number, size > 0 else {
                throw self.error("expected a number greater than 0", at: place)
            }
        case "uniqueItems":
            guard let isUnique: Bool = value.boolean else { throw self.error("expected a boolean", at: place) }
            rule.uniqueItems = isUnique
        default: return false
        }
        return true
    }

    /// A format that is not known is a note, unless the options say otherwise.
    private func format(_ value: JSONValue, at place: SchemaPlace, _ rule: SchemaRule) throws(SchemaError)
        -> SchemaFormat?
    {
        guard let name: String = value.text else { throw self.error("expected a string", at: place) }
        if let format: SchemaFormat = SchemaFormat(rawValue: name) {
            return self.options.checksFormats || self.resource(of: rule).checksFormats ? format : nil
        }
        guard self.options.refusesUnknown else { return nil }
        let names: String = SchemaFormat.allCases.map(\.rawValue).joined(separator: ", ")
        throw self.error("expected one of the formats \(names)", at: place)
    }

    /// `enum` and `const` in one schema both have to hold.
    private func narrowed(_ choices: [JSONValue]?, to others: [JSONValue]) -> [JSONValue] {
        guard let choices: [JSONValue] else { return others }
        return choices.filter { others.contains($0) }
    }

    func types(_ value: JSONValue, at place: SchemaPlace) throws(SchemaError) -> SchemaRule.Types {
        let names: [JSONValue] = value.elements ?? [value]
        var types: SchemaRule.Types = []
        for name: JSONValue in names {
            var found: SchemaRule.Types? = nil
            for (known, type, _) in SchemaRule.Types.names where known == name.text { found = type }
            guard let found: SchemaRule.Types else {
                let known: String = SchemaRule.Types.names.map(\.name).joined(separator: ", ")
                throw self.error("expected one of the types \(known), or an array of them", at: place)
            }
            types.insert(found)
        }
        guard !types.isEmpty else { throw self.error("expected at least one type", at: place) }
        return types
    }

    func count(_ value: JSONValue, at place: SchemaPlace) throws(SchemaError) -> Int {
        guard let count: Int64 = value.integer, count >= 0 else {
            throw self.error("expected an integer of at least 0", at: place)
        }
        return Int(count)
    }

    func number(_ value: JSONValue, at place: SchemaPlace) throws(SchemaError) -> JSONValue {
        guard value.number != nil else { throw self.error("expected a number", at: place) }
        return value
    }

    /// Bounds that nothing can meet are a mistake in a schema of ours; the draft allows them.
    func checkBounds(_ rule: SchemaRule, at place: SchemaPlace) throws(SchemaError) {
        guard self.options.refusesUnknown else { return }
        for (bounds, name) in [(rule.length, "Length"), (rule.count, "Items"), (rule.memberCount, "Properties")]
        where bounds.min > bounds.max {
            throw self.error("expected min\(name) to be at most max\(name)", at: place)
        }
        if let minimum: JSONValue = rule.minimum, let maximum: JSONValue = rule.maximum, maximum.isLess(than: minimum) {
            throw self.error("expected minimum to be at most maximum", at: place)
        }
    }
}
