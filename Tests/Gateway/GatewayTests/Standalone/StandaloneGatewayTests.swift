import EventLoops
import Files
import Glibc
import JSON
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// Keeps log lines for a test.
private final class LinesSink: LogSink {
    private let lines: Mutex<[String]> = Mutex([])

    func write(_ line: [UInt8]) { self.lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) } }
    func flush(within limit: Duration) {}
    func holds(_ text: String) -> Bool { self.lines.withLock { $0.contains { $0.contains(text) } } }
}

struct StandaloneGatewayTests {
    private final class Folder: Sendable {
        let path: String

        init() {
            var template: [CChar] = Array("/tmp/passerelle-gateway-XXXXXX".utf8CString)
            self.path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
        }

        deinit {
            for name in ["gateway.yaml", "token", "access.log", "access.log.1"] { unlink("\(self.path)/\(name)") }
            rmdir(self.path)
        }

        func write(_ text: String) throws {
            try Files.replace("\(self.path)/gateway.yaml", with: Array(text.utf8))
        }

        var file: String { "\(self.path)/gateway.yaml" }
    }

    private static func text(_ port: UInt16, path: String) -> String {
        """
        version: 1
        listen: {http: "127.0.0.1:0", admin: "127.0.0.1:0"}
        workers: 1
        apis:
          - id: orders
            routes:
              - {path: \(path)}
            upstream: {targets: [{url: "http://127.0.0.1:\(port)"}]}
        """
    }

    @Test func servesTheFileAndFollowsItsChanges() async throws {
        let upstream: RawUpstream = try .echoing()
        let folder: Folder = Folder()
        let sink: LinesSink = LinesSink()
        try folder.write(Self.text(upstream.port, path: "/old"))
        let gateway: StandaloneGateway = try StandaloneGateway(
            path: folder.file, logger: Logger(level: .info, format: .json, sink: sink), metrics: MetricRegistry())
        let addresses: StandaloneGateway.Addresses = try await gateway.start()
        let port: UInt16 = try #require(addresses.http).port
        let status: @Sendable (String) -> Int = { (path: String) -> Int in
            guard let client: RawSocket = try? RawSocket(port: port) else { return 0 }
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return client.receiveMessage().status
        }
        #expect(status("/old") == 200)
        #expect(status("/new") == 404)
        try folder.write(Self.text(upstream.port, path: "/new"))
        #expect(await eventually { status("/new") == 200 })
        #expect(status("/old") == 404)
        // A file that is wrong changes nothing, and says where.
        try folder.write(Self.text(upstream.port, path: "/newer") + "\n    unknown: 1\n")
        #expect(await eventually { sink.holds("is refused") })
        #expect(sink.holds("gateway.yaml:9:"))
        #expect(status("/new") == 200)
        #expect(await gateway.reload() == false)
        try folder.write(Self.text(upstream.port, path: "/newest"))
        #expect(await gateway.reload())
        #expect(status("/newest") == 200)
        await gateway.drain(deadline: .milliseconds(200))
    }

    /// What logrotate does: the file gets another name, then SIGHUP.
    @Test func beginsAnotherAccessLogWhenItReloads() async throws {
        let upstream: RawUpstream = try .echoing()
        let folder: Folder = Folder()
        let log: String = "\(folder.path)/access.log"
        try folder.write(Self.text(upstream.port, path: "/*") + "\ntelemetry: {access_log: \"\(log)\"}\n")
        let gateway: StandaloneGateway = try StandaloneGateway(
            path: folder.file, logger: .silent, metrics: MetricRegistry())
        let port: UInt16 = try #require(try await gateway.start().http).port
        let holds: @Sendable (String, String) -> Bool = { (file: String, text: String) -> Bool in
            let bytes: [UInt8]? = try? Files.read(file, bytesMax: 1 << 20)
            return bytes.map { String(decoding: $0, as: UTF8.self).contains(text) } ?? false
        }
        let visit: (String) throws -> Void = { (path: String) in
            let client: RawSocket = try RawSocket(port: port)
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(client.receiveMessage().status == 200)
        }
        try visit("/before")
        #expect(await eventually { holds(log, "/before") })
        #expect(rename(log, log + ".1") == 0)
        #expect(await gateway.reload())
        try visit("/after")
        #expect(await eventually { holds(log, "/after") })
        #expect(!holds(log + ".1", "/after"))
        await gateway.drain(deadline: .milliseconds(200))
    }

    /// Between reading the file and following it there is time: for looking names up, for certificates, on a loaded machine.
    @Test func noticesAChangeThatCameBeforeItListened() async throws {
        let upstream: RawUpstream = try .echoing()
        let folder: Folder = Folder()
        try folder.write(Self.text(upstream.port, path: "/old"))
        let gateway: StandaloneGateway = try StandaloneGateway(
            path: folder.file, logger: .silent, metrics: MetricRegistry())
        try folder.write(Self.text(upstream.port, path: "/new"))
        let port: UInt16 = try #require(try await gateway.start().http).port
        #expect(
            await eventually {
                guard let client: RawSocket = try? RawSocket(port: port) else { return false }
                client.send("GET /new HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                return client.receiveMessage().status == 200
            })
        await gateway.drain(deadline: .milliseconds(200))
    }

