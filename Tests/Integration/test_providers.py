"""Sign-in by identity providers of others, two at once: Canaille (a true sign-in form, groups) and OpenBao (a custom claim, signed tokens of
its users at the control plane, rotation of its keys).

They come from PyPI: see `foreign`.
"""

import json
import re
import unittest
import urllib.parse

from foreign import Canaille, DevelopmentOpenBao, call
from people import BACK, Browser, OnPlatform, code_of_app, requests
from processes import ClassScope, Platform, eventually, folder, free_base

from authlib.integrations.requests_client import OAuth2Session

# The role of OpenBao that signs tokens for the control plane.
ROLE = "control-plane"


class OpenBao(DevelopmentOpenBao):
    """As a provider of sign-ins at `issuer`, with signed tokens for the control plane from `token_issuer`, another part of it."""

    def __init__(self, case, redirect_uri):
        super().__init__(case)
        self.issuer = f"{self.base}/v1/identity/oidc/provider/p1"
        self.ask("identity/group", {"name": "globex-auditor", "member_entity_ids": [self.entity]})
        template = '{"roles": {{identity.entity.groups.names}}, "preferred_username": {{identity.entity.name}}}'
        self.ask("identity/oidc/scope/roles", {"template": template})
        self.ask("identity/oidc/client/web", {"key": "k1", "redirect_uris": [redirect_uri], "assignments": ["allow_all"], "id_token_ttl": "10m", "access_token_ttl": "10m"})
        self.ask("identity/oidc/provider/p1", {"allowed_client_ids": ["*"], "scopes_supported": ["roles"], "issuer": self.base})
        self.client = self.ask("identity/oidc/client/web", None, "GET")["data"]
        self.token_issuer = f"{self.base}/v1/identity/oidc"
        self.ask(f"identity/oidc/role/{ROLE}", {
            "key": "k1", "ttl": "10m", "client_id": "passerelle", "template": template})

    def sign_in(self, url):
        """What its page does once a person has signed in there: gets the code and leads back."""
        query = urllib.parse.urlsplit(url).query
        text = call(f"{self.issuer}/authorize?{query}", fields={"X-Vault-Token": self.user})[2]
        answer = json.loads(text)
        back = dict(urllib.parse.parse_qsl(query))["redirect_uri"]
        return f"{back}?" + urllib.parse.urlencode({"code": answer["code"], "state": answer["state"]})


