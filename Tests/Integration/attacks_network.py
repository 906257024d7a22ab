"""Attacks by way of the network: addresses that a user names and the platform calls (SSRF), names that answer differently each time, and
bodies that are small until they are read."""

import gzip
import http.server
import json
import random
import socket
import socketserver
import struct
import subprocess
import threading
import unittest

from processes import ClassScope, Platform, folder
from rest import Rest, document
from test_issuer import requests

TIMEOUT = 20
PASSWORD = "correct horse battery"
# How much of the platform's memory one small request may take, MiB. A debug build's parsers take several times a release build's.
GROWTH_MAX = 192


class Names(socketserver.ThreadingUDPServer):
    """A name server that answers a name with the next of its addresses each time (RFC 1035), for no time at all."""

    daemon_threads = True

    def __init__(self, case, address, answers):
        self.answers = answers
        self.asked = {}
        super().__init__((address, 53), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        case.addCleanup(self.server_close)
        case.addCleanup(self.shutdown)

    def finish_request(self, request, client_address):
        data, out = request
        name, at = [], 12
        while data[at]:
            name.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        question, kind = data[12:at + 5], struct.unpack(">H", data[at + 1:at + 3])[0]
        known = self.answers.get(".".join(name).lower())
        addresses = []
        if known and kind == 1:
            turn = self.asked.setdefault(".".join(name), 0)
            self.asked[".".join(name)] += 1
            addresses = known[min(turn, len(known) - 1)]
        head = data[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(addresses), 0, 0)
        records = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(one) for one in addresses)
        out.sendto(head + question + records, client_address)


class Listener:
    """A server that counts who reaches it. With `leads_to` it sends everybody there."""

    def __init__(self, case, address, port=0, answer=None, leads_to=None):
        owner = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.requests.append(self.path)
                body = json.dumps((answer or (lambda path: {}))(self.path)).encode()
                self.send_response(302 if leads_to else 200)
                if leads_to:
                    self.send_header("Location", leads_to)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        case.addCleanup(self._server.server_close)
        case.addCleanup(self._server.shutdown)


class Resolving(Platform):
    """A platform that asks a name server of the test, in a mount namespace of its own."""

    def __init__(self, *arguments, resolver=None, **options):
        super().__init__(*arguments, **options)
        self.resolver = resolver

    @property
    def command(self):
        if not self.resolver:
            return super().command
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.resolver, *super().command]


