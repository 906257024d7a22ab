import JSON
import Testing

struct JSONEventReaderTests {
    private func events(_ text: String) throws(JSONError) -> [(Int, JSONEvent)] {
        var copy: String = text
        let result: Result<[(Int, JSONEvent)], JSONError> = copy.withUTF8 { utf8 in
            Result { () throws(JSONError) in
                var reader: JSONEventReader = try JSONEventReader(UnsafeRawBufferPointer(utf8))
                var found: [(Int, JSONEvent)] = []
                while true {
                    let event: JSONEvent = try reader.next()
                    found.append((reader.offset, event))
                    if event == .end { return found }
                }
            }
        }
        return try result.get()
    }

    @Test func stepsThroughATextWithOffsets() throws {
        let found: [(Int, JSONEvent)] = try self.events(#" {"a": [1, {}], "b": [] , "a":null} "#)
        #expect(
            found.map(\.1) == [
                .beginObject, .key("a"), .beginArray, .scalar(1), .beginObject, .endObject, .endArray, .key("b"),
                .beginArray,
                .endArray, .key("a"), .scalar(nil), .endObject, .end,
            ])
        #expect(found.map(\.0) == [1, 2, 7, 8, 11, 12, 13, 16, 21, 22, 26, 30, 34, 36])
    }

    @Test(
        arguments: [
            "", "[", "[1", "[1,", "[1,]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "[,]",
            "]",
            "[}", "1 1", "[] []", "{\"a\" 1}", "{1:2}", "[1 2]",
        ])
    func refusesWhatTheTreeReaderRefuses(_ text: String) {
        let fromTree: JSONError? = #expect(throws: JSONError.self) { try JSONReader.parse(text) }
        let fromEvents: JSONError? = #expect(throws: JSONError.self) { try self.events(text) }
        #expect(fromTree == fromEvents)
    }

    @Test func refusesDepthBeyondItsLimit() {
        #expect(throws: JSONError.self) { try self.events(String(repeating: "[", count: 65)) }
    }
}
