/// Writes compact JSON step by step into bytes: for hot paths that build no tree.
///
/// Commas and colons come by themselves. The caller keeps the grammar (a key before each value of an object, every container
/// ended); debug builds check that containers balance.
package struct JSONWriter: Sendable {
    /// Everything written so far. May be taken over between two values; `removeAll` keeps the memory.
    package private(set) var bytes: [UInt8]
    private var needsComma: Bool = false
    private var depth: Int = 0

    private static let hexDigits: [UInt8] = Array("0123456789abcdef".utf8)

    package init(reserving capacity: Int = 256) {
        self.bytes = []
        self.bytes.reserveCapacity(capacity)
    }

    /// Appends to `bytes`, for example after the head of a response.
    package init(appendingTo bytes: consuming [UInt8]) { self.bytes = bytes }

    package mutating func removeAll() {
        self.bytes.removeAll(keepingCapacity: true)
        self.needsComma = false
        self.depth = 0
    }

    // MARK: Containers

    package mutating func beginObject() { self.begin(UInt8(ascii: "{")) }
    package mutating func endObject() { self.end(UInt8(ascii: "}")) }
    package mutating func beginArray() { self.begin(UInt8(ascii: "[")) }
    package mutating func endArray() { self.end(UInt8(ascii: "]")) }

    /// A member's key; its value follows.
    package mutating func key(_ name: String) {
        self.separate()
        self.quoted(name)
        self.bytes.append(UInt8(ascii: ":"))
        self.needsComma = false
    }

    /// A member's key from source code that needs no escaping: copied as it stands.
    package mutating func field(_ name: StaticString) {
        self.separate()
        self.bytes.append(UInt8(ascii: "\""))
        self.bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        self.bytes.append(UInt8(ascii: "\""))
        self.bytes.append(UInt8(ascii: ":"))
        self.needsComma = false
    }

    // MARK: Values

    package mutating func null() { self.token("null") }

    package mutating func bool(_ value: Bool) { self.token(value ? "true" : "false") }

    package mutating func int(_ value: Int64) {
        self.separate()
        self.integer(value)
        self.needsComma = true
    }

    package mutating func int(_ value: Int) { self.int(Int64(value)) }

    /// A finite number in the fewest digits that read back as itself. Anything else is the caller's mistake: JSON cannot say it.
    package mutating func double(_ value: Double) {
        self.separate()
        self.number(value)
        self.needsComma = true
    }

    /// A finite number exactly as ECMAScript writes it, which RFC 8785 asks for.
    mutating func canonicalNumber(_ value: Double) {
        self.separate()
        ECMAScriptNumber.append(value, to: &self.bytes)
        self.needsComma = true
    }

    package mutating func string(_ value: String) {
        self.separate()
        self.quoted(value)
        self.needsComma = true
    }

    /// A string whose bytes the caller knows to be UTF-8.
    package mutating func string(utf8 value: UnsafeRawBufferPointer) {
        self.separate()
        self.bytes.append(UInt8(ascii: "\""))
        self.escaped(value)
        self.bytes.append(UInt8(ascii: "\""))
        self.needsComma = true
    }

    /// Bytes that already are one JSON value, for example a stored document.
    package mutating func raw(_ json: [UInt8]) {
        self.separate()
        self.bytes.append(contentsOf: json)
        self.needsComma = true
    }

    /// A whole tree.
    package mutating func value(_ value: JSONValue) {
        self.separate()
        self.tree(value)
        self.needsComma = true
    }

    // MARK: Inside

    /// Writes a tree without looking at `needsComma`: each container knows its own commas.
    private mutating func tree(_ value: JSONValue) {
        switch value {
        case .null: self.bytes.append(contentsOf: [0x6E, 0x75, 0x6C, 0x6C])
        case .bool(let flag): self.append(flag ? "true" : "false")
        case .int(let number): self.integer(number)
        case .double(let number): self.number(number)
        case .string(let text): self.quoted(text)
        case .array(let elements):
            self.bytes.append(UInt8(ascii: "["))
            for index: Int in elements.indices {
                if index > 0 { self.bytes.append(UInt8(ascii: ",")) }
                self.tree(elements[index])
            }
            self.bytes.append(UInt8(ascii: "]"))
        case .object(let object):
            self.bytes.append(UInt8(ascii: "{"))
            for index: Int in object.members.indices {
                if index > 0 { self.bytes.append(UInt8(ascii: ",")) }
                self.quoted(object.members[index].key)
                self.bytes.append(UInt8(ascii: ":"))
                self.tree(object.members[index].value)
            }
            self.bytes.append(UInt8(ascii: "}"))
        }
    }

    @inline(__always)
    private mutating func separate() {
        if self.needsComma { self.bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func begin(_ bracket: UInt8) {
        self.separate()
        self.bytes.append(bracket)
        self.needsComma = false
        self.depth += 1
    }

    private mutating func end(_ bracket: UInt8) {
        assert(self.depth > 0, "a container that was begun is ended once")
        self.bytes.append(bracket)
        self.needsComma = true
        self.depth -= 1
    }

    private mutating func token(_ text: StaticString) {
        self.separate()
        self.append(text)
        self.needsComma = true
    }

    @inline(__always)
    private mutating func append(_ text: StaticString) {
        self.bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func number(_ value: Double) {
        ECMAScriptNumber.append(value, to: &self.bytes)
        // ECMAScript's digits of 2^53 + 2 and up to 2^63 need not be the number's own; read as an integer they would be another.
        if abs(value) > 0x1p53, abs(value) < 0x1p63 { self.append(".0") }
    }

    private mutating func integer(_ value: Int64) {
        JSONNumberText.append(value, to: &self.bytes)
    }

    @inline(__always)
    private mutating func quoted(_ text: String) {
        self.bytes.append(UInt8(ascii: "\""))
        // Native strings lend their bytes without a copy.
        var text: String = text
        text.withUTF8 { self.escaped(UnsafeRawBufferPointer($0)) }
        self.bytes.append(UInt8(ascii: "\""))
    }

    /// Copies runs that need no escape in one go.
    private mutating func escaped(_ text: UnsafeRawBufferPointer) {
        var start: Int = 0
        while true {
            let stop: Int = Self.endOfPlainRun(text, from: start)
            self.bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start..<stop]))
            if stop == text.count { return }
            self.escape(text[stop])
            start = stop + 1
        }
    }

    /// The forms that RFC 8785 section 3.2.2.2 prescribes: two characters where JSON has them, `\u00xx` else.
    private mutating func escape(_ byte: UInt8) {
        self.bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x22, 0x5C: self.bytes.append(byte)
        case 0x08: self.bytes.append(UInt8(ascii: "b"))
        case 0x09: self.bytes.append(UInt8(ascii: "t"))
        case 0x0A: self.bytes.append(UInt8(ascii: "n"))
        case 0x0C: self.bytes.append(UInt8(ascii: "f"))
        case 0x0D: self.bytes.append(UInt8(ascii: "r"))
        default:
            self.append("u00")
            self.bytes.append(Self.hexDigits[Int(byte >> 4)])
            self.bytes.append(Self.hexDigits[Int(byte & 0x0F)])
        }
    }

    /// Where the first quote, backslash or control character stands from `start` on; eight bytes a step.
    @inline(__always)
    private static func endOfPlainRun(_ text: UnsafeRawBufferPointer, from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        var index: Int = start
        while index + 8 <= text.count {
            let word: UInt64 = UInt64(littleEndian: text.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let quotes: UInt64 = word ^ (ones &* 0x22)
            let slashes: UInt64 = word ^ (ones &* 0x5C)
            let hits: UInt64 =
                ((quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes | (word &- ones &* 0x20) & ~word)
                & (ones &* 0x80)
            if hits != 0 { return index + hits.trailingZeroBitCount >> 3 }
            index += 8
        }
        while index < text.count {
            let byte: UInt8 = text[index]
            if byte == 0x22 || byte == 0x5C || byte < 0x20 { break }
            index += 1
        }
        return index
    }
}
