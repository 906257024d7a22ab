// The log's only storage format: Kafka's record batch, magic 2 (KIP-98), uncompressed. All numbers are big endian; `varint`
// is a zigzag number of at most 32 bits, `varlong` one of at most 64, seven bits a byte, lowest first.
//
//   offset  size  field                 what stands there
//        0     8  baseOffset            offset of the first record; not covered by the checksum, set in the commit
//        8     4  batchLength           bytes after this field: the whole batch is 12 + batchLength
//       12     4  partitionLeaderEpoch  -1 (unknown); not covered by the checksum
//       16     1  magic                 2
//       17     4  crc                   CRC-32C of everything from `attributes` to the end
//       21     2  attributes            bits 0-2 compression (0 none), 3 timestamps are those of the append, 4 transactional,
//                                       5 control; we write 0
//       23     4  lastOffsetDelta       offset of the last record minus baseOffset
//       27     8  baseTimestamp         milliseconds since 1970 UTC, of the first record
//       35     8  maxTimestamp          the largest timestamp in the batch
//       43     8  producerId            -1
//       51     2  producerEpoch         -1
//       53     4  baseSequence          -1
//       57     4  recordCount
//       61     …  records, each:
//                   length          varint   bytes of the record after this field
//                   attributes      int8     0, unused
//                   timestampDelta  varlong  minus baseTimestamp
//                   offsetDelta     varint   minus baseOffset, growing by 1 from record to record in what we write
//                   keyLength       varint   -1: no key
//                   key             bytes
//                   valueLength     varint   -1: no value (a tombstone)
//                   value           bytes
//                   headerCount     varint
//                   headers, each: nameLength varint, name (UTF-8), valueLength varint (-1: none), value
//
// Valid is a batch whose length is exactly that of its bytes, whose checksum holds, whose attributes we know (only bit 3 may
// be set), whose records fill it to the last byte, and whose offset deltas grow strictly and end at most at lastOffsetDelta
// (gaps are what compaction leaves behind). Everything else is refused, with the byte where it went wrong.
//
// Crash: a batch is one value of one row of a transaction, so it is there as a whole or not at all.

import Bytes

/// Where the fields of a batch stand.
package enum RecordBatchLayout {
    package static let batchLength: Int = 8
    package static let leaderEpoch: Int = 12
    package static let magic: Int = 16
    package static let checksum: Int = 17
    package static let attributes: Int = 21
    package static let lastOffsetDelta: Int = 23
    package static let baseTimestamp: Int = 27
    package static let maxTimestamp: Int = 35
    package static let producerID: Int = 43
    package static let producerEpoch: Int = 51
    package static let baseSequence: Int = 53
    package static let recordCount: Int = 57
    /// Bytes before the first record.
    package static let headerSize: Int = 61
    /// Bytes before those that `batchLength` counts.
    package static let lengthPrefix: Int = 12
    /// The smallest record: seven fields of one byte.
    static let smallestRecord: Int = 7
    /// Timestamps a batch may hold, in milliseconds either side of 1970: what fits 64 bits as nanoseconds (until 2262).
    package static let timestampMax: Int64 = Int64.max / 1_000_000
}

