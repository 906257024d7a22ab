"""Tokens of real authorization servers at a gateway alone: OpenBao (signed tokens, key rotation), oidc-provider-mock (a provider whose keys
have no names) and Canaille (opaque tokens, introspection).

They come from PyPI: see `foreign`.
"""

import base64
import json
import subprocess
import unittest
import urllib.parse

from foreign import Canaille, DevelopmentOpenBao, call, end, environment, is_ok
from processes import Settings, eventually, folder, free_base, spawn
from upstream import Upstream


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


def bearer(token):
    return {"Authorization": f"Bearer {token}", "X-User": "root"}


class OpenBaoTests(unittest.TestCase):
    """Signed tokens from discovery, of a machine identity."""

    def setUp(self):
        self.bao = DevelopmentOpenBao(self)
        self.issuer = f"{self.bao.base}/v1/identity/oidc"
        self.bao.ask("identity/group", {"name": "staff", "member_entity_ids": [self.bao.entity]})
        self.bao.ask("identity/oidc/role/orders", {
            "key": "k1", "ttl": "10m", "client_id": "orders",
            "template": '{"groups": {{identity.entity.groups.names}}, "azp": "shop-web"}'})

    def test_its_tokens_are_taken_through_a_rotation_of_keys(self):
        url, upstream = gateway(self, f"""
      - jwt: {{issuers: [{{issuer: "{self.issuer}", audiences: [orders]}}], application: required}}
      - acl: {{allow: [{{groups: [staff]}}]}}""", """
applications:
  - {id: shop, credentials: [{client_id: shop-web}], subscriptions: [{api: orders}]}""")
        first = self.bao.token("orders")
        status, _, text = call(url, fields=bearer(first))
        self.assertEqual(status, 200, text)
        self.assertEqual(upstream.fields["X-User"], self.bao.entity)
        self.assertEqual(upstream.fields["X-Application"], "shop")
        self.assertEqual(upstream.fields["X-Groups"], "staff")
        self.assertIsNone(upstream.fields["Authorization"])
        self.bao.ask("identity/oidc/key/k1/rotate", {"verification_ttl": "1h"})
        # The keys were asked for a moment ago: a key with a new name may have to wait until they may be asked for again.
        second = self.bao.token("orders")
        eventually(lambda: call(url, fields=bearer(second))[0] == 200, seconds=60, every=0.5)
        self.assertEqual(call(url, fields=bearer(first))[0], 200, "the earlier key is still published")
        header, payload, signature = first.split(".")
        self.assertEqual(call(url, fields=bearer(f"{header}.{payload}.{signature[:-8]}AAAAAAAA"))[0], 401)
        self.assertEqual(call(url, fields=bearer(f"{header}.{payload}."))[0], 401)


class MockProviderTests(unittest.TestCase):
    """A provider whose tokens name no key."""

    def test_tokens_without_a_key_name_are_taken(self):
        programs = environment("oidc-mock", "oidc-provider-mock==0.3.4")
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
        canaille = Canaille(self, "http://127.0.0.1:9/cb", grants=["client_credentials"], people=[])
        endpoint = canaille.metadata["introspection_endpoint"]
        credentials = base64.b64encode(b"web:s3cret").decode()
        answer = call(canaille.metadata["token_endpoint"], b"grant_type=client_credentials&scope=profile",
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
        end(canaille.process)
        self.assertEqual(call(url, fields=bearer(token))[0], 200, "what is known stays known")
        self.assertEqual(call(url, fields=bearer("another"))[0], 503)
