import Store
import TestKit
import Testing

/// Rules were written for one writer; they must hold with several.
@Suite struct ConcurrencyTests {
    private static func count(_ source: some Queryable) throws -> Int64 {
        try source.first("SELECT count(*) FROM notes") { try $0.int(0) } ?? -1
    }

    @Test(arguments: TestEngine.allCases)
    func aLimitHoldsAmongConcurrentClosures(_ engine: TestEngine) async throws {
        struct Full: Error {}
        let test: TestStore = try TestStore(engine)
        let accepted: Int = await withTaskGroup(of: Int.self) { group in
            for index in 0..<40 {
                group.addTask {
                    let isAccepted: Void? = try? await test.store.write { tx in
                        // No row is locked, none is written twice: only serializable transactions keep this rule.
                        if try Self.count(tx) >= 5 { throw Full() }
                        try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', $1)", .text("\(index)"))
                    }
                    return isAccepted == nil ? 0 : 1
                }
            }
            return await group.reduce(0, +)
        }
        #expect(accepted == 5)
        #expect(try await test.names().count == 5)
        await test.store.close()
    }

    /// Each change of the counter would make it start again; at last it keeps the others out.
    @Test(arguments: TestEngine.allCases)
    func aLongClosureGetsThroughManyShortOnes(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        try await test.insert("counter")
        let done: Done = Done()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    while !done.isSet {
                        try await test.store.write { try $0.execute("UPDATE notes SET size = size + 1") }
                    }
                }
            }
            group.addTask {
                defer { done.set() }
                try await test.store.write { tx in
                    let before: Int64 = try tx.first("SELECT size FROM notes") { try $0.int(0) } ?? 0
                    for _ in 0..<200 { try tx.execute("UPDATE notes SET weight = $1", .double(1)) }
                    let after: Int64 = try tx.first("SELECT size FROM notes") { try $0.int(0) } ?? 0
                    #expect(before == after)
                }
            }
            try await group.waitForAll()
        }
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aReadCommittedClosureSeesWhatOthersCommit(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        try await test.insert("a")
        let moved: Int = try await test.store.write(isolation: .readCommitted) { tx in
            try tx.execute("UPDATE notes SET size = 1 WHERE name = 'a'")
        }
        #expect(moved == 1)
        await test.store.close()
    }

    /// As two processes on one server do.
    @Test func twoStoresShareADatabase() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        async let first: TestStore = Self.open(place)
        async let second: TestStore = Self.open(place)
        let stores: [TestStore] = try await [first, second]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<40 { group.addTask { try await stores[index % 2].insert("\(index)") } }
            try await group.waitForAll()
        }
        #expect(try await stores[0].names() == stores[1].names())
        #expect(try await stores[0].names().count == 40)
        for store in stores { await store.store.close() }
    }

    @concurrent
    private static func open(_ place: StorePlace) async throws -> TestStore { try TestStore(at: place) }
}
