import Store
import TestKit
import Testing

@Suite struct QueryableTests {
    private struct Note: Equatable {
        let name: String
        let size: Int64

        init(name: String, size: Int64) {
            self.name = name
            self.size = size
        }

        init(_ row: Row) throws(StoreError) {
            self.name = try row.text(0)
            self.size = try row.int(1)
        }
    }

    /// SQL helpers take either side.
    private static func notes(_ source: some Queryable) throws(StoreError) -> [Note] {
        try source.rows("SELECT name, size FROM notes ORDER BY name", decode: Note.init)
    }

    private static func run<T: Sendable>(
        _ body: @escaping @Sendable (Transaction) throws -> T
    ) async throws -> T {
        let test: TestStore = try TestStore()
        do {
            let result: T = try await test.store.write(body)
            await test.store.close()
            return result
        } catch {
            await test.store.close()
            throw error
        }
    }

    @Test func oneHelperServesTransactionsAndReaders() async throws {
        let test: TestStore = try TestStore()
        let written: [Note] = try await test.store.write { tx in
            try tx.execute("INSERT INTO notes (tenant, name, size) VALUES ('t', 'a', 1), ('t', 'b', 2)")
            return try Self.notes(tx)
        }
        #expect(written == [Note(name: "a", size: 1), Note(name: "b", size: 2)])
        #expect(try await test.store.read { try Self.notes($0) } == written)
        await test.store.close()
    }

    @Test func parametersAreBoundByName() async throws {
        let text: String? = try await Self.run { tx in
            // SQLite numbers by first appearance: $2 gets slot 1.
            try tx.first("SELECT $2 || $1 || $2", "a", "b") { try $0.text(0) }
        }
        #expect(text == "bab")
    }

    @Test(arguments: [
        ("SELECT $1", 0, "0 values for 1 parameters in: SELECT $1"),
        ("SELECT 1", 1, "1 values for 0 parameters in: SELECT 1"),
        ("SELECT $1, $3", 3, "parameter $2 is missing in: SELECT $1, $3"),
        ("SELECT ?", 1, "parameter '?' is not of the form $1, $2 … in: SELECT ?"),
        ("SELECT :name", 1, "parameter ':name' is not of the form $1, $2 … in: SELECT :name"),
        ("SELECT 1; SELECT 2", 0, "expected exactly one statement in: SELECT 1; SELECT 2"),
        ("", 0, "expected SELECT, INSERT, UPDATE, DELETE or WITH and found '' in: "),
        ("COMMIT", 0, "expected SELECT, INSERT, UPDATE, DELETE or WITH and found 'COMMIT' in: COMMIT"),
        (
            "PRAGMA synchronous = OFF", 0,
            "expected SELECT, INSERT, UPDATE, DELETE or WITH and found 'PRAGMA' in: PRAGMA synchronous = OFF"
        ),
        ("SELECT missing", 0, "no such column: missing (code 1) in: SELECT missing"),
    ])
    func refusesWrongStatements(_ sql: String, _ count: Int, _ problem: String) async throws {
        await #expect(throws: StoreError.misuse(problem)) {
            try await Self.run { tx in
                try tx.visit(sql, [SQLValue](repeating: 1, count: count)) { _ in true }
            }
        }
    }

    @Test func aColumnOfAnotherTypeIsNamed() async throws {
        await #expect(throws: StoreError.decoding(column: "n", expected: "an integer", found: "a text")) {
            try await Self.run { try $0.first("SELECT 'x' AS n") { try $0.int(0) } }
        }
        await #expect(throws: StoreError.decoding(column: "n", expected: "a text", found: "NULL")) {
            try await Self.run { try $0.first("SELECT NULL AS n") { try $0.text(0) } }
        }
        await #expect(throws: StoreError.misuse("column 1 does not exist in: SELECT 1")) {
            try await Self.run { try $0.first("SELECT 1") { try $0.bytes(1) } }
        }
    }

    @Test func nullIsNilForOptionalReads() async throws {
        let isNil: Bool? = try await Self.run { tx in
            try tx.first("SELECT $1, $2, $3, $4", nil, .optional(nil as String?), nil, nil) { row in
                let int: Int64? = try row.optionalInt(0)
                let text: String? = try row.optionalText(1)
                let bytes: [UInt8]? = try row.optionalBytes(2)
                let double: Double? = try row.optionalDouble(3)
                return int == nil && text == nil && bytes == nil && double == nil
            }
        }
        #expect(isNil == true)
    }

    @Test func emptyValuesAreNotNull() async throws {
        let found: Bool? = try await Self.run { tx in
            try tx.first("SELECT $1, $2", "", .bytes([])) { row in
                let text: String = try row.text(0)
                let bytes: [UInt8] = try row.bytes(1)
                return text.isEmpty && bytes.isEmpty
            }
        }
        #expect(found == true)
    }

    @Test func theSameStatementMayRunInsideItsOwnRows() async throws {
        let pairs: [String] = try await Self.run { tx in
            let sql: String = "SELECT name FROM notes ORDER BY name"
            try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'a'), ('t', 'b')")
            return try tx.rows(sql) { outer in
                let name: String = try outer.text(0)
                return try tx.rows(sql) { name + (try $0.text(0)) }.joined(separator: " ")
            }
        }
        #expect(pairs == ["aa ab", "ba bb"])
    }

    @Test func aDecodingClosureMayThrowAnything() async throws {
        struct Unknown: Error {}
        await #expect(throws: Unknown.self) {
            try await Self.run { tx in try tx.rows("SELECT 1") { _ -> Int in throw Unknown() } }
        }
    }

    @Test func executeTellsHowManyRowsChanged() async throws {
        let counts: [Int] = try await Self.run { tx in
            [
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'a'), ('t', 'b'), ('t', 'c')"),
                try tx.execute("UPDATE notes SET size = 1 WHERE name > $1", "a"),
                try tx.execute("DELETE FROM notes WHERE name = $1", "x"),
            ]
        }
        #expect(counts == [3, 2, 0])
    }
}