def settings(case, canaille, openbao, more=""):
    place = folder(case)
    for name, secret in (("canaille", "s3cret"), ("openbao", openbao.client["client_secret"])):
        with open(f"{place}/{name}.secret", "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    path = f"{place}/passerelle.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""identity:
  providers:
    - name: canaille
      label: Staff
      issuer: {canaille.issuer}
      client_id: web
      client_secret_file: {place}/canaille.secret
      scopes: [openid, profile, groups]
      name_claim: name
      roles_from: id_token
      rules: [{{claim: groups, value: api-devops, role: devops, tenant: acme}}]
    - name: openbao
      issuer: {openbao.issuer}
      client_id: {openbao.client["client_id"]}
      client_secret_file: {place}/openbao.secret
      scopes: [openid, roles]
      roles_from: id_token
      rules: [{{claim: roles, value: "*-auditor", role: auditor, tenant: "*"}}]
    - name: machines
      issuer: {openbao.token_issuer}
      audiences: [passerelle]
      rules: [{{claim: roles, value: "*-auditor", role: auditor, tenant: "*"}}]
{more}""")
    return path


class ProviderTests(OnPlatform):
    @classmethod
    def make_platform(cls):
        base = free_base()
        url = f"http://127.0.0.1:{base + 1}"
        cls.openbao = OpenBao(cls.scope, f"{url}/oauth2/providers/openbao/callback")
        cls.canaille = Canaille(
            cls.scope, f"{url}/oauth2/providers/canaille/callback", signed_out=f"{url}/oauth2/signed-out")
        path = settings(cls.scope, cls.canaille, cls.openbao, "egress: {allow: [127.0.0.0/8]}\n")
        return Platform(cls.scope, f"{cls.place}/data", base=base, arguments=["--config", path])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = cls.admin.create("/v1/oauth-clients", {
            "name": "Shop", "confidential": True, "redirect_uris": [BACK], "trusted": True,
            "grant_types": ["authorization_code"], "scopes": ["openid", "profile", "roles"]})

    def begin(self, provider):
        """Over our sign-in page to the provider. The browser, the address there, and how to go on with the answer."""
        library = OAuth2Session(
            self.client["id"], self.client["secret"], scope="openid profile roles", redirect_uri=BACK,
            code_challenge_method="S256")
        verifier = "v" * 64
        url, state = library.create_authorization_url(f"{self.url}/oauth2/authorize", code_verifier=verifier, nonce="n")
        browser = requests.Session()
        page = browser.get(url, timeout=10).text
        link = re.search(f'<a href="(/oauth2/providers/{provider}/login[^"]*)"', page).group(1).replace("&amp;", "&")
        answer = browser.get(self.url + link, allow_redirects=False, timeout=30)
        self.assertEqual(answer.status_code, 303, answer.text)

        def claims(back):
            answer = browser.get(back, allow_redirects=False, timeout=30)
            if answer.status_code != 303:
                return answer
            target = urllib.parse.urljoin(self.url, answer.headers["Location"])
            answer = browser.get(target, allow_redirects=False, timeout=10)
            tokens = library.fetch_token(
                f"{self.url}/oauth2/token", authorization_response=answer.headers["Location"], state=state,
                code_verifier=verifier)
            info = library.get(f"{self.url}/oauth2/userinfo")
            self.assertIn("id_token", tokens)
            return info.json()

        return browser, answer.headers["Location"], claims

    def test_two_providers_let_their_people_in_at_once(self):
        first, there, finish = self.begin("canaille")
        _, other, finish_other = self.begin("openbao")
        claims = finish(self.canaille.sign_in(first, there, "alice"))
        self.assertEqual(claims["preferred_username"], "alice-a@canaille")
        self.assertEqual(claims["roles"], ["devops@acme"])
        claims = finish_other(self.openbao.sign_in(other))
        self.assertTrue(claims["preferred_username"].endswith("@openbao"), claims)
        self.assertEqual(claims["roles"], ["auditor@globex"])

    def test_who_signs_out_here_signs_out_there_also_after_a_second_step(self):
        def come(status):
            """Canaille answers 500 now and then where the same person gets tokens twice within a moment: then the page says so, and
            leads there once more."""
            browser, there, _ = self.begin("canaille")
            self.assertTrue(self.is_asked_there(there, browser))
            answer = self.enter(browser, self.canaille.sign_in(browser, there, "alice"))
            if answer.status_code == status:
                return browser, there, answer
            self.assertEqual(answer.status_code, 503, answer.text)
            self.assertIn('<a href="/oauth2/providers/canaille/login?', answer.text)
            return None

        browser, _, _ = eventually(lambda: come(303), seconds=60, every=1)
        person = Browser(browser)
        page = person.submit(browser.get(f"{self.url}/oauth2/factors", timeout=10))
        secret = re.search(r"\b[A-Z2-7]{32}\b", page.text).group(0)
        codes = re.findall(r"<li>([^<]+)</li>", person.submit(page, code=code_of_app(secret)).text)
        self.assertEqual(len(codes), 10)
        self.addCleanup(self.admin.request, "DELETE", "/v1/users/alice-a@canaille/second-factor")

        browser, there, asked = eventually(lambda: come(200), seconds=60, every=1)
        person = Browser(browser)
        self.assertEqual(person.submit(asked, code=codes[0]).status_code, 303)
        self.assertFalse(self.is_asked_there(there, browser), "signed in there")
        left = person.submit(browser.get(f"{self.url}/oauth2/logout", timeout=10)).headers["Location"]
        self.assertTrue(left.startswith(f"{self.canaille.metadata['end_session_endpoint']}?id_token_hint="), left)
        # It asks nobody, because it is told which sign-in ends, and sends the browser back.
        back = browser.get(left, allow_redirects=False, timeout=30)
        self.assertEqual(back.status_code, 302, back.text)
        self.assertTrue(back.headers["Location"].startswith(f"{self.url}/oauth2/signed-out?"), back.headers)
        self.assertEqual(browser.get(back.headers["Location"], timeout=10).status_code, 200)
        self.assertTrue(self.is_asked_there(there, browser), "signed out there")
        self.assertIn('name="password"', browser.get(f"{self.url}/oauth2/factors", timeout=10).text)

    @staticmethod
    def enter(browser, back):
        return browser.get(back, allow_redirects=False, timeout=30)

    def is_asked_there(self, there, browser):
        """Whether the provider asks who it is."""
        answer = browser.get(there, timeout=30)
        return 'name="login"' in answer.text

    def test_who_is_in_none_of_the_groups_stays_outside(self):
        browser, there, finish = self.begin("canaille")
        answer = finish(self.canaille.sign_in(browser, there, "bob"))
        self.assertEqual(answer.status_code, 403)
        self.assertIn("no access", answer.text)

    def test_an_answer_of_one_provider_is_nothing_at_another(self):
        _, there, finish = self.begin("openbao")
        back = self.openbao.sign_in(there).replace("/openbao/", "/canaille/")
        self.assertEqual(finish(back).status_code, 403)

    def test_its_tokens_are_taken_at_the_control_plane_through_a_rotation_of_keys(self):
        def roles(token):
            answer = requests.get(f"{self.url}/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=30)
            return [f"{one['role']}@{one['tenant']}" for one in answer.json().get("grants", [])]

        self.assertEqual(roles(self.openbao.token(ROLE)), ["auditor@globex"])
        self.openbao.ask("identity/oidc/key/k1/rotate", {"verification_ttl": "1h"})
        eventually(lambda: roles(self.openbao.token(ROLE)) == ["auditor@globex"], seconds=60)
        browser = requests.get(f"{self.url}/v1/me", headers={"Authorization": f"Bearer {self.openbao.token(ROLE)[:-4]}AAAA"}, timeout=30)
        self.assertEqual(browser.status_code, 401)

    def test_an_administrator_sees_them_without_their_secrets(self):
        shown = self.admin.expect(200, "GET", "/v1/identity-providers").json["items"]
        self.assertEqual([one["name"] for one in shown], ["canaille", "openbao", "machines"])
        self.assertEqual([one["problem"] for one in shown], [None, None, None])
        self.assertNotIn("s3cret", json.dumps(shown))

    def test_addresses_that_the_egress_rules_forbid_are_not_called(self):
        path = settings(self, self.canaille, self.openbao)
        platform = Platform(self, f"{folder(self)}/data", arguments=["--config", path]).start()
        with platform.sign_in("acme") as admin:
            shown = admin.expect(200, "GET", "/v1/identity-providers").json["items"]
        for one in shown:
            self.assertIn("is a loopback address", one["problem"])
        target = urllib.parse.quote("/oauth2/authorize?client_id=x", safe="")
        status, _, text = call(f"{platform.control_plane}/oauth2/providers/canaille/login?target={target}")
        self.assertEqual(status, 503)
        self.assertNotIn("127.0.0.1", text)
