import Bytes
import JSON
import Patterns

/// Checks one value against compiled rules.
struct SchemaValidator {
    /// Rules inside rules at most: deeper than any value, far from the end of a thread's stack.
    private static let depthMax: Int = 400
    /// Steps inside alternatives. Alternatives inside alternatives can multiply; beyond this the value is refused.
    private static let trialsMax: Int = 250_000
    /// Values of an `enum` that a message lists.
    private static let choicesShownMax: Int = 12

    let set: SchemaSet
    private var problems: [SchemaProblem] = []
    private var place: [Step] = []
    private var steps: Int = 0
    private var trials: Int = 0
    private var depth: Int = 0
    /// Inside a trial only the answer counts: the first problem ends it, and no message is made.
    private var isTrial: Bool = false
    private var hasFailed: Bool = false
    /// Inside an alternative whose problems are wanted; alternatives in there are only tried.
    private var isExplaining: Bool = false
    /// The resources passed through on the way here, outermost first; kept only where a `$dynamicRef` may ask.
    private var scope: [Int] = []

    enum Step {
        case key(String)
        case index(Int)
    }

    init(_ set: SchemaSet) { self.set = set }

    mutating func validate(_ value: JSONValue, with root: Int) -> [SchemaProblem] {
        var evaluated: Evaluated = Evaluated(isTracked: false)
        self.check(value, root, &evaluated)
        if self.isExhausted {
            return [SchemaProblem(pointer: "", message: "expected a value that takes less effort to check")]
        }
        return self.problems
    }

    // MARK: Problems

    mutating func expected(_ wanted: @autoclosure () -> String, suffix: Step? = nil) {
        self.note("expected \(wanted())", suffix: suffix)
    }

