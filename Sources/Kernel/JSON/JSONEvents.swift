/// One step through a JSON text.
package enum JSONEvent: Equatable, Sendable {
    case beginObject, endObject, beginArray, endArray
    /// A member's key; its value is next.
    case key(String)
    /// Null, a boolean, a number or a string.
    case scalar(JSONValue)
    /// The value is complete and nothing follows it.
    case end
}

/// Steps through a JSON text event by event, with the offset of each: for readers that build something else than a tree.
///
/// Checks the same grammar as `JSONReader` except that keys may repeat: that is left to who knows the object.
/// The bytes must stay where they are as long as the reader is used.
package struct JSONEventReader {
    private enum Expectation { case value, firstElement, firstKey, key, separator, end }

    private var scanner: JSONScanner
    private let depthMax: Int
    /// Whether each open container is an object.
    private var open: [Bool] = []
    private var expectation: Expectation = .value
    /// Where the last event began, in bytes.
    package private(set) var offset: Int = 0

    package init(_ bytes: UnsafeRawBufferPointer, limits: JSONLimits = .standard) throws(JSONError) {
        self.scanner = JSONScanner(bytes)
        self.depthMax = limits.depth
        guard bytes.count <= limits.bytes else {
            throw self.scanner.failure("expected at most \(limits.bytes) bytes, found \(bytes.count)", at: 0)
        }
    }

    /// The next event; `end` for ever after the last.
    package mutating func next() throws(JSONError) -> JSONEvent {
        self.scanner.skipWhitespace()
        if case .separator = self.expectation, let closing: JSONEvent = try self.separator() { return closing }
        self.offset = self.scanner.position
        switch self.expectation {
        case .firstElement where self.scanner.current == UInt8(ascii: "]"): return self.close()
        case .firstKey where self.scanner.current == UInt8(ascii: "}"): return self.close()
        case .firstKey, .key: return try self.key()
        case .end, .separator: return try self.finish()
        case .value, .firstElement: return try self.value()
        }
    }

    /// Reads what follows a value inside a container: a comma (then nil), or its end.
    private mutating func separator() throws(JSONError) -> JSONEvent? {
        guard let isObject: Bool = self.open.last else { return nil }
        self.offset = self.scanner.position
        if self.scanner.current == UInt8(ascii: ",") {
            self.scanner.position += 1
            self.scanner.skipWhitespace()
            self.expectation = isObject ? .key : .value
            return nil
        }
        guard self.scanner.current == UInt8(ascii: isObject ? "}" : "]") else {
            let wanted: String = isObject ? "',' or '}' after a member" : "',' or ']' after an element"
            throw self.scanner.unexpected(wanted, at: self.scanner.position)
        }
        return self.close()
    }

    private mutating func close() -> JSONEvent {
        self.scanner.position += 1
        let wasObject: Bool = self.open.removeLast()
        self.afterValue()
        return wasObject ? .endObject : .endArray
    }

    private mutating func afterValue() { self.expectation = self.open.isEmpty ? .end : .separator }

    private mutating func key() throws(JSONError) -> JSONEvent {
        guard self.scanner.current == UInt8(ascii: "\"") else {
            throw self.scanner.unexpected("a key in double quotes", at: self.offset)
        }
        let key: String = try self.scanner.string()
        self.scanner.skipWhitespace()
        guard self.scanner.current == UInt8(ascii: ":") else {
            throw self.scanner.unexpected("':' after a key", at: self.scanner.position)
        }
        self.scanner.position += 1
        self.expectation = .value
        return .key(key)
    }

    private mutating func value() throws(JSONError) -> JSONEvent {
        switch self.scanner.current {
        case UInt8(ascii: "{"): return try self.begin(isObject: true)
        case UInt8(ascii: "["): return try self.begin(isObject: false)
        default: break
        }
        let value: JSONValue
        switch self.scanner.current {
        case UInt8(ascii: "\""): value = .string(try self.scanner.string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): value = try self.scanner.number()
        case UInt8(ascii: "t"):
            try self.scanner.literal("true")
            value = .bool(true)
        case UInt8(ascii: "f"):
            try self.scanner.literal("false")
            value = .bool(false)
        case UInt8(ascii: "n"):
            try self.scanner.literal("null")
            value = .null
        default: throw self.scanner.unexpected("a value", at: self.offset)
        }
        self.afterValue()
        return .scalar(value)
    }

    private mutating func begin(isObject: Bool) throws(JSONError) -> JSONEvent {
        guard self.open.count < self.depthMax else {
            throw self.scanner.failure("expected at most \(self.depthMax) levels of nesting", at: self.offset)
        }
        self.scanner.position += 1
        self.open.append(isObject)
        self.expectation = isObject ? .firstKey : .firstElement
        return isObject ? .beginObject : .beginArray
    }

    private mutating func finish() throws(JSONError) -> JSONEvent {
        guard self.scanner.position == self.scanner.bytes.count else {
            throw self.scanner.unexpected("the end after the value", at: self.scanner.position)
        }
        return .end
    }
}
