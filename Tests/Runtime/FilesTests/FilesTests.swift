import Files
import Glibc
import TestKit
import Testing

struct FilesTests {
    @Test func replacesWholeFilesWithTheGivenMode() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = folder.path + "/a/b/key"
        try Files.makeFolder(folder.path + "/a/b")
        try Files.replace(path, with: [1, 2, 3], mode: 0o600)
        try Files.replace(path, with: [4], mode: 0o600)
        #expect(try Files.read(path, bytesMax: 10) == [4])
        var status: stat = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    /// In a folder that others can write to, such as a medium for checkpoints.
    @Test func whatOthersPutThereBeforeIsNotWrittenTo() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let (path, target): (String, String) = (folder.path + "/checkpoint", folder.path + "/precious")
        try Files.replace(target, with: [1])
        #expect(symlink(target, "\(path).\(getpid()).new") == 0)
        #expect(symlink(target, path) == 0)
        try Files.replace(path, with: [2])
        #expect(try Files.read(target, bytesMax: 10) == [1])
        #expect(try Files.read(path, bytesMax: 10) == [2])
        #expect(try Folders.names(in: folder.path).count == 3, "nothing of ours is left")
    }

    @Test func refusesAFileLargerThanTheLimit() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = folder.path + "/large"
        try Files.replace(path, with: [UInt8](repeating: 7, count: 100_001))
        let error: FileError? = #expect(throws: FileError.self) { try Files.read(path, bytesMax: 100_000) }
        #expect(error?.description == "\(path): larger than the 100000 bytes that are accepted")
        #expect(try Files.read(path, bytesMax: 100_001).count == 100_001)
    }

    @Test func saysWhatIsWrongWithAPath() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        try Files.replace(folder.path + "/file", with: [])
        #expect(throws: FileError.self) { try Files.makeFolder(folder.path + "/file/below") }
        #expect(throws: FileError.self) { try Files.makeFolder(folder.path + "/file") }
        let error: FileError? = #expect(throws: FileError.self) { try Files.read(folder.path + "/none", bytesMax: 1) }
        #expect(error?.code == ENOENT)
        try Files.remove(folder.path + "/none")
        try Files.remove(folder.path + "/file")
        #expect(!Files.exists(folder.path + "/file"))
    }
}
