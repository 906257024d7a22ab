import Store
import Synchronization
import TestKit
import Testing

@Suite struct CommitExtensionTests {
    /// Keeps a list of the calls to all its attachments.
    private final class Recorder: CommitExtension, Sendable {
        let calls: Mutex<[String]> = Mutex([])

        func makeAttachment() -> any CommitAttachment { Stage(self) }
    }

    /// Stages names in closures and writes them all in `prepareCommit`. Touched by one writer thread only.
    private final class Stage: CommitAttachment {
        private let recorder: Recorder
        private var staged: [String] = []
        private var mark: Int = 0

        init(_ recorder: Recorder) { self.recorder = recorder }

        /// What closures asked to be run after them.
        private var following: [FollowUp] = []

        func stage(_ name: String) { self.staged.append(name) }

        func follow(_ followUp: @escaping FollowUp) { self.following.append(followUp) }

        func followUps(_ transaction: Transaction) throws -> [FollowUp] {
            defer { self.following = [] }
            return self.following
        }

        func savepoint() { self.mark = self.staged.count }

        func rollbackToSavepoint() {
            self.staged.removeLast(self.staged.count - self.mark)
            self.note("undo")
        }

        func prepareCommit(_ transaction: Transaction) throws {
            if self.staged.contains("poison") { throw Poisoned() }
            for name in self.staged {
                try transaction.execute("INSERT INTO notes (tenant, name) VALUES ('t', $1)", .text(name))
            }
            self.note("prepare \(self.staged.count)")
        }

        func committed() {
            self.staged.removeAll()
            self.note("committed")
        }

        func aborted() {
            self.staged.removeAll()
            self.note("aborted")
        }

        private func note(_ text: String) { self.recorder.calls.withLock { $0.append(text) } }
    }

    private struct Poisoned: Error {}

    @Test(arguments: TestEngine.allCases)
    func whatAClosureStagedIsWrittenWithIt(_ engine: TestEngine) async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(engine, extensions: [recorder])
        try await test.store.write { $0.attachment(Stage.self)?.stage("a") }
        #expect(try await test.names() == ["a"])
        #expect(recorder.calls.withLock { $0 } == ["prepare 1", "committed"])
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func whatAFailedClosureStagedDisappears(_ engine: TestEngine) async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(engine, extensions: [recorder])
        await #expect(throws: Poisoned.self) {
            try await test.store.write { tx in
                tx.attachment(Stage.self)?.stage("a")
                throw Poisoned()
            }
        }
        #expect(try await test.names() == [])
        // On PostgreSQL the closure has a transaction of its own.
        let calls: [String] = engine == .sqlite ? ["undo", "prepare 0", "committed"] : ["aborted"]
        #expect(recorder.calls.withLock { $0 } == calls)
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aFailingExtensionFailsOnlyTheClosureAtFault(_ engine: TestEngine) async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(engine, extensions: [recorder])
        let gate: Gate = Gate()
        await withTaskGroup(of: Void.self) { group in
            // Holds the writer until all others wait, so that they form one group.
            group.addTask { _ = try? await test.store.write { _ in gate.wait() } }
            group.addTask {
                await #expect(throws: StoreError.misuse("a commit extension failed: Poisoned()")) {
                    try await test.store.write { $0.attachment(Stage.self)?.stage("poison") }
                }
            }
            for name in ["a", "b", "c"] {
                group.addTask { _ = try? await test.store.write { $0.attachment(Stage.self)?.stage(name) } }
            }
            group.addTask { gate.open() }
        }
        #expect(try await test.names() == ["a", "b", "c"])
        #expect(recorder.calls.withLock { $0.contains("aborted") })
        await test.store.close()
    }

    /// What follows is in the same commit; where it fails, it undoes only itself.
    @Test func whatFollowsIsInTheCommit() async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(.sqlite, extensions: [recorder])
        try await test.store.write { transaction in
            let stage: Stage? = transaction.attachment(Stage.self)
            stage?.stage("a")
            stage?.follow { $0.attachment(Stage.self)?.stage("b") }
            stage?.follow { transaction in
                transaction.attachment(Stage.self)?.stage("c")
                try transaction.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'd')")
                throw Poisoned()
            }
        }
        #expect(try await test.names() == ["a", "b"])
        #expect(recorder.calls.withLock { $0 } == ["undo", "prepare 2", "committed"])
        await test.store.close()
    }

    @Test(arguments: TestEngine.allCases)
    func aStoreWithoutTheExtensionHasNoAttachment(_ engine: TestEngine) async throws {
        let test: TestStore = try TestStore(engine)
        #expect(try await test.store.write { $0.attachment(Stage.self) == nil })
        await test.store.close()
    }
}
