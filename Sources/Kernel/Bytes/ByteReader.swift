/// What went wrong in a read, and at which offset from the reader's first byte.
package enum ByteReaderError: Error, Equatable {
    /// `needed` bytes were asked for at `offset`, `available` were left.
    case truncated(offset: Int, needed: Int, available: Int)
    /// A varint at `offset` runs on for longer than its type allows, or spells a number outside of it.
    case varintOverflow(offset: Int)
    /// A length at `offset` is negative or larger than what is left.
    case invalidLength(offset: Int, length: Int64)
}

/// Reads numbers and bytes in network order and in the variable-length forms of Kafka's records. Every read checks bounds.
package struct ByteReader: Sendable {
    @usableFromInline
    let bytes: [UInt8]
    /// Where the next read begins, counted from the first byte of the array.
    package private(set) var offset: Int
    @usableFromInline
    let end: Int

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        self.offset = 0
        self.end = bytes.count
    }

    /// Reads only `range` of `bytes`; offsets still count from the array's first byte.
    package init(_ bytes: [UInt8], in range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "the range lies within the bytes")
        self.bytes = bytes
        self.offset = range.lowerBound
        self.end = range.upperBound
    }

    package var remaining: Int { self.end - self.offset }
    package var isAtEnd: Bool { self.offset == self.end }

    package mutating func readUInt8() throws(ByteReaderError) -> UInt8 {
        let start: Int = try self.advance(1)
        return self.bytes[start]
    }

    package mutating func readInt8() throws(ByteReaderError) -> Int8 { Int8(bitPattern: try self.readUInt8()) }

    package mutating func readUInt16() throws(ByteReaderError) -> UInt16 {
        let start: Int = try self.advance(2)
        return UInt16(
            bigEndian: self.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: start, as: UInt16.self) })
    }

    package mutating func readInt16() throws(ByteReaderError) -> Int16 { Int16(bitPattern: try self.readUInt16()) }

    package mutating func readUInt32() throws(ByteReaderError) -> UInt32 {
        let start: Int = try self.advance(4)
        return UInt32(
            bigEndian: self.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: start, as: UInt32.self) })
    }

    package mutating func readInt32() throws(ByteReaderError) -> Int32 { Int32(bitPattern: try self.readUInt32()) }

    package mutating func readUInt64() throws(ByteReaderError) -> UInt64 {
        let start: Int = try self.advance(8)
        return UInt64(
            bigEndian: self.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: start, as: UInt64.self) })
    }

    package mutating func readInt64() throws(ByteReaderError) -> Int64 { Int64(bitPattern: try self.readUInt64()) }

    /// An unsigned varint of at most ten bytes.
    package mutating func readUnsignedVarint() throws(ByteReaderError) -> UInt64 {
        let start: Int = self.offset
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte: UInt8 = try self.readUInt8()
            // The tenth byte has room for one bit only.
            if shift == 63, byte > 1 { throw .varintOverflow(offset: start) }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }

    /// A zigzag varint of 64 bits (Kafka's varlong).
    package mutating func readVarlong() throws(ByteReaderError) -> Int64 {
        let zigzag: UInt64 = try self.readUnsignedVarint()
        return Int64(bitPattern: zigzag >> 1) ^ -Int64(bitPattern: zigzag & 1)
    }

    /// A zigzag varint that must fit 32 bits (Kafka's varint).
    package mutating func readVarint() throws(ByteReaderError) -> Int32 {
        let start: Int = self.offset
        let value: Int64 = try self.readVarlong()
        guard let narrow: Int32 = Int32(exactly: value) else { throw .varintOverflow(offset: start) }
        return narrow
    }

    /// The next `count` bytes, copied.
    package mutating func read(_ count: Int) throws(ByteReaderError) -> [UInt8] {
        guard count >= 0 else { throw .invalidLength(offset: self.offset, length: Int64(count)) }
        let start: Int = try self.advance(count)
        return Array(self.bytes[start..<(start + count)])
    }

    package mutating func skip(_ count: Int) throws(ByteReaderError) {
        guard count >= 0 else { throw .invalidLength(offset: self.offset, length: Int64(count)) }
        _ = try self.advance(count)
    }

    /// Moves on by `count` bytes and returns where they start.
    private mutating func advance(_ count: Int) throws(ByteReaderError) -> Int {
        let start: Int = self.offset
        guard count <= self.end - start else {
            throw .truncated(offset: start, needed: count, available: self.end - start)
        }
        self.offset = start + count
        return start
    }
}
