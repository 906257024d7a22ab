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
        _ engine: TestEngine = .sqlite, _ body: @escaping @Sendable (Transaction) throws -> T
    ) async throws -> T {
        let test: TestStore = try TestStore(engine)
        do {
            let result: T = try await test.store.write(body)
            await test.store.close()
            return result
        } catch {
            await test.store.close()
            throw error
        }
    }

    @Test(arguments: TestEngine.allCases)
    func oneHelperServesTransactionsAndReaders(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        let written: [Note] = try await test.store.write { tx in
            try tx.execute("INSERT INTO notes (tenant, name, size) VALUES ('t', 'a', 1), ('t', 'b', 2)")
            return try Self.notes(tx)
        }
        #expect(written == [Note(name: "a", size: 1), Note(name: "b", size: 2)])
        #expect(try await test.store.read { try Self.notes($0) } == written)
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func parametersAreBoundByName(_ engine: TestEngine) async throws {
        let text: String? = try await Self.run(engine) { tx in
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
    ])
    func refusesWrongStatements(_ sql: String, _ count: Int, _ problem: String) async throws {
        for engine in TestEngine.allCases {
            await #expect(throws: StoreError.misuse(problem)) {
                try await Self.run(engine) { tx in
                    try tx.visit(sql, [SQLValue](repeating: 1, count: count)) { _ in true }
                }
            }
        }
    }

    @Test(arguments: [
        (TestEngine.sqlite, "no such column: missing (code 1) in: SELECT missing"),
        (TestEngine.postgresql, "column \"missing\" does not exist (42703) in: SELECT missing"),
    ])
    func anUnknownColumnIsNamed(_ engine: TestEngine, _ problem: String) async throws {
        await #expect(throws: StoreError.misuse(problem)) {
            try await Self.run(engine) { tx in try tx.visit("SELECT missing", []) { _ in true } }
        }
    }

    @Test(arguments: TestEngine.allCases)
    func aClosureMayGoOnAfterARefusedStatement(_ engine: TestEngine) async throws {
        let names: [String] = try await Self.run(engine) { tx in
            try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'a')")
            // As an upsert by hand would do it.
            do {
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', $1)", "a")
                Issue.record("expected the second to be refused")
            } catch StoreError.constraint(.unique, _) {
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'b')")
            }
            return try tx.rows("SELECT name FROM notes ORDER BY name") { try $0.text(0) }
        }
        #expect(names == ["a", "b"])
    }

    @Test(arguments: TestEngine.allCases)
    func sumsAndTruthValuesAreIntegers(_ engine: TestEngine) async throws {
        let sums: [Int64]? = try await Self.run(engine) { tx in
            try tx.execute(
                "INSERT INTO notes (tenant, name, size) VALUES ('t', 'a', $1), ('t', 'b', 41), ('u', 'c', 0)",
                .int(9_000_000_000_000_000_000))
            return try tx.first(
                "SELECT sum(size), sum(size - size), -max(size), count(*), 1 = 1, sum(0 - size) FROM notes"
            ) { row in
                var values: [Int64] = []
                for column in 0..<6 { values.append(try row.int(column)) }
                return values
            }
        }
        let large: Int64 = 9_000_000_000_000_000_041
        #expect(sums == [large, 0, -9_000_000_000_000_000_000, 3, 1, -large])
    }

    /// Whatever the database's language: capital letters come before small ones, and accents after both.
    @Test(arguments: TestEngine.allCases)
    func textsAreOrderedByTheirBytes(_ engine: TestEngine) async throws {
        let names: [String] = try await Self.run(engine) { tx in
            for name in ["b", "a", "Z", "é", "_", "aa", "B"] {
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', $1)", .text(name))
            }
            return try tx.rows("SELECT name FROM notes WHERE name > $1 ORDER BY name", "A") { try $0.text(0) }
        }
        #expect(names == ["B", "Z", "_", "a", "aa", "b", "é"])
    }

    @Test(arguments: TestEngine.allCases)
    func jsonComesBackAsItWasWritten(_ engine: TestEngine) async throws {
        let json: String = "{ \"b\": 1.0,  \"a\": \"\\u0000\", \"a\": null }"
        let found: String? = try await Self.run(engine) { tx in
            try tx.execute("INSERT INTO notes (tenant, name, extra) VALUES ('t', 'a', $1)", .text(json))
            return try tx.first("SELECT extra FROM notes") { try $0.text(0) }
        }
        #expect(found == json)
    }

    /// NULL in one run and a value in the next, in the same place.
    @Test(arguments: TestEngine.allCases)
    func theSameStatementTakesValuesAndNull(_ engine: TestEngine) async throws {
        let bodies: [String] = try await Self.run(engine) { tx in
            for (name, body) in [("a", SQLValue.null), ("b", .bytes([1])), ("c", .null), ("d", .bytes([]))] {
                try tx.execute("INSERT INTO notes (tenant, name, body) VALUES ('t', $1, $2)", .text(name), body)
            }
            return try tx.rows("SELECT body FROM notes ORDER BY name") {
                "\(String(describing: try $0.optionalBytes(0)))"
            }
        }
        #expect(bodies == ["nil", "Optional([1])", "nil", "Optional([])"])
    }

    @Test(arguments: TestEngine.allCases)
    func aColumnOfAnotherTypeIsNamed(_ engine: TestEngine) async throws {
        await #expect(throws: StoreError.decoding(column: "n", expected: "an integer", found: "a text")) {
            try await Self.run(engine) { try $0.first("SELECT 'x' AS n") { try $0.int(0) } }
        }
        await #expect(throws: StoreError.decoding(column: "n", expected: "a text", found: "NULL")) {
            try await Self.run(engine) { try $0.first("SELECT NULL AS n") { try $0.text(0) } }
        }
        await #expect(throws: StoreError.misuse("column 1 does not exist in: SELECT 1")) {
            try await Self.run(engine) { try $0.first("SELECT 1") { try $0.bytes(1) } }
        }
    }

    @Test(arguments: TestEngine.allCases)
    func nullIsNilForOptionalReads(_ engine: TestEngine) async throws {
        let isNil: Bool? = try await Self.run(engine) { tx in
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

    @Test(arguments: TestEngine.allCases)
    func emptyValuesAreNotNull(_ engine: TestEngine) async throws {
        let found: Bool? = try await Self.run(engine) { tx in
            try tx.first("SELECT $1, $2", "", .bytes([])) { row in
                let text: String = try row.text(0)
                let bytes: [UInt8] = try row.bytes(1)
                return text.isEmpty && bytes.isEmpty
            }
        }
        #expect(found == true)
    }

    @Test(arguments: TestEngine.allCases)
    func theSameStatementMayRunInsideItsOwnRows(_ engine: TestEngine) async throws {
        let pairs: [String] = try await Self.run(engine) { tx in
            let sql: String = "SELECT name FROM notes ORDER BY name"
            try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'a'), ('t', 'b')")
            return try tx.rows(sql) { outer in
                let name: String = try outer.text(0)
                return try tx.rows(sql) { name + (try $0.text(0)) }.joined(separator: " ")
            }
        }
        #expect(pairs == ["aa ab", "ba bb"])
    }

    @Test(arguments: TestEngine.allCases)
    func aDecodingClosureMayThrowAnything(_ engine: TestEngine) async throws {
        struct Unknown: Error {}
        await #expect(throws: Unknown.self) {
            try await Self.run(engine) { tx in try tx.rows("SELECT 1") { _ -> Int in throw Unknown() } }
        }
    }

    @Test(arguments: TestEngine.allCases)
    func executeTellsHowManyRowsChanged(_ engine: TestEngine) async throws {
        let counts: [Int] = try await Self.run(engine) { tx in
            [
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'a'), ('t', 'b'), ('t', 'c')"),
                try tx.execute("UPDATE notes SET size = 1 WHERE name > $1", "a"),
                try tx.execute("DELETE FROM notes WHERE name = $1", "x"),
            ]
        }
        #expect(counts == [3, 2, 0])
    }
}
