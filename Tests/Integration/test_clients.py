"""Clients that mean harm or are far away, at a gateway alone: who sends slowly, reads slowly, opens and says nothing, leaves half of a
connection, or resets streams as fast as it opens them. Meanwhile others are served, and afterwards nothing of them is left."""

import json
import resource
import socket
import struct
import subprocess
import time
import unittest

from processes import Settings, eventually, folder, free_base, spawn
from upstream import Upstream

IDLE_CONNECTIONS = 10_000
# Resident memory with them; the goal for a release build, which a debug build keeps as well.
IDLE_MEGABYTES_MAX = 60
# How much slower clients may make the memory of the process grow.
GROWTH_MEGABYTES_MAX = 40

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, payload=b"", flags=0, stream=0):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(text):
    return bytes([len(text)]) + text


def head(path=b"/a"):
    """Fields as literals that are not indexed (RFC 7541, 6.2.2)."""
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path), (b":authority", b"a")]
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in fields)


class ClientTests(unittest.TestCase):
    def setUp(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.upstream = Upstream(self)
        base = free_base()
        self.port, self.admin = base, f"127.0.0.1:{base + 1}"
        place = folder(self)
        with open(f"{place}/gateway.yaml", "w", encoding="utf-8") as file:
            json.dump({
                "version": 1, "listen": {"http": f"127.0.0.1:{base}", "admin": self.admin}, "workers": 1,
                "apis": [{"id": "a", "routes": [{"path": "/*"}], "policies": [{"timeouts": {"idle": "2s"}}],
                          "upstream": {"targets": [{"url": self.upstream.url}]}}]}, file)
        self.process = spawn(
            [Settings.binary, "gateway", "--config", f"{place}/gateway.yaml", "--log-level", "error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        eventually(self.is_serving, seconds=60)

    def connect(self, receive_buffer=None):
        one = socket.socket()
        self.addCleanup(one.close)
        if receive_buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        one.settimeout(60)
        one.connect(("127.0.0.1", self.port))
        return one

    def is_serving(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as one:
                one.sendall(GET)
                return one.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def metric(self, name):
        with socket.create_connection(self.admin.split(":"), timeout=30) as one:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = b""
            while part := one.recv(65536):
                text += part
        found = [line for line in text.decode().splitlines() if line.startswith(name)]
        return int(float(found[0].split()[-1])) if found else None

    def megabytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="utf-8") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() / 1e6

    def nobody_is_left(self):
        eventually(lambda: self.metric("passerelle_gateway_connections ") == 0, seconds=60)

    def test_ten_thousand_idle_connections(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(IDLE_CONNECTIONS, hard - 500)
        self.assertGreaterEqual(count, IDLE_CONNECTIONS, "the limit of open files is too small here: ulimit -n")
        idle = []
        for _ in range(count):
            one = self.connect()
            one.sendall(GET)
            idle.append(one)
            self.assertTrue(one.recv(4096).startswith(b"HTTP/1.1 200"))
        self.assertEqual(self.metric("passerelle_gateway_connections "), count)
        self.assertLess(self.megabytes(), IDLE_MEGABYTES_MAX)
        # All of them still work, in any order.
        for one in idle[::-97]:
            one.sendall(GET)
            self.assertTrue(one.recv(4096).startswith(b"HTTP/1.1 200"))
        for one in idle:
            one.close()
        self.nobody_is_left()

    def test_heads_and_bodies_that_drip(self):
        before = self.megabytes()
        drips = []
        for number in range(200):
            one = self.connect()
            one.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\nX: " if number % 2 else
                        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            drips.append(one)
        # Until the head's time (15 s) and the body's (2 s) are over, a byte now and then.
        ended = set()
        deadline = time.monotonic() + 60
        while len(ended) < len(drips) and time.monotonic() < deadline:
            for number, one in enumerate(drips):
                if number in ended:
                    continue
                try:
                    one.sendall(b"a")
                    one.setblocking(False)
                    answer = one.recv(4096)
                    if answer:
                        self.assertTrue(answer.startswith(b"HTTP/1.1 408"), answer[:100])
                    ended.add(number)
                except BlockingIOError:
                    pass
                except OSError:
                    ended.add(number)
                finally:
                    one.settimeout(60)
            self.assertTrue(self.is_serving())
            time.sleep(0.3)
        self.assertEqual(len(ended), len(drips))
        self.assertLess(self.megabytes() - before, GROWTH_MEGABYTES_MAX)
        self.nobody_is_left()

    def test_clients_that_do_not_read(self):
        before = self.megabytes()
        slow = []
        for _ in range(100):
            one = self.connect(receive_buffer=4096)
            # Answers add up to more than the kernel takes.
            one.setblocking(False)
            try:
                for _ in range(4000):
                    one.send(GET * 8)
            except BlockingIOError:
                pass
            slow.append(one)
            if len(slow) % 50 == 0:
                self.assertTrue(self.is_serving())
        self.assertLess(self.megabytes() - before, GROWTH_MEGABYTES_MAX)
        for one in slow:
            one.close()
        self.nobody_is_left()

    def test_connections_of_which_one_half_is_left(self):
        for number in range(300):
            one = self.connect()
            if number % 3 == 0:
                one.sendall(GET)
            if number % 3 == 1:
                one.sendall(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            one.shutdown(socket.SHUT_WR)
            answer = b""
            while part := one.recv(4096):
                answer += part
            self.assertEqual(answer[9:12], {0: b"200", 1: b"400", 2: b""}[number % 3])
        self.nobody_is_left()
        self.assertTrue(self.is_serving())

    def test_storms_of_resets(self):
        """Streams opened and reset at once, as fast as the socket takes them, on several connections."""
        before = self.megabytes()
        upstream = len(self.upstream.requests)
        storms = 20
        for _ in range(storms):
            one = self.connect()
            storm = b"".join(frame(1, head(), 5, stream) + frame(3, b"\0\0\0\x08", 0, stream) for stream in range(1, 8001, 2))
            answer = b""
            try:
                one.sendall(PREFACE + frame(4) + storm)
                while part := one.recv(65536):
                    answer += part
            except (ConnectionResetError, BrokenPipeError):
                pass
            # GOAWAY with ENHANCE_YOUR_CALM, unless the connection was reset before it could be read.
            if answer:
                self.assertIn(b"\x07\0\0\0\0\0", answer)
            self.assertTrue(self.is_serving())
        counted = self.metric('passerelle_gateway_http2_limits_total{limit="rapid_reset"}')
        self.assertEqual(counted, storms)
        # At most the streams up to the limit of each connection ever went on.
        self.assertLess(len(self.upstream.requests) - upstream, storms * 600)
        self.assertLess(self.megabytes() - before, GROWTH_MEGABYTES_MAX)
        self.nobody_is_left()


if __name__ == "__main__":
    unittest.main()
