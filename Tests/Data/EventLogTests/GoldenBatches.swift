import Bytes

@testable import EventLog

/// Batches as kafka-python 3.0.12 writes them (Tests/Integration/RecordBatches/golden.py), and the records they hold.
enum GoldenBatches {
    struct Entry: Sendable {
        let timestamp: Int64
        let key: [UInt8]?
        let value: [UInt8]?
        let headers: [RecordHeader]

        init(_ timestamp: Int64, _ key: [UInt8]?, _ value: [UInt8]?, _ headers: [RecordHeader] = []) {
            self.timestamp = timestamp
            self.key = key
            self.value = value
            self.headers = headers
        }
    }

    static let start: Int64 = 1_767_225_600_000

    static let one: [Entry] = [
        Entry(
            start, Array("api_1".utf8), Array(#"{"api_id":"api_1"}"#.utf8),
            [RecordHeader("ce_id", "evt_1"), RecordHeader("tenantid", "acme")])
    ]

    static let many: [Entry] = [
        Entry(start, Array("k".utf8), Array("first".utf8)),
        Entry(start + 7, nil, Array("no key".utf8), [RecordHeader("empty", [])]),
        Entry(start - 1, [], nil, [RecordHeader("null", nil), RecordHeader("été", [0x00, 0xFF])]),
        Entry(
            start + 3_600_000, Array(repeating: UInt8(ascii: "k"), count: 70),
            Array(repeating: UInt8(ascii: "v"), count: 300),
            (0..<9).map { RecordHeader("h\($0)", Array(repeating: UInt8(ascii: "x"), count: $0)) }),
    ]

    static let long: [Entry] = (0..<200).map { number in
        Entry(
            start + Int64(number), Array("key-\(number % 7)".utf8),
            Array("\(number)\(number)\(number)".utf8))
    }

    static let oneBytes: [UInt8] = decode(
        """
        000000000000000000000069000000000290cca7820000000000000000019b76daa8000000019b76daa800ffffffffffffffffffffff
        ffffff000000016e0000000a6170695f31247b226170695f6964223a226170695f31227d040a63655f69640a6576745f311074656e61
        6e7469640861636d65
        """)

    static let manyBytes: [UInt8] = decode(
        """
        00000000000000000000022f0000000002d67391210000000000030000019b76daa8000000019b77119680ffffffffffffffffffffff
        ffffff0000000418000000026b0a66697273740026000e02010c6e6f206b6579020a656d707479002a000104000104086e756c6c010a
        c3a974c3a90400ff8a070080bab703068c016b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b
        6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6bd804767676767676767676767676767676767676
        767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676
        767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676
        767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676
        767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676
        767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676767676
        767676767676767676767676120468300004683102780468320478780468330678787804683408787878780468350a78787878780468
        360c7878787878780468370e78787878787878046838107878787878787878
        """)

    /// The header alone; its checksum stands for the records.
    static let longHeader: [UInt8] = decode(
        """
        00000000000000000000105f00000000029a5d39c30000000000c70000019b76daa8000000019b76daa8c7ffffffffffffffffffffff
        ffffff000000c8
        """)

    static func build(_ entries: [Entry], baseOffset: Int64 = 0) -> [UInt8] {
        var builder: RecordBatchBuilder = RecordBatchBuilder()
        for entry: Entry in entries {
            builder.append(
                timestamp: entry.timestamp, key: entry.key, value: entry.value, headers: HeaderBlock(entry.headers))
        }
        return builder.finish(baseOffset: baseOffset)
    }

    private static func decode(_ hex: String) -> [UInt8] {
        Hex.decode(hex.filter { !$0.isWhitespace }) ?? []
    }
}
