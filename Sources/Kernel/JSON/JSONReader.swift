/// Reads a whole JSON text into a tree: strict RFC 8259, UTF-8 only, no byte order mark, each key once, bounded depth.
///
/// Memory grows with the text: at most about 24 bytes for each byte read. Safe on any thread; stops at the first error.
package struct JSONReader {
    private var scanner: JSONScanner
    private let depthMax: Int

    package static func parse(
        _ bytes: UnsafeRawBufferPointer, limits: JSONLimits = .standard
    ) throws(JSONError) -> JSONValue {
        var reader: JSONReader = JSONReader(scanner: JSONScanner(bytes), depthMax: limits.depth)
        guard bytes.count <= limits.bytes else {
            throw reader.scanner.failure("expected at most \(limits.bytes) bytes, found \(bytes.count)", at: 0)
        }
        let value: JSONValue = try reader.value(depth: 0)
        reader.scanner.skipWhitespace()
        guard reader.scanner.position == bytes.count else {
            throw reader.scanner.unexpected("the end after the value", at: reader.scanner.position)
        }
        return value
    }

    package static func parse(_ bytes: [UInt8], limits: JSONLimits = .standard) throws(JSONError) -> JSONValue {
        let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { raw in
            Result { () throws(JSONError) in try self.parse(raw, limits: limits) }
        }
        return try result.get()
    }

    package static func parse(_ text: String, limits: JSONLimits = .standard) throws(JSONError) -> JSONValue {
        var text: String = text
        let result: Result<JSONValue, JSONError> = text.withUTF8 { utf8 in
            Result { () throws(JSONError) in try self.parse(UnsafeRawBufferPointer(utf8), limits: limits) }
        }
        return try result.get()
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        self.scanner.skipWhitespace()
        switch self.scanner.current {
        case UInt8(ascii: "\""): return .string(try self.scanner.string())
        case UInt8(ascii: "{"): return .object(try self.object(depth: depth + 1))
        case UInt8(ascii: "["): return .array(try self.array(depth: depth + 1))
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try self.scanner.number()
        case UInt8(ascii: "t"):
            try self.scanner.literal("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try self.scanner.literal("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try self.scanner.literal("null")
            return .null
        default: throw self.scanner.unexpected("a value", at: self.scanner.position)
        }
    }

    private mutating func open(depth: Int) throws(JSONError) {
        guard depth <= self.depthMax else {
            throw self.scanner.failure("expected at most \(self.depthMax) levels of nesting", at: self.scanner.position)
        }
        self.scanner.position += 1
        self.scanner.skipWhitespace()
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        try self.open(depth: depth)
        var elements: [JSONValue] = []
        if self.scanner.current == UInt8(ascii: "]") {
            self.scanner.position += 1
            return elements
        }
        while true {
            elements.append(try self.value(depth: depth))
            self.scanner.skipWhitespace()
            switch self.scanner.current {
            case UInt8(ascii: ","): self.scanner.position += 1
            case UInt8(ascii: "]"):
                self.scanner.position += 1
                return elements
            default: throw self.scanner.unexpected("',' or ']' after an element", at: self.scanner.position)
            }
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        try self.open(depth: depth)
        var members: [JSONObject.Member] = []
        var keys: KeySet = KeySet()
        if self.scanner.current == UInt8(ascii: "}") {
            self.scanner.position += 1
            return JSONObject()
        }
        while true {
            let key: String = try self.key(members, &keys)
            members.append((key: key, value: try self.value(depth: depth)))
            self.scanner.skipWhitespace()
            switch self.scanner.current {
            case UInt8(ascii: ","): self.scanner.position += 1
            case UInt8(ascii: "}"):
                self.scanner.position += 1
                return JSONObject(distinct: members, index: keys.index)
            default: throw self.scanner.unexpected("',' or '}' after a member", at: self.scanner.position)
            }
        }
    }

    /// Reads a key and its colon, and refuses it when `members` has it already.
    private mutating func key(_ members: [JSONObject.Member], _ keys: inout KeySet) throws(JSONError) -> String {
        self.scanner.skipWhitespace()
        let start: Int = self.scanner.position
        guard self.scanner.current == UInt8(ascii: "\"") else {
            throw self.scanner.unexpected("a key in double quotes", at: start)
        }
        let key: String = try self.scanner.string()
        guard keys.insert(key, after: members) else {
            throw self.scanner.failure(
                "expected each key once, found \(Quoted.text(key)) again", at: start)
        }
        self.scanner.skipWhitespace()
        guard self.scanner.current == UInt8(ascii: ":") else {
            throw self.scanner.unexpected("':' after a key", at: self.scanner.position)
        }
        self.scanner.position += 1
        return key
    }
}

/// Finds keys that come twice: by comparing while an object is small, by its index once it is not.
private struct KeySet {
    var index: [ExactKey: Int]?

    /// Whether `key` is none of `members`; the caller then appends it.
    mutating func insert(_ key: String, after members: [JSONObject.Member]) -> Bool {
        if members.count < JSONObject.indexedFrom - 1 {
            for member: JSONObject.Member in members where member.key.hasSameBytes(as: key) { return false }
            return true
        }
        if self.index == nil {
            var index: [ExactKey: Int] = Dictionary(minimumCapacity: members.count * 2)
            for (position, member) in members.enumerated() { index[ExactKey(member.key)] = position }
            self.index = index
        }
        return self.index?.updateValue(members.count, forKey: ExactKey(key)) == nil
    }
}
