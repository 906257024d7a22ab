import Glibc

/// Names in folders. Blocks the calling thread.
package enum Folders {
    /// The names in a folder, in order; none when there is no such folder.
    package static func names(in path: String) throws(FileError) -> [String] {
        guard let folder: OpaquePointer = opendir(path) else {
            if errno == ENOENT { return [] }
            throw FileError(path: path, call: "opendir")
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry: UnsafeMutablePointer<dirent> = readdir(folder) {
            let name: String = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: tuple.pointee)) {
                    String(cString: $0)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package static func isFolder(_ path: String) -> Bool {
        var status: stat = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// A file's length; nil when there is no such file.
    package static func length(of path: String) -> Int64? {
        var status: stat = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : nil
    }

    /// When a file was last written, seconds since 1970 UTC; nil when there is no such file.
    package static func modified(_ path: String) -> Int64? {
        var status: stat = stat()
        return stat(path, &status) == 0 ? Int64(status.st_mtim.tv_sec) : nil
    }

    /// Gives a file or folder another name, in one step, and makes that durable. An empty folder may be replaced by a folder.
    package static func rename(_ path: String, to new: String) throws(FileError) {
        guard Glibc.rename(path, new) == 0 else { throw FileError(path: new, call: "rename") }
        try Self.sync(Self.parent(of: new))
    }

    /// Makes names that were added to or removed from a folder durable.
    package static func sync(_ path: String) throws(FileError) {
        let descriptor: Int32 = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: path, call: "open") }
        defer { _ = close(descriptor) }
        try Files.sync(descriptor, path: path)
    }

    /// Removes a folder with all that is in it. Links in it are removed, not followed.
    package static func remove(_ path: String) throws(FileError) {
        for name in try Self.names(in: path) {
            let inner: String = "\(path)/\(name)"
            var status: stat = stat()
            if lstat(inner, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR {
                try Self.remove(inner)
            } else {
                try Files.remove(inner)
            }
        }
        if rmdir(path) != 0 && errno != ENOENT { throw FileError(path: path, call: "rmdir") }
    }

    /// The folder something is in.
    package static func parent(of path: String) -> String {
        var trimmed: Substring = path[...]
        while trimmed.count > 1 && trimmed.last == "/" { trimmed = trimmed.dropLast() }
        guard let slash: Substring.Index = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }
}
