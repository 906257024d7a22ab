import Files
import KeyRing
import Store
import Synchronization
import TestKit
import Testing

@testable import Backup

private final class End: Sendable {
    let isReached: Atomic<Bool> = Atomic(false)
}

struct BackupTests {
    @Test func aBackupMadeUnderLoadIsOneMomentOfTheStore() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(200)
        let end: End = End()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    while !end.isReached.load(ordering: .relaxed) {
                        try await fixture.write(5, of: String(repeating: "x", count: 3_000))
                    }
                }
            }
            for second: Int64 in 0..<8 { try fixture.backUp(second: second) }
            end.isReached.store(true, ordering: .relaxed)
            try await group.waitForAll()
        }
        var last: Int64 = 200
        for id in try fixture.open().ids() {
            try fixture.restore(id)
            let notes: Int64 = try await BackupFixture.notes(in: fixture.restored)
            #expect(notes >= last)
            last = notes
            try Folders.remove(fixture.restored)
        }
        // The store goes on and its log starts over.
        try await fixture.write(10)
        await fixture.store.close()
    }

    @Test func whatAnEarlierBackupHoldsIsNotWrittenAgain() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(3_000)
        let first: BackupDescription = try fixture.backUp(second: 1)
        #expect(first.bytesAdded > first.bytes)
        let same: BackupDescription = try fixture.backUp(second: 2)
        #expect(same.bytesAdded == 0)
        try await fixture.write(1)
        let next: BackupDescription = try fixture.backUp(second: 3)
        #expect(next.bytesAdded > 0)
        #expect(next.bytesAdded < first.bytesAdded)
        #expect(try fixture.backUp(isFull: true, second: 4).bytesAdded > next.bytes)
        for (id, notes) in [(first.id, 3_000), (same.id, 3_000), (next.id, 3_001)] as [(String, Int64)] {
            try fixture.restore(id)
            #expect(try await BackupFixture.notes(in: fixture.restored) == notes)
            try Folders.remove(fixture.restored)
        }
    }

    @Test func nothingOfTheDataIsReadable() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(100)
        try fixture.backUp()
        let words: [UInt8] = Array("brown fox".utf8)
        var files: [String] = try fixture.packs
        files += try Folders.names(in: "\(fixture.repository)/backups").map { "\(fixture.repository)/backups/\($0)" }
        #expect(files.count == 2)
        for path in files {
            let bytes: [UInt8] = try Files.read(path, bytesMax: 1 << 26)
            #expect(bytes.firstRange(of: words) == nil)
            #expect(bytes.firstRange(of: Array("SQLite format".utf8)) == nil)
        }
    }

    @Test func packsOfNoBackupGoWhenBackupsArePruned() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(500)
        try fixture.backUp(second: 1)
        try await fixture.write(10)
        try fixture.backUp(isFull: true, second: 2)
        try await fixture.write(10)
        let newest: BackupDescription = try fixture.backUp(second: 3)
        let repository: BackupRepository = try fixture.open()
        let pruned: (removed: [String], bytes: Int64) = try repository.prune(keeping: 1)
        #expect(pruned.removed.count == 2)
        #expect(pruned.bytes > 0)
        #expect(try repository.ids() == [newest.id])
        #expect(try fixture.packs.count < 3)
        try fixture.restore()
        #expect(try await BackupFixture.notes(in: fixture.restored) == 520)
    }

    @Test(arguments: ["wrong horse battery", ""])
    func onlyThePassphraseOpensARepository(secret: String) async throws {
        let fixture: BackupFixture = try BackupFixture()
        try fixture.backUp()
        #expect(throws: BackupError.self) {
            try BackupRepository.open(fixture.repository, secret: Array(secret.utf8))
        }
        #expect(throws: BackupError.self) { try BackupRepository.open(fixture.data, secret: BackupFixture.secret) }
    }

    @Test func twoProcessesDoNotWriteAtOnce() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try fixture.backUp()
        let lock: RepositoryLock = try RepositoryLock(try fixture.open())
        #expect {
            try fixture.backUp(second: 1)
        } throws: { error in
            guard case BackupError.inUse = error else { return false }
            return true
        }
        lock.release()
        try fixture.backUp(second: 1)
    }

    @Test func whatAKilledBackupLeftIsNoBackupAndGoes() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(50)
        try fixture.backUp(second: 1)
        let left: String = "\(fixture.repository)/packs/20260101T000000Z-00000000.pack.partial"
        try Files.replace(left, with: [1, 2, 3])
        #expect(try fixture.open().ids().count == 1)
        try fixture.backUp(second: 2)
        #expect(!Files.exists(left))
    }

    @Test func aRunningFolderIsNotTakenForAStoppedOne() async throws {
        let fixture: BackupFixture = try BackupFixture()
        #expect(throws: StoreError.self) { try DatabasePicture(ofStoppedStoreIn: fixture.data) }
        await fixture.store.close()
        let picture: DatabasePicture = try DatabasePicture(ofStoppedStoreIn: fixture.data)
        #expect(picture.length > 0)
        await #expect(throws: StoreError.self) { try await BackupFixture.notes(in: fixture.data) }
        picture.end()
        #expect(try await BackupFixture.notes(in: fixture.data) == 0)
    }
}
