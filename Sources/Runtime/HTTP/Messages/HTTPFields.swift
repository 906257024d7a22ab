/// Header or trailer fields in the order they were sent; names compare without case (RFC 9110, section 5).
///
/// Lookups walk the list: a message has some ten fields, and a walk costs less than building a table.
/// Nothing is checked here. What is written to a connection passes `HeadWriter`, which refuses names and values that would
/// break the framing.
package struct HTTPFields: Sendable, Sequence, ExpressibleByDictionaryLiteral {
    package typealias Element = (name: String, value: String)

    /// All lines, in order.
    package private(set) var lines: [Element] = []

    package init() {}

    package init(_ lines: [Element]) {
        self.lines = lines
    }

    package init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { self.append(name, value) }
    }

    package var count: Int { self.lines.count }
    package var isEmpty: Bool { self.lines.isEmpty }

    package func makeIterator() -> IndexingIterator<[Element]> { self.lines.makeIterator() }

    /// The value of the first line with this name. Setting replaces every line of that name by one; nil removes them.
    package subscript(name: String) -> String? {
        get {
            for line in self.lines where ASCIICase.equal(line.name, name) { return line.value }
            return nil
        }
        set {
            if let newValue {
                self.set(name, newValue)
            } else {
                self.remove(name)
            }
        }
    }

    /// Every value of this name, in order, lines not split at commas.
    package func all(_ name: String) -> [String] {
        var values: [String] = []
        for line in self.lines where ASCIICase.equal(line.name, name) { values.append(line.value) }
        return values
    }

    package func contains(_ name: String) -> Bool {
        for line in self.lines where ASCIICase.equal(line.name, name) { return true }
        return false
    }

    /// Adds a line at the end, whatever is there already.
    package mutating func append(_ name: String, _ value: String) {
        self.lines.append((name: name, value: value))
    }

    /// Makes this the only line of that name, at the place of the first one.
    package mutating func set(_ name: String, _ value: String) {
        for index in self.lines.indices where ASCIICase.equal(self.lines[index].name, name) {
            self.lines[index] = (name: name, value: value)
            self.removeLines(name, from: index + 1)
            return
        }
        self.append(name, value)
    }

    package mutating func remove(_ name: String) {
        self.removeLines(name, from: 0)
    }

    /// Whether a comma-separated list field has this member, compared without case: `has("connection", "close")`.
    package func has(_ name: String, member: String) -> Bool {
        for line in self.lines where ASCIICase.equal(line.name, name) {
            for part in line.value.utf8.split(separator: UInt8(ascii: ",")) {
                if ASCIICase.equal(ASCIICase.trimmed(Substring(part)), member) { return true }
            }
        }
        return false
    }

    private mutating func removeLines(_ name: String, from start: Int) {
        var index: Int = start
        while index < self.lines.count {
            if ASCIICase.equal(self.lines[index].name, name) {
                self.lines.remove(at: index)
            } else {
                index += 1
            }
        }
    }
}

extension HTTPFields: Equatable {
    package static func == (left: HTTPFields, right: HTTPFields) -> Bool {
        guard left.lines.count == right.lines.count else { return false }
        for index in left.lines.indices {
            guard ASCIICase.equal(left.lines[index].name, right.lines[index].name) else { return false }
            guard left.lines[index].value == right.lines[index].value else { return false }
        }
        return true
    }
}

/// Comparison without case for the ASCII words of HTTP. Not for text of people.
package enum ASCIICase {
    package static func lowered(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }

    package static func equal(_ left: some StringProtocol, _ right: some StringProtocol) -> Bool {
        var first = left.utf8.makeIterator()
        var second = right.utf8.makeIterator()
        while let byte: UInt8 = first.next() {
            guard let other: UInt8 = second.next(), byte == other || self.lowered(byte) == self.lowered(other) else {
                return false
            }
        }
        return second.next() == nil
    }

    package static func lowered(_ text: some StringProtocol) -> String {
        var bytes: [UInt8] = Array(text.utf8)
        for index in bytes.indices { bytes[index] = self.lowered(bytes[index]) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Without spaces and tabs at both ends (optional whitespace of RFC 9110, section 5.6.3).
    package static func trimmed(_ text: Substring) -> Substring {
        var utf8: Substring.UTF8View = text.utf8
        while let byte: UInt8 = utf8.first, byte == 0x20 || byte == 0x09 { utf8.removeFirst() }
        while let byte: UInt8 = utf8.last, byte == 0x20 || byte == 0x09 { utf8.removeLast() }
        return Substring(utf8)
    }
}
