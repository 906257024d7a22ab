import Glibc

/// A file that only grows: journals and packs. Blocks the calling thread; one thread at a time.
package final class GrowingFile {
    package let path: String
    /// The file's length: what was appended.
    package private(set) var length: Int64 = 0
    /// -1 once closed.
    private var descriptor: Int32

    /// Makes the file, or empties the one that is there.
    package init(creating path: String, mode: UInt32 = 0o600) throws(FileError) {
        self.path = path
        self.descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard self.descriptor >= 0 else { throw FileError(path: path, call: "open") }
        guard fchmod(self.descriptor, mode) == 0 else { throw FileError(path: path, call: "chmod") }
    }

    deinit { if self.descriptor >= 0 { _ = Glibc.close(self.descriptor) } }

    /// Appends all of `bytes`. After a failure the file ends where it ended before, unless that fails too.
    package func append(_ bytes: [UInt8]) throws(FileError) {
        var at: Int = 0
        while at < bytes.count {
            let count: Int = bytes.withUnsafeBytes {
                pwrite(self.descriptor, $0.baseAddress! + at, bytes.count - at, off_t(self.length) + off_t(at))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let failure: FileError = FileError(path: self.path, call: "write")
                _ = ftruncate(self.descriptor, off_t(self.length))
                throw failure
            }
            at += count
        }
        self.length += Int64(bytes.count)
    }

    /// Returns once everything appended is on the disk. After a failure nobody knows what is: begin another file.
    package func sync() throws(FileError) {
        try Files.sync(self.descriptor, path: self.path, dataOnly: true)
    }

    package func close() throws(FileError) {
        let descriptor: Int32 = self.descriptor
        self.descriptor = -1
        guard Glibc.close(descriptor) == 0 else { throw FileError(path: self.path, call: "close") }
    }
}
