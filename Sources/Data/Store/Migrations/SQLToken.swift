/// A word, quoted name, string, number or sign of an SQL text, without blanks and comments.
struct SQLToken: Equatable {
    let text: String
    /// Where it stands in the text's UTF-8.
    let range: Range<Int>

    /// Upper case, to compare with key words; quoted names and strings never equal one.
    var word: String { self.text.uppercased() }

    /// Splits a text. Never fails: an unterminated string ends with the text, and SQLite then names the error.
    static func split(_ sql: String) -> [SQLToken] {
        let bytes: [UInt8] = Array(sql.utf8)
        var tokens: [SQLToken] = []
        var at: Int = 0
        while at < bytes.count {
            let end: Int = Self.end(bytes, at)
            if !Self.isBlank(bytes, at) {
                tokens.append(SQLToken(text: String(decoding: bytes[at..<end], as: UTF8.self), range: at..<end))
            }
            at = end
        }
        return tokens
    }

    private static func isBlank(_ bytes: [UInt8], _ at: Int) -> Bool {
        bytes[at] <= 32 || Self.starts(bytes, at, "--") || Self.starts(bytes, at, "/*")
    }

    /// The end of the token, blank or comment that begins at `at`.
    private static func end(_ bytes: [UInt8], _ at: Int) -> Int {
        let first: UInt8 = bytes[at]
        if first <= 32 { return at + 1 }
        if Self.starts(bytes, at, "--") { return bytes[at...].firstIndex(of: 10) ?? bytes.count }
        if Self.starts(bytes, at, "/*") { return Self.commentEnd(bytes, at + 2) }
        if first == 39 || first == 34 { return Self.quoteEnd(bytes, at) }
        guard Self.isWord(first) else { return at + 1 }
        return bytes[at...].firstIndex { !Self.isWord($0) } ?? bytes.count
    }

    private static func commentEnd(_ bytes: [UInt8], _ start: Int) -> Int {
        var at: Int = start
        while at < bytes.count {
            if Self.starts(bytes, at, "*/") { return at + 2 }
            at += 1
        }
        return bytes.count
    }

    /// A quote inside a string is doubled.
    private static func quoteEnd(_ bytes: [UInt8], _ start: Int) -> Int {
        let quote: UInt8 = bytes[start]
        var at: Int = start + 1
        while at < bytes.count {
            if bytes[at] == quote {
                guard at + 1 < bytes.count, bytes[at + 1] == quote else { return at + 1 }
                at += 1
            }
            at += 1
        }
        return bytes.count
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122, 95, 36: return true
        default: return byte >= 128
        }
    }

    private static func starts(_ bytes: [UInt8], _ at: Int, _ text: StaticString) -> Bool {
        at + 1 < bytes.count && bytes[at] == text.utf8Start[0] && bytes[at + 1] == text.utf8Start[1]
    }
}
