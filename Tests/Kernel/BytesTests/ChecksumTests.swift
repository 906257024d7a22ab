import Bytes
import Testing

struct ChecksumTests {
    /// RFC 3720 appendix B.4, and the usual check value.
    static let crcVectors: [(bytes: [UInt8], checksum: UInt32)] = [
        ([], 0),
        (Array("123456789".utf8), 0xE306_9283),
        (Array(repeating: 0, count: 32), 0x8A91_36AA),
        (Array(repeating: 0xFF, count: 32), 0x62A8_AB43),
        (Array(0...31), 0x46DD_794E),
        ((0...31).reversed(), 0x113F_DB5C),
    ]

    @Test(arguments: crcVectors)
    func crc32cMatchesTheStandardsVectors(_ bytes: [UInt8], _ checksum: UInt32) {
        #expect(CRC32C.checksum(bytes) == checksum)
    }

    @Test func crc32cContinuesFromASeedAtEverySplit() {
        let bytes: [UInt8] = (0..<61).map { UInt8($0 * 7 & 0xFF) }
        let whole: UInt32 = CRC32C.checksum(bytes)
        for split: Int in 0...bytes.count {
            let continued: UInt32 = bytes.withUnsafeBytes { raw in
                let head: UInt32 = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[..<split]))
                return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[split...]), seed: head)
            }
            #expect(continued == whole)
        }
    }

    /// The values that Kafka's own test of its Java client expects.
    static let murmurVectors: [(text: String, hash: Int32)] = [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ]

    @Test(arguments: murmurVectors)
    func murmur2MatchesKafka(_ text: String, _ hash: Int32) {
        #expect(Murmur2.hash(Array(text.utf8)) == hash)
    }

    @Test func partitionIgnoresTheSign() {
        #expect(Murmur2.partition(Array("21".utf8), of: 6) == Int((-973_932_308 as Int32) & Int32.max) % 6)
        for key: UInt8 in 0...255 { #expect((0..<6).contains(Murmur2.partition([key], of: 6))) }
    }
}
