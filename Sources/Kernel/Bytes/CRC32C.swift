/// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), the checksum of Kafka's record batches and of iSCSI (RFC 3720 B.4).
///
/// Eight bytes a step through eight tables: about 1.5 GB/s, no special instructions needed.
package enum CRC32C {
    /// Table k holds the checksum of a byte followed by k zero bytes; one flat array of 8 × 256.
    private static let tables: [UInt32] = makeTables()

    /// The checksum of `bytes`; with `seed` the checksum of what came before, that of both together.
    package static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
        self.tables.withUnsafeBufferPointer { table in
            var state: UInt32 = ~seed
            var index: Int = 0
            while index + 8 <= bytes.count {
                let word: UInt64 = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                state = self.step(word ^ UInt64(state), table)
                index += 8
            }
            while index < bytes.count {
                state = table[Int(UInt8(truncatingIfNeeded: state) ^ bytes[index])] ^ state >> 8
                index += 1
            }
            return ~state
        }
    }

    /// The checksum of `bytes`.
    package static func checksum(_ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { self.checksum($0) }
    }

    @inline(__always)
    private static func step(_ word: UInt64, _ table: UnsafeBufferPointer<UInt32>) -> UInt32 {
        // The first byte of the word is followed by seven more, so it takes table 7, and so on down.
        let low: UInt32 =
            table[7 * 256 + Int(word & 0xFF)] ^ table[6 * 256 + Int(word >> 8 & 0xFF)]
            ^ table[5 * 256 + Int(word >> 16 & 0xFF)] ^ table[4 * 256 + Int(word >> 24 & 0xFF)]
        let high: UInt32 =
            table[3 * 256 + Int(word >> 32 & 0xFF)] ^ table[2 * 256 + Int(word >> 40 & 0xFF)]
            ^ table[256 + Int(word >> 48 & 0xFF)] ^ table[Int(word >> 56)]
        return low ^ high
    }

    private static func makeTables() -> [UInt32] {
        var tables: [UInt32] = Array(repeating: 0, count: 8 * 256)
        for byte: Int in 0..<256 {
            var state: UInt32 = UInt32(byte)
            for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82F6_3B78 : state >> 1 }
            tables[byte] = state
        }
        for index: Int in 256..<(8 * 256) {
            let before: UInt32 = tables[index - 256]
            tables[index] = tables[Int(before & 0xFF)] ^ before >> 8
        }
        return tables
    }
}
