"""Attacks by way of the network: addresses that a user names and the platform calls (SSRF), names that answer differently each time, and
bodies that are small until they are read."""

import collections
import gzip
import http.server
import json
import random
import re
import socket
import socketserver
import struct
import subprocess
import threading
import time
import unittest
import urllib.parse

import addresses
from people import PASSWORD, TIMEOUT, OnPlatform, requests
from processes import ClassScope, Platform, eventually, folder, run
from rest import Rest, document

from authlib.jose import JsonWebKey, JsonWebToken

# How much of the platform's memory one small request may take, MiB. A debug build's parsers take several times a release build's.
GROWTH_MAX = 192


class Names(socketserver.ThreadingUDPServer):
    """A name server that answers a name with the next of its addresses each time (RFC 1035), for no time at all. `services` are SRV records
    (RFC 2782): a host and a port."""

    daemon_threads = True
    ADDRESS, SERVICE = 1, 33

    def __init__(self, case, address, answers, services=None):
        self.answers, self.services = answers, services or {}
        self.asked = collections.Counter()
        super().__init__((address, 53), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        case.addCleanup(self.server_close)
        case.addCleanup(self.shutdown)

    def finish_request(self, request, client_address):
        data, out = request
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, question = ".".join(labels).lower(), data[12:at + 5]
        kind = struct.unpack(">H", data[at + 1:at + 3])[0]
        records = []
        if kind == self.SERVICE and name in self.services:
            host, port = self.services[name]
            encoded = b"".join(bytes([len(label)]) + label.encode() for label in host.split(".")) + bytes(1)
            records = [struct.pack(">HHH", 0, 1, port) + encoded]
        elif kind == self.ADDRESS and name in self.answers:
            turns = self.answers[name]
            records = [socket.inet_aton(one) for one in turns[min(self.asked[name], len(turns) - 1)]]
            self.asked[name] += 1
        is_known = name in self.answers or name in self.services
        head = data[:2] + struct.pack(">HHHHH", 0x8180 if is_known else 0x8183, 1, len(records), 0, 0)
        out.sendto(head + question + b"".join(
            struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(record)) + record for record in records), client_address)


class Listener:
    """A server that counts who reaches it, and answers each path by `answer`. With `leads_to` it sends everybody there."""

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
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        case.addCleanup(self._server.server_close)
        case.addCleanup(self._server.shutdown)


class Provider(Listener):
    """An identity provider at an allowed address that signs in whoever comes, and whose `endpoint` is `elsewhere`."""

    KEY = JsonWebKey.generate_key("RSA", 2048, {"kid": "k1"}, is_private=True)

    def __init__(self, case, address, endpoint=None, elsewhere=None):
        self.endpoint, self.elsewhere = endpoint, elsewhere
        self.nonce = None
        super().__init__(case, address, answer=self.answer)

    def answer(self, path):
        if path == "/keys":
            return {"keys": [self.KEY.as_dict()]}
        if path == "/token":
            now = int(time.time())
            claims = {"iss": self.url, "sub": "s1", "aud": "web", "iat": now, "exp": now + 300, "nonce": self.nonce}
            token = JsonWebToken(["RS256"]).encode({"alg": "RS256", "kid": "k1"}, claims, self.KEY).decode()
            return {"access_token": "opaque", "token_type": "Bearer", "id_token": token}
        if path == "/userinfo":
            return {"sub": "s1", "preferred_username": "sam", "groups": ["staff"]}
        metadata = {"issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys", "userinfo_endpoint": f"{self.url}/userinfo"}
        return {**metadata, **({self.endpoint: self.elsewhere} if self.endpoint else {})}


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


def target(url, **more):
    return {"upstream": {"targets": [{"url": url}], **more}}


def policy(**one):
    return {"policies": [one]}


