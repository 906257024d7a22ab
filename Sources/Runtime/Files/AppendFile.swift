import Glibc

/// A file that only grows, open for writing. Each append is on disk when it returns. Blocks; one caller at a time.
package final class AppendFile: Sendable {
    private let path: String
    private let descriptor: Int32

    /// Opens the file, made when missing.
    package init(_ path: String, mode: UInt32 = 0o600) throws(FileError) {
        let descriptor: Int32 = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw FileError(path: path, call: "open") }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { _ = close(self.descriptor) }

    /// Writes the bytes at the end and syncs. After a failure a part of them may be there.
    package func append(_ bytes: [UInt8]) throws(FileError) {
        try Files.writeAll(bytes, to: self.descriptor, path: self.path)
        try Files.sync(self.descriptor, path: self.path, dataOnly: true)
    }
}
