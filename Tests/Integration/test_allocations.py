"""How often the gateway's event loop asks malloc for memory, a request: counted in the binary itself, and it may not grow.

What is counted is exact: a loop's thread does nothing but serve. A gateway is warmed up, and then every further request counts. The bounds are
what was measured; who lowers one writes the new figure down. They hold for release builds: a debug build allocates where an optimised one
does not."""

import base64
import json
import os
import socket
import struct
import subprocess
import threading
import time
import unittest

from processes import Settings, eventually, folder, free_base, spawn

REQUESTS = 2000
KEY = "counted-key-0123456789"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"

# Allocations for each request, at most.
BOUNDS = {
    "plain": 0,
    "governed": 0,
    "refused": 0,
    "limited": 7,
    "jwt": 0,
    "traced": 0,
    "logged": 0,
    # OpenSSL's: two buffers that it gives back while a connection is idle, and what it writes a record with.
    "tls": 8,
    # nghttp2 makes and ends a stream.
    "http2": 5,
}


class Upstream:
    """Answers as fast as Python can."""

    def __init__(self, case):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        case.addCleanup(self._listener.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection):
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := connection.recv(65536):
                    connection.sendall(ANSWER * data.count(b"\r\n\r\n"))
            except OSError:
                pass


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class AllocationTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if "/debug/" in Settings.binary:
            raise unittest.SkipTest("the bounds are those of a release build")

    def setUp(self):
        self.place = folder(self)
        self.library = f"{self.place}/counted.so"
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", "-o", self.library,
             os.path.join(os.path.dirname(os.path.abspath(__file__)), "counted_allocations.c")], check=True)
        self.upstream = Upstream(self)

    def gateway(self, policies="[]", telemetry="{metrics: on}", listen="http"):
        """Starts one; its URL. `counts` is where the counts of its threads are."""
        port = free_base()
        where = f'http: "127.0.0.1:{port}"'
        if listen == "https":
            self.certificate()
            where = (f'https: {{address: "127.0.0.1:{port}", certificates: '
                     f'[{{cert: {self.place}/tls.pem, key: {self.place}/tls.key}}]}}')
        with open(f"{self.place}/gateway.yaml", "w", encoding="utf-8") as file:
            file.write(f"""version: 1
listen: {{{where}}}
workers: 1
apis:
  - id: orders
    routes: [{{path: "/orders/{{id}}"}}]
    upstream: {{targets: [{{url: "http://127.0.0.1:{self.upstream.port}"}}]}}
    policies: {policies}
applications:
  - {{id: shop, keys: [{{value: {KEY}}}], credentials: [{{client_id: shop}}], subscriptions: [{{api: orders, plan: gold}}]}}
plans:
  - {{id: gold, rate_limit: {{limit: 90000000, window: 1s}}}}
telemetry: {telemetry}
""")
        self.counts = f"{self.place}/counts"
        process = spawn(
            [Settings.binary, "gateway", "--config", f"{self.place}/gateway.yaml", "--log-level", "error"],
            env={**os.environ, "LD_PRELOAD": self.library, "COUNTED_ALLOCATIONS": self.counts},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.process = process

        def accepts():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False

        eventually(accepts, seconds=60)
        return f"{listen}://127.0.0.1:{port}/orders/7"

    def certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-keyout", f"{self.place}/tls.key", "-out", f"{self.place}/tls.pem", "-subj", "/CN=localhost"],
            check=True, capture_output=True)

    def allocated(self):
        """What the gateway's event loop has allocated since its start."""
        total = 0
        with open(self.counts, "rb") as file:
            for thread, count in struct.iter_unpack("=QQ", file.read()):
                if thread == 0:
                    continue
                try:
                    with open(f"/proc/{self.process.pid}/task/{thread}/comm", encoding="utf-8") as name:
                        if name.read().startswith("gateway-0"):
                            total += count
                except FileNotFoundError:
                    pass
        return total

    def send(self, url, count, fields, protocol):
        fields = [part for field in fields for part in ("-H", field)]
        done = subprocess.run(
            ["h2load", *(["--h1"] if protocol == "h1" else []), "-t1", "-c4", f"-n{count}", *fields, url],
            capture_output=True, text=True, check=True).stdout
        self.assertIn(f" {count} done", done)
        return done

    def bounded(self, name, url, *fields, status="2xx", protocol="h1"):
        self.send(url, 400, fields, protocol)
        # Keys that were asked for at the start, and the like.
        time.sleep(0.5)
        counted = [self.allocated()]
        self.assertGreater(counted[0], 0, "nothing is counted: is the loop's thread called otherwise?")
        for count in (REQUESTS, 3 * REQUESTS):
            self.assertIn(f"{count} {status}", self.send(url, count, fields, protocol))
            counted.append(self.allocated())
        # What the connections of a load take, handshakes above all, is in both.
        each = ((counted[2] - counted[1]) - (counted[1] - counted[0])) / (2 * REQUESTS)
        self.assertLessEqual(each, BOUNDS[name] + 0.1, f"{name}: {each} allocations a request")

    def test_a_plain_request(self):
        self.bounded("plain", self.gateway())

    def test_a_request_with_key_rule_and_limit(self):
        url = self.gateway("[{api_key: {header: X-API-Key}}, {acl: {allow: [{plans: [gold]}]}}]")
        self.bounded("governed", url, f"X-API-Key: {KEY}")
        self.bounded("refused", url, "X-API-Key: wrong", status="4xx")

    def test_a_request_beyond_its_limit(self):
        self.bounded("limited", self.gateway("[{rate_limit: {limit: 1, window: 1d}}]"), status="4xx")

    def test_a_request_with_a_token(self):
        subprocess.run(["openssl", "genrsa", "-out", f"{self.place}/key.pem", "2048"], check=True, capture_output=True)
        text = subprocess.run(["openssl", "rsa", "-in", f"{self.place}/key.pem", "-noout", "-modulus"], check=True,
                              capture_output=True, text=True).stdout
        modulus = encode(bytes.fromhex(text.strip().split("=")[1]))
        now = int(time.time())
        signed = encode(b'{"alg":"RS256","kid":"k"}') + "." + encode(json.dumps(
            {"iss": "https://issuer.test", "aud": "orders", "sub": "alice", "client_id": "shop", "iat": now, "exp": now + 3600,
             "scope": "read"}).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{self.place}/key.pem"], input=signed.encode(),
                                   check=True, capture_output=True).stdout
        keys = json.dumps({"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "n": modulus, "e": "AQAB"}]})
        url = self.gateway(f"[{{jwt: {{issuers: [{{issuer: 'https://issuer.test', audiences: [orders], keys: {{jwks: {keys}}}}}], "
                           "scopes: [read]}}]")
        self.bounded("jwt", url, f"Authorization: Bearer {signed}.{encode(signature)}")

    def test_a_request_with_a_trace(self):
        self.bounded("traced", self.gateway(telemetry="{tracing: {sample: 1}}"))

    def test_a_request_that_is_logged(self):
        self.bounded("logged", self.gateway(telemetry=f'{{access_log: "{self.place}/access.log"}}'))

    def test_a_request_over_tls(self):
        self.bounded("tls", self.gateway(listen="https"))

    def test_a_request_over_http2(self):
        self.bounded("http2", self.gateway(), protocol="h2")


if __name__ == "__main__":
    unittest.main()
