import Glibc
import JSON
import Store
import TestKit
import Testing

@Suite struct FailureTests {
    /// A store whose database may not grow beyond some pages.
    private static func full(_ log: CapturedLog = CapturedLog()) async throws -> TestStore {
        let test: TestStore = try TestStore(bytesMax: 40 * 4096, logger: log.logger())
        try await test.insert("small")
        return test
    }

    private static func fill(_ test: TestStore, _ name: String) async throws {
        try await test.store.write { tx in
            let body: SQLValue = .bytes([UInt8](repeating: 1, count: 200_000))
            try tx.execute("INSERT INTO notes (tenant, name, body) VALUES ('t', $1, $2)", .text(name), body)
        }
    }

    private static func isFull(_ error: any Error) -> Bool {
        guard case StoreError.unavailable(let reason) = error else { return false }
        return reason.hasPrefix("no space left for the database")
    }

    @Test func aFullDatabaseSaysSoAndRecoversByItself() async throws {
        let log: CapturedLog = CapturedLog()
        let test: TestStore = try await Self.full(log)
        await #expect {
            try await Self.fill(test, "large")
        } throws: {
            Self.isFull($0)
        }
        // A probe write finds room, maybe before anybody looks.
        if case .failing(let reason, let since) = test.store.health {
            #expect(reason.hasPrefix("the store is unavailable: no space left for the database"))
            #expect(since == ManualClock().now())
        }
        try await eventually("the store recovers") { test.store.health == .ok }
        try await test.insert("later")
        #expect(try await test.names() == ["later", "small"])
        #expect(log.entries("store failing").count == 1)
        #expect(log.entries("store works again").count == 1)
        await test.store.close()
    }

    @Test func aFullDatabaseFailsOnlyWhatDoesNotFit() async throws {
        let test: TestStore = try await Self.full()
        let gate: Gate = Gate()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await test.store.write { _ in gate.wait() } }
            group.addTask {
                await #expect {
                    try await Self.fill(test, "large")
                } throws: {
                    Self.isFull($0)
                }
            }
            for index in 0..<20 { group.addTask { try? await test.insert("n\(index)") } }
            group.addTask { gate.open() }
        }
        #expect(try await test.names().count == 21)
        await test.store.close()
    }

    @Test func aSwallowedDiskFailureIsNotAcknowledged() async throws {
        let test: TestStore = try await Self.full()
        await #expect {
            try await test.store.write { tx in
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'before')")
                let body: SQLValue = .bytes([UInt8](repeating: 1, count: 200_000))
                _ = try? tx.execute("INSERT INTO notes (tenant, name, body) VALUES ('t', 'large', $1)", body)
            }
        } throws: {
            Self.isFull($0)
        }
        #expect(try await test.names() == ["small"])
        await test.store.close()
    }

    @Test func damageShowsAndStays() async throws {
        let first: TestStore = try TestStore()
        for index in 0..<40 { try await Self.fill(first, "\(index)") }
        await first.store.close()
        let path: String = first.folder.file("data/passerelle.db")
        var bytes: [UInt8] = first.folder.read("data/passerelle.db") ?? []
        // Every page but the first, which holds the schema's root, becomes noise.
        for at in (16 * 4096)..<bytes.count { bytes[at] = UInt8(truncatingIfNeeded: at &* 31) }
        first.folder.write(bytes, to: "data/passerelle.db")
        #expect(bytes.count > 100 * 4096, "\(path)")

        let test: TestStore = try TestStore(folder: first.folder)
        await #expect {
            _ = try await test.store.read { reader in
                try reader.rows("SELECT length(body), name FROM notes ORDER BY tenant, name") { try $0.text(1) }
            }
        } throws: { error in
            guard case StoreError.corrupt = error else { return false }
            return true
        }
        guard case .failing(let reason, _) = test.store.health else {
            Issue.record("expected the store to be failing")
            return
        }
        #expect(reason.hasPrefix("the database is damaged"))
        #expect(reason.hasSuffix("restore the data folder from a backup"))
        await test.store.close()
    }

    @Test func aTransactionIsOfNoUseAfterItsClosure() async throws {
        final class Leak: @unchecked Sendable { var transaction: Transaction? }
        let test: TestStore = try TestStore()
        let leak: Leak = Leak()
        try await test.store.write { leak.transaction = $0 }
        #expect(throws: StoreError.misuse("a transaction was used after its closure had ended")) {
            try leak.transaction?.execute("DELETE FROM notes")
        }
        await test.store.close()
    }

    @Test func aSlowClosureIsLogged() async throws {
        let log: CapturedLog = CapturedLog()
        let test: TestStore = try TestStore(logger: log.logger())
        try await test.store.write { _ in _ = usleep(110_000) }
        try await eventually("a line is logged") {
            log.entries("a write closure held up the writer").first?["milliseconds"]?.integer ?? 0 >= 100
        }
        await test.store.close()
    }

    @Test func theLogFileStaysSmall() async throws {
        let test: TestStore = try TestStore()
        // 160 MB in all through a log of 32 MiB at most, and what came during the last copy.
        let body: SQLValue = .bytes([UInt8](repeating: 7, count: 400_000))
        for _ in 0..<400 {
            try await test.store.write { tx in
                try tx.execute(
                    "INSERT INTO notes (tenant, name, body) VALUES ('t', 'n', $1) "
                        + "ON CONFLICT (tenant, name) DO UPDATE SET body = excluded.body", body)
            }
        }
        var status: stat = stat()
        #expect(stat(test.folder.file("data/passerelle.db-wal"), &status) == 0)
        #expect(status.st_size < 48 << 20)
        await test.store.close()
    }
}
