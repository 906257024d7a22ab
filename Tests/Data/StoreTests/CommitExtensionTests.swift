import Store
import Synchronization
import TestKit
import Testing

@Suite struct CommitExtensionTests {
    /// Stages names in closures and writes them all in `prepareCommit`; keeps a list of the calls.
    private final class Recorder: CommitExtension, CommitAttachment, @unchecked Sendable {
        let calls: Mutex<[String]> = Mutex([])
        /// Touched on the writer thread only.
        private var staged: [String] = []
        private var mark: Int = 0

        func makeAttachment() -> any CommitAttachment { self }
        func stage(_ name: String) { self.staged.append(name) }

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

        private func note(_ text: String) { self.calls.withLock { $0.append(text) } }
    }

    private struct Poisoned: Error {}

    @Test func whatAClosureStagedIsWrittenWithIt() async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(extensions: [recorder])
        try await test.store.write { $0.attachment(Recorder.self)?.stage("a") }
        #expect(try await test.names() == ["a"])
        #expect(recorder.calls.withLock { $0 } == ["prepare 1", "committed"])
        await test.store.close()
    }

    @Test func whatAFailedClosureStagedDisappears() async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(extensions: [recorder])
        await #expect(throws: Poisoned.self) {
            try await test.store.write { tx in
                tx.attachment(Recorder.self)?.stage("a")
                throw Poisoned()
            }
        }
        #expect(try await test.names() == [])
        #expect(recorder.calls.withLock { $0 } == ["undo", "prepare 0", "committed"])
        await test.store.close()
    }

    @Test func aFailingExtensionFailsOnlyTheClosureAtFault() async throws {
        let recorder: Recorder = Recorder()
        let test: TestStore = try TestStore(extensions: [recorder])
        let gate: Gate = Gate()
        await withTaskGroup(of: Void.self) { group in
            // Holds the writer until all others wait, so that they form one group.
            group.addTask { _ = try? await test.store.write { _ in gate.wait() } }
            group.addTask {
                await #expect(throws: StoreError.misuse("a commit extension failed: Poisoned()")) {
                    try await test.store.write { $0.attachment(Recorder.self)?.stage("poison") }
                }
            }
            for name in ["a", "b", "c"] {
                group.addTask { _ = try? await test.store.write { $0.attachment(Recorder.self)?.stage(name) } }
            }
            group.addTask { gate.open() }
        }
        #expect(try await test.names() == ["a", "b", "c"])
        #expect(recorder.calls.withLock { $0.contains("aborted") })
        await test.store.close()
    }

    @Test func aStoreWithoutTheExtensionHasNoAttachment() async throws {
        let test: TestStore = try TestStore()
        #expect(try await test.store.write { $0.attachment(Recorder.self) == nil })
        await test.store.close()
    }
}
