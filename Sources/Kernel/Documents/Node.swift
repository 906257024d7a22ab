package import JSON

/// A place in a text, both 1-based; columns count characters (Unicode scalars).
package struct SourcePosition: Sendable, Hashable {
    package let line: Int
    package let column: Int

    package static let start: SourcePosition = SourcePosition(line: 1, column: 1)

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

extension SourcePosition: CustomStringConvertible {
    package var description: String { "\(self.line):\(self.column)" }
}

/// A value of a YAML or JSON document, with the place where it stands.
///
/// What a YAML alias stands for carries the position of its anchor. Mapping keys are strings: YAML's other scalars keep their
/// spelling (`200:` is the key "200").
package struct Node: Sendable {
    package typealias Member = (key: Node, value: Node)

    package enum Kind: Sendable {
        case null
        case bool(Bool)
        case int(Int64)
        /// Always finite.
        case double(Double)
        case string(String)
        case sequence([Node])
        /// In the document's order, each key once.
        case mapping([Member])
    }

    /// From how many members on an index by key pays.
    static let indexedFrom: Int = 17

    package let position: SourcePosition
    package let kind: Kind
    /// Position of each key among the members of a large mapping.
    private let index: [ExactKey: Int]?

    package init(_ kind: Kind, at position: SourcePosition = .start) {
        self.kind = kind
        self.position = position
        guard case .mapping(let members) = kind, members.count >= Self.indexedFrom else {
            self.index = nil
            return
        }
        var index: [ExactKey: Int] = Dictionary(minimumCapacity: members.count)
        for (place, member) in members.enumerated() { index[ExactKey(member.key.text ?? "")] = place }
        self.index = index
    }
}

extension Node {
    package var text: String? {
        if case .string(let value) = self.kind { return value }
        return nil
    }

    package var elements: [Node]? {
        if case .sequence(let nodes) = self.kind { return nodes }
        return nil
    }

    package var members: [Member]? {
        if case .mapping(let members) = self.kind { return members }
        return nil
    }

    package var isNull: Bool {
        if case .null = self.kind { return true }
        return false
    }

    /// The value of `key`, or nil when there is none or this is no mapping.
    package subscript(key: String) -> Node? { self.member(key)?.value }

    /// The member `key` with the key's own position.
    package func member(_ key: String) -> Member? {
        guard case .mapping(let members) = self.kind else { return nil }
        if let index: [ExactKey: Int] = self.index { return index[ExactKey(key)].map { members[$0] } }
        for member: Member in members where member.key.text?.hasSameBytes(as: key) == true { return member }
        return nil
    }

    /// What `pointer` names, or nil.
    package func resolve(_ pointer: JSONPointer) -> Node? {
        var node: Node = self
        for token: String in pointer.tokens {
            switch node.kind {
            case .mapping:
                guard let value: Node = node[token] else { return nil }
                node = value
            case .sequence(let elements):
                guard let index: Int = JSONPointer.index(token), index < elements.count else { return nil }
                node = elements[index]
            default: return nil
            }
        }
        return node
    }

    /// The same value without positions.
    package func json() -> JSONValue {
        switch self.kind {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .int(let value): return .int(value)
        case .double(let value): return .double(value)
        case .string(let value): return .string(value)
        case .sequence(let nodes):
            var elements: [JSONValue] = []
            elements.reserveCapacity(nodes.count)
            for node: Node in nodes { elements.append(node.json()) }
            return .array(elements)
        case .mapping(let members):
            var object: JSONObject = JSONObject()
            for member: Member in members { object.append(member.key.text ?? "", member.value.json()) }
            return .object(object)
        }
    }

    /// A value that stands in no text.
    package init(json: JSONValue) {
        switch json {
        case .null: self.init(.null)
        case .bool(let value): self.init(.bool(value))
        case .int(let value): self.init(.int(value))
        case .double(let value): self.init(.double(value))
        case .string(let value): self.init(.string(value))
        case .array(let elements):
            var nodes: [Node] = []
            nodes.reserveCapacity(elements.count)
            for element: JSONValue in elements { nodes.append(Node(json: element)) }
            self.init(.sequence(nodes))
        case .object(let object):
            var members: [Member] = []
            members.reserveCapacity(object.count)
            for member: JSONObject.Member in object.members {
                members.append((key: Node(.string(member.key)), value: Node(json: member.value)))
            }
            self.init(.mapping(members))
        }
    }

    /// What kind of value this is, as problems name it: "a string", "a mapping", "nothing".
    package var kindName: String {
        switch self.kind {
        case .null: return "nothing"
        case .bool: return "a boolean"
        case .int: return "an integer"
        case .double: return "a number"
        case .string: return "a string"
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        }
    }
}
