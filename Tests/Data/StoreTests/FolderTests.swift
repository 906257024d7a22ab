import Glibc
import Store
import TestKit
import Testing

@Suite struct FolderTests {
    private static func mode(_ path: String) -> UInt32 {
        var status: stat = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    private static func open(_ path: String) async throws {
        let store: Store = try Store.open(StoreConfiguration(folder: path))
        await store.close()
    }

    @Test func onlyTheOwnerMayEnter() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let store: Store = try Store.open(StoreConfiguration(folder: folder.file("a/b")))
        #expect(Self.mode(folder.file("a")) == 0o700)
        #expect(Self.mode(folder.file("a/b")) == 0o700)
        for name in ["passerelle.db", "passerelle.db-wal", "passerelle.db-shm", "passerelle.lock"] {
            #expect(Self.mode(folder.file("a/b/" + name)) == 0o600, "\(name)")
        }
        await store.close()
    }

    @Test func aSecondStoreIsRefusedAndTheFirstGoesOn() async throws {
        let test: TestStore = try TestStore()
        let path: String = test.folder.file("data")
        await #expect(throws: StoreError.locked(folder: path, pid: getpid())) { try await Self.open(path) }
        #expect(
            StoreError.locked(folder: path, pid: 7).description
                == "the data folder '\(path)' is in use by process 7; stop it, or choose another folder")
        try await test.insert("a")
        #expect(try await test.names() == ["a"])
        await test.store.close()
    }

    @Test func aStoreThatIsLetGoReleasesItsFolder() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        do { _ = try TestStore(folder: folder) }
        var next: TestStore?
        try await eventually("the folder is free") {
            next = try? TestStore(folder: folder)
            return next != nil
        }
        await next?.store.close()
    }

    @Test func aFileWhereTheFolderShouldBeIsNamed() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = folder.write("text", to: "data")
        await #expect(throws: StoreError.notWritable(path: path, reason: "Not a directory")) {
            try await Self.open(path)
        }
    }

    /// /proc takes no new folders from anyone, not even from root.
    @Test func aFolderThatCannotBeMadeIsNamed() async throws {
        await #expect {
            try await Self.open("/proc/passerelle/data")
        } throws: { error in
            guard case StoreError.notWritable(let path, _) = error else { return false }
            return path == "/proc/passerelle"
        }
    }

    /// /proc/self/task can be entered, and no file can be made in it.
    @Test func aFolderThatCannotBeWrittenIsNamed() async throws {
        await #expect {
            try await Self.open("/proc/self/task")
        } throws: { error in
            guard case StoreError.notWritable(let path, _) = error else { return false }
            return path == "/proc/self/task/passerelle.lock"
        }
    }

    @Test func aFileThatIsNoDatabaseIsRefused() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        mkdir(folder.file("data"), 0o700)
        folder.write(String(repeating: "this is no database. ", count: 400), to: "data/passerelle.db")
        let reason: String = "'\(folder.file("data/passerelle.db"))': file is not a database"
        await #expect(throws: StoreError.corrupt(reason: reason)) {
            try await Self.open(folder.file("data"))
        }
    }

    /// Nothing but the database and the lock stays after a clean end: so the folder can be copied as it is.
    @Test func aRelativeFolderWorksAndIsLeftClean() async throws {
        let name: String = "store-test-\(getpid())"
        try await Self.open(name)
        #expect(Self.mode(name) == 0o700)
        unlink(name + "/passerelle.db")
        unlink(name + "/passerelle.lock")
        #expect(rmdir(name) == 0)
    }
}
