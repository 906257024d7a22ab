import JSON
import Testing

struct JSONWriterTests {
    @Test func writesCommasAndColonsByItself() {
        var writer: JSONWriter = JSONWriter()
        writer.beginObject()
        writer.field("id")
        writer.string("a\"b")
        writer.key("n\n")
        writer.beginArray()
        writer.int(1)
        writer.int(Int64.min)
        writer.double(0.5)
        writer.bool(true)
        writer.null()
        writer.beginObject()
        writer.endObject()
        writer.value(["x": [1, nil]])
        writer.raw(Array("[2]".utf8))
        writer.endArray()
        writer.field("last")
        writer.bool(false)
        writer.endObject()
        #expect(
            String(decoding: writer.bytes, as: UTF8.self)
                == #"{"id":"a\"b","n\n":[1,-9223372036854775808,0.5,true,null,{},{"x":[1,null]},[2]],"last":false}"#)
        writer.removeAll()
        writer.null()
        #expect(writer.bytes == Array("null".utf8))
    }

    @Test func appendsToWhatIsThere() {
        var writer: JSONWriter = JSONWriter(appendingTo: Array("data: ".utf8))
        writer.int(7)
        #expect(writer.bytes == Array("data: 7".utf8))
    }

    @Test func escapesControlCharactersQuotesAndBackslashesOnly() throws {
        var text: String = ""
        for code: UInt32 in 0..<0x100 { text.unicodeScalars.append(Unicode.Scalar(code) ?? " ") }
        text += "日本😀\u{2028}"
        let written: String = JSONValue.string(text).jsonText
        #expect(written.hasPrefix(#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e"#))
        #expect(written.contains("!\\\"#"))
        #expect(written.contains(#"[\\]"#))
        #expect(written.hasSuffix("ÿ日本😀\u{2028}\""))
        #expect(try JSONReader.parse(written) == .string(text))
    }

    @Test func escapesAtEveryOffsetOfAWord() throws {
        for offset: Int in 0..<20 {
            let text: String = String(repeating: "x", count: offset) + "\u{1}\"é\\" + String(repeating: "y", count: 9)
            #expect(try JSONReader.parse(JSONValue.string(text).serialized()) == .string(text))
        }
    }

    @Test func prettyTextIsIndentedAndReadsBack() throws {
        let value: JSONValue = ["a": [1, ["b": "c"]], "empty": [:], "none": []]
        let pretty: String = String(decoding: value.pretty(), as: UTF8.self)
        #expect(
            pretty == """
                {
                  "a": [
                    1,
                    {
                      "b": "c"
                    }
                  ],
                  "empty": {},
                  "none": []
                }

                """)
        #expect(try JSONReader.parse(pretty) == value)
    }

    @Test func everyKindOfNumberReadsBackAsItself() throws {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for _ in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let double: Double = Double(bitPattern: state ^ state >> 29)
            if double.isFinite { #expect(try JSONReader.parse(JSONValue.double(double).jsonText).number == double) }
            let integer: Int64 = Int64(bitPattern: state) >> Int64(state & 63)
            #expect(try JSONReader.parse(JSONValue.int(integer).jsonText) == .int(integer))
        }
    }

    @Test func largeDoublesReadBackAsDoubles() throws {
        for value: Double in [
            0x1p53 + 2, -51_234_567_890_123_448, 0x1p62 + 0x1p20, 0x1p63.nextDown, 0x1p63, -0x1p63, 1e20,
        ] {
            #expect(try JSONReader.parse(JSONValue.double(value).jsonText) == .double(value))
        }
        #expect(JSONValue.double(51_234_567_890_123_448).jsonText == "51234567890123450.0")
        #expect(JSONValue.double(51_234_567_890_123_448).canonical() == Array("51234567890123450".utf8))
    }

    @Test func aNumberJSONCannotSayIsTheCallersMistake() async {
        await #expect(processExitsWith: .failure) { _ = JSONValue.double(.infinity).serialized() }
    }
}
