import CYAML
import JSON

/// Builds nodes from a YAML text with libyaml's events.
///
/// libyaml's structs point into themselves, so both live where they were allocated. The text must outlive the reader.
final class YAMLNodeReader {
    /// What an anchor stands for.
    private struct Anchored {
        let node: Node
        /// Values in it, itself included.
        let values: Int
        /// Levels of nesting in it: 0 for a scalar.
        let height: Int
    }

    private static let coreTag: String = "tag:yaml.org,2002:"

    private let limits: DocumentLimits
    private let text: UnsafeRawBufferPointer
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    /// The current event; empty (type 0) before the first.
    private let event: UnsafeMutablePointer<yaml_event_t>
    private var anchors: [String: Anchored] = [:]
    private var values: Int = 0
    private var aliasedValues: Int = 0

    init(_ text: UnsafeRawBufferPointer, limits: DocumentLimits) throws(DocumentError) {
        self.text = text
        self.limits = limits
        self.parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        self.event = UnsafeMutablePointer<yaml_event_t>.allocate(capacity: 1)
        self.event.initialize(to: yaml_event_t())
        self.parser.initialize(to: yaml_parser_t())
        guard yaml_parser_initialize(self.parser) == 1 else { throw DocumentError("out of memory", at: .start) }
        yaml_parser_set_encoding(self.parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(self.parser, text.bindMemory(to: UInt8.self).baseAddress, text.count)
    }

    deinit {
        yaml_event_delete(self.event)
        yaml_parser_delete(self.parser)
        self.event.deallocate()
        self.parser.deallocate()
    }

    /// The one document of the text; null when there is none.
    func document() throws(DocumentError) -> Node {
        // An empty buffer has no address, and libyaml wants one.
        if self.text.isEmpty { return Node(.null) }
        try self.advance()
        try self.advance()
        if self.event.pointee.type == YAML_STREAM_END_EVENT { return Node(.null) }
        try self.advance()
        let (node, _): (Node, Int) = try self.node(depth: 0)
        try self.advance()
        try self.advance()
        guard self.event.pointee.type == YAML_STREAM_END_EVENT else {
            throw DocumentError("expected one document, found a second", at: self.position)
        }
        return node
    }

    // MARK: Events

    private func advance() throws(DocumentError) {
        yaml_event_delete(self.event)
        guard yaml_parser_parse(self.parser, self.event) == 1 else { throw self.syntaxError() }
    }

    private var position: SourcePosition { Self.position(self.event.pointee.start_mark) }

    private static func position(_ mark: yaml_mark_t) -> SourcePosition {
        SourcePosition(line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }

    private func syntaxError() -> DocumentError {
        let state: yaml_parser_t = self.parser.pointee
        let problem: String = state.problem.map { String(cString: $0) } ?? "out of memory"
        if state.error == YAML_READER_ERROR {
            let place: JSONError = JSONError(
                "expected text that YAML allows: \(problem)", at: Int(state.problem_offset), in: self.text)
            return DocumentError(place)
        }
        var message: String = "expected YAML: \(problem)"
        if let context: UnsafePointer<CChar> = state.context {
            message += " \(String(cString: context))"
            if state.context_mark.line != state.problem_mark.line {
                message += " of line \(state.context_mark.line + 1)"
            }
        }
        return DocumentError(message, at: Self.position(state.problem_mark))
    }

    // MARK: Nodes

    /// The value that the current event begins, and how many levels of nesting it has. Afterwards the current event is its last.
    private func node(depth: Int) throws(DocumentError) -> (Node, height: Int) {
        let position: SourcePosition = self.position
        self.values += 1
        if self.values > self.limits.values { throw .tooManyValues(self.limits, at: position) }
        let before: Int = self.values
        let anchor: String?
        let node: Node
        var height: Int = 0
        switch self.event.pointee.type {
        case YAML_ALIAS_EVENT: return try self.alias(depth: depth)
        case YAML_SCALAR_EVENT:
            anchor = Self.string(self.event.pointee.data.scalar.anchor)
            node = Node(try self.scalar(), at: position)
        case YAML_SEQUENCE_START_EVENT:
            anchor = Self.string(self.event.pointee.data.sequence_start.anchor)
            try self.checkTag(self.event.pointee.data.sequence_start.tag, is: "seq")
            node = Node(.sequence(try self.elements(depth: depth + 1, &height)), at: position)
        case YAML_MAPPING_START_EVENT:
            anchor = Self.string(self.event.pointee.data.mapping_start.anchor)
            try self.checkTag(self.event.pointee.data.mapping_start.tag, is: "map")
            node = Node(.mapping(try self.members(depth: depth + 1, &height)), at: position)
        default: throw DocumentError("expected a value", at: position)
        }
        if let anchor: String {
            self.anchors[anchor] = Anchored(node: node, values: self.values - before + 1, height: height)
        }
        return (node, height)
    }

    private func alias(depth: Int) throws(DocumentError) -> (Node, height: Int) {
        let name: String = Self.string(self.event.pointee.data.alias.anchor) ?? ""
        guard let anchored: Anchored = self.anchors[name] else {
            throw DocumentError("expected an anchor &\(name.prefix(64)) before this alias", at: self.position)
        }
        self.values += anchored.values - 1
        self.aliasedValues += anchored.values
        if self.values > self.limits.values { throw .tooManyValues(self.limits, at: self.position) }
        if self.aliasedValues > self.limits.aliasedValues {
            let message: String =
                "expected aliases to stand for at most \(self.limits.aliasedValues) values in a document"
            throw DocumentError(message, at: self.position)
        }
        if depth + anchored.height > self.limits.depth { throw .tooDeep(self.limits, at: self.position) }
        return (anchored.node, anchored.height)
    }

    private func elements(depth: Int, _ height: inout Int) throws(DocumentError) -> [Node] {
        if depth > self.limits.depth { throw .tooDeep(self.limits, at: self.position) }
        var elements: [Node] = []
        var highest: Int = 0
        try self.advance()
        while self.event.pointee.type != YAML_SEQUENCE_END_EVENT {
            let (element, below): (Node, Int) = try self.node(depth: depth)
            elements.append(element)
            highest = max(highest, below)
            try self.advance()
        }
        height = highest + 1
        return elements
    }

    private func members(depth: Int, _ height: inout Int) throws(DocumentError) -> [Node.Member] {
        if depth > self.limits.depth { throw .tooDeep(self.limits, at: self.position) }
        var members: [Node.Member] = []
        var keys: Set<ExactKey> = []
        var highest: Int = 0
        try self.advance()
        while self.event.pointee.type != YAML_MAPPING_END_EVENT {
            let key: Node = try self.key()
            let text: String = key.text ?? ""
            if text.utf8.count > self.limits.keyBytes { throw .longKey(self.limits, at: key.position) }
            guard keys.insert(ExactKey(text)).inserted else { throw .repeatedKey(text, at: key.position) }
            try self.advance()
            let (value, below): (Node, Int) = try self.node(depth: depth)
            members.append((key: key, value: value))
            highest = max(highest, below)
            try self.advance()
        }
        height = highest + 1
        return members
    }

    /// A key as a string, whatever scalar it is.
    private func key() throws(DocumentError) -> Node {
        let position: SourcePosition = self.position
        guard self.event.pointee.type == YAML_SCALAR_EVENT else {
            throw DocumentError("expected a plain or quoted key", at: position)
        }
        let text: String = self.scalarText()
        if self.isPlain {
            if text == "<<" {
                throw DocumentError("expected members written out: YAML 1.2 has no merge keys (<<)", at: position)
            }
            if text.isEmpty { throw DocumentError("expected a key before ':'", at: position) }
        }
        let node: Node = Node(.string(text), at: position)
        if let anchor: String = Self.string(self.event.pointee.data.scalar.anchor) {
            self.anchors[anchor] = Anchored(node: node, values: 1, height: 0)
        }
        return node
    }

    // MARK: Scalars

    private var isPlain: Bool { self.event.pointee.data.scalar.style == YAML_PLAIN_SCALAR_STYLE }

    private func scalarText() -> String {
        let bytes: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(
            start: self.event.pointee.data.scalar.value, count: Int(self.event.pointee.data.scalar.length))
        return String(decoding: bytes, as: UTF8.self)
    }

    private func scalar() throws(DocumentError) -> Node.Kind {
        let text: String = self.scalarText()
        if let tag: String = Self.string(self.event.pointee.data.scalar.tag), tag != "!" {
            guard tag.hasPrefix(Self.coreTag),
                let kind: Node.Kind = YAMLScalar.kind(text, tag: tag.dropFirst(Self.coreTag.count))
            else { throw DocumentError("expected a value that fits its tag \(Quoted.text(tag))", at: self.position) }
            return kind
        }
        guard self.isPlain, self.event.pointee.data.scalar.tag == nil else { return .string(text) }
        guard let kind: Node.Kind = YAMLScalar.kind(text) else {
            throw DocumentError(
                "expected a finite number within the range of a double, or a text in quotes", at: self.position)
        }
        return kind
    }

    private func checkTag(_ tag: UnsafeMutablePointer<UInt8>?, is expected: String) throws(DocumentError) {
        guard let tag: String = Self.string(tag), tag != "!", tag != Self.coreTag + expected else { return }
        throw DocumentError("expected no tag but !!\(expected), found \(Quoted.text(tag))", at: self.position)
    }

    private static func string(_ text: UnsafeMutablePointer<UInt8>?) -> String? {
        text.map { String(cString: $0) }
    }
}
