import Documents
import JSON

/// Walks a document by the tables of its version and collects everything that is wrong.
///
/// Recursion is bounded by the depth that the document reader allows.
final class DocumentCheck {
    let root: Node
    let version: OpenAPIVersion
    let specification: Specification
    let problems: ProblemList = ProblemList()
    private let limits: OpenAPILimits

    // What rules that span the document collect on the way.
    var operationIDs: Set<String> = []
    /// Pointers of the operations seen, since a reference may lead to one a second time.
    var operations: Set<String> = []
    /// Links by operation id, checked when all ids are known.
    var linkedOperations: [NodeDecoder] = []
    /// Which security schemes there are.
    var securitySchemes: Set<String> = []
    /// `$id` and `$anchor` of schemas, which 3.1 lets references name.
    var schemaNames: SchemaNames = SchemaNames()
    /// Schema pointer to the pointers of what it consists of ($ref, allOf).
    var composition: [String: [String]] = [:]
    /// Schemas that compose, in the order they were met, for messages.
    var composed: [(pointer: String, position: SourcePosition)] = []
    /// Targets outside of their usual sections that were seen already, by kind and pointer.
    var knownTargets: Set<String> = []
    /// Those of them that are still to be checked: one after the other, since each may lead to the next.
    var pendingTargets: [(node: Node, pointer: JSONPointer, kind: ObjectKind)] = []
    private var targetChecks: Int = 0
    /// Checks that targets may take: nested ones are looked at again for each reference that leads into them.
    private static let targetChecksMax: Int = 500_000

    init(_ root: Node, _ version: OpenAPIVersion, _ limits: OpenAPILimits) {
        self.root = root
        self.version = version
        self.specification = Specification.of(version)
        self.limits = limits
    }

    func run() throws(OpenAPIError) {
        if let section: [String] = self.specification.sections[.securityScheme] {
            let schemes: Node? = self.root.resolve(JSONPointer(tokens: section))
            for member: Node.Member in schemes?.members ?? [] { self.securitySchemes.insert(member.key.text ?? "") }
        }
        if self.version == .v3_1 { self.schemaNames.collect(self.root) }
        let start: NodeDecoder = NodeDecoder(self.root, problems: self.problems)
        self.check(start, .object(.root))
        if self.operations.count > self.limits.operations {
            start.problem("expected at most \(self.limits.operations) operations, found \(self.operations.count)")
        }
        self.checkTargets()
        self.checkLinkedOperations()
        self.checkComposition()
        guard !self.problems.isEmpty else { return }
        let sorted: [Problem] = self.problems.problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
        throw InvalidDocument(problems: sorted, omitted: self.problems.omitted)
    }

    private func checkTargets() {
        self.targetChecks = 1
        while let target: (node: Node, pointer: JSONPointer, kind: ObjectKind) = self.pendingTargets.popLast() {
            self.check(NodeDecoder(target.node, at: target.pointer, problems: self.problems), .referable(target.kind))
        }
        if self.targetChecks > Self.targetChecksMax {
            NodeDecoder(self.root, problems: self.problems).problem("expected references into fewer nested places")
        }
    }

    /// Whether there is effort left; counts only while targets are checked.
    func takeStep() -> Bool {
        if self.targetChecks > 0 { self.targetChecks += 1 }
        return self.targetChecks <= Self.targetChecksMax
    }

    // MARK: Shapes

    func check(_ value: NodeDecoder, _ shape: Shape) {
        guard self.takeStep() else { return }
        switch shape {
        case .anything: return
        case .string: _ = value.string()
        case .nonEmptyString: _ = value.string(length: 1...Int.max)
        case .boolean: _ = value.boolean()
        case .number: self.checkNumber(value)
        case .count: _ = value.integer(in: 0...Int.max)
        case .choice(let names): self.checkChoice(value, names)
        case .list(let element, let least): self.checkList(value, element, least)
        case .map(let element): self.checkMap(value, element)
        case .object(let kind): self.checkObject(value, kind)
        case .referable(.schema): self.checkSchema(value)
        case .referable(let kind): self.checkReferable(value, kind)
        case .paths: self.checkPaths(value)
        case .responses: self.checkResponses(value)
        case .security: self.checkSecurity(value)
        }
    }

    private func checkNumber(_ value: NodeDecoder) {
        switch value.node.kind {
        case .int, .double: return
        default: value.expected("a number")
        }
    }

    private func checkChoice(_ value: NodeDecoder, _ names: [String]) {
        guard let text: String = value.node.text else {
            return value.expected("one of \(names.joined(separator: ", "))")
        }
        if names.contains(text) { return }
        value.problem("expected one of \(names.joined(separator: ", ")), found \(Quoted.text(text))")
    }

    private func checkList(_ value: NodeDecoder, _ element: Shape, _ least: Int) {
        guard value.node.elements != nil else { return value.expected("a list") }
        let elements: [NodeDecoder] = value.elements
        if elements.count < least {
            value.problem("expected a list of at least \(least) elements, found \(elements.count)")
        }
        if case .anything = element { return }
        for decoder: NodeDecoder in elements { self.check(decoder, element) }
    }

    private func checkMap(_ value: NodeDecoder, _ element: Shape) {
        guard value.node.members != nil else { return value.expected("a mapping") }
        if case .anything = element { return }
        for member: NodeDecoder.MemberDecoder in value.members { self.check(member.value, element) }
    }

    func checkObject(_ value: NodeDecoder, _ kind: ObjectKind) {
        if kind == .callback { return self.checkCallback(value) }
        guard value.node.members != nil else {
            return value.expected("\(Self.article(kind)) \(kind.rawValue) Object (a mapping)")
        }
        guard let shape: ObjectShape = self.specification.objects[kind] else { return }
        for member: NodeDecoder.MemberDecoder in value.members {
            if let field: Shape = shape.fields[member.key] {
                self.check(member.value, field)
            } else if !member.key.hasPrefix("x-") {
                value.unknown(member.key, at: member.position, known: shape.names)
            }
        }
        for name: String in shape.required where value.node[name] == nil { value.missing(name) }
        self.checkRules(value, kind)
    }

    static func article(_ kind: ObjectKind) -> String {
        let vowels: Set<Character> = ["A", "E", "I", "O"]
        return kind.rawValue.first.map { vowels.contains($0) } ?? false ? "an" : "a"
    }
}
