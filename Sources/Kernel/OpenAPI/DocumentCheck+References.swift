import Bytes
import Documents
import JSON

/// References: into this document, to something of the right kind, and not in circles.
extension DocumentCheck {
    /// References that lead to references, at most.
    private static let hopsMax: Int = 32

    func checkReferable(_ value: NodeDecoder, _ kind: ObjectKind) {
        // A path item's `$ref` is one of its own fields; in it and elsewhere, what stands beside a reference is ignored.
        guard kind != .pathItem, let reference: NodeDecoder = value["$ref"] else {
            return self.checkObject(value, kind)
        }
        self.checkReference(reference, kind)
    }

    /// Checks the value of a `$ref`.
    func checkReference(_ reference: NodeDecoder, _ kind: ObjectKind) {
        guard let text: String = reference.string() else { return }
        if kind == .schema, self.version == .v3_1, self.schemaNames.contains(text) { return }
        guard text.utf8.first == UInt8(ascii: "#") else {
            return reference.problem(
                "expected a reference into this document (#/…); bundle documents that refer to others before importing them"
            )
        }
        guard let pointer: JSONPointer = JSONPointer(fragment: text) else {
            return reference.problem("expected a JSON pointer after \"#\", such as \(self.example(kind))")
        }
        guard let target: Node = self.root.resolve(pointer) else {
            return reference.problem(
                "expected something at \(Quoted.text(text)), found nothing\(self.nearest(pointer))")
        }
        guard self.fits(pointer, kind) else {
            return reference.problem(
                "expected a reference to \(Self.article(kind)) \(kind.rawValue) Object, such as \(self.example(kind))")
        }
        guard self.follow(pointer) != nil else {
            // Circles of schemas are found by their composition, with a better message.
            if kind != .schema {
                reference.problem("expected a reference that ends, found one that leads back to itself")
            }
            return
        }
        self.checkTarget(target, at: pointer, kind)
    }

    /// What `pointer` leads to when every reference on the way is followed; nil when it never ends.
    func follow(_ pointer: JSONPointer) -> (node: Node, pointer: JSONPointer)? {
        var place: JSONPointer = pointer
        for _ in 0..<Self.hopsMax {
            guard let node: Node = self.root.resolve(place) else { return nil }
            guard let next: String = node["$ref"]?.text else { return (node, place) }
            guard let following: JSONPointer = JSONPointer(fragment: next), following != place else { return nil }
            place = following
        }
        return nil
    }

    /// The object that a value is or refers to, with its own pointer; nil after a broken reference.
    func resolved(_ value: NodeDecoder) -> NodeDecoder? {
        guard let text: String = value.node["$ref"]?.text else { return value }
        guard let pointer: JSONPointer = JSONPointer(fragment: text),
            let (node, place): (Node, JSONPointer) = self.follow(pointer)
        else { return nil }
        return NodeDecoder(node, at: place, problems: self.problems)
    }

    /// A place in another kind's section cannot be meant.
    private func fits(_ pointer: JSONPointer, _ kind: ObjectKind) -> Bool {
        for (other, section) in self.specification.sections where other != kind {
            if pointer.tokens.count == section.count + 1, Array(pointer.tokens.dropLast()) == section { return false }
        }
        return true
    }

    /// What lies outside of its kind's section may not have been looked at as that kind.
    private func checkTarget(_ target: Node, at pointer: JSONPointer, _ kind: ObjectKind) {
        let section: [String] = self.specification.sections[kind] ?? []
        if pointer.tokens.count == section.count + 1, Array(pointer.tokens.dropLast()) == section { return }
        guard self.knownTargets.insert("\(kind.rawValue) \(pointer.text)").inserted else { return }
        self.pendingTargets.append((target, pointer, kind))
    }

    private func example(_ kind: ObjectKind) -> String {
        let section: [String] = self.specification.sections[kind] ?? ["paths"]
        return "\"#/\(section.joined(separator: "/"))/name\""
    }

    /// ", did you mean …?" when something beside the missing place has nearly its name.
    private func nearest(_ pointer: JSONPointer) -> String {
        guard let name: String = pointer.tokens.last,
            let siblings: [Node.Member] = self.root.resolve(JSONPointer(tokens: Array(pointer.tokens.dropLast())))?
                .members
        else { return "" }
        guard !self.problems.isFull,
            let meant: String = NearestName.suggestion(for: name, among: siblings.map { $0.key.text ?? "" })
        else { return "" }
        return ", did you mean \(Quoted.text(meant))?"
    }
}

/// The names that schemas give themselves (JSON Schema 2020-12 section 8.2).
struct SchemaNames {
    private var names: Set<String> = []

    /// Whether a reference names a schema by its `$id`, or by an anchor of this document.
    func contains(_ reference: String) -> Bool {
        if self.names.contains(reference) { return true }
        guard let hash: String.Index = reference.firstIndex(of: "#"), hash != reference.startIndex else { return false }
        return self.names.contains(String(reference[..<hash]))
    }

    mutating func collect(_ node: Node) {
        switch node.kind {
        case .mapping(let members):
            for member: Node.Member in members {
                switch (member.key.text, member.value.text) {
                case ("$id", let id?): self.names.insert(id)
                case ("$anchor", let anchor?), ("$dynamicAnchor", let anchor?): self.names.insert("#" + anchor)
                default: self.collect(member.value)
                }
            }
        case .sequence(let elements):
            for element: Node in elements { self.collect(element) }
        default: return
        }
    }
}
