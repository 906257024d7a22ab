/// Writes message heads. Names and values that would break the framing are refused: they come from handlers and callers, who
/// may have taken them from users.
struct HeadWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int = 512) {
        self.bytes.reserveCapacity(capacity)
    }

    mutating func responseLine(_ status: Int) {
        self.text("HTTP/1.1 ")
        self.number(status)
        self.text(" ")
        self.bytes.append(contentsOf: HTTPStatus.reason(status).utf8)
        self.endLine()
    }

    mutating func requestLine(_ method: String, _ target: String) {
        self.bytes.append(contentsOf: method.utf8)
        self.text(" ")
        self.bytes.append(contentsOf: target.utf8)
        self.text(" HTTP/1.1\r\n")
    }

    /// One checked line; false, with nothing written, if it cannot stand in a head.
    mutating func field(_ name: String, _ value: String) -> Bool {
        guard HeadWriter.isToken(name), HeadWriter.isValue(value) else { return false }
        self.bytes.append(contentsOf: name.utf8)
        self.text(": ")
        self.bytes.append(contentsOf: value.utf8)
        self.endLine()
        return true
    }

    /// A line known to be good, without its line end.
    mutating func line(_ text: StaticString) {
        self.text(text)
        self.endLine()
    }

    mutating func contentLength(_ count: Int) {
        self.text("content-length: ")
        self.number(count)
        self.endLine()
    }

    mutating func date(_ text: UnsafeRawBufferPointer) {
        self.text("date: ")
        self.bytes.append(contentsOf: text)
        self.endLine()
    }

    mutating func endHead() { self.endLine() }

    mutating func body(_ body: [UInt8]) { self.bytes.append(contentsOf: body) }

    static func isToken(_ name: String) -> Bool {
        if name.isEmpty { return false }
        for byte in name.utf8 where !WireText.isToken(byte) { return false }
        return true
    }

    static func isValue(_ value: String) -> Bool {
        for byte in value.utf8 where !WireText.isValue(byte) { return false }
        return true
    }

    private mutating func endLine() {
        self.bytes.append(0x0D)
        self.bytes.append(0x0A)
    }

    private mutating func text(_ text: StaticString) {
        self.bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func number(_ number: Int) {
        self.bytes.append(contentsOf: String(number).utf8)
    }
}

/// Fields whose meaning is the framing of one message on one connection: written by the side that frames, never by callers.
enum FramingFields {
    static func contains(_ name: String) -> Bool {
        switch name.utf8.count {
        case 2: return ASCIICase.equal(name, "te")
        case 7: return ASCIICase.equal(name, "upgrade") || ASCIICase.equal(name, "trailer")
        case 10: return ASCIICase.equal(name, "connection") || ASCIICase.equal(name, "keep-alive")
        case 14: return ASCIICase.equal(name, "content-length")
        case 17: return ASCIICase.equal(name, "transfer-encoding")
        default: return false
        }
    }
}
