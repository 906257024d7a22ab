"""Malformed HTTP at the gateway and at the control plane: refused with its own status, the connection closed, and nothing of it
reaches the upstream."""

import json
import re
import socket
import unittest

from processes import ClassScope, Platform, eventually, folder
from rest import speak
from upstream import Upstream

HOST = b"Host: a\r\n"


def answers(received):
    """How many answers the bytes hold."""
    return len(re.findall(rb"(?m)^HTTP/1\.1 \d{3} ", received))


def request(line=b"GET /shop/orders HTTP/1.1", fields=HOST, body=b""):
    return line + b"\r\n" + fields + b"\r\n" + body


# What it is, the bytes, the status. Each closes the connection.
MALFORMED = [
    ("both lengths", request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                             b"0\r\n\r\n"), 400),
    ("two lengths that differ", request(b"POST /shop/orders HTTP/1.1",
                                        HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"), 400),
    ("a list of lengths that differ", request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: 5, 6\r\n",
                                              b"hello!"), 400),
    ("a negative length", request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: -1\r\n"), 400),
    ("a length with a plus", request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: +5\r\n", b"hello"), 400),
    ("a hexadecimal length", request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: 0x5\r\n", b"hello"), 400),
    ("a length beyond 64 bits", request(b"POST /shop/orders HTTP/1.1",
                                        HOST + b"Content-Length: 99999999999999999999\r\n"), 400),
    ("an empty length", request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length:\r\n"), 400),
    ("a folded line", request(fields=HOST + b"A: b\r\n c\r\n"), 400),
    ("a bare LF as line end", request(fields=HOST + b"A: b\nC: d\r\n"), 400),
    ("a bare CR within a value", request(fields=HOST + b"A: b\rc\r\n"), 400),
    ("LF only", b"GET /shop/orders HTTP/1.1\nHost: a\n\n", 400),
    ("a space before the colon", request(fields=HOST + b"A : b\r\n"), 400),
    ("a line without colon", request(fields=HOST + b"nothing\r\n"), 400),
    ("an empty field name", request(fields=HOST + b": b\r\n"), 400),
    ("a control character in a name", request(fields=HOST + b"A\x01: b\r\n"), 400),
    ("a NUL in a value", request(fields=HOST + b"A: b\x00c\r\n"), 400),
    ("a DEL in a value", request(fields=HOST + b"A: b\x7fc\r\n"), 400),
    ("a space in front of the first field", b"GET /shop/orders HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("no Host", request(fields=b""), 400),
    ("two Hosts", request(fields=HOST + b"Host: b\r\n"), 400),
    ("a Host with a path", request(fields=b"Host: a/b\r\n"), 400),
    ("an absolute form with another Host", request(b"GET http://b/shop/orders HTTP/1.1"), 400),
    ("a NUL in the target", request(b"GET /shop/\x00orders HTTP/1.1"), 400),
    ("a control character in the target", request(b"GET /shop/\x1forders HTTP/1.1"), 400),
    ("a target without slash", request(b"GET shop HTTP/1.1"), 400),
    ("a fragment", request(b"GET /shop/orders#part HTTP/1.1"), 400),
    ("a request line of two words", request(b"GET /shop/orders"), 400),
    ("a request line of four words", request(b"GET /shop/orders HTTP/1.1 x"), 400),
    ("two spaces in the request line", request(b"GET  /shop/orders HTTP/1.1"), 400),
    ("a method of other characters", request(b"G@T /shop/orders HTTP/1.1"), 400),
    ("a lower case version", request(b"GET /shop/orders http/1.1"), 400),
    ("HTTP/3.0", request(b"GET /shop/orders HTTP/3.0"), 505),
    ("an unknown transfer coding", request(b"POST /shop/orders HTTP/1.1", HOST + b"Transfer-Encoding: zip\r\n"), 400),
    ("chunked not last", request(b"POST /shop/orders HTTP/1.1", HOST + b"Transfer-Encoding: chunked, gzip\r\n"), 400),
    ("chunked twice", request(b"POST /shop/orders HTTP/1.1",
                              HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("chunked with a look-alike", request(b"POST /shop/orders HTTP/1.1", HOST + b"Transfer-Encoding: \x0bchunked\r\n",
                                          b"0\r\n\r\n"), 400),
    ("chunked in HTTP/1.0", request(b"POST /shop/orders HTTP/1.0", HOST + b"Transfer-Encoding: chunked\r\n",
                                    b"0\r\n\r\n"), 400),
    ("TLS to the plain port", bytes.fromhex("1603010200010001fc0303") + bytes(64), 400),
    ("a target of more than 8 KiB", request(b"GET /shop/" + b"o" * 9000 + b" HTTP/1.1"), 414),
    ("fields of more than 32 KiB", request(fields=HOST + b"A: " + b"b" * 33000 + b"\r\n"), 431),
    ("many fields of more than 32 KiB", request(fields=HOST + b"".join(b"A%d: b\r\n" % n for n in range(5000))), 431),
]

# Bodies whose framing breaks after a good head.
BROKEN_CHUNKS = [
    ("a chunk size that is no number", b"5x\r\nhello\r\n0\r\n\r\n"),
    ("a negative chunk size", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size beyond 64 bits", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("a chunk longer than its size", b"3\r\nhello\r\n0\r\n\r\n"),
    ("a chunk that ends with LF", b"5\r\nhello\n0\r\n\r\n"),
    ("a size that ends with LF", b"5\nhello\r\n0\r\n\r\n"),
    ("no size", b"\r\nhello\r\n0\r\n\r\n"),
]


class WireTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.upstream = Upstream(cls.scope)
        cls.platform = Platform(cls.scope, f"{folder(cls.scope)}/data").start()
        with cls.platform.sign_in("acme") as rest:
            rest.create("/v1/tenants/acme/apis", {
                "document": json.dumps({
                    "openapi": "3.1.0", "info": {"title": "Orders", "version": "1"}, "servers": [{"url": "/shop"}],
                    "paths": {"/orders": {
                        verb: {"responses": {"200": {"description": "fine"}}} for verb in ("get", "post")}}}),
                "upstream": cls.upstream.url, "authentication": "none",
                "policies": [{"request_size": {"max": "1KiB"}}, {"timeouts": {"idle": "2s"}}]})
            if rest.deploy("acme", "orders")["state"] != "success":
                raise AssertionError("the API could not be deployed")

    def doors(self):
        return (("gateway", self.platform.gateway), ("control plane", self.platform.control_plane))

    def test_malformed_requests_are_refused_and_the_connection_closes(self):
        seen = len(self.upstream.requests)
        for door, url in self.doors():
            for name, data, status in MALFORMED:
                with self.subTest(f"{door}: {name}"):
                    answered, answer, closed = speak(url, data)
                    self.assertEqual(answered, status, answer)
                    self.assertTrue(closed, "the connection stays open")
                    self.assertEqual(answers(answer), 1, "what follows was taken for a request")
                    self.assertIn(b"application/problem+json", answer)
        self.assertEqual(self.upstream.requests[seen:], [], "the upstream saw a malformed request")

    def test_broken_chunks_end_the_connection(self):
        head = request(b"POST /shop/orders HTTP/1.1", HOST + b"Transfer-Encoding: chunked\r\n")
        for name, chunks in BROKEN_CHUNKS:
            with self.subTest(name):
                answered, answer, closed = speak(self.platform.gateway, head + chunks)
                self.assertTrue(closed)
                self.assertIn(answered, (400, None), answer)
                self.assertLessEqual(answers(answer), 1)

    def test_paths_that_servers_read_differently_are_refused_by_the_gateway(self):
        for path in (b"/shop/../shop/orders", b"/shop/./orders", b"/shop//orders", b"/shop/%2e%2e/shop/orders",
                     b"/shop%2forders", b"/shop/orders%5c..", b"/shop/%zz", b"/shop/%"):
            with self.subTest(path):
                seen = len(self.upstream.requests)
                answered, answer, _ = speak(
                    self.platform.gateway, request(b"GET " + path + b" HTTP/1.1", HOST + b"Connection: close\r\n"))
                self.assertIn(answered, (400, 404), answer)
                self.assertEqual(len(self.upstream.requests), seen, "the upstream saw it")

    def test_a_body_over_the_limit_is_refused(self):
        fields = HOST + b"Content-Type: application/json\r\nConnection: close\r\n"
        for name, url, line, size in (
                ("gateway", self.platform.gateway, b"POST /shop/orders HTTP/1.1", 1025),
                ("control plane", self.platform.control_plane, b"POST /v1/sessions HTTP/1.1", 64 << 20)):
            with self.subTest(f"{name}, length said"):
                answered, answer, closed = speak(url, request(line, fields + b"Content-Length: %d\r\n" % size))
                self.assertEqual(answered, 413, answer)
                self.assertTrue(closed)
        chunks = b"400\r\n" + b"x" * 0x400 + b"\r\n1\r\ny\r\n0\r\n\r\n"
        answered, answer, _ = speak(
            self.platform.gateway,
            request(b"POST /shop/orders HTTP/1.1", fields + b"Transfer-Encoding: chunked\r\n", chunks))
        self.assertEqual(answered, 413, answer)

    def test_a_body_that_stops_coming_does_not_hold_its_connection(self):
        data = request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: 10\r\n", b"half")
        _, answer, closed = speak(self.platform.gateway, data, seconds=30)
        self.assertTrue(closed, answer)

    def test_requests_in_one_piece_are_answered_in_order(self):
        first = request(b"GET /shop/orders?n=1 HTTP/1.1")
        last = request(b"GET /shop/orders?n=2 HTTP/1.1", HOST + b"Connection: close\r\n")
        _, answer, closed = speak(self.platform.gateway, first + last)
        self.assertTrue(closed)
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 2, answer)
        self.assertLess(answer.index(b"n=1"), answer.index(b"n=2"))

    def test_a_smuggled_request_is_not_one(self):
        """What stands behind a refused request is not read, however much it looks like a request."""
        inner = b"GET /shop/orders?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        data = request(b"POST /shop/orders HTTP/1.1", HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                       b"5c\r\n" + inner)
        answered, answer, closed = speak(self.platform.gateway, data)
        self.assertEqual((answered, closed, answers(answer)), (400, True, 1))
        self.assertFalse([path for path in self.upstream.requests if "smuggled" in path])

    def test_one_byte_at_a_time_is_a_request(self):
        with socket.create_connection(("127.0.0.1", self.platform.base), 10) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in request(fields=HOST + b"Connection: close\r\n"):
                peer.sendall(bytes([byte]))
            answer = b""
            while chunk := peer.recv(65536):
                answer += chunk
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)

    def test_clients_that_go_away_early_leave_nothing_behind(self):
        for number in range(200):
            with socket.create_connection(("127.0.0.1", self.platform.base + number % 2), 10) as peer:
                data = request(b"GET /shop/orders?wait=0.05 HTTP/1.1")
                peer.sendall(data[:number % len(data) + 1])
        eventually(lambda: speak(
            self.platform.gateway, request(fields=HOST + b"Connection: close\r\n"))[0] == 200)
        self.assertIsNone(self.platform.process.poll())

    def test_hop_by_hop_fields_and_forged_forwarding_stay_outside(self):
        answered, answer, _ = speak(self.platform.gateway, request(
            fields=HOST + b"Connection: close, X-Private\r\nX-Private: 1\r\nProxy-Authorization: x\r\n"))
        self.assertEqual(answered, 200, answer)
        for name in ("X-Private", "Proxy-Authorization"):
            self.assertIsNone(self.upstream.fields[name])
