import Glibc
import Synchronization

/// The lock that keeps a second process (or a second store of this one) out of a data folder. Dies with the process.
final class FolderLock: Sendable {
    /// -1 once released.
    private let file: Atomic<Int32>

    init(_ folder: DataFolder) throws(StoreError) {
        let file: Int32 = open(folder.lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw DataFolder.notWritable(folder.lockPath, errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code: Int32 = errno
            let owner: Int32? = Self.readOwner(file)
            close(file)
            guard code == EWOULDBLOCK else { throw DataFolder.notWritable(folder.lockPath, code) }
            throw .locked(folder: folder.path, pid: owner)
        }
        self.file = Atomic(file)
        // The number is for people; a disk too full to hold it must not keep the store from opening.
        let text: [UInt8] = Array("\(getpid())\n".utf8)
        if ftruncate(file, 0) == 0 { _ = pwrite(file, text, text.count, 0) }
    }

    deinit { self.release() }

    func release() {
        let file: Int32 = self.file.exchange(-1, ordering: .acquiringAndReleasing)
        if file >= 0 { close(file) }
    }

    private static func readOwner(_ file: Int32) -> Int32? {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: 16)
        let count: Int = pread(file, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let digits: ArraySlice<UInt8> = bytes[..<count].prefix { $0 >= 48 && $0 <= 57 }
        return Int32(String(decoding: digits, as: UTF8.self))
    }
}
