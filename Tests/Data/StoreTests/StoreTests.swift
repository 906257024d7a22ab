import Store
import TestKit
import Testing
import Time

@Suite struct StoreTests {
    @Test(arguments: TestEngine.allCases)
    func whatWasWrittenIsReadBack(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        let now: Timestamp = try await test.store.write { (tx: Transaction) in
            try tx.execute(
                "INSERT INTO notes (tenant, name, body, size, weight, extra, open) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                "t", "n", .bytes([0, 255]), 7, 1.5, "{}", false)
            return tx.now
        }
        #expect(now == ManualClock().now())
        let row: String? = try await test.store.read { (reader: Reader) in
            try reader.first("SELECT name, body, size, weight, extra, open FROM notes") {
                (row: Row) throws(StoreError) in
                "\(try row.text(0)) \(try row.bytes(1)) \(try row.int(2)) \(try row.double(3)) "
                    + "\(try row.text(4)) \(try row.bool(5))"
            }
        }
        #expect(row == "n [0, 255] 7 1.5 {} false")
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aReopenedStoreHoldsWhatWasWritten(_ engine: TestEngine) async throws {
        let first: TestStore = try TestStore(engine)
        try await first.insert("a")
        await first.store.close()
        let second: TestStore = try TestStore(at: first.place)
        #expect(try await second.names() == ["a"])
        await second.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aThrowingClosureUndoesOnlyItself(_ engine: TestEngine) async throws {
        struct Refusal: Error {}
        let test: TestStore = try TestStore(engine)
        let outcomes: [String] = try await withThrowingTaskGroup(of: String.self) { group in
            for index in 0..<100 {
                group.addTask {
                    do {
                        try await test.store.write { (tx: Transaction) in
                            try tx.execute("INSERT INTO notes (tenant, name) VALUES ($1, $2)", "t", .text("\(index)"))
                            if index % 3 == 0 { throw Refusal() }
                        }
                        return "\(index)"
                    } catch is Refusal {
                        return ""
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.filter { $0.isEmpty }.count == 34)
        #expect(try await test.names() == outcomes.filter { !$0.isEmpty }.sorted())
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aBrokenRuleNamesItsKindAndColumns(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        try await test.insert("a")
        await #expect(throws: StoreError.constraint(.unique, detail: "notes.tenant, notes.name")) {
            try await test.insert("a")
        }
        await #expect(
            throws: StoreError.constraint(.check, detail: engine == .sqlite ? "size >= 0" : "notes_size_check")
        ) {
            try await test.insert("b", size: -1)
        }
        await #expect(throws: StoreError.constraint(.notNull, detail: "notes.name")) {
            try await test.store.write { try $0.execute("INSERT INTO notes (tenant) VALUES ($1)", "t") }
        }
        let detail: String =
            engine == .sqlite
            ? "cannot store TEXT value in INTEGER column notes.size"
            : "column \"size\" is of type bigint but expression is of type text"
        await #expect(throws: StoreError.constraint(.type, detail: detail)) {
            try await test.store.write {
                try $0.execute("INSERT INTO notes (tenant, name, size) VALUES ($1, $2, $3)", "t", "c", "x")
            }
        }
        #expect(test.store.health == .ok)
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aRuleCheckedAtCommitFailsOnlyTheClosureThatBreaksIt(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                let detail: String = engine == .sqlite ? "" : "links.tenant, links.name"
                await #expect(throws: StoreError.constraint(.foreignKey, detail: detail)) {
                    try await test.store.write {
                        try $0.execute("INSERT INTO links (tenant, id, name) VALUES ('t', 1, 'missing')")
                    }
                }
            }
            for index in 0..<50 { group.addTask { try await test.insert("\(index)") } }
            try await group.waitForAll()
        }
        #expect(try await test.names().count == 50)
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func closuresSeeEarlierOnesAndRunInOrder(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        try await test.insert("sum")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    _ = try? await test.store.write { try $0.execute("UPDATE notes SET size = size + 1") }
                }
            }
        }
        let size: Int64? = try await test.store.read { try $0.first("SELECT size FROM notes") { try $0.int(0) } }
        #expect(size == 200)
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aCancelledCallerStillLearnsTheOutcome(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        let gate: Gate = Gate()
        async let held: Void = test.store.write { _ in gate.wait() }
        let caller: Task<Void, any Error> = Task { try await test.insert("a") }
        caller.cancel()
        gate.open()
        try await held
        try await caller.value
        #expect(try await test.names() == ["a"])
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aClosedStoreRefuses(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        await test.store.close()
        await test.store.close()
        await #expect(throws: StoreError.closed) { try await test.insert("a") }
        await #expect(throws: StoreError.closed) { _ = try await test.names() }
    }

    @Test(arguments: TestEngine.allCases)
    func closingFinishesWhatWaits(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        let written: Int = await withTaskGroup(of: Int.self) { group in
            for index in 0..<100 {
                group.addTask { (try? await test.insert("\(index)")) == nil ? 0 : 1 }
            }
            await test.store.close()
            return await group.reduce(0, +)
        }
        let again: TestStore = try TestStore(at: test.place)
        #expect(try await again.names().count == written)
        await again.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aFullQueueRefuses(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        let gate: Gate = Gate()
        let refused: Int = await withTaskGroup(of: Int.self) { group in
            // Holds every thread that writes.
            for _ in 0..<TestStore.writers {
                group.addTask {
                    try? await test.store.write { _ in gate.wait() }
                    return 0
                }
            }
            // More than the queue and the group that is being run can hold.
            for _ in 0..<5000 {
                group.addTask {
                    do {
                        try await test.store.write { _ in }
                    } catch StoreError.overloaded(queue: "write", limit: 4096) {
                        gate.open()
                        return 1
                    } catch {}
                    return 0
                }
            }
            return await group.reduce(0, +)
        }
        #expect(refused > 0)
        await test.store.close()
    }
}