/// Why bytes are not a batch that this log reads. Offsets count from the first byte of the batch.
package enum RecordBatchError: Error, Equatable {
    /// The bytes end before a field does.
    case truncated(offset: Int, needed: Int, available: Int)
    /// `batchLength` says another size than the bytes have.
    case lengthMismatch(stated: Int64, actual: Int)
    case unsupportedMagic(Int8)
    case checksumMismatch(stated: UInt32, actual: UInt32)
    /// The records are compressed; `codec` is gzip, snappy, lz4, zstd or its number.
    case compressed(codec: String)
    /// Transactional and control batches, and attribute bits without a meaning.
    case unsupportedAttributes(UInt16)
    /// More records than the bytes can hold, fewer than stand there, or a negative number.
    case recordCount(stated: Int32, offset: Int)
    case varintOverflow(offset: Int)
    case invalidLength(offset: Int, length: Int64)
    /// A record's own length disagrees with its fields.
    case recordLengthMismatch(offset: Int)
    case offsetOutOfOrder(offset: Int, delta: Int32)
    case timestampOutOfRange(offset: Int)
    case headerNameNotUTF8(offset: Int)

    /// For log lines and answers: what is wrong and where.
    package var explanation: String {
        switch self {
        case .truncated(let offset, let needed, let available):
            "the batch ends at byte \(offset + available), \(needed) bytes were expected at byte \(offset)"
        case .lengthMismatch(let stated, let actual):
            "the batch says it has \(stated) bytes, there are \(actual)"
        case .unsupportedMagic(let magic):
            "record format \(magic) is not supported, expected magic 2"
        case .checksumMismatch(let stated, let actual):
            "checksum mismatch: the batch says \(Hex.encode(stated)), its bytes give \(Hex.encode(actual))"
        case .compressed(let codec):
            "the batch is compressed with \(codec); only uncompressed batches are supported"
        case .unsupportedAttributes(let bits):
            "attributes \(bits) are not supported: transactional and control batches are refused"
        case .recordCount(let stated, let offset):
            "the batch says it has \(stated) records, which does not fit what stands before byte \(offset)"
        case .varintOverflow(let offset):
            "the variable-length number at byte \(offset) is too large"
        case .invalidLength(let offset, let length):
            "length \(length) at byte \(offset) is not possible"
        case .recordLengthMismatch(let offset):
            "the record at byte \(offset) has another length than its fields"
        case .offsetOutOfOrder(let offset, let delta):
            "the record at byte \(offset) has offset delta \(delta), which is out of order"
        case .timestampOutOfRange(let offset):
            "the timestamp at byte \(offset) is outside of the years 1678 to 2262"
        case .headerNameNotUTF8(let offset):
            "the header name at byte \(offset) is not UTF-8"
        }
    }

    init(_ error: ByteReaderError) {
        switch error {
        case .truncated(let offset, let needed, let available):
            self = .truncated(offset: offset, needed: needed, available: available)
        case .varintOverflow(let offset): self = .varintOverflow(offset: offset)
        case .invalidLength(let offset, let length): self = .invalidLength(offset: offset, length: length)
        }
    }
}

extension Hex {
    /// A checksum as eight digits.
    fileprivate static func encode(_ word: UInt32) -> String {
        Hex.encode(withUnsafeBytes(of: word.bigEndian) { Array($0) })
    }
}

/// One batch whose header was checked. Holds the bytes as they are stored and served; records are read in place.
package struct RecordBatch: Sendable, Equatable {
    package let bytes: [UInt8]
    package let baseOffset: Int64
    package let lastOffsetDelta: Int32
    package let baseTimestamp: Int64
    package let maxTimestamp: Int64
    package let recordCount: Int32
    /// Attribute bit 3: every record's timestamp is `maxTimestamp`.
    package let hasAppendTime: Bool

    /// The offset after the last record's.
    package var nextOffset: Int64 { self.baseOffset + Int64(self.lastOffsetDelta) + 1 }

    /// Reads and checks the header of a batch that fills `bytes` exactly.
    ///
    /// - Parameter checksummed: false skips the checksum, for bytes that this process made a moment ago; records are
    ///   bounds-checked as they are read in any case.
    package init(_ bytes: [UInt8], checksummed: Bool = true) throws(RecordBatchError) {
        guard bytes.count >= RecordBatchLayout.headerSize else {
            throw .truncated(offset: 0, needed: RecordBatchLayout.headerSize, available: bytes.count)
        }
        let magic: Int8 = Int8(bitPattern: bytes[RecordBatchLayout.magic])
        guard magic == 2 else { throw .unsupportedMagic(magic) }
        var fields: RecordBatchFields = RecordBatchFields()
        do throws(ByteReaderError) {
            try fields.read(from: bytes)
        } catch {
            throw RecordBatchError(error)
        }
        try fields.check(bytes)
        if checksummed { try Self.verifyChecksum(of: bytes, stated: fields.checksum) }
        self.bytes = bytes
        self.baseOffset = fields.baseOffset
        self.lastOffsetDelta = fields.lastOffsetDelta
        self.baseTimestamp = fields.baseTimestamp
        self.maxTimestamp = fields.maxTimestamp
        self.recordCount = fields.recordCount
        self.hasAppendTime = fields.attributes & 0x08 != 0
    }

    /// The checksum that `bytes` should carry.
    static func checksum(of bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[RecordBatchLayout.attributes...])) }
    }

    private static func verifyChecksum(of bytes: [UInt8], stated: UInt32) throws(RecordBatchError) {
        let actual: UInt32 = self.checksum(of: bytes)
        guard actual == stated else { throw .checksumMismatch(stated: stated, actual: actual) }
    }
}

