import Foundation

/// A web server in a process of its own, to be killed without warning.
final class UpstreamProcess: @unchecked Sendable {
    // Used by one test; the process is started in `init` and only signalled later.
    let held: RefusingPort
    private let process: Process
    /// Ends when the tests do, however that happens, and the process with it.
    private let lifeline: Pipe = Pipe()

    var port: UInt16 { self.held.port }

    /// Answers every request with its name and the body it got, on kept connections, a thread for each. An answer goes out in
    /// one piece: one that was begun and not ended could not be asked for again elsewhere.
    private static let program: String = """
        import http.server, os, sys, threading, time
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            wbufsize = -1
            def answer(self):
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                time.sleep(0.002)
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            do_GET = do_PUT = do_POST = answer
            def log_message(self, *arguments): pass
        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_port = True
            daemon_threads = True
        server = Server(('127.0.0.1', int(sys.argv[1])), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()
        """

    /// Starts one and waits until it listens: on a port of its own, or on that of one that was killed.
    init(replacing former: UpstreamProcess? = nil) throws {
        self.held = try former?.held ?? RefusingPort()
        let process: Process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", UpstreamProcess.program, "\(self.held.port)"]
        let output: Pipe = Pipe()
        process.standardOutput = output
        process.standardInput = self.lifeline
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        var line: [UInt8] = []
        while line.last != 10, let byte: UInt8 = try output.fileHandleForReading.read(upToCount: 1)?.first {
            line.append(byte)
        }
    }

    deinit { self.kill() }

    /// Ends it in the middle of whatever it does.
    func kill() {
        guard self.process.isRunning else { return }
        Foundation.kill(self.process.processIdentifier, SIGKILL)
        self.process.waitUntilExit()
    }
}
