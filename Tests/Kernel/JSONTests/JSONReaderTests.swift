import JSON
import Testing

struct JSONReaderTests {
    @Test(
        arguments: [
            ("null", .null), (" true ", true), ("false", false), ("0", 0), ("-1", -1),
            ("9223372036854775807", .int(.max)),
            ("-9223372036854775808", .int(.min)), ("9223372036854775808", .double(9_223_372_036_854_775_808)),
            ("123456789012345678901234567890", .double(1.2345678901234568e29)), ("1.5", 1.5), ("-0.25", -0.25),
            ("1e3", 1000),
            ("1E+2", 100), ("25e-1", 2.5), ("5e-324", .double(.leastNonzeroMagnitude)), ("1e-400", 0),
            ("1.7976931348623157e308", .double(1.7976931348623157e308)), ("0.1", 0.1),
            ("3.141592653589793", 3.141592653589793),
            ("\"\"", ""), ("\"plain\"", "plain"),
            ("\"quite a bit longer than eight bytes\"", "quite a bit longer than eight bytes"),
            ("\"é日😀\"", "é日😀"), ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\u{8}\u{C}\n\r\t"),
            ("\"a\\u00e9\\ud83d\\ude00\\u0000z\"", "aé😀\u{0}z"), ("[]", []), ("[ 1 , [2] , {} ]", [1, [2], [:]]),
            ("{}", [:]), ("{\"a\":1,\"b\":{\"c\":[null]}}\n", ["a": 1, "b": ["c": [nil]]]),
        ] as [(String, JSONValue)])
    func reads(_ text: String, _ value: JSONValue) throws {
        #expect(try JSONReader.parse(text) == value)
        #expect(try JSONReader.parse(Array(text.utf8)) == value)
    }

    @Test func negativeZeroKeepsItsSign() throws {
        #expect(try JSONReader.parse("-0").number?.sign == .minus)
    }

    @Test(
        arguments: [
            ("", 1, 1, "expected a value, found the end"),
            ("  ", 1, 3, "expected a value, found the end"),
            ("nul", 1, 4, "expected a value (did you mean 'null'?), found the end"),
            ("trUe", 1, 3, "expected a value (did you mean 'true'?), found 'U'"),
            ("1 2", 1, 3, "expected the end after the value, found '2'"),
            ("[1,]", 1, 4, "expected a value, found ']'"),
            ("[1 2]", 1, 4, "expected ',' or ']' after an element, found '2'"),
            ("{\"a\" 1}", 1, 6, "expected ':' after a key, found '1'"),
            ("{a:1}", 1, 2, "expected a key in double quotes, found 'a'"),
            ("{\"a\":1,}", 1, 8, "expected a key in double quotes, found '}'"),
            ("{\n \"é\":1,\n \"é\":2}", 3, 2, "expected each key once, found \"é\" again"),
            ("01", 1, 1, "expected a number without leading zeros"),
            ("-", 1, 2, "expected a digit, found the end"),
            ("+1", 1, 1, "expected a value, found '+'"),
            ("1.", 1, 3, "expected a digit after the decimal point, found the end"),
            (".5", 1, 1, "expected a value, found '.'"),
            ("1e", 1, 3, "expected a digit of the exponent, found the end"),
            ("1e999", 1, 1, "expected a number within the range of a double"),
            ("\"abc", 1, 5, "expected a closing '\"', found the end"),
            ("\"a\u{1}\"", 1, 3, "expected control character 0x01 to be escaped"),
            ("\"\\x\"", 1, 3, "expected an escape (one of \" \\ / b f n r t u), found 'x'"),
            ("\"\\u12g4\"", 1, 6, "expected four hexadecimal digits, found 'g'"),
            ("\"é\\ud800\"", 1, 3, "expected a surrogate pair, found a lone surrogate"),
            ("\"\\udc00\\ud800\"", 1, 2, "expected a surrogate pair, found a lone surrogate"),
            ("\"\\ud800\\u0041\"", 1, 2, "expected a surrogate pair, found a lone surrogate"),
            ("\u{FEFF}1", 1, 1, "expected a value, found byte 0xef"),
            ("[1]//", 1, 4, "expected the end after the value, found '/'"),
        ])
    func refuses(_ text: String, _ line: Int, _ column: Int, _ message: String) {
        let error: JSONError? = #expect(throws: JSONError.self) { try JSONReader.parse(text) }
        #expect(error?.message == message)
        #expect(error?.line == line)
        #expect(error?.column == column)
    }

    @Test(
        arguments: [
            ([0x22, 0xFF, 0x22], 1), ([0x22, 0xC3, 0x22], 1), ([0x22, 0x5C, 0x6E, 0xED, 0xA0, 0x80, 0x22], 3),
            ([0x22, 0x61, 0xC0, 0x80, 0x22], 2),
        ] as [([UInt8], Int)])
    func refusesWhatIsNotUTF8(_ bytes: [UInt8], _ offset: Int) {
        let error: JSONError? = #expect(throws: JSONError.self) { try JSONReader.parse(bytes) }
        #expect(error?.offset == offset)
    }

    @Test func refusesNestingBeyondItsLimitWithoutExhaustingTheStack() throws {
        let atLimit: String = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        _ = try JSONReader.parse(atLimit)
        for opening: String in ["[", "{\"a\":", "[{\"a\":"] {
            let error: JSONError? = #expect(throws: JSONError.self) {
                try JSONReader.parse(String(repeating: opening, count: 1_000_000))
            }
            #expect(error?.message == "expected at most 64 levels of nesting")
        }
    }

    @Test func refusesTextsAndNumbersBeyondTheirLimits() {
        #expect(throws: JSONError(offset: 0, line: 1, column: 1, message: "expected at most 3 bytes, found 4")) {
            try JSONReader.parse("1234", limits: JSONLimits(bytes: 3))
        }
        let digits: String = String(repeating: "1", count: 1025)
        let error: JSONError? = #expect(throws: JSONError.self) { try JSONReader.parse(digits) }
        #expect(error?.message == "expected a number of at most 1024 characters")
    }

    @Test(arguments: [2, 16, 17, 18, 40, 5000])
    func findsARepeatedKeyInObjectsOfAnySize(_ count: Int) throws {
        var members: [String] = (0..<count).map { "\"key\($0)\":\($0)" }
        let value: JSONValue = try JSONReader.parse("{" + members.joined(separator: ",") + "}")
        #expect(value["key\(count - 1)"]?.integer == Int64(count - 1))
        #expect(value["key\(count)"] == nil)
        members.append("\"key0\":0")
        #expect(throws: JSONError.self) { try JSONReader.parse("{" + members.joined(separator: ",") + "}") }
    }

    @Test func keysThatOnlyLookAlikeAreDifferent() throws {
        let value: JSONValue = try JSONReader.parse("{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(value["\u{E9}"] == 1)
        #expect(value["e\u{301}"] == 2)
    }

    @Test func everyPrefixOfAValidTextIsRefused() {
        let text: [UInt8] = Array("{\"a\\n\":[1.5e3,true,null,\"\\ud83d\\ude00é\"],\"b\":{}}".utf8)
        for length: Int in 0..<text.count {
            #expect(throws: JSONError.self) { try JSONReader.parse(Array(text[..<length])) }
        }
    }
}
