import Bytes
import JSON

/// Why a text is no document, and where.
package struct DocumentError: Error, Equatable, Sendable {
    /// 1-based.
    package let line: Int
    /// 1-based, in characters.
    package let column: Int
    /// What was expected and what was found, without the place.
    package let message: String

    package init(line: Int, column: Int, message: String) {
        self.line = line
        self.column = column
        self.message = message
    }

    package var problem: Problem { Problem(pointer: "", line: self.line, column: self.column, message: self.message) }
}

extension DocumentError: CustomStringConvertible {
    package var description: String { "\(self.line):\(self.column): \(self.message)" }
}

/// What a reader accepts at most.
package struct DocumentLimits: Sendable {
    /// Length of the whole text.
    package var bytes: Int
    /// Mappings and sequences inside one another, aliases followed.
    package var depth: Int
    /// Scalars, mappings and sequences together, aliases followed.
    package var values: Int
    /// How many of these may come from YAML aliases: a few lines of aliases to aliases can stand for billions.
    package var aliasedValues: Int
    /// UTF-8 bytes of one key; keys become part of every pointer.
    package var keyBytes: Int

    package init(
        bytes: Int = 10 << 20, depth: Int = 100, values: Int = 1_000_000, aliasedValues: Int = 100_000,
        keyBytes: Int = 4096
    ) {
        self.keyBytes = keyBytes
        self.bytes = bytes
        self.depth = depth
        self.values = values
        self.aliasedValues = aliasedValues
    }

    package static let standard: DocumentLimits = DocumentLimits()
}

/// Reads one YAML 1.2 (core schema) or JSON document, told apart by how it begins: `{` and `"` begin JSON.
///
/// UTF-8 only, each key once, no tags but those of the core schema, no merge keys. An empty text is null. The time is linear
/// in the length, the memory about a hundred bytes a value; stops at the first error.
package enum DocumentReader {
    package static func parse(
        _ bytes: [UInt8], limits: DocumentLimits = .standard
    ) throws(DocumentError) -> Node {
        guard bytes.count <= limits.bytes else {
            let message: String = "expected a document of at most \(limits.bytes) bytes, found \(bytes.count)"
            throw DocumentError(line: 1, column: 1, message: message)
        }
        let result: Result<Node, DocumentError> = bytes.withUnsafeBytes { raw in
            Result { () throws(DocumentError) in try self.parse(raw, limits: limits) }
        }
        return try result.get()
    }

    package static func parse(
        _ text: String, limits: DocumentLimits = .standard
    ) throws(DocumentError) -> Node {
        try self.parse(Array(text.utf8), limits: limits)
    }

    private static func parse(
        _ bytes: UnsafeRawBufferPointer, limits: DocumentLimits
    ) throws(DocumentError) -> Node {
        if let offset: Int = UTF8Validation.firstInvalidOffset(in: bytes) {
            let message: String = "expected UTF-8, found byte 0x\(Hex.encode([bytes[offset]]))"
            throw DocumentError(JSONError(message, at: offset, in: bytes))
        }
        // A byte order mark is no part of the text.
        let hasMark: Bool = bytes.count >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF
        let text: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: bytes[(hasMark ? 3 : 0)...])
        if self.beginsJSON(text) {
            var reader: JSONNodeReader = try JSONNodeReader(text, limits: limits)
            return try reader.document()
        }
        return try YAMLNodeReader(text, limits: limits).document()
    }

    /// `{` and then `"` or `}`: what every JSON object begins with, and a YAML flow mapping hardly ever.
    private static func beginsJSON(_ text: UnsafeRawBufferPointer) -> Bool {
        var isOpen: Bool = false
        for byte: UInt8 in text where byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09 {
            if isOpen { return byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "}") }
            guard byte == UInt8(ascii: "{") else { return false }
            isOpen = true
        }
        return isOpen
    }
}

extension DocumentError {
    init(_ error: JSONError) { self.init(line: error.line, column: error.column, message: error.message) }

    /// The refusals that both syntaxes share.
    static func repeatedKey(_ key: String, at position: SourcePosition) -> DocumentError {
        DocumentError("expected each key once, found \(Quoted.text(key)) again", at: position)
    }

    static func tooDeep(_ limits: DocumentLimits, at position: SourcePosition) -> DocumentError {
        DocumentError("expected at most \(limits.depth) levels of nesting", at: position)
    }

    static func longKey(_ limits: DocumentLimits, at position: SourcePosition) -> DocumentError {
        DocumentError("expected a key of at most \(limits.keyBytes) bytes", at: position)
    }

    static func tooManyValues(_ limits: DocumentLimits, at position: SourcePosition) -> DocumentError {
        DocumentError("expected at most \(limits.values) values in a document", at: position)
    }

    init(_ message: String, at position: SourcePosition) {
        self.init(line: position.line, column: position.column, message: message)
    }
}
