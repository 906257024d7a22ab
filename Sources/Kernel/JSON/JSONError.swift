/// Why a text is not the JSON we read, and where.
package struct JSONError: Error, Equatable, Sendable {
    /// In bytes from the start, 0-based.
    package let offset: Int
    /// 1-based.
    package let line: Int
    /// 1-based, in characters (Unicode scalars) from the start of the line.
    package let column: Int
    /// What was expected and what was found, without the place.
    package let message: String

    package init(offset: Int, line: Int, column: Int, message: String) {
        self.offset = offset
        self.line = line
        self.column = column
        self.message = message
    }

    /// Finds line and column of `offset` in `bytes`.
    package init(_ message: String, at offset: Int, in bytes: UnsafeRawBufferPointer) {
        var line: Int = 1
        var column: Int = 1
        for index: Int in 0..<min(offset, bytes.count) {
            if bytes[index] == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if bytes[index] & 0xC0 != 0x80 {
                column += 1
            }
        }
        self.init(offset: offset, line: line, column: column, message: message)
    }
}

extension JSONError: CustomStringConvertible {
    package var description: String { "line \(self.line), column \(self.column): \(self.message)" }
}

/// What a reader accepts at most.
package struct JSONLimits: Sendable {
    /// Arrays and objects inside one another.
    package var depth: Int
    /// Length of the whole text.
    package var bytes: Int

    package init(depth: Int = 64, bytes: Int = 16 << 20) {
        self.depth = depth
        self.bytes = bytes
    }

    package static let standard: JSONLimits = JSONLimits()
}
