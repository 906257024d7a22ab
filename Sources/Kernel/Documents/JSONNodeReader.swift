import JSON

/// Builds nodes from a JSON text.
struct JSONNodeReader {
    private let bytes: UnsafeRawBufferPointer
    private let limits: DocumentLimits
    private var reader: JSONEventReader
    private var values: Int = 0
    // Where the last position was computed; offsets only grow, so each byte is looked at once.
    private var offset: Int = 0
    private var line: Int = 1
    private var column: Int = 1

    init(_ bytes: UnsafeRawBufferPointer, limits: DocumentLimits) throws(DocumentError) {
        self.bytes = bytes
        self.limits = limits
        do {
            self.reader = try JSONEventReader(bytes, limits: JSONLimits(depth: limits.depth, bytes: limits.bytes))
        } catch {
            throw DocumentError(error)
        }
    }

    mutating func document() throws(DocumentError) -> Node {
        let first: JSONEvent = try self.next()
        let node: Node = try self.node(first)
        _ = try self.next()
        return node
    }

    private mutating func next() throws(DocumentError) -> JSONEvent {
        do {
            return try self.reader.next()
        } catch {
            throw DocumentError(error)
        }
    }

    private mutating func node(_ event: JSONEvent) throws(DocumentError) -> Node {
        let position: SourcePosition = self.position()
        self.values += 1
        if self.values > self.limits.values { throw .tooManyValues(self.limits, at: position) }
        switch event {
        case .beginObject: return Node(.mapping(try self.members()), at: position)
        case .beginArray: return Node(.sequence(try self.elements()), at: position)
        case .scalar(let value): return Node(Self.kind(value), at: position)
        case .key, .endObject, .endArray, .end:
            preconditionFailure("a value was due, the event reader's grammar is broken")
        }
    }

    private mutating func elements() throws(DocumentError) -> [Node] {
        var elements: [Node] = []
        while true {
            let event: JSONEvent = try self.next()
            if event == .endArray { return elements }
            elements.append(try self.node(event))
        }
    }

    private mutating func members() throws(DocumentError) -> [Node.Member] {
        var members: [Node.Member] = []
        var keys: Set<ExactKey> = []
        while case .key(let key) = try self.next() {
            let position: SourcePosition = self.position()
            if key.utf8.count > self.limits.keyBytes { throw .longKey(self.limits, at: position) }
            guard Self.isNew(key, among: members, &keys) else { throw .repeatedKey(key, at: position) }
            let event: JSONEvent = try self.next()
            members.append((key: Node(.string(key), at: position), value: try self.node(event)))
        }
        return members
    }

    /// Looks at few members one by one; of many it keeps the keys, so that hostile objects cost no more.
    private static func isNew(_ key: String, among members: [Node.Member], _ keys: inout Set<ExactKey>) -> Bool {
        if members.count < Node.indexedFrom {
            for member in members where member.key.text?.hasSameBytes(as: key) == true { return false }
            return true
        }
        if keys.isEmpty { for member in members { keys.insert(ExactKey(member.key.text ?? "")) } }
        return keys.insert(ExactKey(key)).inserted
    }

    private static func kind(_ value: JSONValue) -> Node.Kind {
        switch value {
        case .bool(let flag): return .bool(flag)
        case .int(let number): return .int(number)
        case .double(let number): return .double(number)
        case .string(let text): return .string(text)
        case .null, .array, .object: return .null
        }
    }

    /// Where the last event began.
    private mutating func position() -> SourcePosition {
        while self.offset < self.reader.offset {
            let byte: UInt8 = self.bytes[self.offset]
            if byte == UInt8(ascii: "\n") {
                self.line += 1
                self.column = 1
            } else if byte & 0xC0 != 0x80 {
                self.column += 1
            }
            self.offset += 1
        }
        return SourcePosition(line: self.line, column: self.column)
    }
}
