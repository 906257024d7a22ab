import Bytes
import Testing

struct ByteWriterTests {
    @Test func numbersAreBigEndian() {
        var writer: ByteWriter = ByteWriter()
        writer.appendInt8(-1)
        writer.appendUInt8(2)
        writer.appendInt16(-2)
        writer.appendUInt16(0x0102)
        writer.appendInt32(0x0102_0304)
        writer.appendInt64(0x0102_0304_0506_0708)
        writer.append(utf8: "é")
        #expect(
            writer.bytes == [
                0xFF, 0x02, 0xFF, 0xFE, 0x01, 0x02, 0x01, 0x02, 0x03, 0x04, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
                0x08,
                0xC3, 0xA9,
            ])
    }

    @Test(
        arguments: [
            (0, [0x00]), (-1, [0x01]), (1, [0x02]), (63, [0x7E]), (-64, [0x7F]), (64, [0x80, 0x01]),
            (-65, [0x81, 0x01]),
            (8191, [0xFE, 0x7F]), (Int64(Int32.max), [0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            (Int64.min, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ] as [(Int64, [UInt8])])
    func varintsAreZigzag(_ value: Int64, _ bytes: [UInt8]) throws {
        var writer: ByteWriter = ByteWriter()
        writer.appendVarint(value)
        #expect(writer.bytes == bytes)
        #expect(ByteWriter.varintLength(value) == bytes.count)
        var reader: ByteReader = ByteReader(bytes)
        #expect(try reader.readVarlong() == value)
        #expect(reader.isAtEnd)
    }

    @Test func lengthsCanBePatchedLater() {
        var writer: ByteWriter = ByteWriter(reserving: 16)
        writer.appendInt32(0)
        writer.appendInt64(0)
        writer.append([9])
        writer.overwriteInt32(-2, at: 0)
        writer.overwriteInt64(1, at: 4)
        #expect(writer.bytes == [0xFF, 0xFF, 0xFF, 0xFE, 0, 0, 0, 0, 0, 0, 0, 1, 9])
    }
}
