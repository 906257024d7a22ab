import JSON

/// Keywords that hold other schemas.
extension SchemaCompiler {
    mutating func readCombination(
        _ keyword: String, _ value: JSONValue, at place: SchemaPlace, into rule: SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "allOf": rule.allOf = try self.list(value, at: place)
        case "anyOf": rule.anyOf = try self.list(value, at: place)
        case "oneOf": rule.oneOf = try self.list(value, at: place)
        case "not": rule.not = try self.rule(at: place, from: place)
        case "if": rule.condition = try self.rule(at: place, from: place)
        case "then": rule.then = try self.rule(at: place, from: place)
        case "else": rule.otherwise = try self.rule(at: place, from: place)
        case "$ref": rule.reference = try self.reference(value, at: place, rule)
        case "$dynamicRef": rule.dynamicReference = try self.dynamicReference(value, at: place, rule)
        case "$defs":
            guard let definitions: JSONObject = value.object else { throw self.error("expected an object", at: place) }
            // Compiled even if nothing refers to them, so that their mistakes are found.
            for name: String in definitions.keys { _ = try self.rule(at: place.appending(name), from: place) }
        default: return false
        }
        return true
    }

    mutating func readContainerKeyword(
        _ keyword: String, _ value: JSONValue, at place: SchemaPlace, into rule: SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "items": rule.items = try self.rule(at: place, from: place)
        case "prefixItems": rule.prefixItems = try self.list(value, at: place)
        case "contains": rule.contains = try self.rule(at: place, from: place)
        case "minContains": rule.containsCount.min = try self.count(value, at: place)
        case "maxContains": rule.containsCount.max = try self.count(value, at: place)
        case "unevaluatedItems": rule.unevaluatedItems = try self.rule(at: place, from: place)
        case "properties":
            guard let properties: JSONObject = value.object else { throw self.error("expected an object", at: place) }
            rule.propertyNames = properties.keys
            for name: String in properties.keys {
                rule.properties[ExactKey(name)] = try self.rule(at: place.appending(name), from: place)
            }
        case "patternProperties":
            guard let patterns: JSONObject = value.object else { throw self.error("expected an object", at: place) }
            for pattern: String in patterns.keys {
                let keyPlace: SchemaPlace = place.appending(pattern)
                rule.patternProperties.append(
                    (try self.pattern(.string(pattern), at: keyPlace), try self.rule(at: keyPlace, from: place)))
            }
        case "additionalProperties":
            switch value {
            case .bool(let isAllowed): rule.additional = isAllowed ? .all : .nothing
            default: rule.additional = .rule(try self.rule(at: place, from: place))
            }
        case "propertyNames": rule.names = try self.rule(at: place, from: place)
        case "unevaluatedProperties": rule.unevaluatedProperties = try self.rule(at: place, from: place)
        case "required": rule.required = try self.names(value, at: place)
        default: return false
        }
        return true
    }

    mutating func readDependency(
        _ keyword: String, _ value: JSONValue, at place: SchemaPlace, into rule: SchemaRule
    ) throws(SchemaError) -> Bool {
        guard keyword == "dependentRequired" || keyword == "dependentSchemas" else { return false }
        guard let members: JSONObject = value.object else { throw self.error("expected an object", at: place) }
        for member: JSONObject.Member in members.members {
            let keyPlace: SchemaPlace = place.appending(member.key)
            if keyword == "dependentRequired" {
                rule.dependentRequired.append((member.key, try self.names(member.value, at: keyPlace)))
            } else {
                rule.dependentSchemas.append((member.key, try self.rule(at: keyPlace, from: place)))
            }
        }
        return true
    }

    private func names(_ value: JSONValue, at place: SchemaPlace) throws(SchemaError) -> [String] {
        guard let elements: [JSONValue] = value.elements else {
            throw self.error("expected an array of strings", at: place)
        }
        var names: [String] = []
        for element: JSONValue in elements {
            guard let name: String = element.text else { throw self.error("expected an array of strings", at: place) }
            names.append(name)
        }
        return names
    }

    private mutating func list(_ value: JSONValue, at place: SchemaPlace) throws(SchemaError) -> [Int] {
        guard let schemas: [JSONValue] = value.elements, !schemas.isEmpty else {
            throw self.error("expected an array with at least one schema", at: place)
        }
        var indices: [Int] = []
        for position: Int in schemas.indices {
            indices.append(try self.rule(at: place.appending(position), from: place))
        }
        return indices
    }

    // MARK: Notes

    /// Keywords that check nothing, yet have a form.
    mutating func readNote(
        _ keyword: String, _ value: JSONValue, at place: SchemaPlace, _ object: JSONObject, into rule: SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "$schema", "$id", "$anchor", "$dynamicAnchor", "contentEncoding", "contentMediaType":
            guard value.text != nil else { throw self.error("expected a string", at: place) }
        case "contentSchema": _ = try self.rule(at: place, from: place)
        case "discriminator" where !self.options.refusesUnknown:
            rule.discriminator = try self.discriminator(value, object, at: place, rule)
        default: return SchemaKeyword.notes.contains(keyword)
        }
        return true
    }

    /// OpenAPI 3: names of schemas, or references, by the values of a member; a schema's own name where nothing else is said.
    private mutating func discriminator(
        _ value: JSONValue, _ object: JSONObject, at place: SchemaPlace, _ rule: SchemaRule
    ) throws(SchemaError) -> SchemaRule.Discriminator? {
        let alternatives: [JSONValue] = (object["oneOf"] ?? object["anyOf"])?.elements ?? []
        guard let property: String = value["propertyName"]?.text, !alternatives.isEmpty else { return nil }
        var found: SchemaRule.Discriminator = SchemaRule.Discriminator(property: property, rules: [:], values: [])
        for alternative: JSONValue in alternatives {
            guard let reference: JSONValue = alternative["$ref"], let text: String = reference.text,
                let name: String = JSONPointer(fragment: text)?.tokens.last
            else { return nil }
            found.rules[ExactKey(name)] = try self.reference(reference, at: place, rule)
        }
        for member: JSONObject.Member in value["mapping"]?.object?.members ?? [] {
            guard var text: String = member.value.text else { continue }
            if !text.utf8.contains(UInt8(ascii: "/")) && !text.utf8.contains(UInt8(ascii: "#")) {
                text = "#/components/schemas/" + JSONPointer.escaped(text)
            }
            found.rules[ExactKey(member.key)] = try self.reference(
                .string(text), at: place.appending("mapping").appending(member.key), rule)
        }
        found.values = found.rules.keys.map(\.text).sorted()
        return found
    }

    // MARK: OpenAPI 2.0 and 3.0

    /// What means something else than in 2020-12.
    mutating func readOldKeyword(
        _ keyword: String, _ value: JSONValue, at place: SchemaPlace, _ object: JSONObject, into rule: SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "type":
            if value == "file" { return true }
            rule.types = try self.types(value, at: place)
            if object["nullable"] == true || object["x-nullable"] == true { rule.types?.insert(.null) }
        case "minimum", "maximum":
            let isExclusive: Bool = object[keyword == "minimum" ? "exclusiveMinimum" : "exclusiveMaximum"] == true
            let bound: JSONValue = try self.number(value, at: place)
            switch (keyword, isExclusive) {
            case ("minimum", true): rule.exclusiveMinimum = bound
            case ("minimum", false): rule.minimum = bound
            case (_, true): rule.exclusiveMaximum = bound
            default: rule.maximum = bound
            }
        case "exclusiveMinimum", "exclusiveMaximum":
            guard value.boolean != nil else { throw self.error("expected a boolean", at: place) }
        case "nullable", "example", "xml", "externalDocs", "$id", "$anchor", "$schema", "$dynamicAnchor": return true
        case "if", "then", "else", "const", "contains", "prefixItems", "propertyNames", "patternProperties",
            "unevaluatedItems", "unevaluatedProperties", "dependentSchemas", "dependentRequired", "$dynamicRef",
            "$defs":
            // Unknown to OpenAPI 3.0, so a note.
            return true
        default: return false
        }
        return true
    }
}
