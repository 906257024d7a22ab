/// What the store has to know about a statement's text before SQLite sees it.
enum SQLText {
    /// Refuses statements that begin or end transactions, change the schema or the connection: those are the store's own.
    static func checkIsData(_ sql: String) throws(StoreError) {
        let word: String = Self.firstWord(sql)
        switch word {
        case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "REPLACE": return
        default: throw .misuse("expected SELECT, INSERT, UPDATE, DELETE or WITH and found '\(word)' in: \(sql)")
        }
    }

    private static func firstWord(_ sql: String) -> String {
        let start: Substring.UTF8View = sql.utf8[...].drop { $0 <= 32 }
        let letters: Substring.UTF8View = start.prefix { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a }
        return (String(letters) ?? "").uppercased()
    }
}
