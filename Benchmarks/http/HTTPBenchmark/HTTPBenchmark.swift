import CLinux
import EventLoops
import Glibc
import HTTP

/// The control plane's HTTP server and client without anything behind them.
///
///     HTTPBenchmark serve          serves until its standard input ends, then prints CPU time per request; prints its address
///     HTTPBenchmark client [N]     N requests (default 100,000) from its own client to its own server, 64 at a time
///
/// Routes: `GET /` two bytes; `POST /` the length of the body; `GET /large` 64 KiB; `GET /stream` 16 chunks of 4 KiB.
@main
struct HTTPBenchmark {
    static func main() async {
        let arguments: [String] = Array(CommandLine.arguments.dropFirst())
        do {
            switch arguments.first {
            case "serve": try await Task.detached { try await Self.serve() }.value
            case "client":
                let count: Int = arguments.count > 1 ? Int(arguments[1]) ?? 100_000 : 100_000
                try await Task.detached { try await Self.measureClient(count) }.value
            default:
                print("usage: HTTPBenchmark serve | client [N]")
                exit(2)
            }
        } catch {
            print("failed: \(error)")
            exit(1)
        }
    }

    private static let large: [UInt8] = [UInt8](repeating: 0x78, count: 64 * 1024)
    private static let piece: [UInt8] = [UInt8](repeating: 0x79, count: 4 * 1024)

    private static let handler: @Sendable (HTTPRequest) async -> HTTPResponse = { request in
        switch request.path {
        case "/large": return HTTPResponse(status: 200, body: .bytes(HTTPBenchmark.large))
        case "/stream":
            return HTTPResponse(status: 200) { writer in
                for _ in 0..<16 { try await writer.write(HTTPBenchmark.piece) }
            }
        default:
            guard request.method == .post else { return .text("ok") }
            do throws(HTTPError) {
                return .text(String(try await request.body.collect(max: 64 << 20).count))
            } catch {
                return .text(error.description, status: error.status)
            }
        }
    }

    private static func start() throws -> (server: HTTPServer, address: SocketAddress, group: EventLoopGroup) {
        let group: EventLoopGroup = EventLoopGroup(name: "http")
        let server: HTTPServer = HTTPServer(
            configuration: HTTPServerConfiguration(address: SocketAddress.loopback(port: 0)), group: group,
            handler: HTTPBenchmark.handler)
        return (server, try server.start(), group)
    }

    private static func serve() async throws {
        let (server, address, group) = try self.start()
        // Line by line, whoever reads it.
        let line: String = "http://\(address)\n"
        _ = write(1, line, line.utf8.count)
        var byte: UInt8 = 0
        while read(0, &byte, 1) > 0 {}
        let requests: Int = server.statistics.requests.current
        let microseconds: Double = self.processCPU() / 1_000
        print("\(requests) requests, \(String(self.rounded(microseconds / Double(max(requests, 1))))) us CPU each")
        await server.drain(deadline: .seconds(1))
        group.shutdown()
    }

    private static func measureClient(_ count: Int) async throws {
        let (server, address, group) = try self.start()
        let clientGroup: EventLoopGroup = EventLoopGroup(name: "client")
        var configuration: HTTPClientConfiguration = HTTPClientConfiguration(tls: nil, egress: { _ in .allow })
        configuration.limits.connectionsPerOriginMax = 64
        let client: HTTPClient = HTTPClient(group: clientGroup, configuration: configuration)
        let request: HTTPClientRequest = HTTPClientRequest(url: try URLParts.parse("http://\(address)/"))
        let begin: UInt64 = clinux_monotonic_nanoseconds()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for _ in 0..<64 {
                tasks.addTask {
                    for _ in 0..<count / 64 {
                        _ = try await client.send(request).body.collect(max: 100)
                    }
                }
            }
            try await tasks.waitForAll()
        }
        let seconds: Double = Double(clinux_monotonic_nanoseconds() - begin) / 1e9
        let done: Int = count / 64 * 64
        print(
            "\(done) requests, \(Int(Double(done) / seconds)) a second, "
                + "\(self.rounded(self.processCPU() / 1_000 / Double(done))) us CPU each (client and server)")
        client.shutdown()
        await server.drain(deadline: .seconds(1))
        clientGroup.shutdown()
        group.shutdown()
    }

    /// CPU time of the process in nanoseconds.
    private static func processCPU() -> Double {
        var time: timespec = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}
