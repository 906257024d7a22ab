import Documents
import Testing

/// Documents made to exhaust a reader: each is refused with a message that names the limit, in time linear in its length.
struct HostileDocumentTests {
    private func message(_ text: String, limits: DocumentLimits = .standard) -> String? {
        do {
            _ = try DocumentReader.parse(text, limits: limits)
            return nil
        } catch {
            return error.message
        }
    }

    @Test func refusesAliasesThatMultiply() {
        var text: String = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level: Int in 1..<30 {
            let alias: String = "*a\(level - 1)"
            text += "a\(level): &a\(level) [\(Array(repeating: alias, count: 10).joined(separator: ", "))]\n"
        }
        #expect(self.message(text) == "expected aliases to stand for at most 100000 values in a document")
    }

    @Test func refusesAliasesThatNestTooDeeply() {
        var text: String = "a0: &a0 [x]\n"
        for level: Int in 1..<200 { text += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(self.message(text) == "expected at most 100 levels of nesting")
    }

    @Test(
        arguments: [
            ("[", 2_000_000), ("{\"a\":", 1_000_000), ("- ", 2_000_000), ("a: [", 1_000_000), ("? ", 1_000_000),
            ("x: {a: ", 1_000_000),
            ("- [", 1_000_000), ("k: ", 1),
        ])
    func refusesDeepNesting(_ opening: String, _ count: Int) {
        // The last of the arguments shows that the shape as such is read.
        let text: String = String(repeating: opening, count: count)
        #expect((self.message(text) == nil) == (count == 1))
    }

    @Test func refusesBlockNestingByIndentation() {
        var text: String = ""
        for level: Int in 0..<2000 { text += String(repeating: " ", count: level) + "a:\n" }
        #expect(self.message(text) == "expected at most 100 levels of nesting")
    }

    @Test(arguments: [
        "[" + String(repeating: "0,", count: 40) + "0]", String(repeating: "- 0\n", count: 41),
        "a: [" + String(repeating: "0,", count: 40) + "]",
    ])
    func refusesTooManyValues(_ text: String) {
        #expect(self.message(text, limits: DocumentLimits(values: 40)) == "expected at most 40 values in a document")
        #expect(self.message(text, limits: DocumentLimits(values: 43)) == nil)
    }

    @Test(arguments: ["? ", "{\""])
    func refusesLongKeys(_ opening: String) {
        let text: String = opening + String(repeating: "k", count: 4097) + (opening == "? " ? "\n: 1" : "\": 1}")
        #expect(self.message(text) == "expected a key of at most 4096 bytes")
        #expect(self.message(text, limits: DocumentLimits(keyBytes: 4097)) == nil)
    }

    @Test func refusesTooManyBytes() {
        let text: String = "a: " + String(repeating: "x", count: 10 << 20)
        #expect(self.message(text) == "expected a document of at most 10485760 bytes, found 10485763")
    }

    /// Ten megabytes without a line break, in the shapes that a scanner might walk over twice.
    @Test(
        arguments: [
            ("x", ""), ("x ", ""), ("\"", "\""), ("'", "'"), ("a: \"\\x41", ""), ("# ", ""), ("a: [x,", ""), ("&a", ""),
            ("*a", ""), ("!t", ""),
            ("%X ", ""), ("[\"", "\"]"), ("{\"k\": 1", ""), ("[1", "]"), ("a: '", "'"), ("? x", ""), ("|", ""),
            (">", ""), ("a:\n  ", ""),
        ])
    func decidesQuicklyOnOneLongLine(_ opening: String, _ closing: String) {
        let filler: String = String(
            repeating: opening.hasPrefix("[1") || opening.hasPrefix("{") ? "1" : "y", count: 10_000_000)
        for text: String in [
            filler, String(repeating: "y: ", count: 3_000_000), String(repeating: "\n", count: 1_000_000),
        ] {
            let message: String? = self.message(opening + text + closing)
            #expect(message == nil || message?.hasPrefix("expected ") == true)
        }
    }
}
