import Foundation

/// A web server in a process of its own, to be killed without warning.
final class UpstreamProcess: @unchecked Sendable {
    // Used by one test; the process is started in `init` and only signalled later.
    let port: UInt16
    private let process: Process

    /// Answers every request with its name and the body it got, on kept connections, a thread for each.
    private static let program: String = """
        import http.server, sys, time
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def answer(self):
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                time.sleep(0.002)
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            do_GET = do_PUT = do_POST = answer
            def log_message(self, *arguments): pass
        server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()
        """

    /// Starts one and waits until it listens. Port 0: any.
    init(port: UInt16 = 0) throws {
        let process: Process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", UpstreamProcess.program, "\(port)"]
        let output: Pipe = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        var line: [UInt8] = []
        while line.last != 10, let byte: UInt8 = try output.fileHandleForReading.read(upToCount: 1)?.first {
            line.append(byte)
        }
        self.port = UInt16(String(decoding: line.dropLast(), as: UTF8.self)) ?? 0
    }

    deinit { self.kill() }

    /// Ends it in the middle of whatever it does.
    func kill() {
        guard self.process.isRunning else { return }
        Foundation.kill(self.process.processIdentifier, SIGKILL)
        self.process.waitUntilExit()
    }
}
