import Bytes
import JSON

/// Checks one value against compiled rules.
struct SchemaValidator {
    /// Applications of a rule inside alternatives. Alternatives inside alternatives can multiply; beyond this the value is refused.
    private static let stepsMax: Int = 250_000
    /// Values of an `enum` that a message lists.
    private static let choicesShownMax: Int = 12

    private let rules: [SchemaRule]
    private var problems: [SchemaProblem] = []
    private var place: [Step] = []
    private var steps: Int = 0
    /// Inside a trial only the answer counts: the first problem ends it, and no message is made.
    private var isTrial: Bool = false
    private var hasFailed: Bool = false
    /// Inside an alternative whose problems are wanted; alternatives in there are only tried.
    private var isExplaining: Bool = false

    private enum Step {
        case key(String)
        case index(Int)
    }

    init(_ rules: [SchemaRule]) { self.rules = rules }

    mutating func validate(_ value: JSONValue) -> [SchemaProblem] {
        self.check(value, 0)
        if self.steps > Self.stepsMax {
            return [SchemaProblem(pointer: "", message: "expected a value that takes less effort to check")]
        }
        return self.problems
    }

    // MARK: Problems

    private mutating func expected(_ wanted: @autoclosure () -> String, suffix: Step? = nil) {
        self.note("expected \(wanted())", suffix: suffix)
    }

    private mutating func note(_ message: @autoclosure () -> String, suffix: Step? = nil) {
        if self.isTrial {
            self.hasFailed = true
            return
        }
        guard self.problems.count < SchemaProblem.max else { return }
        var pointer: JSONPointer = .root
        for step: Step in self.place + (suffix.map { [$0] } ?? []) {
            switch step {
            case .key(let key): pointer = pointer.appending(key)
            case .index(let index): pointer = pointer.appending(index)
            }
        }
        self.problems.append(SchemaProblem(pointer: pointer.text, message: message()))
    }

    /// Whether there is no point in going on.
    private var isDone: Bool {
        self.hasFailed || self.problems.count >= SchemaProblem.max || self.steps > Self.stepsMax
    }

    // MARK: Rules

    private mutating func check(_ value: JSONValue, _ index: Int) {
        if self.isTrial || self.isExplaining { self.steps += 1 }
        if self.isDone { return }
        let rule: SchemaRule = self.rules[index]
        if rule.isNever { return self.note("nothing is allowed here") }
        if let types: SchemaRule.Types = rule.types, !types.contains(kindOf: value) {
            // The other keywords would only say the same again.
            return self.expected("\(types.words), found \(value.kindName)")
        }
        if let choices: [JSONValue] = rule.choices, !choices.contains(value) { self.expected(Self.words(choices)) }
        switch value {
        case .string(let text): self.checkString(text, rule)
        case .int, .double: self.checkNumber(value, rule)
        case .array(let elements): self.checkArray(elements, rule)
        case .object(let object): self.checkObject(object, rule)
        case .null, .bool: break
        }
        self.checkCombinations(value, rule)
    }

    private static func words(_ choices: [JSONValue]) -> String {
        var shown: [String] = choices.prefix(self.choicesShownMax).map(\.jsonText)
        if choices.count > shown.count { shown.append("…") }
        return shown.count == 1 ? shown[0] : "one of \(shown.joined(separator: ", "))"
    }

    private mutating func checkString(_ text: String, _ rule: SchemaRule) {
        if rule.length.isGiven {
            let count: Int = text.unicodeScalars.count
            if count < rule.length.min || count > rule.length.max {
                self.expected("a string of \(rule.length.words("characters")), found \(count)")
            }
        }
        if let format: SchemaFormat = rule.format, !format.matches(text) { self.expected(format.words) }
    }

    private mutating func checkNumber(_ value: JSONValue, _ rule: SchemaRule) {
        if let bound: JSONValue = rule.minimum, value.isLess(than: bound) {
            self.expected("a number of at least \(bound)")
        }
        if let bound: JSONValue = rule.maximum, bound.isLess(than: value) {
            self.expected("a number of at most \(bound)")
        }
        if let bound: JSONValue = rule.exclusiveMinimum, !bound.isLess(than: value) {
            self.expected("a number greater than \(bound)")
        }
        if let bound: JSONValue = rule.exclusiveMaximum, !value.isLess(than: bound) {
            self.expected("a number less than \(bound)")
        }
        if let size: JSONValue = rule.multipleOf, !Self.isMultiple(value, of: size) {
            self.expected("a multiple of \(size)")
        }
        if let format: SchemaFormat = rule.format, !format.matches(value) { self.expected(format.words) }
    }

    private static func isMultiple(_ value: JSONValue, of size: JSONValue) -> Bool {
        if case .int(let number) = value, case .int(let divisor) = size { return number.isMultiple(of: divisor) }
        guard let number: Double = value.number, let divisor: Double = size.number else { return false }
        let quotient: Double = number / divisor
        // 0.3 is no exact multiple of 0.1 in binary, yet everybody means it to be one.
        return quotient.isFinite && abs(quotient - quotient.rounded()) <= 1e-9 * max(1, abs(quotient))
    }