    @Test func aFileOfTheSameSizeAndTimeIsAnother() throws {
        let folder: Folder = Folder()
        try folder.write("version: 1\n")
        let first: FileSignature = try #require(FileSignature(folder.file))
        var status: stat = stat()
        #expect(stat(folder.file, &status) == 0)
        #expect(FileSignature(folder.file) == first)
        try folder.write("version: 2\n")
        let times: [timespec] = [status.st_atim, status.st_mtim]
        #expect(utimensat(AT_FDCWD, folder.file, times, 0) == 0)
        #expect(FileSignature(folder.file) != first)
    }

    @Test func tellsHealthReadinessAndMetrics() async throws {
        let folder: Folder = Folder()
        try folder.write(Self.text(9, path: "/a"))
        let metrics: MetricRegistry = MetricRegistry()
        metrics.counter("example_total", help: "An example.").add(3)
        let gateway: StandaloneGateway = try StandaloneGateway(path: folder.file, logger: .silent, metrics: metrics)
        let port: UInt16 = try #require(try await gateway.start().admin).port
        let table: [(String, String, Int, String)] = [
            ("GET", "/healthz", 200, "ok"), ("GET", "/readyz", 200, "ready"),
            ("GET", "/metrics", 200, "example_total 3"),
            ("GET", "/other", 404, ""), ("POST", "/metrics", 405, ""),
        ]
        for (method, path, status, text) in table {
            let response: RawMessage = try await offPool {
                let client: RawSocket = try RawSocket(port: port)
                client.send("\(method) \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return client.receiveMessage()
            }
            #expect(response.status == status)
            #expect(response.text.contains(text))
        }
        await gateway.drain(deadline: .zero)
    }

    @Test func forgetsStoredResponsesWhenAskedWithItsToken() async throws {
        let folder: Folder = Folder()
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=1000\r\nContent-Length: 2\r\n\r\nok")
        try Files.replace("\(folder.path)/token", with: Array("a token of some length\n".utf8))
        let text: String = Self.text(upstream.port, path: "/a") + "\n    policies: [{cache: {}}]\n"
        try folder.write(text.replacing("admin:", with: "admin_token_file: token, admin:"))
        let gateway: StandaloneGateway = try StandaloneGateway(
            path: folder.file, logger: .silent, metrics: MetricRegistry())
        let addresses: StandaloneGateway.Addresses = try await gateway.start()
        let (port, admin): (UInt16, UInt16) = (
            try #require(addresses.http).port, try #require(addresses.admin).port
        )
        let exchange: @Sendable (UInt16, String) async throws -> RawMessage = { port, text in
            try await offPool {
                let client: RawSocket = try RawSocket(port: port)
                client.send(text)
                return client.receiveMessage()
            }
        }
        let get: String = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        let purge: String = "POST /cache/purges HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        for _ in 0..<2 { #expect(try await exchange(port, get).status == 200) }
        #expect(upstream.requests.count == 1)
        #expect(try await exchange(admin, "\(purge)Content-Length: 13\r\n\r\n{\"all\": true}").status == 401)
        let done: RawMessage = try await exchange(
            admin,
            "\(purge)Authorization: Bearer a token of some length\r\nContent-Length: 17\r\n\r\n{\"api\": \"orders\"}")
        #expect(done.status == 200)
        #expect(done.text == #"{"forgotten":1}"#)
        #expect(try await exchange(port, get).status == 200)
        #expect(upstream.requests.count == 2)
        await gateway.drain(deadline: .zero)
        upstream.stop()
    }

    @Test func checksAFileWithoutServingIt() throws {
        let folder: Folder = Folder()
        try folder.write(Self.text(9, path: "/a"))
        #expect(StandaloneGateway.check(folder.file).isEmpty)
        try folder.write("version: 1\napis:\n  - id: orders\n    routes: [{path: nope}]\n    extra: 1\n")
        let problems: [String] = StandaloneGateway.check(folder.file)
        #expect(problems.count >= 3)
        #expect(problems.allSatisfy { $0.hasPrefix("\(folder.file):") })
        #expect(StandaloneGateway.check("\(folder.path)/missing.yaml").count == 1)
    }

    @Test func saysWhenItCannotListen() async throws {
        let listener: Int32 = try Socket.listen(.loopback(port: 0), reusePort: true)
        defer { Socket.close(listener) }
        let port: UInt16 = try Socket.localAddress(listener).port
        let folder: Folder = Folder()
        try folder.write("version: 1\nlisten: {http: \"127.0.0.1:\(port)\"}\n")
        let gateway: StandaloneGateway = try StandaloneGateway(
            path: folder.file, logger: .silent, metrics: MetricRegistry())
        let error: StandaloneGateway.StartError? = await #expect(throws: StandaloneGateway.StartError.self) {
            try await gateway.start()
        }
        #expect(error?.description.contains("Address already in use") == true)
        await gateway.drain(deadline: .zero)
    }
}
