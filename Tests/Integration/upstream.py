"""A small upstream in this process: answers with the path it saw, slowly where asked to, and counts."""

import http.server
import json
import threading
import time
import urllib.parse


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Hundreds of connections may come at once.
    request_queue_size = 1024

    def handle_error(self, *_):
        """Gateways that go away in the middle are part of the tests."""


class Upstream:
    """`GET /anything` answers 200 at once, `?wait=S` after S seconds. `arrived` is set with each request,
    `requests` are the targets seen, `fields` the header fields of the last one."""

    def __init__(self, case):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.requests.append(self.path)
                owner.fields = self.headers
                owner.arrived.set()
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                time.sleep(float(query.get("wait", ["0"])[0]))
                body = json.dumps({"path": self.path}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self._headers_buffer.append(b"\r\n" + body)
                self.flush_headers()

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.requests = []
        self.fields = None
        self.arrived = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        case.addCleanup(self.close)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
