/// Reads the one way to write a value that CTAP2 allows (its canonical CBOR encoding form; RFC 8949 section 4.2):
/// numbers and lengths in the fewest bytes, every length known beforehand, keys of a map in order and each once.
///
/// Everything is bounded: bytes in all, nesting, members. An announced length is held against what is left before anything is kept.
package struct CBORReader {
    package static let bytesMax: Int = 64 << 10
    /// CTAP2 allows four levels of arrays and maps.
    package static let depthMax: Int = 4
    /// Members of all arrays and maps of one value.
    package static let membersMax: Int = 1_024

    private let bytes: ArraySlice<UInt8>
    private var offset: Int
    private var membersLeft: Int = CBORReader.membersMax

    private init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.offset = bytes.startIndex
    }

    /// Reads bytes that are one value and nothing else.
    package static func parse(_ bytes: [UInt8]) throws(CBORError) -> CBORValue {
        let (value, count): (CBORValue, Int) = try Self.parsePrefix(bytes[...])
        guard count == bytes.count else { throw CBORError(offset: count, message: "expected the end") }
        return value
    }

    /// Reads the value that `bytes` begin with.
    ///
    /// - Returns: the value, and how many bytes it takes.
    package static func parsePrefix(_ bytes: ArraySlice<UInt8>) throws(CBORError) -> (value: CBORValue, count: Int) {
        guard bytes.count <= Self.bytesMax else {
            throw CBORError(offset: 0, message: "expected at most \(Self.bytesMax) bytes")
        }
        var reader: CBORReader = CBORReader(bytes)
        let value: CBORValue = try reader.value(depth: 0)
        return (value, reader.offset - bytes.startIndex)
    }

    private func error(_ message: String) -> CBORError {
        CBORError(offset: self.offset - self.bytes.startIndex, message: message)
    }

    private mutating func take(_ count: Int) throws(CBORError) -> ArraySlice<UInt8> {
        guard count <= self.bytes.endIndex - self.offset else { throw self.error("expected \(count) more bytes") }
        defer { self.offset += count }
        return self.bytes[self.offset..<self.offset + count]
    }

    private mutating func value(depth: Int) throws(CBORError) -> CBORValue {
        let start: Int = self.offset
        guard let first: UInt8 = try self.take(1).first else { throw self.error("expected a value") }
        let (type, low): (UInt8, UInt8) = (first >> 5, first & 31)
        if type == 7 { return try self.simple(low) }
        let number: UInt64 = try self.number(low)
        switch type {
        case 0: return .unsigned(number)
        case 1: return .negative(number)
        case 2: return .bytes(Array(try self.take(try self.length(number))))
        case 3:
            let raw: ArraySlice<UInt8> = try self.take(try self.length(number))
            guard let text: String = String(validating: raw, as: UTF8.self) else {
                throw self.error("expected text in UTF-8")
            }
            return .text(text)
        case 4, 5:
            guard depth < Self.depthMax else { throw self.error("expected at most \(Self.depthMax) levels") }
            let count: Int = try self.count(number)
            return type == 4 ? try self.array(count, depth: depth + 1) : try self.map(count, depth: depth + 1)
        default:
            self.offset = start
            throw self.error("expected no tag")
        }
    }

    private func simple(_ low: UInt8) throws(CBORError) -> CBORValue {
        switch low {
        case 20: return .bool(false)
        case 21: return .bool(true)
        case 22: return .null
        default: throw self.error("expected true, false or null of the simple values")
        }
    }

    /// The number in the low bits of the first byte, or in the bytes after it, in the fewest that hold it.
    private mutating func number(_ low: UInt8) throws(CBORError) -> UInt64 {
        if low < 24 { return UInt64(low) }
        guard low < 28 else { throw self.error("expected a known length") }
        let width: Int = 1 << Int(low - 24)
        var number: UInt64 = 0
        for byte in try self.take(width) { number = number << 8 | UInt64(byte) }
        let least: UInt64 = low == 24 ? 24 : 1 << (UInt64(width) * 4)
        guard number >= least else { throw self.error("expected the shortest form of a number") }
        return number
    }

    private func length(_ number: UInt64) throws(CBORError) -> Int {
        guard number <= UInt64(self.bytes.endIndex - self.offset) else {
            throw self.error("expected \(number) more bytes")
        }
        return Int(number)
    }

    private mutating func count(_ number: UInt64) throws(CBORError) -> Int {
        guard number <= UInt64(self.membersLeft) else {
            throw self.error("expected at most \(Self.membersMax) members in all")
        }
        self.membersLeft -= Int(number)
        return Int(number)
    }

    private mutating func array(_ count: Int, depth: Int) throws(CBORError) -> CBORValue {
        var elements: [CBORValue] = []
        for _ in 0..<count { elements.append(try self.value(depth: depth)) }
        return .array(elements)
    }

    private mutating func map(_ count: Int, depth: Int) throws(CBORError) -> CBORValue {
        var members: [CBORMember] = []
        var last: ArraySlice<UInt8> = []
        for _ in 0..<count {
            let start: Int = self.offset
            let key: CBORValue = try self.value(depth: depth)
            let written: ArraySlice<UInt8> = self.bytes[start..<self.offset]
            guard last.isEmpty || Self.isOrdered(last, written) else {
                throw self.error("expected the keys of a map in order, each once")
            }
            last = written
            members.append(CBORMember(key, try self.value(depth: depth)))
        }
        return .map(members)
    }

    /// CTAP2's order: by major type, then the shorter first, then byte by byte.
    private static func isOrdered(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Bool {
        let (first, second): (UInt8, UInt8) = ((left.first ?? 0) >> 5, (right.first ?? 0) >> 5)
        if first != second { return first < second }
        if left.count != right.count { return left.count < right.count }
        return left.lexicographicallyPrecedes(right)
    }
}
