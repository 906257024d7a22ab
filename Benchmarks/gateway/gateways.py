"""The gateway under test, run from a file in each of the shapes that are measured."""

import base64
import json
import subprocess
import time

from bench import Subject, free_port
from peers import KEY

LIMIT = 90_000_000
CLIENT = f"""applications:
  - {{id: app, tenant: bench, keys: [{{value: {KEY}}}], credentials: [{{client_id: app}}], subscriptions: [{{api: bench, plan: gold}}]}}
plans:
  - {{id: gold, tenant: bench, rate_limit: {{limit: {LIMIT}, window: 1s}}}}"""
GOVERNED = """policies:
      - api_key: {header: X-API-Key}
      - acl: {allow: [{plans: [gold]}]}"""


class Issuer:
    """An RSA key made with openssl, and tokens signed with it."""

    def __init__(self, bench):
        self.path = f"{bench.folder}/issuer.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.path, "2048"], check=True, capture_output=True)
        text = subprocess.run(["openssl", "rsa", "-in", self.path, "-noout", "-modulus"], check=True, capture_output=True)
        modulus = self.encode(bytes.fromhex(text.stdout.decode().strip().split("=")[1]))
        self.keys = json.dumps({"keys": [{"kty": "RSA", "kid": "k", "alg": "RS256", "n": modulus, "e": "AQAB"}]})

    @staticmethod
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def sign(self, claims):
        signed = self.encode(b'{"alg":"RS256","kid":"k","typ":"at+jwt"}') + "." + self.encode(json.dumps(claims).encode())
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.path], input=signed.encode(), check=True, capture_output=True)
        return signed + "." + self.encode(signature.stdout)

    def tokens(self, count):
        now = int(time.time())
        return [self.sign({
            "iss": "https://issuer.test", "aud": "bench", "sub": f"user-{number}", "client_id": "app",
            "scope": "read write", "iat": now, "exp": now + 86_400, "jti": f"token-{number}"}) for number in range(count)]

    def policy_of(self, number):
        """The same rules for every number, but none that could be taken for another's."""
        return (f'jwt: {{issuers: [{{issuer: "https://issuer.test", audiences: [bench], keys: {{jwks: {self.keys}}}}}], '
                f"scopes: [read], revoked: [none-{number}]}}")


class Gateways:
    def __init__(self, bench, binary):
        self.bench, self.binary = bench, binary

    def file(self, name, apis, more="", telemetry="", listen="http"):
        """Starts a gateway alone; returns its process and port. `listen` is `http` or `https`, with `certificate` beside it."""
        port = free_port()
        where = f'http: "127.0.0.1:{port}"'
        if listen != "http":
            where = f'https: {{address: "127.0.0.1:{port}", min_version: "1.3", certificates: [{{cert: {listen.cert}, key: {listen.key}}}]}}'
        path = self.bench.write(f"{name.replace(' ', '-')}.yaml", f"""version: 1
listen: {{{where}}}
workers: 1
{telemetry}
apis:
{apis}
{more}
""")
        process = self.bench.spawn(0, [self.binary, "gateway", "--config", path, "--log-level", "error"], name)
        process.config = path
        self.bench.await_port(port, process)
        return process, port

    def api(self, routes="      - {path: /x}", policies="", name="bench", targets=None, upstream=""):
        urls = ", ".join(f'{{url: "http://127.0.0.1:{port}"}}' for port in targets or [self.bench.backend])
        return f"""  - id: {name}
    tenant: bench
    upstream: {{targets: [{urls}]{upstream}}}
    {policies}
    routes:
{routes}"""

    def plain(self):
        process, port = self.file("plain", self.api())
        return Subject("passerelle", process, f"http://127.0.0.1:{port}/x")

    def encrypted(self, certificate):
        """One listener for TLS 1.3 with HTTP/1.1 and with HTTP/2."""
        process, port = self.file("encrypted", self.api(), listen=certificate)
        url = f"https://127.0.0.1:{port}/x"
        return Subject("passerelle", process, url), Subject("passerelle", process, url, protocol="h2")

    def h2c(self):
        process, port = self.file("h2c", self.api())
        return Subject("passerelle", process, f"http://127.0.0.1:{port}/x", protocol="h2")

    def governed(self, name, telemetry):
        """As a control plane publishes it: below a path of its own, which is taken off."""
        api = self.api("      - {path: /governed/x}", GOVERNED, upstream=", strip_prefix: /governed")
        process, port = self.file(name, api, CLIENT, telemetry)
        return Subject(name, process, f"http://127.0.0.1:{port}/governed/x", f"X-API-Key: {KEY}")

    def with_tokens(self, issuer, script):
        policies = f"""policies:
      - {issuer.policy_of(0)}
      - acl: {{allow: [{{plans: [gold]}}]}}"""
        process, port = self.file("JWT", self.api(policies=policies), CLIENT)
        return Subject("JWT", process, f"http://127.0.0.1:{port}/x", script=script)

    def with_uncached_tokens(self, issuer, script, apis):
        """What one API has verified says nothing to another: with hundreds of them hardly any verification is remembered."""
        listed = "\n".join(
            self.api(f"      - {{path: /u{number}}}", f"policies:\n      - {issuer.policy_of(number)}", f"u{number}")
            for number in range(apis))
        process, port = self.file("JWT uncached", listed)
        return Subject("JWT uncached", process, f"http://127.0.0.1:{port}/u0", script=script)

    def routes(self, count):
        listed = "\n".join(
            f"      - {{path: \"/r{number}/items/{{id}}\", methods: [GET]}}" if number % 2 else
            f"      - {{path: /r{number}/items}}" for number in range(count))
        script = self.bench.write(f"routes-{count}.lua", f"""
            request = function()
              local number = math.random(0, {count - 1})
              return wrk.format("GET", "/r" .. number .. "/items" .. (number % 2 == 1 and "/7" or ""))
            end""")
        process, port = self.file(f"{count} routes", self.api(listed))
        return Subject(f"{count:,} routes", process, f"http://127.0.0.1:{port}/r0/items", script=script)

    def token_script(self, tokens, paths=("/x",)):
        """A wrk script that sends every token to every path, over and over."""
        lines = ",".join(f'"Bearer {text}"' for text in tokens)
        places = ",".join(f'"{path}"' for path in paths)
        return self.bench.write(f"tokens-{len(paths)}.lua", f"""
            local tokens = {{{lines}}}
            local paths = {{{places}}}
            local place = 0
            request = function()
              place = place + 1
              local token = tokens[math.floor(place / #paths) % #tokens + 1]
              return wrk.format("GET", paths[place % #paths + 1], {{["Host"] = "bench", ["Authorization"] = token}})
            end""")
