import Glibc

/// Runs the real curl: a client nobody here wrote.
enum Curl {
    struct Output {
        let exitCode: Int32
        let text: String
    }

    struct Missing: Error {}

    /// Arguments after `curl -sS`; standard output and error come back together.
    static func run(_ arguments: [String]) async throws -> Output {
        let folder: TemporaryFolder = try TemporaryFolder()
        let path: String = folder.path + "/output"
        let pid: pid_t = try self.spawn(["curl", "-sS", "--max-time", "30"] + arguments, output: path)
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 { try await Task.sleep(for: .milliseconds(2)) }
        return Output(exitCode: (status >> 8) & 0xFF, text: String(decoding: TemporaryFolder.read(path), as: UTF8.self))
    }

    private static func spawn(_ arguments: [String], output: String) throws -> pid_t {
        var actions: posix_spawn_file_actions_t = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        var pid: pid_t = 0
        guard posix_spawnp(&pid, "curl", &actions, nil, pointers, environ) == 0 else { throw Missing() }
        return pid
    }
}

/// A folder of its own, gone with the object.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template: [CChar] = Array("/tmp/passerelle-http-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Curl.Missing() }
        self.path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }

    deinit {
        guard let directory = opendir(self.path) else { return }
        while let entry = readdir(directory) {
            let name: String = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { unlink(self.path + "/" + name) }
        }
        closedir(directory)
        rmdir(self.path)
    }

    func write(_ name: String, _ bytes: [UInt8]) -> String {
        let path: String = self.path + "/" + name
        let fd: Int32 = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var written: Int = 0
        while written < bytes.count {
            let count: Int = bytes[written...].withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
            if count <= 0 { break }
            written += count
        }
        Glibc.close(fd)
        return path
    }

    static func read(_ path: String) -> [UInt8] {
        let fd: Int32 = open(path, O_RDONLY)
        defer { Glibc.close(fd) }
        var bytes: [UInt8] = []
        var chunk: [UInt8] = Array(repeating: 0, count: 65_536)
        while true {
            let count: Int = Glibc.read(fd, &chunk, chunk.count)
            if count <= 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
        }
    }
}