# What is called for an address that somebody writes there: the settings of a route, for the address and that of a target that answers.
CALLED = {
    "/gateway/upstream/targets/*/url": lambda url, fine: target(url),
    "/gateway/upstream/targets/*/srv": lambda url, fine: {"upstream": {"targets": [
        {"url": fine + urllib.parse.urlsplit(url).path, "srv": f"_http._tcp.{urllib.parse.urlsplit(url).hostname}"}]}},
    "/gateway/upstream/mirror/url": lambda url, fine: target(fine, mirror={"url": url}),
    "/policies/*/jwt/issuers/*/keys/url": lambda url, fine: policy(
        jwt={"issuers": [{"issuer": "https://a.example", "audiences": ["a"], "keys": {"url": url}}]}),
    "/policies/*/jwt/issuers/*/issuer": lambda url, fine: policy(jwt={"issuers": [{"issuer": url, "audiences": ["a"]}]}),
    "/policies/*/introspection/endpoint": lambda url, fine: policy(
        introspection={"endpoint": url, "client_id": "a", "client_secret": "secret://word", "audiences": []}),
    "/policies/*/external_authorization/url": lambda url, fine: policy(external_authorization={"url": url}),
}
# Where targets are called besides for a request of a client.
ALSO_CALLED = {
    "the health of a target": lambda url, fine: target(url, active_health={"path": "/health", "interval": "100ms"}),
    "a connection for the health of a target": lambda url, fine: target(url, active_health={"type": "tcp", "interval": "100ms"}),
    "another version": lambda url, fine: {"upstream": {
        "targets": [{"url": fine, "version": "a"}, {"url": url, "version": "b"}], "canary": {"versions": [{"name": "a", "weight": 0}, {"name": "b", "weight": 1}]}}},
}
# Addresses that nobody is called for, and what they are for.
NOT_CALLED = {
    "/gateway/upstream/active_health/host": "the field Host of a check",
    "/policies/*/introspection/issuer": "compared with what the answer says",
    "/policies/*/redirect/to": "where clients are sent",
    **{f"{operation} /{name}/*": "where browsers are sent" for operation in ("createClient", "updateClient")
       for name in ("redirect_uris", "post_logout_redirect_uris")},
    "putEnvironment /hosts/*": "compared with Host",
    "purgeCache /url": "compared with what is kept",
    "pullSnapshot ?address": "shown; of a gateway's own",
}
# The target of an API, said in one word.
SHORT = {"importAPI /upstream", "createRevision /upstream"}
# Called in the name of who runs the process, who may call everything: docs/reference/attacks.md.
OF_THE_PROCESS = {
    "/issuer": "the own name", "/gateway/control_plane": "the link", "/gateway/dns/servers": "the name servers",
    "/keys/url": "OpenBao", "/keys/old_url": "OpenBao", "/limits/url": "Redis", "/store/url": "PostgreSQL",
    "/telemetry/tracing/endpoint": "a collector", "/listen/https/address": "listened on", "/listen/control_plane": "listened on",
    "/telemetry/access_log/addresses": "how much of clients' addresses is logged",
}
# Called in the name of the platform, for its users: by the rules.
OF_THE_PLATFORM = {"/identity/providers/*/issuer", "/audit/anchors/*/url"}


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
        cls.rows = {**CALLED, **ALSO_CALLED}
        cls.can_resolve = can_resolve(cls.place, cls.resolver)
        resolver, dns = None, ""
        if cls.can_resolve:
            inside, outside = ["127.0.0.1"], [cls.allowed]
            rebinding = {f"{name}{number}.rebinding.test": [outside, inside] for number in range(len(cls.rows)) for name in ("r", "s")}
            cls.names = Names(cls.scope, cls.resolver, {
                "inside.test": [inside], "provider.test": [outside, inside], "both.test": [inside + outside],
                "metadata.test": [["169.254.169.254"]], "fine.test": [outside], **rebinding},
                {"_http._tcp.inside.test": ("inside.test", cls.inside.port), "_http._tcp.metadata.test": ("metadata.test", cls.inside.port),
                 "_http._tcp.fine.test": ("fine.test", cls.inside.port), "_http._tcp.both.test": ("both.test", cls.inside.port),
                 **{f"_http._tcp.{name}": (name, cls.inside.port) for name in rebinding}})
            resolver = f"{cls.place}/resolv.conf"
            with open(resolver, "w", encoding="ascii") as file:
                file.write(f"nameserver {cls.resolver}\noptions attempts:1 timeout:2\n")
            dns = f"gateway: {{dns: {{servers: ['{cls.resolver}:53'], min_ttl: 1s}}}}\n"
        settings = f"{cls.place}/passerelle.yaml"
        cls.issuers = {name: f"http://{host}:{cls.inside.port}" for name, host in cls.hosts().items()}
        cls.issuers["leading-on"] = cls.leading.url
        cls.providers = {"straight": Provider(cls.scope, cls.allowed)}
        for name, endpoint in (("keys", "jwks_uri"), ("tokens", "token_endpoint"), ("userinfo", "userinfo_endpoint")):
            cls.providers[f"turned-{name}"] = Provider(cls.scope, cls.allowed, endpoint, f"http://127.0.0.1:{cls.inside.port}/{name}")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"egress:\n  allow: [{cls.allowed}]\n  private_targets: false\n{dns}identity:\n  providers:\n")
            for name, issuer in [*cls.issuers.items(), *((name, one.url) for name, one in cls.providers.items())]:
                file.write(f"    - {{name: {name}, issuer: '{issuer}', client_id: web, roles_from: userinfo, audiences: [api],"
                           " rules: [{claim: groups, value: staff, role: viewer, tenant: acme}]}\n")
            file.write("audit:\n  anchors:\n")
            for name, host in [("allowed", cls.allowed), *cls.hosts().items()]:
                if name not in ("decimal", "octal", "hexadecimal", "short"):
                    file.write(f"    - url: 'http://{host}:{cls.inside.port}/checkpoints'\n")
            file.write(f"    - url: '{cls.leading.url}/checkpoints'\n")
        cls.platform = Resolving(cls.scope, f"{cls.place}/data", arguments=["--config", settings], resolver=resolver).start()
        cls.url = cls.platform.control_plane
        cls.admin = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.admin.close)
        cls.admin.expect(201, "PUT", "/v1/tenants/acme/secrets/word", {"value": "a word that nobody knows"})
        cls.admin.expect(201, "PUT", "/v1/tenants/acme/secrets/inside", {"value": f"127.0.0.1:{cls.inside.port}"})

    @classmethod
    def answer(cls, path):
        """Of what is allowed: metadata of the issuer that it is asked for, keys of nobody."""
        base, _, asked = path.partition("/.well-known/")
        where = f"{cls.allowed}:{cls.inside.port}"
        if asked and base:
            # What it says of its keys leads inside, where the path says so.
            keys = f"http://127.0.0.1:{cls.inside.port}/turned" if base.endswith("-turned") else f"http://{where}{base}/keys"
            return {"issuer": f"http://{where}{base}", "jwks_uri": keys}
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

    @classmethod
    def names_known(cls):
        return ("inside", "rebinding", "both", "metadata") if cls.can_resolve else ()

    # Identity providers

    def test_no_provider_is_called_where_it_must_not_be(self):
        """Each call is judged by the address it connects to, so that a name gains nothing by what it says next."""
        shown = {one["name"]: one["problem"] for one in self.admin.get("/v1/identity-providers")["items"]}
        for name in self.issuers:
            with self.subTest(name):
                if name == "rebinding":
                    continue
                self.assertIsNotNone(shown[name])
                # With both addresses only the allowed one may be called.
                self.assertNotIn("secret", shown[name])
        for name in ("plain", "mapped", "loopback6", "named", "turned-keys"):
            self.assertRegex(shown[name], "loopback|not answer", name)
        if self.can_resolve:
            # It was good when it was asked first; then it says that it is somebody else.
            self.assertGreater(len(self.outside.requests), 0)
            for _ in range(3):
                self.admin.get("/v1/identity-providers")
            self.assertGreater(self.names.asked["provider.test"], 0)
        self.assertGreater(len(self.leading.requests), 0, "it was asked, and what it says is followed by nobody")
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    def test_no_provider_leads_inside_by_what_it_says(self):
        """Its own address is allowed; those in its metadata are judged each by itself."""
        self.assertEqual(self.sign_in_by("straight"), 303)
        for path in ("/keys", "/token", "/userinfo"):
            self.assertIn(path, self.providers["straight"].requests, "it is called when it may be")
        for name in ("turned-keys", "turned-tokens", "turned-userinfo"):
            with self.subTest(name):
                self.assertIn(self.sign_in_by(name), (403, 503))
        self.assertIn("/token", self.providers["turned-userinfo"].requests)
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    def sign_in_by(self, name):
        """The status of the answer to somebody who comes back from there, or who cannot even go."""
        browser = requests.Session()
        going = browser.get(f"{self.url}/oauth2/providers/{name}/login", params={"target": "/oauth2/factors?"},
                            allow_redirects=False, timeout=TIMEOUT)
        if going.status_code != 303:
            return going.status_code
        sent = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(going.headers["Location"]).query))
        self.providers[name].nonce = sent["nonce"]
        return browser.get(sent["redirect_uri"], params={"code": "c", "state": sent["state"]}, allow_redirects=False,
                           timeout=TIMEOUT).status_code

    # Who keeps checkpoints of the audit log

    def test_no_checkpoint_is_taken_inside(self):
        for server in (self.outside, self.leading):
            eventually(lambda: "/checkpoints" in server.requests)

        def refused():
            anchors = self.admin.get("/v1/audit/anchors")["items"]
            # One is allowed; of two names an allowed address may be the one that is called.
            found = [one for one in anchors if one["failure"]]
            return found if len(found) >= len(anchors) - 3 else None

        self.assertEqual({one["size"] for one in eventually(refused)}, {0})
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    # What APIs say

    def test_every_field_that_takes_an_address_is_known_here(self):
        """A field that is new has to be attacked, or said why nobody is called for it."""
        found = addresses.in_definitions(self.admin, document(paths=("/orders",)))
        known = {*CALLED, *NOT_CALLED, *SHORT}
        known.update({place.replace("/gateway", "/gateway/routes/*", 1) for place in known if place.startswith("/gateway/upstream")})
        known.update({f"/gateway/routes/*{place}" for place in known if place.startswith("/policies")})
        self.assertEqual(found - known, set())
        self.assertLessEqual(set(CALLED), found, "they are found by what serves")
        bodies = addresses.in_bodies(self.admin.get("/openapi.json"))
        self.assertEqual(bodies - known, set())
        settings = addresses.in_settings(lambda path: run("config", "check", path).stderr, f"{self.place}/probed.yaml")
        self.assertEqual(settings - OF_THE_PROCESS.keys() - OF_THE_PLATFORM, set())
        self.assertEqual({*NOT_CALLED, *SHORT, *OF_THE_PROCESS, *OF_THE_PLATFORM} - found - bodies - settings, set(), "and no line is left over")

    def attacks(self):
        """Rows of what is called, in every way to write an address: a name, the way, the settings of a route."""
        fine = self.outside.url
        for number, (row, make) in enumerate(self.rows.items()):
            is_service = row.endswith("/srv")
            ways = {} if is_service else {**self.hosts(), "allowed": self.allowed, "turned": None, "secret": None}
            if self.can_resolve:
                ways.update({"inside": "inside.test", "metadata": "metadata.test", "both": "both.test"})
                ways["rebinding"] = f"r{number}.rebinding.test"
                if is_service:
                    ways["allowed"] = "fine.test"
            for way, host in ways.items():
                mark = f"/mark{number}-{way}"
                if way == "turned" and not row.endswith("/issuer"):
                    continue
                if way == "secret" and not row.startswith("/policies"):
                    continue
                place = {"turned": f"{self.allowed}:{self.inside.port}", "secret": "secret://inside"}.get(way) or f"{host}:{self.inside.port}"
                yield row, way, mark, make(f"http://{place}{mark}", fine)

    def test_nothing_that_an_api_says_leads_inside(self):
        attacks = list(self.attacks())
        for name, host in self.hosts().items():
            if not name.startswith(("decimal", "octal", "hex", "short")):
                self.admin.request("POST", "/v1/tenants/acme/apis", {
                    "name": f"short-{name}", "document": document(base=f"/short-{name}"), "authentication": "none",
                    "upstream": f"http://{host}:{self.inside.port}/short"})
        body = {"name": "attacks", "document": document(paths=[f"/{number}" for number in range(len(attacks))], base="/attacks"),
                "authentication": "none", "upstream": self.outside.url}
        taken = list(enumerate(attacks))
        for _ in range(8):
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
                **body, "gateway": {"routes": [{"path": f"/{number}", **settings} for number, (*_, settings) in taken]}})
            if answer.status == 201:
                break
            # Some ways to write an address are refused as they are written: what is left is attacked.
            self.assertEqual(answer.status, 400, answer)
            refused = {int(re.match(r"/gateway/routes/(\d+)/", one["pointer"]).group(1)) for one in answer.json["errors"]}
            for index in refused:
                row, way, _, _ = taken[index][1]
                self.assertNotIn(way, ("plain", "named", "private", "link-local", "allowed", "turned", *self.names_known()), (row, answer))
            taken = [one for index, one in enumerate(taken) if index not in refused]
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual({row for _, (row, way, *_) in taken if way == "plain"}, {row for row in self.rows if not row.endswith("/srv")})
        self.assertEqual(self.admin.deploy("acme", "attacks")["state"], "success")
        token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEiLCJ0eXAiOiJhdCtqd3QifQ.eyJpc3MiOiJhIn0." + "A" * 342
        session = requests.Session()

        def ask(number):
            return session.get(f"{self.platform.gateway}/attacks/{number}", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT).status_code

        for number, (row, way, mark, _) in taken:
            with self.subTest(f"{row}, {way}"):
                status = ask(number)
                # Where another target answers, nobody notices.
                if way in ("allowed", "both", "rebinding") or "mirror" in row or "version" in row:
                    continue
                self.assertIn(status, (401, 503) if row.startswith("/policies") else (502, 503, 504))
        for number, (row, way, mark, _) in taken:
            with self.subTest(f"{row}, {way}: the same is called where it may be"):
                if way == "allowed" and "connection" not in row:
                    eventually(lambda: any(mark in path for path in self.outside.requests))
                elif way == "turned":
                    eventually(lambda: any(mark in path for path in self.outside.requests), seconds=40)
        # A name that was good when it was asked first, and is then somebody else: each way that asks again for a new connection.
        again = [(number, row) for number, (row, way, *_) in taken if way == "rebinding" and "jwt" not in row]
        for number, row in again:
            with self.subTest(f"{row}, rebinding"):
                name = f"r{list(self.rows).index(row)}.rebinding.test"
                eventually(lambda: ask(number) and self.names.asked[name] >= 2)
                ask(number)
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    def test_no_document_and_no_address_to_send_people_to_is_called(self):
        """References of documents, where users come back to, hosts, caches."""
        inside = f"http://127.0.0.1:{self.inside.port}"
        described = json.loads(document(base="/described"))
        described["servers"] = [{"url": f"{inside}/described"}]
        described["externalDocs"] = {"url": f"{inside}/docs"}
        described["info"]["contact"] = {"url": f"{inside}/contact"}
        described["components"] = {"securitySchemes": {"a": {"type": "openIdConnect", "openIdConnectUrl": f"{inside}/.well-known/openid-configuration"}}}
        for reference in (None, f"{inside}/schema.json", "file:///etc/passwd", f"{inside}/schema.yaml#/a"):
            if reference:
                described["paths"]["/orders"]["get"]["responses"]["200"] = {"$ref": reference}
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
                "name": "described", "document": json.dumps(described), "upstream": self.outside.url, "authentication": "none"})
            self.assertIn(answer.status, (201, 409, 422), answer)
            self.assertNotIn(b"root:", answer.body)
        self.admin.create("/v1/oauth-clients", {
            "name": "Shop", "confidential": False, "redirect_uris": [f"{inside}/cb"], "post_logout_redirect_uris": [f"{inside}/bye"],
            "grant_types": ["authorization_code"], "scopes": ["openid"]})
        self.assertEqual(self.inside.requests, [], "nobody got inside")

    def test_no_policy_and_no_target_reads_a_file_of_the_machine(self):
        for policy in ({"jwt": {"issuers": [{"issuer": "https://a.example", "audiences": ["a"], "keys": {"file": "/etc/passwd"}}]}},):
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
                "name": "by-file", "document": document(base="/f"), "upstream": "http://127.0.0.1:9", "policies": [policy]})
            self.assertEqual(answer.status, 400, answer)
        for files in ({"cert": "/etc/passwd", "key": "/etc/shadow"}, {"cert": "../../gateway.token", "key": "../key"}):
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {
                "name": "by-file", "document": document(base="/f"),
                "gateway": {"upstream": {"targets": [{"url": "https://127.0.0.1:9"}], "tls": {"certificate": files}}}})
            self.assertEqual(answer.status, 400, answer)


class Bombs(OnPlatform):
    """Bodies that are small until they are read."""

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
