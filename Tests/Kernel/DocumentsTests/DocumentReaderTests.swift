import Documents
import JSON
import Testing

struct DocumentReaderTests {
    @Test(
        arguments: [
            ("", nil), ("\n# only a comment\n", nil), ("---\n", nil), ("a: 1", ["a": 1]),
            ("- a\n- ~\n- null\n", ["a", nil, nil]),
            ("a: {b: [1, 2.5, true], c: \"x\\ty\"}", ["a": ["b": [1, 2.5, true], "c": "x\ty"]]),
            ("a: |\n  one\n  two\nb: >-\n  three\n  four\n", ["a": "one\ntwo\n", "b": "three four"]),
            ("200: ok\n\"201\": made\ntrue: yes\n", ["200": "ok", "201": "made", "true": "yes"]),
            ("{\"a\": [1, \"\\ud83d\\ude00\", null, -0.5]}", ["a": [1, "😀", nil, -0.5]]), ("[1, x]", [1, "x"]),
            ("{a: 1}", ["a": 1]), ("{ }", [:]),
            ("\u{FEFF}a: é", ["a": "é"]), ("\u{FEFF}{\"a\": 1}", ["a": 1]),
            ("a: &x [1, 2]\nb: *x\nc: *x", ["a": [1, 2], "b": [1, 2], "c": [1, 2]]),
            (
                "a: !!str 12\nb: !!float 3\nc: !!int 7\nd: ! 5\ne: !!map {}\n",
                ["a": "12", "b": 3.0, "c": 7, "d": "5", "e": [:]]
            ),
            ("%YAML 1.2\n---\na: 1\n...\n", ["a": 1]), ("'it''s'", "it's"),
        ] as [(String, JSONValue)])
    func reads(_ text: String, _ value: JSONValue) throws {
        #expect(try DocumentReader.parse(text).json() == value)
    }

    /// The examples of the core schema and what only looks like them.
    @Test(
        arguments: [
            ("0o14", 12), ("0x1F", 31), ("+12", 12), ("-7", -7), ("012", 12), ("1e3", 1000.0), ("-2E+05", -200_000.0),
            (".5", 0.5),
            ("-.5", -0.5), ("+.5", 0.5), ("1.", 1.0), ("1.e2", 100.0), ("9223372036854775807", .int(.max)),
            ("9223372036854775808", .double(9_223_372_036_854_775_808)), ("yes", "yes"), ("on", "on"), ("0b1", "0b1"),
            ("1_000", "1_000"),
            ("1:30", "1:30"), ("2001-12-14", "2001-12-14"), ("3.0.1", "3.0.1"), ("-", [nil]), ("+", "+"), (".", "."),
            ("0o9", "0o9"),
            ("0x", "0x"), ("0x-1", "0x-1"), ("e5", "e5"), ("1e", "1e"), ("nUll", "nUll"), ("TRUE", true),
            ("False", false),
            ("\"12\"", "12"), ("'true'", "true"),
        ] as [(String, JSONValue)])
    func resolvesPlainScalars(_ text: String, _ value: JSONValue) throws {
        #expect(try DocumentReader.parse(text).json() == value)
    }

