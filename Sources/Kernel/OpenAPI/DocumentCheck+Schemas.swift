import Documents
import JSON

/// Schema Objects.
extension DocumentCheck {
    func checkSchema(_ value: NodeDecoder) {
        guard self.takeStep() else { return }
        if case .bool = value.node.kind, self.version == .v3_1 { return }
        guard value.node.members != nil else {
            return value.expected(
                self.version == .v3_1 ? "a schema (a mapping or a boolean)" : "a Schema Object (a mapping)")
        }
        if let reference: NodeDecoder = value["$ref"] {
            self.checkReference(reference, .schema)
            self.compose(value, reference)
            // Before 3.1, what stands beside a reference is ignored.
            if self.version != .v3_1 { return }
        }
        for member: NodeDecoder.MemberDecoder in value.members {
            guard let keyword: SchemaKeyword = self.specification.keywords[member.key] else { continue }
            self.checkKeyword(member, keyword, of: value)
        }
        if self.version != .v3_1, value.node["type"]?.text == "array", value.node["items"] == nil {
            value.problem("expected a field \"items\", since the type is array")
        }
    }

    private func checkKeyword(_ member: NodeDecoder.MemberDecoder, _ keyword: SchemaKeyword, of schema: NodeDecoder) {
        let value: NodeDecoder = member.value
        switch keyword {
        case .plain(let shape): self.check(value, shape)
        case .schema: self.checkSchema(value)
        case .schemaOrBoolean:
            if case .bool = value.node.kind { return }
            self.checkSchema(value)
        case .schemas:
            guard value.node.elements != nil else { return value.expected("a list of schemas") }
            if value.elements.isEmpty { value.problem("expected a list of at least one schema") }
            for element: NodeDecoder in value.elements { self.checkSchema(element) }
            if member.key == "allOf" { self.compose(schema, of: value.elements) }
        case .schemaMap:
            guard value.node.members != nil else { return value.expected("a mapping of schemas") }
            for inner: NodeDecoder.MemberDecoder in value.members { self.checkSchema(inner.value) }
        case .type(let names, let orList): self.checkType(value, names, orList: orList)
        }
        if member.key == "discriminator" { self.checkMapping(value) }
    }

    private func checkType(_ value: NodeDecoder, _ names: [String], orList: Bool) {
        guard orList, value.node.elements != nil else { return self.check(value, .choice(names)) }
        self.check(value, .list(.choice(names), atLeast: 1))
    }

    /// A discriminator's mapping names schemas by reference or by name; references are checked.
    private func checkMapping(_ discriminator: NodeDecoder) {
        for member: NodeDecoder.MemberDecoder in discriminator["mapping"]?.members ?? []
        where member.value.node.text?.utf8.first == UInt8(ascii: "#") {
            self.checkReference(member.value, .schema)
        }
    }

    // MARK: Composition

    private func compose(_ schema: NodeDecoder, _ reference: NodeDecoder) {
        guard let text: String = reference.node.text, let target: JSONPointer = JSONPointer(fragment: text) else {
            return
        }
        self.compose(schema, [target.text])
    }

    private func compose(_ schema: NodeDecoder, of parts: [NodeDecoder]) {
        var pointers: [String] = []
        for part: NodeDecoder in parts where part.node["$ref"] != nil || part.node["allOf"] != nil {
            pointers.append(part.pointer.text)
        }
        if !pointers.isEmpty { self.compose(schema, pointers) }
    }

    private func compose(_ schema: NodeDecoder, _ parts: [String]) {
        let pointer: String = schema.pointer.text
        if self.composition[pointer] == nil { self.composed.append((pointer, schema.node.position)) }
        self.composition[pointer, default: []] += parts
    }

    /// A schema that consists of itself, by `$ref` and `allOf` alone, says nothing. (One that contains itself as a property or
    /// an alternative is a tree, and fine.)
    func checkComposition() {
        // On the path: true; done: false.
        var isOpen: [String: Bool] = [:]
        for start: (pointer: String, position: SourcePosition) in self.composed where isOpen[start.pointer] == nil {
            var path: [(pointer: String, rest: [String])] = [(start.pointer, self.composition[start.pointer] ?? [])]
            isOpen[start.pointer] = true
            while var top: (pointer: String, rest: [String]) = path.popLast() {
                guard let next: String = top.rest.popLast() else {
                    isOpen[top.pointer] = false
                    continue
                }
                path.append(top)
                if isOpen[next] == true {
                    self.noteCircle(path.map(\.pointer), through: next)
                } else if isOpen[next] == nil {
                    isOpen[next] = true
                    path.append((next, self.composition[next] ?? []))
                }
            }
        }
    }

    /// Names the schema of the circle that stands highest in the document: usually one with a name.
    private func noteCircle(_ path: [String], through pointer: String) {
        let circle: ArraySlice<String> = path.drop { $0 != pointer }
        guard let highest: String = circle.min(by: { $0.utf8.count < $1.utf8.count }),
            let place: JSONPointer = JSONPointer(parsing: highest), let node: Node = self.root.resolve(place)
        else { return }
        NodeDecoder(node, at: place, problems: self.problems)
            .problem("expected a schema that does not consist of itself ($ref and allOf lead back to it)")
    }
}
