import TestKit
import Testing

@testable import Store

@Suite struct ReaderTests {
    @Test(arguments: TestEngine.allCases)
    func aSnapshotDoesNotMove(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine, readTimeMax: .seconds(300))
        try await test.insert("a")
        let first: Gate = Gate()
        let second: Gate = Gate()
        async let counts: [Int64] = test.store.read { reader in
            let before: Int64 = try reader.first("SELECT count(*) FROM notes") { try $0.int(0) } ?? -1
            first.open()
            second.wait()
            return [before, try reader.first("SELECT count(*) FROM notes") { try $0.int(0) } ?? -1]
        }
        try await test.store.read { _ in first.wait() }
        try await test.insert("b")
        second.open()
        #expect(try await counts == [1, 1])
        #expect(try await test.names() == ["a", "b"])
        await test.store.close()
    }

    @Test func whoReadsAloneMayTakeLonger() {
        #expect(ReadDeadline(limit: .seconds(86_400)).limit == .seconds(86_400))
    }

    @Test(arguments: TestEngine.allCases)
    func aReaderCannotWrite(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        await #expect(throws: StoreError.self) {
            try await test.store.read { reader in
                try reader.rows("DELETE FROM notes RETURNING name") { try $0.text(0) }
            }
        }
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aReadThatTakesTooLongIsInterrupted(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine, readTimeMax: .milliseconds(50))
        let endless: String =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        await #expect(throws: StoreError.timedOut(after: .milliseconds(50))) {
            try await test.store.read { try $0.first(endless) { try $0.int(0) } }
        }
        // The thread and its connection serve the next one.
        for _ in 0..<4 { #expect(try await test.names() == []) }
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aReaderIsOfNoUseAfterItsClosure(_ engine: TestEngine) async throws {
        final class Leak: @unchecked Sendable { var reader: Reader? }
        let test: TestStore = try TestStore(engine)
        let leak: Leak = Leak()
        try await test.store.read { leak.reader = $0 }
        #expect(throws: StoreError.misuse("a reader was used after its closure had ended")) {
            try leak.reader?.visit("SELECT 1", []) { _ in true }
        }
        await test.store.close()
    }
}