    @Test(
        arguments: [
            (
                "a: [1\nb: 2", 2, 2,
                "expected YAML: did not find expected ',' or ']' while parsing a flow sequence of line 1"
            ),
            ("a: 1\n b: 2", 2, 3, "expected YAML: mapping values are not allowed in this context"),
            ("a: \"x", 1, 6, "expected YAML: found unexpected end of stream while scanning a quoted scalar"),
            (
                "\tx: 1", 1, 1,
                "expected YAML: found character that cannot start any token while scanning for the next token"
            ),
            ("a: 1\nb: 2\na: 3", 3, 1, "expected each key once, found \"a\" again"),
            ("200: x\n'200': y", 2, 1, "expected each key once, found \"200\" again"),
            ("{\"a\": 1,\n \"b\": 2, \"a\": 3}", 2, 10, "expected each key once, found \"a\" again"),
            ("{\"a\": 1,}", 1, 9, "expected a key in double quotes, found '}'"),
            ("a: *x", 1, 4, "expected an anchor &x before this alias"),
            ("a: &x [*x]", 1, 8, "expected an anchor &x before this alias"),
            ("a: 1\n---\nb: 2", 2, 1, "expected one document, found a second"),
            ("[a, b]: 1", 1, 1, "expected a plain or quoted key"),
            ("x: {[a]: 1}", 1, 5, "expected a plain or quoted key"),
            ("? [a, b]\n: 1", 1, 3, "expected a plain or quoted key"),
            ("a: &x {b: 1}\nc:\n  <<: *x", 3, 3, "expected members written out: YAML 1.2 has no merge keys (<<)"),
            ("?\n: 1", 1, 2, "expected a key before ':'"),
            ("a: !secret x", 1, 4, "expected a value that fits its tag \"!secret\""),
            ("a: !!int x", 1, 4, "expected a value that fits its tag \"tag:yaml.org,2002:int\""),
            ("a: !!set {b}", 1, 4, "expected no tag but !!map, found \"tag:yaml.org,2002:set\""),
            ("a: .inf", 1, 4, "expected a finite number within the range of a double, or a text in quotes"),
            ("a: 1e999", 1, 4, "expected a finite number within the range of a double, or a text in quotes"),
            ("a: x\u{1}y", 1, 5, "expected text that YAML allows: control characters are not allowed"),
            ("a: é\u{0}", 1, 5, "expected text that YAML allows: control characters are not allowed"),
        ])
    func refuses(_ text: String, _ line: Int, _ column: Int, _ message: String) {
        #expect(throws: DocumentError(line: line, column: column, message: message)) { try DocumentReader.parse(text) }
    }

    @Test func refusesWhatIsNotUTF8() {
        for start: String in ["a: é", "{\"a\": \"é"] {
            let bytes: [UInt8] = Array("\n".utf8) + Array(start.utf8) + [0xFF]
            let error: DocumentError? = #expect(throws: DocumentError.self) { try DocumentReader.parse(bytes) }
            #expect(error?.line == 2)
            #expect(error?.column == start.unicodeScalars.count + 1)
            #expect(error?.message == "expected UTF-8, found byte 0xff")
        }
        #expect(throws: DocumentError.self) { try DocumentReader.parse([0xFF, 0xFE, 0x61, 0x00]) }
    }

    @Test(arguments: [
        "a:\n  - b: 1\n    é: [x, {c: y}]\n", "{\"a\":\n [ { \"b\": 1,\n   \"é\": [\"x\", {\"c\": \"y\"}]}]}",
    ])
    func knowsWhereEverythingStands(_ text: String) throws {
        let root: Node = try DocumentReader.parse(text)
        let isJSON: Bool = text.hasPrefix("{")
        let inner: Node = try #require(root.resolve(JSONPointer(tokens: ["a", "0", "é", "1", "c"])))
        #expect(inner.text == "y")
        #expect(inner.position == SourcePosition(line: 3, column: isJSON ? 21 : 16))
        let key: Node.Member = try #require(root["a"]?.elements?[0].member("é"))
        #expect(key.key.position == SourcePosition(line: 3, column: isJSON ? 4 : 5))
        #expect(root.resolve(JSONPointer(tokens: ["a", "1"])) == nil)
        #expect(root["b"] == nil)
    }

    @Test func findsKeysOfLargeMappings() throws {
        let lines: [String] = (0..<3000).map { "key\($0): \($0)" }
        let root: Node = try DocumentReader.parse(lines.joined(separator: "\n"))
        #expect(root["key2999"]?.position == SourcePosition(line: 3000, column: 10))
        #expect(root["key3000"] == nil)
    }
}