def can_resolve(place, address):
    """Whether this machine lets the test take a name server's port, and mount over the file that names it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 53))
        path = f"{place}/probe"
        open(path, "w", encoding="ascii").close()
        return subprocess.run(["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf', path],
                              capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


class ForgedRequests(unittest.TestCase):
    """Where the platform calls for a user: targets of APIs, keys of issuers, introspection, other services, identity providers."""

    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.place = folder(cls.scope)
        octets = f"127.{random.randrange(16, 250)}.{random.randrange(256)}"
        cls.allowed, cls.resolver = f"{octets}.2", f"{octets}.53"
        cls.inside = Listener(cls.scope, "127.0.0.1")
        cls.outside = Listener(cls.scope, cls.allowed, cls.inside.port, cls.answer)
        cls.leading = Listener(cls.scope, cls.allowed, leads_to=f"http://127.0.0.1:{cls.inside.port}/")
        cls.can_resolve = can_resolve(cls.place, cls.resolver)
        resolver = None
        if cls.can_resolve:
            inside, outside = ["127.0.0.1"], [cls.allowed]
            cls.names = Names(cls.scope, cls.resolver, {
                "inside.test": [inside], "provider.test": [outside, inside], "both.test": [inside + outside],
                "target.test": [outside, inside], "keys.test": [inside], "metadata.test": [["169.254.169.254"]]})
            resolver = f"{cls.place}/resolv.conf"
            with open(resolver, "w", encoding="ascii") as file:
                file.write(f"nameserver {cls.resolver}\noptions attempts:1 timeout:2\n")
        settings = f"{cls.place}/passerelle.yaml"
        cls.providers = {name: f"http://{host}:{cls.inside.port}" for name, host in cls.hosts().items()}
        cls.providers["leading-on"] = f"http://{cls.allowed}:{cls.leading.port}"
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"egress:\n  allow: [{cls.allowed}]\n  private_targets: false\nidentity:\n  providers:\n")
            for name, issuer in cls.providers.items():
                file.write(f"    - {{name: {name}, issuer: '{issuer}', client_id: web}}\n")
        cls.platform = Resolving(cls.scope, f"{cls.place}/data", arguments=["--config", settings], resolver=resolver).start()
        cls.admin = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.admin.close)

    @classmethod
    def answer(cls, path):
        return {"issuer": f"http://provider.test:{cls.inside.port}", "path": path}

    @classmethod
    def hosts(cls):
        """Ways to write an address of the machine, as far as they are hosts of a URL at all."""
        hosts = {"plain": "127.0.0.1", "mapped": "[::ffff:127.0.0.1]", "mapped-hex": "[::ffff:7f00:1]", "loopback6": "[::1]",
                 "nat64": "[64:ff9b::7f00:1]", "unspecified": "0.0.0.0", "unspecified6": "[::]", "link-local": "169.254.169.254",
                 "private": "10.0.0.1", "decimal": "2130706433", "octal": "0177.0.0.1", "hexadecimal": "0x7f.0.0.1", "short": "127.1",
                 "named": "localhost"}
        if cls.can_resolve:
            hosts.update({"inside": "inside.test", "rebinding": "provider.test", "both": "both.test", "metadata": "metadata.test"})
        return hosts

    def test_no_provider_is_called_where_it_must_not_be(self):
        """Each call is judged by the address it connects to, so that a name gains nothing by what it says next."""
        shown = {one["name"]: one["problem"] for one in self.admin.get("/v1/identity-providers")["items"]}
        for name in self.providers:
            with self.subTest(name):
                if name == "rebinding":
                    continue
                self.assertIsNotNone(shown[name])
                # With both addresses only the allowed one may be called.
                self.assertNotIn("secret", shown[name])
        for name in ("plain", "mapped", "loopback6", "named"):
            self.assertRegex(shown[name], "loopback|not answer", name)
        if self.can_resolve:
            # It was good when it was asked first; then it says that it is somebody else.
            self.assertGreater(len(self.outside.requests), 0)
            for _ in range(3):
                self.admin.get("/v1/identity-providers")
            self.assertGreater(self.names.asked.get("provider.test", 0), 0)
        self.assertGreater(len(self.leading.requests), 0, "it was asked, and what it says is followed by nobody")
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    def api(self, name, **body):
        answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
            "name": name, "document": document(base=f"/{name}"), "authentication": "none", **body})
        if answer.status == 400:
            return None
        self.assertEqual(answer.status, 201, answer)
        return self.admin.request("POST", f"/v1/tenants/acme/apis/{name}/deployments", {"environment": "dev"}).json["id"]

    def test_no_target_leads_inside(self):
        made = {}
        for name, host in self.hosts().items():
            url = f"http://{'target.test' if name == 'rebinding' else host}:{self.inside.port}"
            made[name] = self.api(f"to-{name}", upstream=url)
        made["health"] = self.api("to-health", gateway={"upstream": {
            "targets": [{"url": f"http://127.0.0.1:{self.inside.port}"}], "health": {"active": {"path": "/check", "interval": "100ms"}}}})
        made["allowed"] = self.api("to-allowed", upstream=f"http://{self.allowed}:{self.inside.port}")
        for name, deployment in made.items():
            if deployment:
                self.admin.finished(f"/v1/tenants/acme/apis/to-{name}/deployments/{deployment}")
        for name, deployment in made.items():
            with self.subTest(name):
                if not deployment:
                    continue
                statuses = [requests.get(f"{self.platform.gateway}/to-{name}/orders", timeout=TIMEOUT).status_code for _ in range(3)]
                if name == "allowed":
                    self.assertEqual(statuses, [200] * 3)
                elif name not in ("rebinding", "both"):
                    self.assertTrue(all(status in (502, 503, 504) for status in statuses), statuses)
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    def test_no_policy_asks_inside(self):
        inside = f"http://127.0.0.1:{self.inside.port}"
        policies = {
            "keys": {"jwt": {"issuers": [{"issuer": "https://a.example", "audiences": ["a"], "keys": {"url": f"{inside}/jwks"}}]}},
            "discovery": {"jwt": {"issuers": [{"issuer": inside, "audiences": ["a"]}]}},
        }
        token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJhdCtqd3QifQ." + "eyJpc3MiOiJhIn0" + "." + "A" * 342
        for name, policy in policies.items():
            with self.subTest(name):
                deployment = self.api(f"by-{name}", upstream=f"http://{self.allowed}:{self.inside.port}", policies=[policy])
                if not deployment:
                    continue
                self.admin.finished(f"/v1/tenants/acme/apis/by-{name}/deployments/{deployment}")
                answer = requests.get(f"{self.platform.gateway}/by-{name}/orders", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)
                self.assertIn(answer.status_code, (401, 503))
        # No policy and no target reads a file of the machine.
        for policy in ({"jwt": {"issuers": [{"issuer": "https://a.example", "audiences": ["a"], "keys": {"file": "/etc/passwd"}}]}},):
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
                "name": "by-file", "document": document(base="/f"), "upstream": "http://127.0.0.1:9", "policies": [policy]})
            self.assertEqual(answer.status, 400, answer)
        for files in ({"cert": "/etc/passwd", "key": "/etc/shadow"}, {"cert": "../../gateway.token", "key": "../key"}):
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
                "name": "by-file", "document": document(base="/f"),
                "gateway": {"upstream": {"targets": [{"url": "https://127.0.0.1:9"}], "tls": {"certificate": files}}}})
            self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.inside.requests, [], "nobody got inside")


class Bombs(unittest.TestCase):
    """Bodies that are small until they are read."""

    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.platform = Platform(cls.scope, f"{folder(cls.scope)}/data").start()
        cls.admin = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.admin.close)

    def peak(self):
        with open(f"/proc/{self.platform.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024

    def survive(self, what, method, path, raw, statuses, **fields):
        with self.subTest(what):
            before = self.peak()
            answer = self.admin.request(method, path, raw=raw, fields=fields)
            self.assertIn(answer.status, statuses, answer)
            self.assertLess(len(answer.body), 64 << 10, "the refusal is no bomb itself")
            self.assertLess(self.peak() - before, GROWTH_MAX)
            self.assertEqual(self.admin.request("GET", "/healthz").status, 200)
            return answer

    def test_json(self):
        refused, tenants = (400, 413), "/v1/tenants"
        self.survive("deep arrays", "POST", tenants, b"[" * 500_000, refused)
        self.survive("deep objects", "POST", tenants, b'{"a":' * 100_000, refused)
        self.survive("deep and closed", "POST", tenants, b"[" * 65 + b"]" * 65, refused)
        self.survive("deep inside a field", "POST", "/v1/events/audit-log", b'{"key":"k","value":' + b"[" * 10_000 + b"]" * 10_000 + b"}", (400, 403, 404))
        self.survive("a long number", "POST", tenants, b'{"name":' + b"9" * 900_000 + b"}", refused)
        self.survive("a large exponent", "POST", tenants, b'{"name":1e999999999}', refused)
        self.survive("many fields", "POST", tenants, json.dumps({f"f{number}": 1 for number in range(60_000)}).encode(), refused)
        self.survive("many of one name", "POST", tenants, b"{" + b",".join([b'"a":1'] * 100_000) + b"}", refused)
        self.survive("many errors", "POST", "/v1/users", json.dumps(
            {"name": "a", "password": PASSWORD, "grants": [{"x": 1}] * 60_000}).encode(), refused)
        self.survive("half a surrogate", "POST", tenants, b'{"name":"\\ud800"}', refused)
        self.survive("not UTF-8", "POST", tenants, b'{"name":"\xff\xfe"}', refused)
        self.survive("more than a body may have", "POST", tenants, b" " * (2 << 20), (400, 413))

    def test_compressed(self):
        """Compressed bodies are not unpacked here: what they hold cannot grow."""
        bomb = gzip.compress(b" " * (64 << 20), 9)
        self.assertLess(len(bomb), 1 << 20)
        for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "x-gzip"):
            answer = self.survive(encoding, "POST", "/v1/tenants", bomb, (400, 413, 415), **{"Content-Encoding": encoding})
            self.assertIsNotNone(answer)
        self.assertEqual([one["name"] for one in self.admin.all("/v1/tenants")], ["acme"])

    def test_documents(self):
        def imported(what, text, statuses=(413, 422)):
            body = json.dumps({"name": "bomb", "document": text, "upstream": "http://127.0.0.1:9"}).encode()
            return self.survive(what, "POST", "/v1/tenants/acme/apis", body, statuses)

        laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        laughs += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 12)]
        imported("a billion laughs", "openapi: 3.1.0\ninfo: {title: a, version: '1'}\npaths: {}\n" + "\n".join(laughs))
        imported("merged maps", "a: &a {x: 1}\n" + "\n".join(f"b{n}: &b{n}\n  <<: [{', '.join(['*a'] * 500)}]" for n in range(50)))
        imported("a circle", "a: &a [*a]")
        imported("deep", "[" * 100_000)
        imported("deep blocks", "\n".join(" " * depth + f"a{depth}:" for depth in range(2_000)))
        imported("many documents", "---\na: 1\n" * 10_000)
        imported("many anchors", "\n".join(f"- &x{number} 1" for number in range(100_000)))
        imported("a tag", "!!python/object/apply:os.system ['id']")
        loops = {"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "servers": [{"url": "/loops"}], "paths": {"/a": {"get": {
            "responses": {"200": {"description": "x", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}}}}},
            "components": {"schemas": {"A": {"allOf": [{"$ref": "#/components/schemas/B"}] * 20}, "B": {"allOf": [{"$ref": "#/components/schemas/A"}] * 20}}}}
        imported("references in a circle", json.dumps(loops), (201, 422))
        self.survive("policies", "POST", "/v1/tenants/acme/apis", json.dumps({
            "name": "pattern", "document": document(base="/p"), "upstream": "http://127.0.0.1:9",
            "policies": [{"validation": {"request": True}}] * 2_000}).encode(), (400, 413))

    def test_forms(self):
        for what, raw in {"many fields": b"&".join([b"a=b"] * 4_000), "one name": b"client_id=x&" * 1_300, "escapes": b"%41" * 5_000, "broken": b"%" * 16_000,
                          "too long": b"a" * 40_000}.items():
            for path in ("/oauth2/token", "/oauth2/login", "/oauth2/device_authorization"):
                self.survive(f"{what} at {path}", "POST", path, raw, (400, 401, 403, 413), **{"Content-Type": "application/x-www-form-urlencoded"})
        for header in ("Basic " + "A" * 7_000, "Bearer " + "." * 7_000, "Basic " + "=" * 100, "Bearer " + "eyJ" * 2_000):
            with Rest(self.platform.control_plane) as rest:
                answer = rest.request("GET", "/v1/me", fields={"Authorization": header})
                self.assertIn(answer.status, (401, 431), answer)
