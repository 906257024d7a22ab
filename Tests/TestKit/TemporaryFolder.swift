import Glibc

/// A folder of its own for one test, removed with all it holds when the last reference goes.
package final class TemporaryFolder: Sendable {
    /// Absolute path, without a slash at the end.
    package let path: String

    package init() {
        let base: String = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template: [CChar] = Array((base + "/passerelle-test-XXXXXX").utf8CString)
        let made: Bool = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) != nil }
        precondition(made, "cannot make a temporary folder in \(base): errno \(errno)")
        self.path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        TemporaryFolder.removeTree(self.path)
    }

    /// The path of `name` inside the folder.
    package func file(_ name: String) -> String { self.path + "/" + name }

    /// Writes a file inside the folder and returns its path.
    @discardableResult
    package func write(_ bytes: [UInt8], to name: String) -> String {
        let path: String = self.file(name)
        let descriptor: Int32 = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "cannot write \(path): errno \(errno)")
        defer { close(descriptor) }
        var offset: Int = 0
        while offset < bytes.count {
            let count: Int = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset)
            }
            precondition(count > 0, "cannot write \(path): errno \(errno)")
            offset += count
        }
        return path
    }

    /// Writes a text file inside the folder and returns its path.
    @discardableResult
    package func write(_ text: String, to name: String) -> String { self.write(Array(text.utf8), to: name) }

    /// The bytes of a file inside the folder, or nil when there is none.
    package func read(_ name: String) -> [UInt8]? {
        let descriptor: Int32 = open(self.file(name), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var block: [UInt8] = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count: Int = Glibc.read(descriptor, &block, block.count)
            if count <= 0 { return bytes }
            bytes.append(contentsOf: block[0..<count])
        }
    }

    /// Removes a file, or a folder with what it holds; symbolic links are removed, not followed.
    private static func removeTree(_ path: String) {
        if unlink(path) == 0 { return }
        guard let folder: OpaquePointer = opendir(path) else { return }
        while let entry: UnsafeMutablePointer<dirent> = readdir(folder) {
            let name: String = withUnsafePointer(to: &entry.pointee.d_name) { (pointer) -> String in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { TemporaryFolder.removeTree(path + "/" + name) }
        }
        closedir(folder)
        rmdir(path)
    }
}