    mutating func note(_ message: @autoclosure () -> String, suffix: Step? = nil) {
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

    private var isExhausted: Bool { self.steps > self.set.stepsMax || self.trials > Self.trialsMax }

    /// Whether there is no point in going on.
    var isDone: Bool { self.hasFailed || self.problems.count >= SchemaProblem.max || self.isExhausted }

    // MARK: Rules

    /// Applies a rule to a value; `evaluated` gets what the rule looked at.
    mutating func check(_ value: JSONValue, _ index: Int, _ evaluated: inout Evaluated) {
        self.steps += 1
        if self.isTrial || self.isExplaining { self.trials += 1 }
        if self.isDone { return }
        guard self.depth < Self.depthMax else {
            self.steps = Int.max
            return
        }
        self.depth += 1
        defer { self.depth -= 1 }
        let rule: SchemaRule = self.set.rules[index]
        let isScope: Bool = self.set.hasDynamicReferences && self.scope.last != rule.resource
        if isScope { self.scope.append(rule.resource) }
        if rule.hasUnevaluated {
            // What stands beside this schema does not count, so it keeps its own account.
            var own: Evaluated = Evaluated(isTracked: true)
            self.apply(rule, to: value, &own)
            self.checkUnevaluated(value, rule, &own)
            evaluated.formUnion(own)
        } else {
            self.apply(rule, to: value, &evaluated)
        }
        if isScope { self.scope.removeLast() }
    }

    private mutating func apply(_ rule: SchemaRule, to value: JSONValue, _ evaluated: inout Evaluated) {
        if rule.isNever { return self.note("nothing is allowed here") }
        if let types: SchemaRule.Types = rule.types, !types.contains(kindOf: value) {
            // The other keywords would only say the same again.
            return self.expected("\(types.words), found \(value.kindName)")
        }
        if let choices: [JSONValue] = rule.choices, !choices.contains(value) { self.expected(Self.words(choices)) }
        switch value {
        case .string(let text): self.checkString(text, rule)
        case .int, .double: self.checkNumber(value, rule)
        case .array(let elements): self.checkArray(elements, rule, &evaluated)
        case .object(let object): self.checkObject(object, rule, &evaluated)
        case .null, .bool: break
        }
        self.checkCombinations(value, rule, &evaluated)
    }

    /// Applies a rule to a part of the value.
    mutating func checkPart(_ value: JSONValue, _ index: Int, at step: Step) {
        var evaluated: Evaluated = Evaluated(isTracked: false)
        self.place.append(step)
        self.check(value, index, &evaluated)
        self.place.removeLast()
    }

    private static func words(_ choices: [JSONValue]) -> String {
        if choices.isEmpty { return "nothing: no value is allowed here" }
        var shown: [String] = choices.prefix(self.choicesShownMax).map(\.jsonText)
        if choices.count > shown.count { shown.append("…") }
        return shown.count == 1 ? shown[0] : "one of \(shown.joined(separator: ", "))"
    }

    /// The rule that a dynamic reference means here: the outermost resource passed through decides.
    func target(of reference: SchemaRule.DynamicReference) -> Int {
        guard let name: String = reference.name else { return reference.rule }
        for resource: Int in self.scope {
            if let rule: Int = self.set.resources[resource].dynamicRules[name] { return rule }
        }
        return reference.rule
    }

    // MARK: Strings and numbers

    private mutating func checkString(_ text: String, _ rule: SchemaRule) {
        if rule.length.isGiven {
            let count: Int = text.unicodeScalars.count
            if count < rule.length.min || count > rule.length.max {
                self.expected("a string of \(rule.length.words("characters")), found \(count)")
            }
        }
        if let pattern: RegularExpression = rule.pattern { self.checkPattern(pattern, text) }
        if let format: SchemaFormat = rule.format, !format.matches(text) { self.expected(format.words) }
    }

    private mutating func checkPattern(_ pattern: RegularExpression, _ text: String) {
        do throws(PatternFailure) {
            if try !pattern.matches(text) { self.expected("a string that matches \(pattern.source)") }
        } catch {
            self.note(error.description)
        }
    }

    /// Whether a member's name matches; a name that takes too much effort is a problem of its own.
    mutating func matches(_ pattern: RegularExpression, name: String) -> Bool {
        do throws(PatternFailure) {
            return try pattern.matches(name)
        } catch {
            self.note(error.description, suffix: .key(name))
            return false
        }
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
        // Beyond what a double can count, only the exact remainder tells.
        guard quotient.isFinite else { return number.truncatingRemainder(dividingBy: divisor) == 0 }
        // 0.3 is no exact multiple of 0.1 in binary, yet everybody means it to be one.
        return abs(quotient - quotient.rounded()) <= 1e-9 * max(1, abs(quotient))
    }

    // MARK: Trials

    /// Whether the value fits one rule; leaves no problems behind. `evaluated` gets what a fitting rule looked at.
    mutating func matches(_ value: JSONValue, _ index: Int, _ evaluated: inout Evaluated) -> Bool {
        let outer: (isTrial: Bool, hasFailed: Bool) = (self.isTrial, self.hasFailed)
        (self.isTrial, self.hasFailed) = (true, false)
        var own: Evaluated = Evaluated(isTracked: evaluated.isTracked)
        self.check(value, index, &own)
        let hasFailed: Bool = self.hasFailed
        (self.isTrial, self.hasFailed) = outer
        if !hasFailed { evaluated.formUnion(own) }
        return !hasFailed
    }

    mutating func checkAlternatives(
        _ value: JSONValue, _ indices: [Int], isExclusive: Bool, _ evaluated: inout Evaluated
    ) {
        var matching: Int = 0
        for index: Int in indices where self.matches(value, index, &evaluated) {
            matching += 1
            // What the others look at counts as well, where it is asked.
            if !isExclusive && !evaluated.isTracked { return }
        }
        if matching == 1 || (matching > 1 && !isExclusive) { return }
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
            var evaluated: Evaluated = Evaluated(isTracked: false)
            self.check(value, index, &evaluated)
            if Self.isNearer(self.problems, than: nearest) { nearest = self.problems }
        }
        self.isExplaining = false
        self.problems = before
        for problem: SchemaProblem in nearest ?? [] where self.problems.count < SchemaProblem.max {
            self.problems.append(problem)
        }
    }

    /// An alternative whose problems lie inside the value is nearer than one that the value as a whole does not fit.
    private static func isNearer(_ found: [SchemaProblem], than other: [SchemaProblem]?) -> Bool {
        guard let other: [SchemaProblem] else { return true }
        let depth: Int = self.shallowest(found)
        let otherDepth: Int = self.shallowest(other)
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
}
