import Bytes
import JSON
import Patterns

/// Turns schema documents into rules. Every schema object is compiled once, whoever refers to it.
struct SchemaCompiler {
    /// More would be a mistake, or an attack.
    private static let rulesMax: Int = 10_000
    static let depthMax: Int = 64
    /// Different expressions of one compilation at most.
    private static let patternsMax: Int = 1000

    let options: SchemaOptions
    private var index: SchemaIndex
    private(set) var finishedRules: [SchemaRule] = []
    /// Where each rule stands, for errors.
    private var places: [SchemaPlace] = []
    private var indices: [SchemaPlace: Int] = [:]
    /// Made but not yet read: schemas are read one after the other, so that nesting costs no stack.
    private var pending: [Int] = []
    private var patterns: [String: RegularExpression] = [:]
    private(set) var hasDynamicReferences: Bool = false

    var finishedResources: [SchemaResource] { self.index.resources }

    init(_ document: JSONValue, isSchema: Bool, _ options: SchemaOptions) throws(SchemaError) {
        self.options = options
        self.index = try SchemaIndex(document, isSchema: isSchema, options)
    }

    /// The rules of the schemas at these places.
    mutating func compile(_ pointers: [JSONPointer]) throws(SchemaError) -> [Int] {
        var roots: [Int] = []
        for pointer: JSONPointer in pointers {
            let place: SchemaPlace = SchemaPlace(document: 0, pointer: pointer)
            try self.index.scan(place, resource: self.index.resource(of: place))
            roots.append(try self.rule(at: place, from: place))
        }
        try self.readPending()
        if self.hasDynamicReferences { try self.compileDynamicAnchors() }
        try self.refuseLoops()
        return roots
    }

    private mutating func readPending() throws(SchemaError) {
        while let index: Int = self.pending.popLast() { try self.read(index) }
    }

    /// A `$dynamicRef` can lead to any anchor of its name, known only when values are checked.
    private mutating func compileDynamicAnchors() throws(SchemaError) {
        var number: Int = 0
        while number < self.index.resources.count {
            for (name, place) in self.index.resources[number].dynamicPlaces {
                let rule: Int = try self.rule(at: place, from: place)
                self.index.setRule(rule, forDynamicAnchor: name, of: number)
            }
            // Reading them can bring in further resources.
            try self.readPending()
            number += 1
        }
    }

    // MARK: Places

    /// The index of the rule for the schema at `place`, which `source` mentions.
    mutating func rule(at place: SchemaPlace, from source: SchemaPlace) throws(SchemaError) -> Int {
        if let known: Int = self.indices[place] { return known }
        guard self.finishedRules.count < Self.rulesMax else {
            throw self.error("expected at most \(Self.rulesMax) schemas", at: source)
        }
        guard place.pointer.tokens.count <= Self.depthMax else {
            throw self.error("expected at most \(Self.depthMax) levels of nesting", at: source)
        }
        let index: Int = self.finishedRules.count
        self.finishedRules.append(SchemaRule())
        self.places.append(place)
        self.indices[place] = index
        self.pending.append(index)
        return index
    }

    private mutating func read(_ index: Int) throws(SchemaError) {
        let place: SchemaPlace = self.places[index]
        let rule: SchemaRule = self.finishedRules[index]
        rule.resource = self.index.resource(of: place)
        switch self.index.value(at: place) {
        case .bool(let isAnything): rule.isNever = !isAnything
        case .object(let object):
            try self.read(object, at: place, into: rule)
            try self.checkBounds(rule, at: place)
        case let other:
            throw self.error(
                "expected a schema (an object or a boolean), found \(other?.kindName ?? "nothing")", at: place)
        }
    }

    private mutating func read(
        _ object: JSONObject, at place: SchemaPlace, into rule: SchemaRule
    ) throws(SchemaError) {
        let isOld: Bool = self.options.dialect == .openAPI30
        if isOld, let reference: JSONValue = object["$ref"] {
            // Reference Object of OpenAPI 3.0: "any properties added SHALL be ignored".
            rule.reference = try self.reference(reference, at: place.appending("$ref"), rule)
            return
        }
        let checksValues: Bool = self.resource(of: rule).checksValues
        for member: JSONObject.Member in object.members {
            let key: String = member.key
            let keyPlace: SchemaPlace = place.appending(key)
            if !checksValues && SchemaKeyword.validation.contains(key) { continue }
            if isOld, try self.readOldKeyword(key, member.value, at: keyPlace, object, into: rule) { continue }
            if try self.readValueKeyword(key, member.value, at: keyPlace, into: rule) { continue }
            if try self.readContainerKeyword(key, member.value, at: keyPlace, into: rule) { continue }
            if try self.readDependency(key, member.value, at: keyPlace, into: rule) { continue }
            if try self.readCombination(key, member.value, at: keyPlace, into: rule) { continue }
            if try self.readNote(key, member.value, at: keyPlace, object, into: rule) { continue }
            if self.options.refusesUnknown { throw self.unknown(key, at: keyPlace) }
        }
        // Counts of what fits mean nothing without what has to fit.
        if rule.condition == nil { (rule.then, rule.otherwise) = (nil, nil) }
        if self.options.direction != nil { self.relax(rule, object) }
    }