    private mutating func checkArray(_ elements: [JSONValue], _ rule: SchemaRule) {
        if elements.count < rule.count.min || elements.count > rule.count.max {
            self.expected("an array of \(rule.count.words("elements")), found \(elements.count)")
        }
        if rule.items != nil || !rule.prefixItems.isEmpty {
            for (position, element) in elements.enumerated() {
                if self.isDone { return }
                guard let item: Int = position < rule.prefixItems.count ? rule.prefixItems[position] : rule.items else {
                    break
                }
                self.place.append(.index(position))
                self.check(element, item)
                self.place.removeLast()
            }
        }
        if rule.uniqueItems { self.checkUnique(elements) }
    }

    /// Compares canonical texts, so the cost stays linear; integers beyond 2^53 count as the doubles nearest to them.
    private mutating func checkUnique(_ elements: [JSONValue]) {
        var seen: Set<[UInt8]> = []
        for (position, element) in elements.enumerated() where !seen.insert(element.canonical()).inserted {
            self.note("expected each element once", suffix: .index(position))
        }
    }

    private mutating func checkObject(_ object: JSONObject, _ rule: SchemaRule) {
        if object.count < rule.memberCount.min || object.count > rule.memberCount.max {
            self.expected("an object of \(rule.memberCount.words("members")), found \(object.count)")
        }
        for name: String in rule.required where object.position(of: name) == nil {
            self.note("expected a value, found nothing", suffix: .key(name))
        }
        for member: JSONObject.Member in object.members {
            if self.isDone { return }
            if let property: Int = rule.properties[member.key] {
                self.checkMember(member, property)
                continue
            }
            switch rule.additional {
            case .anything: break
            case .nothing: self.noteUnknown(member.key, rule)
            case .rule(let additional): self.checkMember(member, additional)
            }
        }
    }

    private mutating func checkMember(_ member: JSONObject.Member, _ index: Int) {
        self.place.append(.key(member.key))
        self.check(member.value, index)
        self.place.removeLast()
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

    // MARK: Combinations

    private mutating func checkCombinations(_ value: JSONValue, _ rule: SchemaRule) {
        if let reference: Int = rule.reference { self.check(value, reference) }
        for index: Int in rule.allOf { self.check(value, index) }
        if let not: Int = rule.not, self.matches(value, not) { self.note("expected another value than this") }
        if !rule.anyOf.isEmpty { self.checkAlternatives(value, rule.anyOf, isExclusive: false) }
        if !rule.oneOf.isEmpty { self.checkAlternatives(value, rule.oneOf, isExclusive: true) }
    }

    private mutating func checkAlternatives(_ value: JSONValue, _ indices: [Int], isExclusive: Bool) {
        var matching: Int = 0
        for index: Int in indices where self.matches(value, index) {
            matching += 1
            if !isExclusive { return }
        }
        if matching == 1 { return }
        if matching > 1 { return self.expected("exactly one of \(indices.count) forms, found \(matching) that match") }
        if self.isTrial || self.isExplaining { return self.expected("one of \(indices.count) forms") }
        if indices.count > 1 { self.expected("one of \(indices.count) forms; what is wrong with the nearest follows") }
        self.explain(value, indices)
    }

    /// Adds the problems of the alternative that comes nearest.
    private mutating func explain(_ value: JSONValue, _ indices: [Int]) {
        let before: [SchemaProblem] = self.problems
        var nearest: [SchemaProblem]? = nil
        self.isExplaining = true
        for index: Int in indices {
            self.problems = []
            self.check(value, index)
            if self.isNearer(self.problems, than: nearest) { nearest = self.problems }
        }
        self.isExplaining = false
        self.problems = before
        for problem: SchemaProblem in nearest ?? [] where self.problems.count < SchemaProblem.max {
            self.problems.append(problem)
        }
    }

    /// An alternative whose problems lie inside the value is nearer than one that the value as a whole does not fit.
    private func isNearer(_ found: [SchemaProblem], than other: [SchemaProblem]?) -> Bool {
        guard let other: [SchemaProblem] else { return true }
        let depth: Int = Self.shallowest(found)
        let otherDepth: Int = Self.shallowest(other)
        return depth == otherDepth ? found.count < other.count : depth > otherDepth
    }

    private static func shallowest(_ problems: [SchemaProblem]) -> Int {
        var depth: Int = Int.max
        for problem: SchemaProblem in problems {
            var slashes: Int = 0
            for byte: UInt8 in problem.pointer.utf8 where byte == UInt8(ascii: "/") { slashes += 1 }
            depth = min(depth, slashes)
        }
        return depth
    }

    /// Whether the value fits one rule; leaves no problems behind.
    private mutating func matches(_ value: JSONValue, _ index: Int) -> Bool {
        let outer: (isTrial: Bool, hasFailed: Bool) = (self.isTrial, self.hasFailed)
        (self.isTrial, self.hasFailed) = (true, false)
        self.check(value, index)
        let hasFailed: Bool = self.hasFailed
        (self.isTrial, self.hasFailed) = outer
        return !hasFailed
    }
}
