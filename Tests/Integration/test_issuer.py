"""The OpenID Connect issuer as a client library of others sees it: Authlib over requests, which checks what it is given."""

import json
import os
import unittest
import urllib.parse

from people import BACK, PASSWORD, Browser, OnPlatform, requests  # first: it finds what follows

from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken

from processes import Platform, eventually, folder
from rest import Rest, document
from upstream import Upstream


class IssuerTests(OnPlatform):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user("ada", "devops@acme")
        cls.metadata = requests.get(f"{cls.url}/.well-known/openid-configuration", timeout=10).json()
        cls.client = cls.admin.create("/v1/oauth-clients", {
            "name": "Shop", "confidential": True, "redirect_uris": [BACK],
            "grant_types": ["authorization_code", "refresh_token"], "scopes": ["openid", "profile", "roles"]})

    def library(self, client, **options):
        return OAuth2Session(
            client["id"], client.get("secret"), redirect_uri=BACK,
            token_endpoint_auth_method="client_secret_basic" if client.get("secret") else "none", **options)

    def tokens(self, method="client_secret_basic"):
        session = OAuth2Session(
            self.client["id"], self.client["secret"], scope="openid profile roles", redirect_uri=BACK,
            code_challenge_method="S256", token_endpoint_auth_method=method)
        verifier = "v" * 64
        url, state = session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=verifier, nonce="n-1")
        back = Browser().open(url)
        token = session.fetch_token(
            self.metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier)
        return session, token

    def keys(self):
        return requests.get(self.metadata["jwks_uri"], timeout=10).json()

    def check_id_token(self, token):
        claims = JsonWebToken(["RS256"]).decode(
            token["id_token"], JsonWebKey.import_key_set(self.keys()), claims_cls=CodeIDToken,
            claims_options={"iss": {"essential": True, "value": self.metadata["issuer"]},
                            "aud": {"essential": True, "value": self.client["id"]}},
            claims_params={"nonce": "n-1", "client_id": self.client["id"], "access_token": token["access_token"]})
        claims.validate()
        return claims

    def test_the_metadata_is_that_of_the_issuer(self):
        self.assertEqual(self.metadata["issuer"], self.url)
        for name, value in self.metadata.items():
            if name.endswith("_endpoint") or name == "jwks_uri":
                self.assertTrue(value.startswith(self.url), name)
        self.assertEqual(self.metadata["code_challenge_methods_supported"], ["S256"])

    def test_a_library_signs_a_user_in(self):
        for method in ("client_secret_basic", "client_secret_post"):
            session, token = self.tokens(method)
            claims = self.check_id_token(token)
            self.assertEqual(claims["preferred_username"], "ada")
            self.assertEqual(claims["roles"], ["devops@acme"])
            info = session.get(self.metadata["userinfo_endpoint"])
            self.assertEqual(info.json()["sub"], claims["sub"])

    def test_a_library_refreshes_and_a_replay_ends_all(self):
        session, first = self.tokens()
        second = session.refresh_token(self.metadata["token_endpoint"], refresh_token=first["refresh_token"])
        self.assertNotEqual(second["refresh_token"], first["refresh_token"])
        said = session.introspect_token(self.metadata["introspection_endpoint"], token=second["access_token"]).json()
        self.assertTrue(said["active"])
        with self.assertRaises(Exception) as refused:
            session.refresh_token(self.metadata["token_endpoint"], refresh_token=first["refresh_token"])
        self.assertIn("invalid_grant", str(refused.exception))
        said = session.introspect_token(self.metadata["introspection_endpoint"], token=second["access_token"]).json()
        self.assertEqual(said, {"active": False})

    def test_a_library_revokes(self):
        session, token = self.tokens()
        session.revoke_token(self.metadata["revocation_endpoint"], token=token["access_token"])
        self.assertEqual(
            requests.get(self.metadata["userinfo_endpoint"], timeout=10,
                         headers={"Authorization": f"Bearer {token['access_token']}"}).status_code, 401)

    def test_a_library_that_was_lied_to_about_pkce_gets_nothing(self):
        session = OAuth2Session(
            self.client["id"], self.client["secret"], scope="openid", redirect_uri=BACK, code_challenge_method="S256")
        url, state = session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier="a" * 64, nonce="n-1")
        self.assertIn(create_s256_code_challenge("a" * 64), url)
        back = Browser().open(url)
        with self.assertRaises(Exception) as refused:
            session.fetch_token(
                self.metadata["token_endpoint"], authorization_response=back, state=state, code_verifier="b" * 64)
        self.assertIn("invalid_grant", str(refused.exception))

    def test_keys_rotate_and_nobody_notices(self):
        session, before = self.tokens()
        known = {key["kid"] for key in self.keys()["keys"]}
        new = self.admin.create("/v1/signing-keys", None)["id"]
        now = {key["kid"] for key in self.keys()["keys"]}
        self.assertEqual(now, known | {new})
        self.check_id_token(before)
        _, after = self.tokens()
        self.check_id_token(after)
        self.assertEqual(session.get(self.metadata["userinfo_endpoint"]).status_code, 200)

    def test_a_device_is_connected(self):
        client = self.admin.create("/v1/oauth-clients", {
            "name": "Terminal", "confidential": False, "scopes": ["openid", "platform"], "trusted": True,
            "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]})
        begun = requests.post(
            self.metadata["device_authorization_endpoint"], timeout=10,
            data={"client_id": client["id"], "scope": "openid platform"}).json()
        browser = Browser()
        page = browser.session.get(begun["verification_uri_complete"])
        page = browser.session.get(
            urllib.parse.urljoin(self.url, browser.submit(page, user="ada", password=PASSWORD).headers["Location"]))
        self.assertIn(begun["user_code"], page.text)
        self.assertEqual(browser.submit(page, decision="allow").status_code, 200)
        token = self.library(client).fetch_token(
            self.metadata["token_endpoint"], grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=begun["device_code"])
        with Rest(self.url, token["access_token"]) as rest:
            self.assertEqual(rest.get("/v1/me")["name"], "ada")
            self.assertEqual(rest.request("DELETE", "/v1/sessions").status, 204)
            self.assertEqual(rest.request("GET", "/v1/me").status, 401)
        with self.assertRaises(Exception):
            self.library(client).refresh_token(
                self.metadata["token_endpoint"], refresh_token=token["refresh_token"])


class GatewayTests(unittest.TestCase):
    """Tokens of ours at gateways: in the platform's process, and one apart that is without its control plane later."""

    def test_a_session_that_ends_ends_at_every_gateway(self):
        place = folder(self)
        upstream = Upstream(self)
        platform = Platform(self, f"{place}/data", arguments=["--gateway-id", "first"]).start()
        apart = Platform(self, f"{place}/apart", arguments=[
            "--services", "gateway", "--control-plane", platform.control_plane, "--gateway-id", "second",
            "--gateway-token-file", f"{platform.data}/gateway.token"]).start()
        admin = platform.sign_in("acme")
        self.addCleanup(admin.close)
        eventually(lambda: any(one["id"] == "second" and one["state"] == "live" for one in admin.all("/v1/gateways")))
        keys = requests.get(f"{platform.control_plane}/.well-known/jwks.json", timeout=10).json()
        admin.create("/v1/tenants/acme/apis", {
            "document": document(), "upstream": upstream.url, "authentication": "none",
            "policies": [{"jwt": {"issuers": [{
                "issuer": platform.control_plane, "audiences": ["passerelle"], "keys": {"jwks": keys}}]}}]})
        self.assertEqual(admin.deploy("acme", "orders")["state"], "success")

        def session():
            answer = admin.create("/v1/sessions", {"user": "ada", "password": PASSWORD})
            return answer["session_id"], answer["access_token"]

        def answers(token):
            return [requests.get(f"{one.gateway}/shop/orders", headers={"Authorization": f"Bearer {token}"},
                                 timeout=10).status_code for one in (platform, apart)]

        made = admin.create(
            "/v1/users", {"name": "ada", "password": PASSWORD, "grants": [{"role": "devops", "tenant": "acme"}]})
        (_, first), (_, second) = session(), session()
        self.assertEqual((answers(first), answers(second)), ([200, 200], [200, 200]))
        with Rest(platform.control_plane) as own:
            own.token = first
            own.expect(204, "DELETE", f"/v1/sessions/{own.get('/v1/sessions')['items'][0]['id']}")
        # Within the time in which a deployment reaches them.
        eventually(lambda: answers(first) == [401, 401], seconds=30)
        self.assertEqual(answers(second), [200, 200])
        admin.expect(204, "DELETE", f"/v1/users/{made['id']}/sessions")
        eventually(lambda: answers(second) == [401, 401], seconds=30)
        third = session()[1]
        self.assertEqual(answers(third), [200, 200])
        # A gateway that starts without its control plane still knows.
        path = f"{apart.data}/gateway/revocations.json"
        eventually(lambda: os.path.exists(path) and len(json.load(open(path, encoding="utf-8"))["revoked"]) == 2)
        platform.kill()
        apart.kill()
        apart.start(ready=False)
        eventually(lambda: self.status(apart, third) == 200, seconds=60)
        self.assertEqual([self.status(apart, one) for one in (first, second)], [401, 401])

    def status(self, gateway, token):
        try:
            return requests.get(f"{gateway.gateway}/shop/orders", headers={"Authorization": f"Bearer {token}"},
                                timeout=10).status_code
        except requests.ConnectionError:
            return 0