    private func unknown(_ keyword: String, at place: SchemaPlace) -> SchemaError {
        var message: String = "unknown keyword \(Quoted.text(keyword))"
        if let meant: String = NearestName.suggestion(for: keyword, among: SchemaKeyword.all) {
            message += ", did you mean \(Quoted.text(meant))?"
        }
        return self.error(message, at: place)
    }

    func resource(of rule: SchemaRule) -> SchemaResource { self.index.resources[rule.resource] }

    func error(_ message: String, at place: SchemaPlace) -> SchemaError { self.index.error(message, at: place) }

    // MARK: Patterns

    /// Equal expressions are compiled once.
    mutating func pattern(_ value: JSONValue, at place: SchemaPlace) throws(SchemaError) -> RegularExpression {
        guard let text: String = value.text else { throw self.error("expected a regular expression", at: place) }
        if let known: RegularExpression = self.patterns[text] { return known }
        guard self.patterns.count < Self.patternsMax else {
            throw self.error("expected at most \(Self.patternsMax) regular expressions", at: place)
        }
        do throws(PatternSyntaxError) {
            let pattern: RegularExpression = try RegularExpression(text, dialect: .ecmaScript)
            self.patterns[text] = pattern
            return pattern
        } catch {
            throw self.error("expected a regular expression of ECMA-262: \(error)", at: place)
        }
    }

    // MARK: References

    mutating func reference(
        _ value: JSONValue, at place: SchemaPlace, _ rule: SchemaRule
    ) throws(SchemaError) -> Int {
        guard let text: String = value.text else {
            throw self.error("expected a reference such as \"#/$defs/name\"", at: place)
        }
        let target: SchemaPlace = try self.index.find(text, from: rule.resource, at: place)
        return try self.rule(at: target, from: place)
    }

    /// Dynamic only where what it names at first is a `$dynamicAnchor` too (2020-12 section 8.2.3.2).
    mutating func dynamicReference(
        _ value: JSONValue, at place: SchemaPlace, _ rule: SchemaRule
    ) throws(SchemaError) -> SchemaRule.DynamicReference {
        let initial: Int = try self.reference(value, at: place, rule)
        guard let name: String = value.text.flatMap({ URIReference($0).fragment }) else {
            return SchemaRule.DynamicReference(name: nil, rule: initial)
        }
        let target: SchemaPlace = self.places[initial]
        let resource: SchemaResource = self.index.resources[self.index.resource(of: target)]
        guard resource.dynamicPlaces[name] == target else {
            return SchemaRule.DynamicReference(name: nil, rule: initial)
        }
        self.hasDynamicReferences = true
        return SchemaRule.DynamicReference(name: name, rule: initial)
    }

    // MARK: Directions

    /// A request need not send what is read-only, a response not tell what is write-only.
    private func relax(_ rule: SchemaRule, _ object: JSONObject) {
        let key: String = self.options.direction == .request ? "readOnly" : "writeOnly"
        guard let properties: JSONObject = object["properties"]?.object else { return }
        rule.required.removeAll { name in
            guard var schema: JSONValue = properties[name] else { return false }
            if let target: JSONPointer = schema["$ref"]?.text.flatMap({ JSONPointer(fragment: $0) }) {
                schema = target.resolve(in: self.index.documents[0]) ?? schema
            }
            return schema[key] == true
        }
    }

    // MARK: Loops

    /// A schema that refers to itself without going into the value would never come to an end.
    private func refuseLoops() throws(SchemaError) {
        // 0: not seen, 1: on the path, 2: done.
        var marks: [UInt8] = Array(repeating: 0, count: self.finishedRules.count)
        for start: Int in self.finishedRules.indices where marks[start] == 0 {
            var path: [(index: Int, next: [Int])] = [(start, self.finishedRules[start].inPlace)]
            marks[start] = 1
            while var top: (index: Int, next: [Int]) = path.popLast() {
                guard let next: Int = top.next.popLast() else {
                    marks[top.index] = 2
                    continue
                }
                path.append(top)
                if marks[next] == 1 {
                    throw self.error("expected a schema that does not refer back to itself", at: self.places[next])
                }
                if marks[next] == 0 {
                    marks[next] = 1
                    path.append((next, self.finishedRules[next].inPlace))
                }
            }
        }
    }
}
