import Store
import TestKit
import Testing

/// What a task asked of a store, as somebody who follows it reads it.
@Suite struct StatementLogTests {
    private static let insert: String = "INSERT INTO notes (tenant, name) VALUES ('t', $1)"
    private static let select: String = "SELECT name FROM notes WHERE name = $1"

    private static func work(_ test: TestStore, _ name: String) async throws {
        try await test.store.write { transaction in
            try transaction.execute(Self.insert, .text(name))
            try transaction.execute("DELETE FROM notes WHERE name = $1", values: [.text("nobody")])
            _ = try transaction.first(Self.select, .text(name)) { try $0.text(0) }
        }
        _ = try await test.store.read { reader in try reader.first(Self.select, .text(name)) { try $0.text(0) } }
    }

    private static let texts: [String] = [
        "write", insert, "DELETE FROM notes WHERE name = $1", select, "read", select,
    ]

    @Test(arguments: TestEngine.allCases)
    func hasTheTextsInOrderOfOneTaskAlone(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        let (first, second): (StatementLog, StatementLog) = (StatementLog(), StatementLog())
        async let other: Void = StatementLog.$current.withValue(second) { try await Self.work(test, "b") }
        try await StatementLog.$current.withValue(first) { try await Self.work(test, "a") }
        try await other
        try await Self.work(test, "c")
        #expect(first.texts == Self.texts && second.texts == Self.texts)
        await test.store.close()
    }

    /// Of a group that failed the closures run again; and what a closure ran before it threw was asked, too.
    @Test(arguments: TestEngine.allCases)
    func hasWhatRefusedClosuresAsked(_ engine: TestEngine) async throws {
        struct Refusal: Error {}
        let test: TestStore = try TestStore(engine)
        let log: StatementLog = StatementLog()
        await #expect(throws: Refusal.self) {
            try await StatementLog.$current.withValue(log) {
                try await test.store.write { transaction in
                    try transaction.execute(Self.insert, .text("a"))
                    throw Refusal()
                }
            }
        }
        #expect(log.texts == ["write", Self.insert])
        await test.store.close()
    }
}
