/// Appends numbers and bytes in network order (big endian) and in the variable-length forms of Kafka's records.
package struct ByteWriter: Sendable {
    /// Everything written so far. May be taken and replaced; the writer keeps no other state.
    package var bytes: [UInt8]

    @inlinable
    package init(reserving capacity: Int = 0) {
        self.bytes = []
        self.bytes.reserveCapacity(capacity)
    }

    @inlinable
    package var count: Int { self.bytes.count }

    @inlinable
    package mutating func appendInt8(_ value: Int8) { self.bytes.append(UInt8(bitPattern: value)) }

    @inlinable
    package mutating func appendUInt8(_ value: UInt8) { self.bytes.append(value) }

    @inlinable
    package mutating func appendInt16(_ value: Int16) { self.appendUInt16(UInt16(bitPattern: value)) }

    @inlinable
    package mutating func appendUInt16(_ value: UInt16) {
        withUnsafeBytes(of: value.bigEndian) { self.bytes.append(contentsOf: $0) }
    }

    @inlinable
    package mutating func appendInt32(_ value: Int32) { self.appendUInt32(UInt32(bitPattern: value)) }

    @inlinable
    package mutating func appendUInt32(_ value: UInt32) {
        withUnsafeBytes(of: value.bigEndian) { self.bytes.append(contentsOf: $0) }
    }

    @inlinable
    package mutating func appendInt64(_ value: Int64) { self.appendUInt64(UInt64(bitPattern: value)) }

    @inlinable
    package mutating func appendUInt64(_ value: UInt64) {
        withUnsafeBytes(of: value.bigEndian) { self.bytes.append(contentsOf: $0) }
    }

    /// Seven bits a byte, lowest first, the high bit says that more follow: 1 to 10 bytes.
    @inlinable
    package mutating func appendUnsignedVarint(_ value: UInt64) {
        var rest: UInt64 = value
        while rest >= 0x80 {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// A signed number in zigzag form (0, -1, 1, -2 …) as an unsigned varint: Kafka's varint and varlong alike.
    @inlinable
    package mutating func appendVarint(_ value: Int64) {
        self.appendUnsignedVarint(UInt64(bitPattern: value << 1 ^ value >> 63))
    }

    @inlinable
    package mutating func append(_ raw: [UInt8]) { self.bytes.append(contentsOf: raw) }

    @inlinable
    package mutating func append(_ raw: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: raw) }

    /// The text's UTF-8 bytes, without length or terminator.
    @inlinable
    package mutating func append(utf8 text: String) { self.bytes.append(contentsOf: text.utf8) }

    /// Overwrites the four bytes at `offset`, which must have been written: for lengths and checksums known only later.
    @inlinable
    package mutating func overwriteUInt32(_ value: UInt32, at offset: Int) {
        self.bytes.withUnsafeMutableBytes { raw in
            precondition(offset >= 0 && offset + 4 <= raw.count, "only bytes that were written can be overwritten")
            raw.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
        }
    }

    @inlinable
    package mutating func overwriteInt32(_ value: Int32, at offset: Int) {
        self.overwriteUInt32(UInt32(bitPattern: value), at: offset)
    }

    @inlinable
    package mutating func overwriteInt64(_ value: Int64, at offset: Int) {
        self.bytes.withUnsafeMutableBytes { raw in
            precondition(offset >= 0 && offset + 8 <= raw.count, "only bytes that were written can be overwritten")
            raw.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Int64.self)
        }
    }

    /// How many bytes `appendVarint` would write.
    @inlinable
    package static func varintLength(_ value: Int64) -> Int {
        let zigzag: UInt64 = UInt64(bitPattern: value << 1 ^ value >> 63)
        return max(1, (64 - zigzag.leadingZeroBitCount + 6) / 7)
    }
}
