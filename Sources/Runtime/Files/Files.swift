import Glibc

/// Why a file could not be read or written: the path, and the system's reason in words.
package struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
    package let path: String
    package let reason: String
    /// The system's error number; 0 where the refusal is ours (a limit).
    package let code: Int32

    init(path: String, call: String) {
        self.path = path
        self.code = errno
        self.reason = "\(call): \(String(cString: strerror(errno)))"
    }

    package init(path: String, refusal: String) {
        self.path = path
        self.code = 0
        self.reason = refusal
    }

    package var description: String { "\(self.path): \(self.reason)" }
}

/// Small whole files: configuration, keys, the last good snapshot. Blocks the calling thread; never call it on an event loop.
package enum Files {
    /// Reads a whole file of at most `bytesMax` bytes.
    package static func read(_ path: String, bytesMax: Int) throws(FileError) -> [UInt8] {
        let descriptor: Int32 = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: path, call: "open") }
        defer { _ = close(descriptor) }
        var bytes: [UInt8] = []
        var chunk: [UInt8] = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count: Int = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw FileError(path: path, call: "read") }
            if count == 0 { return bytes }
            guard bytes.count + count <= bytesMax else {
                throw FileError(path: path, refusal: "larger than the \(bytesMax) bytes that are accepted")
            }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    /// Replaces a file as a whole: readers see the old or the new content, also after a crash. Written, synced, renamed, folder synced.
    package static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o600) throws(FileError) {
        // A name that nobody can put something at before: in a folder that others can write to, a link there would lead elsewhere, and
        // a file there would be theirs to read.
        let temporary: String = "\(path).\(getpid()).\(String(UInt64.random(in: .min ... .max), radix: 36)).new"
        let descriptor: Int32 = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw FileError(path: path, call: "open") }
        do throws(FileError) {
            try Self.writeAll(bytes, to: descriptor, path: path)
            guard fchmod(descriptor, mode) == 0 else { throw FileError(path: path, call: "chmod") }
            try Self.sync(descriptor, path: path)
        } catch {
            _ = close(descriptor)
            unlink(temporary)
            throw error
        }
        guard close(descriptor) == 0, rename(temporary, path) == 0 else {
            let failure: FileError = FileError(path: path, call: "rename")
            unlink(temporary)
            throw failure
        }
        try Self.syncFolder(of: path)
    }

    /// Makes a folder and those above it; a folder that is there stays as it is.
    package static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws(FileError) {
        var at: String = path.utf8.first == UInt8(ascii: "/") ? "/" : ""
        for part in path.split(separator: "/") {
            at += at.isEmpty || at == "/" ? String(part) : "/" + String(part)
            if mkdir(at, mode) != 0 && errno != EEXIST { throw FileError(path: at, call: "mkdir") }
        }
        var status: stat = stat()
        guard stat(path, &status) == 0 else { throw FileError(path: path, call: "stat") }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw FileError(path: path, refusal: "is not a folder") }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Removes a file; one that is not there is no error.
    package static func remove(_ path: String) throws(FileError) {
        if unlink(path) != 0 && errno != ENOENT { throw FileError(path: path, call: "unlink") }
    }

    static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(FileError) {
        var at: Int = 0
        while at < bytes.count {
            let count: Int = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + at, bytes.count - at) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileError(path: path, call: "write") }
            at += count
        }
    }

    private static func syncFolder(of path: String) throws(FileError) {
        let folder: String =
            path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor: Int32 = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: folder, call: "open") }
        defer { _ = close(descriptor) }
        try Self.sync(descriptor, path: folder)
    }

    /// Syncs a file or a folder; an interrupted sync begins again.
    ///
    /// - Parameter dataOnly: leaves out what is not needed to read it again, such as its times.
    static func sync(_ descriptor: Int32, path: String, dataOnly: Bool = false) throws(FileError) {
        while (dataOnly ? fdatasync(descriptor) : fsync(descriptor)) != 0 {
            guard errno == EINTR else { throw FileError(path: path, call: dataOnly ? "fdatasync" : "fsync") }
        }
    }
}
