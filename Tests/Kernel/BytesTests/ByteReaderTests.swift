import Bytes
import Testing

struct ByteReaderTests {
    @Test func readsBackWhatWasWritten() throws {
        var writer: ByteWriter = ByteWriter()
        writer.appendInt8(-7)
        writer.appendInt16(-300)
        writer.appendUInt16(65_000)
        writer.appendInt32(.min)
        writer.appendUInt32(.max)
        writer.appendInt64(.min)
        writer.appendUnsignedVarint(.max)
        writer.append([1, 2, 3])
        var reader: ByteReader = ByteReader(writer.bytes)
        #expect(try reader.readInt8() == -7)
        #expect(try reader.readInt16() == -300)
        #expect(try reader.readUInt16() == 65_000)
        #expect(try reader.readInt32() == .min)
        #expect(try reader.readUInt32() == .max)
        #expect(try reader.readInt64() == .min)
        #expect(try reader.readUnsignedVarint() == .max)
        try reader.skip(1)
        #expect(try reader.read(2) == [2, 3])
        #expect(reader.remaining == 0)
    }

    @Test func saysWhereBytesRanOut() throws {
        var reader: ByteReader = ByteReader([1, 2, 3])
        _ = try reader.readUInt8()
        #expect(throws: ByteReaderError.truncated(offset: 1, needed: 4, available: 2)) { try reader.readInt32() }
        #expect(throws: ByteReaderError.truncated(offset: 1, needed: 9, available: 2)) { try reader.read(9) }
        #expect(throws: ByteReaderError.invalidLength(offset: 1, length: -1)) { try reader.read(-1) }
        #expect(try reader.readUInt16() == 0x0203)
    }

    @Test func staysWithinItsRange() throws {
        var reader: ByteReader = ByteReader([1, 2, 3, 4], in: 1..<3)
        #expect(try reader.readUInt16() == 0x0203)
        #expect(throws: ByteReaderError.truncated(offset: 3, needed: 1, available: 0)) { try reader.readUInt8() }
    }

    @Test func refusesVarintsThatOverflow() {
        var tooLong: ByteReader = ByteReader(Array(repeating: 0xFF, count: 11))
        #expect(throws: ByteReaderError.varintOverflow(offset: 0)) { try tooLong.readUnsignedVarint() }
        var tooWide: ByteReader = ByteReader([0x80, 0x80, 0x80, 0x80, 0x10])
        #expect(throws: ByteReaderError.varintOverflow(offset: 0)) { try tooWide.readVarint() }
        var cut: ByteReader = ByteReader([0x80])
        #expect(throws: ByteReaderError.truncated(offset: 1, needed: 1, available: 0)) { try cut.readVarlong() }
    }
}
