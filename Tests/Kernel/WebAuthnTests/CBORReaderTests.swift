import Bytes
import Testing

@testable import WebAuthn

struct CBORReaderTests {
    /// Examples of RFC 8949 appendix A that CTAP2 allows.
    @Test(
        arguments: [
            ("00", .unsigned(0)), ("17", .unsigned(23)), ("1818", .unsigned(24)), ("1903e8", .unsigned(1_000)),
            ("1a000f4240", .unsigned(1_000_000)), ("1bffffffffffffffff", .unsigned(.max)), ("20", .negative(0)),
            ("3863", .negative(99)), ("3bffffffffffffffff", .negative(.max)), ("f4", .bool(false)), ("f5", .bool(true)),
            ("f6", .null), ("40", .bytes([])), ("4401020304", .bytes([1, 2, 3, 4])), ("60", .text("")),
            ("6449455446", .text("IETF")), ("62c3bc", .text("ü")), ("80", .array([])),
            ("83010203", .array([.unsigned(1), .unsigned(2), .unsigned(3)])), ("a0", .map([])),
            ("a201020304", .map([CBORMember(.unsigned(1), .unsigned(2)), CBORMember(.unsigned(3), .unsigned(4))])),
            (
                "8301820203820405",
                .array([
                    .unsigned(1), .array([.unsigned(2), .unsigned(3)]),
                    .array([.unsigned(4), .unsigned(5)]),
                ])
            ),
        ] as [(String, CBORValue)])
    func readsTheExamplesOfTheStandard(hex: String, value: CBORValue) throws {
        #expect(try CBORReader.parse(try #require(Hex.decode(hex))) == value)
    }

    @Test(
        arguments: [
            ("", "nothing"), ("1817", "23 in two bytes"), ("190017", "23 in three"), ("1a0000ffff", "65535 in five"),
            ("1b00000000ffffffff", "a small number in nine"), ("5803010203", "a short length in two bytes"),
            ("5f42010243030405ff", "bytes of unknown length"), ("7f657374726561646d696e67ff", "text of unknown length"),
            ("9fff", "an array of unknown length"), ("bf61610161629f0203ffff", "a map of unknown length"),
            ("c11a514b67b0", "a tag"), ("f93c00", "a half"), ("fa47c35000", "a float"),
            ("fb3ff199999999999a", "a double"),
            ("f7", "undefined"), ("f0", "a simple value"), ("f8ff", "a simple value in two bytes"), ("ff", "a break"),
            ("1c", "a reserved length"), ("61ff", "text that is not UTF-8"), ("62c328", "broken UTF-8"),
            ("a2010201 03".replacingSpaces, "a key twice"), ("a203040102", "keys out of order"),
            ("a2616100 4100 00".replacingSpaces, "keys of another type first"),
            ("a2626161006162 00".replacingSpaces, "a longer key first"),
            ("0000", "two values"), ("41", "a byte too few"), ("8201", "an element too few"),
            ("a101", "a value too few"),
            ("5affffffff", "four gigabytes announced"), ("9affffffff", "four billion elements announced"),
            ("bbffffffffffffffff", "members beyond counting"), ("8181818181 00".replacingSpaces, "five levels"),
        ] as [(String, String)])
    func refuses(hex: String, what: String) throws {
        let bytes: [UInt8] = try #require(Hex.decode(hex))
        #expect(throws: CBORError.self, "\(what)") { try CBORReader.parse(bytes) }
    }

    @Test func isBounded() {
        #expect(throws: CBORError.self) { try CBORReader.parse([UInt8](repeating: 0, count: CBORReader.bytesMax + 1)) }
        let many: [UInt8] = [0x99, 0x04, 0x01] + [UInt8](repeating: 0, count: 1_025)
        #expect(throws: CBORError.self) { try CBORReader.parse(many) }
        // In all, not in each: two arrays of half as many each, in one.
        let half: [UInt8] = [0x99, 0x02, 0x00] + [UInt8](repeating: 0, count: 512)
        #expect(throws: CBORError.self) { try CBORReader.parse([0x82] + half + half) }
    }

    @Test func aPrefixSaysWhereItEnds() throws {
        let (value, count): (CBORValue, Int) = try CBORReader.parsePrefix([9, 9, 0x82, 1, 2, 0xFF][2...])
        #expect(value == .array([.unsigned(1), .unsigned(2)]))
        #expect(count == 3)
    }
}

extension String {
    fileprivate var replacingSpaces: String { self.filter { $0 != " " } }
}
