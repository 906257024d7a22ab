import EventLoops
import Foundation
import Glibc

/// A real DNS server (dnsmasq) with names of a test, on a port of its own.
final class NameServer: @unchecked Sendable {
    // Used by one test at a time.
    let address: String
    private let process: Process
    private let input: Pipe
    private let hosts: URL
    private let folder: URL

    /// Nil where dnsmasq is not installed.
    static var path: String? {
        ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"].first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Serves `hosts` (lines of `address name`) with a time to live of a second, and `services` as dnsmasq writes them.
    init(_ hosts: String, services: [String] = []) throws {
        self.folder = URL(filePath: NSTemporaryDirectory()).appending(path: "names-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        self.hosts = self.folder.appending(path: "hosts")
        try Data(hosts.utf8).write(to: self.hosts)
        for _ in 0..<Self.attemptsMax {
            // Free for TCP; that it also is for UDP shows when the server starts.
            let probe: Int32 = try Socket.listen(.loopback(port: 0), reusePort: false)
            let port: UInt16 = try Socket.localAddress(probe).port
            Socket.close(probe)
            if let (process, input): (Process, Pipe) = try Self.start(port, hosts: self.hosts, services) {
                self.address = "127.0.0.1:\(port)"
                self.process = process
                self.input = input
                return
            }
        }
        throw NotStarted()
    }

    private struct NotStarted: Error {}
    private static let attemptsMax: Int = 10

    /// Nil when it ended at once: its port was taken. A shell in between ends the server when the test's process is gone, and lets it
    /// have the signals that are blocked here.
    private static func start(_ port: UInt16, hosts: URL, _ services: [String]) throws -> (Process, Pipe)? {
        let process: Process = Process()
        let input: Pipe = Pipe()
        process.executableURL = URL(filePath: "/bin/sh")
        process.standardInput = input
        // Without "wait": the signal that would end it is one of those that are blocked.
        let script: String = "env --default-signal \"$@\" & read line; kill -9 $!"
        process.arguments =
            [
                "-c", script, "sh", NameServer.path ?? "/usr/sbin/dnsmasq",
                "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll",
                "--addn-hosts=\(hosts.path)", "--local-ttl=1", "--port=\(port)", "--listen-address=127.0.0.1",
                "--bind-interfaces", "--pid-file=\(hosts.path).pid", "--local=/test/", "--user=\(NSUserName())",
            ] + services.map { "--srv-host=\($0)" }
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        // It listens for TCP as soon as it does for UDP. Whoever else has the port writes no number into the file.
        for _ in 0..<4000 where process.isRunning {
            if Self.number(hosts) != nil, let socket: RawSocket = try? RawSocket(port: port) {
                socket.close()
                return (process, input)
            }
            usleepALittle()
        }
        try? input.fileHandleForWriting.close()
        return nil
    }

    /// The server's process.
    private static func number(_ hosts: URL) -> Int32? {
        let text: String? = try? String(contentsOf: hosts.appendingPathExtension("pid"), encoding: .utf8)
        return text.flatMap { Int32($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }

    deinit { self.stop() }

    /// Serves other addresses from now on.
    func set(_ hosts: String) throws {
        try Data(hosts.utf8).write(to: self.hosts)
        if let number: Int32 = Self.number(self.hosts) { Glibc.kill(number, SIGHUP) }
    }

    func stop() {
        try? self.input.fileHandleForWriting.close()
        for _ in 0..<4000 where self.process.isRunning { usleepALittle() }
        try? FileManager.default.removeItem(at: self.folder)
    }
}
