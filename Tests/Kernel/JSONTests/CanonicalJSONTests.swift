import Bytes
import JSON
import Testing

struct CanonicalJSONTests {
    /// RFC 8785 appendix B.
    @Test(
        arguments: [
            (0x0000_0000_0000_0000, "0"), (0x8000_0000_0000_0000, "0"), (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"), (0x7FEF_FFFF_FFFF_FFFF, "1.7976931348623157e+308"),
            (0xFFEF_FFFF_FFFF_FFFF, "-1.7976931348623157e+308"), (0x4340_0000_0000_0000, "9007199254740992"),
            (0xC340_0000_0000_0000, "-9007199254740992"), (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44B5_2D02_C7E1_4AF5, "9.999999999999997e+22"), (0x44B5_2D02_C7E1_4AF6, "1e+23"),
            (0x44B5_2D02_C7E1_4AF7, "1.0000000000000001e+23"), (0x444B_1AE4_D6E2_EF4E, "999999999999999700000"),
            (0x444B_1AE4_D6E2_EF4F, "999999999999999900000"), (0x444B_1AE4_D6E2_EF50, "1e+21"),
            (0x3EB0_C6F7_A0B5_ED8C, "9.999999999999997e-7"), (0x3EB0_C6F7_A0B5_ED8D, "0.000001"),
            (0x41B3_DE43_5555_5553, "333333333.3333332"), (0x41B3_DE43_5555_5554, "333333333.33333325"),
            (0x41B3_DE43_5555_5555, "333333333.3333333"), (0x41B3_DE43_5555_5556, "333333333.3333334"),
            (0x41B3_DE43_5555_5557, "333333333.33333343"), (0xBECB_F647_612F_3696, "-0.0000033333333333333333"),
            (0x4314_3FF3_C1CB_0959, "1424953923781206.2"),
        ] as [(UInt64, String)])
    func numbersMatchTheStandardsVectors(_ bits: UInt64, _ text: String) {
        #expect(String(decoding: JSONValue.double(Double(bitPattern: bits)).canonical(), as: UTF8.self) == text)
    }

    @Test(
        arguments: [
            (1e21, "1e+21"), (1e20, "100000000000000000000"), (1.2345678901234568e20, "123456789012345680000"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"), (1.5e-10, "1.5e-10"), (0.1, "0.1"), (100, "100"), (-1.25, "-1.25"), (4.5, "4.5"),
            (2e-3, "0.002"),
            (1e30, "1e+30"), (12345.678, "12345.678"),
        ] as [(Double, String)])
    func numbersAreLaidOutAsInECMAScript(_ number: Double, _ text: String) {
        #expect(JSONValue.double(number).jsonText == text)
        #expect(String(decoding: JSONValue.double(number).canonical(), as: UTF8.self) == text)
    }

    /// RFC 8785 section 3.2.2 (input) and 3.2.4 (bytes).
    @Test func matchesTheStandardsExample() throws {
        let input: String = #"""
            {
              "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
              "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
              "literals": [null, true, false]
            }
            """#
        let expected: String = """
            7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e333333\
            333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c\
            225c5c5c5c5c222f227d
            """
        #expect(Hex.encode(try JSONReader.parse(input).canonical()) == expected)
    }

    /// RFC 8785 section 3.2.3.
    @Test func sortsKeysByTheirUTF16Units() throws {
        let input: String = #"""
            {"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
             "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}
            """#
        let canonical: JSONValue = try JSONReader.parse(try JSONReader.parse(input).canonical())
        #expect(
            canonical.object?.members.map(\.value.text) == [
                "Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis", "Euro Sign",
                "Emoji: Grinning Face", "Hebrew Letter Dalet With Dagesh",
            ])
    }

    @Test func keyOrderAgreesWithUTF16ForAllPairs() throws {
        let keys: [String] = [
            "", "a", "aa", "b", "\u{7F}", "\u{80}", "\u{7FF}", "\u{800}", "\u{D7FF}", "\u{E000}", "\u{FFFF}",
            "\u{10000}",
            "\u{10FFFF}", "a\u{E000}", "a\u{10000}", "\u{10000}a", "é", "e\u{301}",
        ]
        for left: String in keys {
            for right: String in keys where left.utf8.elementsEqual(right.utf8) == false {
                let object: JSONObject = [left: 1, right: 2]
                let first: Bool = left.utf16.lexicographicallyPrecedes(right.utf16)
                let written: JSONValue = try JSONReader.parse(JSONValue.object(object).canonical())
                #expect(written.object?.members.first?.value == (first ? 1 : 2), "\(left) \(right)")
            }
        }
    }

    @Test func integersBeyondTheDoublesAreRoundedAsTheStandardRequires() {
        #expect(String(decoding: JSONValue.int(9_007_199_254_740_993).canonical(), as: UTF8.self) == "9007199254740992")
        #expect(JSONValue.int(9_007_199_254_740_993).jsonText == "9007199254740993")
    }

    @Test func canonicalTextIsAFixedPoint() throws {
        let value: JSONValue = ["z": [1, 2.5, "é\n", nil], "a": ["y": true, "x": [:]], "": -0.0]
        let once: [UInt8] = value.canonical()
        #expect(try JSONReader.parse(once).canonical() == once)
        #expect(String(decoding: once, as: UTF8.self) == #"{"":0,"a":{"x":{},"y":true},"z":[1,2.5,"é\n",null]}"#)
    }
}
