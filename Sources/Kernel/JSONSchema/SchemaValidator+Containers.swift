import Bytes
import JSON
import Patterns

/// Arrays, objects, and rules for the same value.
extension SchemaValidator {
    mutating func checkArray(_ elements: [JSONValue], _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        if elements.count < rule.count.min || elements.count > rule.count.max {
            self.expected("an array of \(rule.count.words("elements")), found \(elements.count)")
        }
        if rule.items != nil || !rule.prefixItems.isEmpty {
            for (position, element) in elements.enumerated() {
                if self.isDone { return }
                guard let item: Int = position < rule.prefixItems.count ? rule.prefixItems[position] : rule.items else {
                    break
                }
                self.checkPart(element, item, at: .index(position))
            }
            if rule.items != nil {
                evaluated.noteAllItems()
            } else {
                evaluated.noteItems(before: rule.prefixItems.count)
            }
        }
        if rule.contains != nil { self.checkContains(elements, rule, &evaluated) }
        if rule.uniqueItems { self.checkUnique(elements) }
    }

    private mutating func checkContains(_ elements: [JSONValue], _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        guard let contains: Int = rule.contains else { return }
        var count: Int = 0
        var part: Evaluated = Evaluated(isTracked: false)
        for (position, element) in elements.enumerated() where self.matches(element, contains, &part) {
            count += 1
            evaluated.noteItem(position)
        }
        if count < rule.containsCount.min || count > rule.containsCount.max {
            self.expected("\(rule.containsCount.words("elements")) of the form in contains, found \(count)")
        }
    }

    /// Compares canonical texts, so the cost stays linear; integers beyond 2^53 count as the doubles nearest to them.
    private mutating func checkUnique(_ elements: [JSONValue]) {
        var seen: Set<[UInt8]> = []
        for (position, element) in elements.enumerated() where !seen.insert(element.canonical()).inserted {
            self.note("expected each element once", suffix: .index(position))
        }
    }

    mutating func checkObject(_ object: JSONObject, _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        if object.count < rule.memberCount.min || object.count > rule.memberCount.max {
            self.expected("an object of \(rule.memberCount.words("members")), found \(object.count)")
        }
        for name: String in rule.required where object.position(of: name) == nil {
            self.note("expected a value, found nothing", suffix: .key(name))
        }
        for (name, needs) in rule.dependentRequired where object.position(of: name) != nil {
            for needed: String in needs where object.position(of: needed) == nil {
                self.note("expected a value beside \(Quoted.text(name)), found nothing", suffix: .key(needed))
            }
        }
        if let names: Int = rule.names { self.checkNames(object, names) }
        if rule.namesMatter { self.checkMembers(object, rule, &evaluated) }
    }

    private mutating func checkNames(_ object: JSONObject, _ names: Int) {
        var evaluated: Evaluated = Evaluated(isTracked: false)
        for key: String in object.keys {
            if self.isDone { return }
            if !self.matches(.string(key), names, &evaluated) {
                self.note("expected another name of a field", suffix: .key(key))
            }
        }
    }

    private mutating func checkMembers(_ object: JSONObject, _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        for (position, member) in object.members.enumerated() {
            if self.isDone { return }
            var isKnown: Bool = false
            if let property: Int = rule.properties[ExactKey(member.key)] {
                self.checkPart(member.value, property, at: .key(member.key))
                isKnown = true
            }
            for (pattern, part) in rule.patternProperties where self.matches(pattern, name: member.key) {
                self.checkPart(member.value, part, at: .key(member.key))
                isKnown = true
            }
            if isKnown {
                evaluated.noteMember(position)
                continue
            }
            switch rule.additional {
            case .anything: continue
            case .all: break
            case .nothing: self.noteUnknown(member.key, rule)
            case .rule(let additional): self.checkPart(member.value, additional, at: .key(member.key))
            }
            evaluated.noteMember(position)
        }
    }

    private mutating func noteUnknown(_ key: String, _ rule: SchemaRule) {
        var message: String = "unknown field"
        if let meant: String = NearestName.suggestion(for: key, among: rule.propertyNames) {
            message += ", did you mean \(Quoted.text(meant))?"
        } else if !rule.propertyNames.isEmpty {
            message += ", expected one of \(rule.propertyNames.joined(separator: ", "))"
        }
        self.note(message, suffix: .key(key))
    }

    // MARK: The same value

    mutating func checkCombinations(_ value: JSONValue, _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        if let reference: Int = rule.reference { self.check(value, reference, &evaluated) }
        if let reference: SchemaRule.DynamicReference = rule.dynamicReference {
            self.check(value, self.target(of: reference), &evaluated)
        }
        for index: Int in rule.allOf { self.check(value, index, &evaluated) }
        self.checkConditions(value, rule, &evaluated)
        if let discriminator: SchemaRule.Discriminator = rule.discriminator {
            return self.checkDiscriminator(value, discriminator, &evaluated)
        }
        if !rule.anyOf.isEmpty { self.checkAlternatives(value, rule.anyOf, isExclusive: false, &evaluated) }
        if !rule.oneOf.isEmpty { self.checkAlternatives(value, rule.oneOf, isExclusive: true, &evaluated) }
    }

    private mutating func checkConditions(_ value: JSONValue, _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        if let not: Int = rule.not {
            var dropped: Evaluated = Evaluated(isTracked: false)
            if self.matches(value, not, &dropped) { self.note("expected another value than this") }
        }
        if let condition: Int = rule.condition {
            let next: Int? = self.matches(value, condition, &evaluated) ? rule.then : rule.otherwise
            if let next: Int { self.check(value, next, &evaluated) }
        }
        guard !rule.dependentSchemas.isEmpty, case .object(let object) = value else { return }
        for (name, index) in rule.dependentSchemas where object.position(of: name) != nil {
            self.check(value, index, &evaluated)
        }
    }

    /// The member says which form is meant, so only that one is checked and only its problems are told.
    private mutating func checkDiscriminator(
        _ value: JSONValue, _ discriminator: SchemaRule.Discriminator, _ evaluated: inout Evaluated
    ) {
        guard case .object(let object) = value else {
            return self.expected("an object, found \(value.kindName)")
        }
        guard let name: String = object[discriminator.property]?.text,
            let index: Int = discriminator.rules[ExactKey(name)]
        else {
            let names: String = discriminator.values.map { Quoted.text($0) }.joined(separator: ", ")
            return self.expected("one of \(names)", suffix: .key(discriminator.property))
        }
        self.check(value, index, &evaluated)
    }

    /// What nothing has looked at yet; the last keywords of a schema to run.
    mutating func checkUnevaluated(_ value: JSONValue, _ rule: SchemaRule, _ evaluated: inout Evaluated) {
        if let index: Int = rule.unevaluatedProperties, case .object(let object) = value {
            for (position, member) in object.members.enumerated() where !evaluated.hasMember(position) {
                if self.isDone { return }
                self.checkLeftOver(member.value, index, at: .key(member.key))
            }
            evaluated.noteAllMembers()
        }
        if let index: Int = rule.unevaluatedItems, case .array(let elements) = value {
            for (position, element) in elements.enumerated() where !evaluated.hasItem(position) {
                if self.isDone { return }
                self.checkLeftOver(element, index, at: .index(position))
            }
            evaluated.noteAllItems()
        }
    }

    private mutating func checkLeftOver(_ value: JSONValue, _ index: Int, at step: Step) {
        if self.set.rules[index].isNever { return self.note("unknown field or element", suffix: step) }
        self.checkPart(value, index, at: step)
    }
}