/// The header's numbers, before they are believed.
private struct RecordBatchFields {
    var baseOffset: Int64 = 0
    var batchLength: Int32 = 0
    var checksum: UInt32 = 0
    var attributes: UInt16 = 0
    var lastOffsetDelta: Int32 = 0
    var baseTimestamp: Int64 = 0
    var maxTimestamp: Int64 = 0
    var recordCount: Int32 = 0

    mutating func read(from bytes: [UInt8]) throws(ByteReaderError) {
        var reader: ByteReader = ByteReader(bytes)
        self.baseOffset = try reader.readInt64()
        self.batchLength = try reader.readInt32()
        try reader.skip(RecordBatchLayout.checksum - RecordBatchLayout.leaderEpoch)
        self.checksum = try reader.readUInt32()
        self.attributes = try reader.readUInt16()
        self.lastOffsetDelta = try reader.readInt32()
        self.baseTimestamp = try reader.readInt64()
        self.maxTimestamp = try reader.readInt64()
        try reader.skip(RecordBatchLayout.recordCount - RecordBatchLayout.producerID)
        self.recordCount = try reader.readInt32()
    }

    func check(_ bytes: [UInt8]) throws(RecordBatchError) {
        let stated: Int64 = Int64(self.batchLength) + Int64(RecordBatchLayout.lengthPrefix)
        guard stated == Int64(bytes.count) else { throw .lengthMismatch(stated: stated, actual: bytes.count) }
        try self.checkAttributes()
        let room: Int = (bytes.count - RecordBatchLayout.headerSize) / RecordBatchLayout.smallestRecord
        guard self.recordCount >= 0, Int(self.recordCount) <= room, self.lastOffsetDelta >= self.recordCount - 1 else {
            throw .recordCount(stated: self.recordCount, offset: bytes.count)
        }
        guard self.baseOffset >= 0, self.baseOffset <= Int64.max - Int64(Int32.max) - 1 else {
            throw .invalidLength(offset: 0, length: self.baseOffset)
        }
        guard abs(clamping: self.baseTimestamp) <= RecordBatchLayout.timestampMax else {
            throw .timestampOutOfRange(offset: RecordBatchLayout.baseTimestamp)
        }
        guard abs(clamping: self.maxTimestamp) <= RecordBatchLayout.timestampMax else {
            throw .timestampOutOfRange(offset: RecordBatchLayout.maxTimestamp)
        }
    }

    private func checkAttributes() throws(RecordBatchError) {
        switch self.attributes & 0x07 {
        case 0: break
        case 1: throw .compressed(codec: "gzip")
        case 2: throw .compressed(codec: "snappy")
        case 3: throw .compressed(codec: "lz4")
        case 4: throw .compressed(codec: "zstd")
        default: throw .compressed(codec: "codec \(self.attributes & 0x07)")
        }
        guard self.attributes & ~0x08 == 0 else { throw .unsupportedAttributes(self.attributes) }
    }
}

/// The magnitude of a number, without the trap at the smallest one.
func abs(clamping value: Int64) -> Int64 { value == Int64.min ? Int64.max : Swift.abs(value) }
