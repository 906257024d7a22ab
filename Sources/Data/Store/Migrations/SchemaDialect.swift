/// Turns the neutral SQL of a migration into an engine's: column types, and what SQLite wants to know about a table.
///
/// On SQLite tables are `STRICT`, so that the types are enforced. On PostgreSQL texts compare byte by byte, as on SQLite,
/// whatever the database's language; JSON is a text, since it must come back as it was written (its hash may stand
/// elsewhere); truth values are numbers, as the parameters are.
struct SchemaDialect {
    static let sqlite: SchemaDialect = SchemaDialect(
        types: [
            "BYTES": "BLOB", "INT64": "INTEGER", "TEXT": "TEXT", "JSON": "TEXT", "DOUBLE": "REAL", "BOOL": "INTEGER",
        ], isStrict: true)
    static let postgresql: SchemaDialect = SchemaDialect(
        types: [
            "BYTES": "bytea", "INT64": "bigint", "TEXT": "text COLLATE \"C\"", "JSON": "text COLLATE \"C\"",
            "DOUBLE": "double precision", "BOOL": "bigint",
        ], isStrict: false)

    private let types: [String: String]
    /// Whether tables are declared `STRICT`, and may be without row ids.
    private let isStrict: Bool

    static func of(_ engine: StoreEngineKind) -> SchemaDialect { engine == .sqlite ? .sqlite : .postgresql }

    /// What can begin an element of a table that is no column.
    private static let constraintWords: Set<String> = ["PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "CONSTRAINT"]

    /// A replacement of some bytes of the text.
    private struct Edit {
        let range: Range<Int>
        let text: String
    }

    /// The statements of a migration, each mapped. Throws `.misuse` naming table and column for a type that is not neutral.
    func statements(_ sql: String) throws(StoreError) -> [String] {
        let bytes: [UInt8] = Array(sql.utf8)
        var mapped: [String] = []
        for tokens: ArraySlice<SQLToken> in SQLToken.split(sql).split(whereSeparator: { $0.text == ";" }) {
            mapped.append(try self.map(Array(tokens), bytes))
        }
        return mapped
    }

    private func map(_ tokens: [SQLToken], _ bytes: [UInt8]) throws(StoreError) -> String {
        var edits: [Edit] = []
        if tokens.count > 2, tokens[0].word == "CREATE", tokens[1].word == "TABLE" {
            edits = try self.tableEdits(tokens)
        } else if tokens.count > 2, tokens[0].word == "ALTER", tokens[1].word == "TABLE" {
            edits = try self.columnEdits(tokens)
        }
        return Self.apply(edits, to: bytes, tokens[0].range.lowerBound..<tokens[tokens.count - 1].range.upperBound)
    }

    /// CREATE TABLE name ( column type …, … ) [WITHOUT ROWID]
    private func tableEdits(_ tokens: [SQLToken]) throws(StoreError) -> [Edit] {
        guard let opening: Int = tokens.firstIndex(where: { $0.text == "(" }) else {
            throw .misuse("expected '(' after the table's name near '\(tokens[2].text)'")
        }
        let table: String = tokens[opening - 1].text
        var edits: [Edit] = []
        var depth: Int = 0
        var index: Int = opening
        while index < tokens.count {
            let text: String = tokens[index].text
            if text == "(" { depth += 1 }
            if text == ")" { depth -= 1 }
            if depth == 0 { break }
            if depth == 1, text == "(" || text == ",", index + 2 < tokens.count,
                !Self.constraintWords.contains(tokens[index + 1].word)
            {
                edits.append(try self.typeEdit(table: table, column: tokens[index + 1], type: tokens[index + 2]))
            }
            index += 1
        }
        let end: Int = tokens[tokens.count - 1].range.upperBound
        guard self.isStrict else {
            // Nothing behind the closing parenthesis.
            edits.append(Edit(range: (tokens[min(index, tokens.count - 1)].range.upperBound)..<end, text: ""))
            return edits
        }
        edits.append(Edit(range: end..<end, text: index == tokens.count - 1 ? " STRICT" : ", STRICT"))
        return edits
    }

    /// ALTER TABLE name ADD [COLUMN] column type …
    private func columnEdits(_ tokens: [SQLToken]) throws(StoreError) -> [Edit] {
        guard tokens.count > 5, tokens[3].word == "ADD" else { return [] }
        let column: Int = tokens[4].word == "COLUMN" ? 5 : 4
        guard column + 1 < tokens.count else { return [] }
        return [try self.typeEdit(table: tokens[2].text, column: tokens[column], type: tokens[column + 1])]
    }

    private func typeEdit(table: String, column: SQLToken, type: SQLToken) throws(StoreError) -> Edit {
        guard let native: String = self.types[type.word] else {
            throw .misuse(
                "column '\(column.text)' of table '\(table)': "
                    + "expected a type of bytes, int64, text, json, double, bool and found '\(type.text)'")
        }
        return Edit(range: type.range, text: native)
    }

    private static func apply(_ edits: [Edit], to bytes: [UInt8], _ whole: Range<Int>) -> String {
        var result: [UInt8] = []
        var at: Int = whole.lowerBound
        for edit: Edit in edits {
            result += bytes[at..<edit.range.lowerBound]
            result += Array(edit.text.utf8)
            at = edit.range.upperBound
        }
        result += bytes[at..<whole.upperBound]
        return String(decoding: result, as: UTF8.self)
    }
}
