"""Attacks on sign-in: forged and replayed tokens, codes, PKCE, addresses to send people back to, forms of other sites, fixed sessions."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
import urllib.parse

from people import BACK, PASSWORD, TIMEOUT, Browser, OnPlatform, requests
from processes import eventually
from rest import Rest, document
from upstream import Upstream

from authlib.jose import JsonWebKey

EVIL = "https://evil.example"


def packed(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpacked(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def proof():
    """A PKCE verifier and its challenge."""
    verifier = secrets.token_urlsafe(48)
    return verifier, packed(hashlib.sha256(verifier.encode()).digest())


class Attacked(OnPlatform):
    """One platform with a user, two clients, and an API whose gateway checks tokens of the issuer."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = Upstream(cls.scope)
        cls.user("ada", "devops@acme")
        common = {"redirect_uris": [BACK], "grant_types": ["authorization_code", "refresh_token"]}
        cls.client = cls.admin.create("/v1/oauth-clients", {
            "name": "Shop", "confidential": True, "scopes": ["openid", "profile", "platform"], **common})
        cls.trusted = cls.admin.create("/v1/oauth-clients", {
            "name": "Own", "confidential": False, "trusted": True, "scopes": ["openid", "profile"], **common,
            "post_logout_redirect_uris": [f"{BACK}/bye"]})
        cls.keys = requests.get(f"{cls.url}/.well-known/jwks.json", timeout=TIMEOUT).json()

    def query(self, client=None, **changes):
        """The parameters of an authorization request; what is None is left out."""
        query = {"response_type": "code", "client_id": (client or self.client)["id"], "redirect_uri": BACK, "scope": "openid",
                 "state": "s-1", "code_challenge": "A" * 43, "code_challenge_method": "S256", **changes}
        return {name: value for name, value in query.items() if value is not None}

    def authorize(self, browser, query):
        return browser.session.get(f"{self.url}/oauth2/authorize", params=query, allow_redirects=False, timeout=TIMEOUT)

    def signed_in(self):
        """A browser in which ada is signed in and has agreed to the client."""
        browser = Browser()
        browser.open(f"{self.url}/oauth2/authorize?" + urllib.parse.urlencode(self.query()))
        return browser

    def code(self, browser, challenge, client=None, **changes):
        query = self.query(client, code_challenge=challenge, **changes)
        back = browser.open(f"{self.url}/oauth2/authorize?" + urllib.parse.urlencode(query))
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))["code"]

    def ask(self, path, **form):
        """What a client asks the issuer, with its secret."""
        client = form.pop("client", self.client)
        if client.get("secret"):
            form.setdefault("client_secret", client["secret"])
        form = {"client_id": client["id"], **{name: value for name, value in form.items() if value is not None}}
        return requests.post(f"{self.url}/oauth2/{path}", data=form, timeout=TIMEOUT)

    def exchange(self, code, verifier, **changes):
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": verifier, **changes}
        return self.ask("token", **form)

    def refresh(self, token, **changes):
        return self.ask("token", grant_type="refresh_token", refresh_token=token, **changes)

    def tokens(self, browser=None, **changes):
        verifier, challenge = proof()
        answer = self.exchange(self.code(browser or self.signed_in(), challenge, **changes), verifier)
        self.assertEqual(answer.status_code, 200, answer.text)
        return answer.json()

    def refused(self, answer, code="invalid_grant"):
        self.assertEqual((answer.status_code, answer.json().get("error")), (400, code), answer.text)

    def status(self, path, token):
        return requests.get(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT).status_code


class ForgedTokens(Attacked):
    """Tokens that the platform has not signed, and those it has ended, at the control plane, at the issuer and at a gateway."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin.create("/v1/tenants/acme/apis", {
            "document": document(), "upstream": cls.upstream.url, "authentication": "none",
            "policies": [{"jwt": {"issuers": [{
                "issuer": cls.url, "audiences": ["passerelle", cls.client["id"]], "keys": {"jwks": cls.keys},
                "types": ["at+jwt"], "type_required": True}]}}]})
        assert cls.admin.deploy("acme", "orders")["state"] == "success"

    def gateway(self, token):
        return requests.get(
            f"{self.platform.gateway}/shop/orders", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT).status_code

    def forged(self, token, listener):
        """What each trick is called, and the token that it makes."""
        head, claims, signature = token.split(".")
        head = unpacked(head)
        public = JsonWebKey.import_key(self.keys["keys"][0])
        own = JsonWebKey.generate_key("RSA", 2048, is_private=True)
        curve = JsonWebKey.generate_key("EC", "P-256", is_private=True)
        raised = packed({**unpacked(claims), "sub": self.admin.get("/v1/me")["id"]})
        pem = public.as_pem()

        def text(head):
            return f"{packed(head)}.{raised}"

        for name in ("none", "None", "NONE", "nOnE", "", None):
            yield f"alg {name}", text({**head, "alg": name}) + "."
            yield f"alg {name} with a signature", text({**head, "alg": name}) + f".{signature}"
        yield "no alg", text({"typ": "at+jwt"}) + "."
        secrets_of = {"the key's PEM": pem, "trimmed": pem.strip(), "DER": base64.b64decode(b"".join(pem.split(b"\n")[1:-2])),
                      "the modulus": self.keys["keys"][0]["n"].encode(), "the set": json.dumps(self.keys).encode(), "nothing": b""}
        for algorithm, hasher in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            for name, secret in secrets_of.items():
                for kid in (head["kid"], "../../../../dev/null", "' UNION SELECT 'x", None):
                    made = text({**head, "alg": algorithm, "kid": kid})
                    yield f"{algorithm} with {name}, kid {kid}", f"{made}.{packed(hmac.new(secret, made.encode(), hasher).digest())}"
        shown = {"jwk": json.loads(own.as_json()), "jku": f"{listener.url}/jwks", "x5u": f"{listener.url}/cert",
                 "x5c": [base64.b64encode(own.as_pem()).decode()], "kid": head["kid"]}
        shown["jwk"] = {name: shown["jwk"][name] for name in ("kty", "n", "e")}
        for algorithm in ("RS256", "RS384", "RS512", "PS256"):
            for name, value in shown.items():
                made = text({"typ": "at+jwt", "alg": algorithm, "kid": "mine", name: value})
                yield f"{algorithm} by a key of {name}", f"{made}.{packed(self.rsa(own, algorithm, made.encode()))}"
        made = text({**head, "alg": "ES256", "jwk": {name: json.loads(curve.as_json())[name] for name in ("kty", "crv", "x", "y")}})
        yield "ES256 of zeros", f"{made}.{packed(bytes(64))}"
        for more in ({"crit": ["b64"], "b64": False}, {"crit": ["exp"]}, {"typ": "JWT"}, {"zip": "DEF"}, {"cty": "JWT"}):
            yield f"another head {more}", f"{packed({**head, **more})}.{claims}.{signature}"
        yield "as encrypted", f"{packed(head)}..{packed(b'1' * 12)}.{claims}.{signature}"
        yield "as JSON", json.dumps({"payload": claims, "signatures": [{"protected": packed(head), "signature": signature}]}).replace(" ", "")
        yield "another subject", f"{packed(head)}.{raised}.{signature}"
        yield "cut", f"{packed(head)}.{claims}.{signature[:-4]}"

    @staticmethod
    def rsa(key, algorithm, text):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        hasher = {"RS384": hashes.SHA384, "RS512": hashes.SHA512}.get(algorithm, hashes.SHA256)()
        kind = padding.PSS(padding.MGF1(hasher), 32) if algorithm == "PS256" else padding.PKCS1v15()
        return key.get_private_key().sign(text, kind, hasher)

    def test_a_token_is_good_only_as_it_was_signed(self):
        listener = Upstream(self)
        session = Rest(self.url)
        self.addCleanup(session.close)
        session.sign_in("ada", PASSWORD)
        tokens = self.tokens(scope="openid platform")
        self.assertEqual([self.status("/v1/me", session.token), self.gateway(session.token)], [200, 200])
        self.assertEqual([self.status("/v1/me", tokens["access_token"]), self.status("/oauth2/userinfo", tokens["access_token"])], [200, 200])
        made = [*self.forged(session.token, listener), *self.forged(tokens["access_token"], listener),
                ("an id token", tokens["id_token"]), ("a refresh token", tokens["refresh_token"])]
        self.assertGreater(len(made), 150)
        for name, token in made:
            with self.subTest(name):
                session.token = token
                self.assertEqual(session.request("GET", "/v1/me").status, 401)
                if len(token) < 4_000:
                    self.assertEqual(self.gateway(token), 401)
        for name, token in made[::7]:
            with self.subTest(f"{name}, at the issuer"):
                self.assertEqual(self.status("/oauth2/userinfo", token), 401)
                if not token.startswith("prt_"):
                    self.assertEqual(self.ask("introspect", token=token).json(), {"active": False})
        self.assertEqual(listener.requests, [], "a token does not say where its keys are")

    def test_nothing_works_after_signing_out(self):
        """Each way out, and everything that had come of the sign-in."""
        def by_hint(browser, tokens, _):
            browser.session.get(f"{self.url}/oauth2/logout", params={"id_token_hint": tokens["id_token"]}, timeout=TIMEOUT)

        def by_page(browser, tokens, _):
            browser.submit(browser.session.get(f"{self.url}/oauth2/logout", timeout=TIMEOUT))

        def by_rest(_, tokens, sid):
            self.status("/v1/me", tokens["access_token"])
            answer = requests.delete(f"{self.url}/v1/sessions/{sid}", timeout=TIMEOUT,
                                     headers={"Authorization": f"Bearer {tokens['access_token']}"})
            self.assertEqual(answer.status_code, 204, answer.text)

        def by_administrator(*_):
            self.admin.expect(204, "DELETE", "/v1/users/ada/sessions")

        for leave in (by_hint, by_page, by_rest, by_administrator):
            with self.subTest(leave.__name__):
                browser = self.signed_in()
                tokens = self.tokens(browser, scope="openid platform")
                access = tokens["access_token"]
                self.assertEqual([self.status("/v1/me", access), self.gateway(access)], [200, 200])
                verifier, challenge = proof()
                late = self.code(browser, challenge)
                cookies = dict(browser.session.cookies)
                leave(browser, tokens, unpacked(access.split(".")[1])["sid"])
                self.assertEqual([self.status(path, access) for path in ("/v1/me", "/oauth2/userinfo")], [401, 401])
                self.assertEqual(self.ask("introspect", token=access).json(), {"active": False})
                self.refused(self.refresh(tokens["refresh_token"]))
                self.refused(self.exchange(late, verifier))
                again = Browser()
                again.session.cookies.update(cookies)
                page = self.authorize(again, self.query())
                self.assertEqual(page.status_code, 200, "the cookie of before lets nobody in")
                self.assertIn('name="password"', page.text)
                eventually(lambda: self.gateway(access) == 401)
                self.assertEqual(self.status("/v1/me", access), 401)

    def test_a_client_of_others_gets_nothing_that_outlives_it(self):
        """What a client does as its user ends with the client: it makes no tokens and changes no password."""
        tokens = self.tokens(scope="openid platform")
        with Rest(self.url, tokens["access_token"]) as other:
            self.assertEqual(other.get("/v1/me")["name"], "ada")
            for method, path, body in (
                    ("POST", "/v1/tokens", {"name": "stay", "scopes": ["*:*:*"]}),
                    ("PUT", "/v1/users/ada/password", {"old_password": PASSWORD, "password": "another long password"}),
                    ("POST", "/v1/me/second-factor", {"password": PASSWORD}),
                    ("DELETE", "/v1/sessions", None)):
                answer = other.request(method, path, body)
                self.assertEqual(answer.status, 403, f"{method} {path}: {answer}")


class StolenGrants(Attacked):
    """Codes, verifiers and refresh tokens in the wrong hands."""

    def test_no_code_without_a_challenge(self):
        browser = self.signed_in()
        verifier, challenge = proof()
        rows = {
            "none": {"code_challenge": None, "code_challenge_method": None}, "no challenge": {"code_challenge": None},
            "no method": {"code_challenge_method": None}, "plain": {"code_challenge": verifier[:43], "code_challenge_method": "plain"},
            "lower case": {"code_challenge_method": "s256"}, "another hash": {"code_challenge_method": "S512"},
            "empty": {"code_challenge": ""}, "empty method": {"code_challenge_method": ""}, "short": {"code_challenge": challenge[:42]},
            "padded": {"code_challenge": challenge + "="}, "long": {"code_challenge": challenge + "A"},
            "two": {"code_challenge": [challenge, challenge]}, "two methods": {"code_challenge_method": ["S256", "plain"]},
            "the implicit flow": {"response_type": "token"}, "the hybrid flow": {"response_type": "code token"},
            "in a request object": {"request": "e30.e30."}, "by reference": {"request_uri": f"{EVIL}/request"},
        }
        for client in (self.client, self.trusted):
            for name, changes in rows.items():
                with self.subTest(f"{client['name']}: {name}"):
                    answer = self.authorize(browser, self.query(client, **{"code_challenge": challenge, **changes}))
                    self.assertEqual(answer.status_code, 303, answer.text)
                    location = answer.headers["Location"]
                    self.assertTrue(location.startswith(f"{BACK}?error="), location)
                    self.assertNotIn("code=", location)
                    self.assertNotIn("access_token", location)

    def test_no_token_without_the_verifier(self):
        browser = self.signed_in()
        verifier, challenge = proof()
        rows = {"none": None, "empty": "", "the challenge": challenge, "another": proof()[0], "longer": verifier + "A",
                "shorter": verifier[:42], "padded": verifier + "=", "of other letters": "é" * 43}
        for name, wrong in rows.items():
            with self.subTest(name):
                code = self.code(browser, challenge)
                answer = self.exchange(code, wrong)
                self.assertEqual(answer.status_code, 400, answer.text)
                self.assertIn(answer.json()["error"], ("invalid_grant", "invalid_request"))
                if answer.json()["error"] == "invalid_grant":
                    self.refused(self.exchange(code, verifier))
        with self.subTest("the verifier of another code"):
            other, its = proof()
            first, second = self.code(browser, challenge), self.code(browser, its)
            self.refused(self.exchange(first, other))
            self.refused(self.exchange(second, verifier))
        for name, changes in {"another address": {"redirect_uri": f"{BACK}/"}, "no address": {"redirect_uri": None},
                              "another client": {"client": self.trusted, "client_secret": None}}.items():
            with self.subTest(name):
                answer = self.exchange(self.code(browser, challenge), verifier, **changes)
                self.assertEqual(answer.status_code, 400, answer.text)

    def test_a_code_that_comes_twice_ends_what_came_of_it(self):
        browser = self.signed_in()
        verifier, challenge = proof()
        code = self.code(browser, challenge, scope="openid platform")
        tokens = self.exchange(code, verifier).json()
        self.assertEqual(self.status("/v1/me", tokens["access_token"]), 200)
        self.refused(self.exchange(code, verifier))
        self.assertEqual([self.status(path, tokens["access_token"]) for path in ("/v1/me", "/oauth2/userinfo")], [401, 401])
        self.refused(self.refresh(tokens["refresh_token"]))

    def test_a_code_is_worth_one_token_however_many_ask_at_once(self):
        browser = self.signed_in()
        verifier, challenge = proof()
        code = self.code(browser, challenge)
        answers = self.at_once(lambda: self.exchange(code, verifier))
        won = [answer.json() for answer in answers if answer.status_code == 200]
        self.assertLessEqual(len(won), 1)
        for tokens in won:
            self.assertEqual(self.status("/oauth2/userinfo", tokens["access_token"]), 401, "it was presented again")

    def test_a_refresh_token_that_comes_twice_ends_the_family(self):
        first = self.tokens(scope="openid platform")
        second = self.refresh(first["refresh_token"]).json()
        third = self.refresh(second["refresh_token"]).json()
        self.assertEqual(self.status("/v1/me", third["access_token"]), 200)
        self.refused(self.refresh(first["refresh_token"]))
        for tokens in (first, second, third):
            self.assertEqual([self.status(path, tokens["access_token"]) for path in ("/v1/me", "/oauth2/userinfo")], [401, 401])
            self.refused(self.refresh(tokens["refresh_token"]))
        self.assertIn("refresh-token.replayed", [one["event_type"] for one in self.admin.all("/v1/audit/entries?type=refresh-token.replayed")])

    def test_a_refresh_token_is_its_clients_and_gives_no_more(self):
        tokens = self.tokens(scope="openid")
        self.refused(self.refresh(tokens["refresh_token"], client=self.trusted, client_secret=None))
        self.refused(self.refresh(tokens["refresh_token"], scope="openid platform"), "invalid_scope")
        self.assertEqual(self.refresh(tokens["refresh_token"], client_secret="wrong").status_code, 401)
        self.assertEqual(self.refresh(tokens["refresh_token"]).status_code, 200, "none of that used it up")

    def test_a_refresh_token_has_one_successor_however_many_ask_at_once(self):
        tokens = self.tokens()
        answers = self.at_once(lambda: self.refresh(tokens["refresh_token"]))
        won = [answer.json() for answer in answers if answer.status_code == 200]
        self.assertLessEqual(len(won), 1)
        for one in won:
            self.refused(self.refresh(one["refresh_token"]))

    @staticmethod
    def at_once(act, count=6):
        answers, start = [], threading.Barrier(count)

        def one():
            start.wait()
            answers.append(act())

        threads = [threading.Thread(target=one) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers


class LedAstray(Attacked):
    """Addresses that people are sent on to."""

    # What stands beside the registered address and must not count as it.
    ADDRESSES = [
        f"{BACK}/", f"{BACK}x", f"{BACK}/../evil", f"{BACK}/%2e%2e/evil", f"{BACK}?", f"{BACK}?next={EVIL}", f"{BACK}#", f"{BACK}#x",
        BACK.upper(), BACK.replace("/cb", "/CB"), BACK.replace("/cb", "/%63b"), BACK.replace("/cb", "//cb"), BACK.replace("/cb", "/./cb"),
        BACK.replace(":9", ":90"), BACK.replace(":9", ":09"), BACK.replace(":9", ""), BACK.replace("http:", "https:"),
        BACK.replace("127.0.0.1", "127.0.0.1.evil.example"), BACK.replace("127.0.0.1", "127.1"), BACK.replace("127.0.0.1", "2130706433"),
        BACK.replace("127.0.0.1", "0x7f.0.0.1"), BACK.replace("127.0.0.1", "localhost"), BACK.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        BACK.replace("//", "//evil.example@"), BACK.replace("//", "//evil.example:x@"), BACK.replace("//127.0.0.1:9", "//127.0.0.1:9@evil.example"),
        BACK.replace("//", "//evil.example\\@"), BACK.replace("//", "\\\\"), f"{EVIL}/?{BACK}", f"{EVIL}#{BACK}", f" {BACK}", f"{BACK} ",
        f"{BACK}\t", f"{BACK}\r\nX: y", f"{BACK}\0", BACK.replace("cb", "ｃb"), f"javascript:alert(1)//{BACK}", "data:text/html,x", "//evil.example",
        "/cb", "", urllib.parse.quote(BACK, safe=""), f"{BACK},{EVIL}",
    ]

    def test_nobody_is_sent_to_an_address_that_is_not_registered(self):
        browser = self.signed_in()
        for client in (self.client, self.trusted):
            for address in self.ADDRESSES:
                with self.subTest(f"{client['name']}: {address!r}"):
                    answer = self.authorize(browser, self.query(client, redirect_uri=address))
                    self.assertEqual(answer.status_code, 400, answer.headers)
                    self.assertNotIn("Location", answer.headers)
            for changes in ({"redirect_uri": None}, {"redirect_uri": [BACK, EVIL]}, {"client_id": [client["id"], client["id"]]}):
                with self.subTest(f"{client['name']}: {changes}"):
                    answer = self.authorize(browser, self.query(client, **changes))
                    self.assertEqual(answer.status_code, 400, answer.headers)
                    self.assertNotIn("Location", answer.headers)

    def test_nobody_registers_an_address_that_browsers_read_differently(self):
        for address in (
                "http://evil.example/cb", "https://a@evil.example/cb", "https://evil.example/cb#x", "https://evil.example\\@a/cb",
                "https://*.example/cb", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//evil.example", "https://",
                "https:evil.example", "vbscript:x", "about:blank", "blob:https://a", "https://a b/cb", "https://a/\r\nX: y", "https://ｅvil.example/",
                "http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "http://127.0.0.1@evil.example/", "myapp:/cb"):
            for name in ("redirect_uris", "post_logout_redirect_uris"):
                with self.subTest(f"{name} {address!r}"):
                    body = {"name": "Evil", "confidential": False, "scopes": ["openid"], "grant_types": ["authorization_code"],
                            "redirect_uris": [BACK]}
                    answer = self.admin.request("POST", "/v1/oauth-clients", {**body, name: [address]})
                    self.assertEqual(answer.status, 400, answer)
                    self.assertEqual(answer.json["errors"][0]["pointer"], f"/{name}/0")

    def test_signing_out_leads_nowhere_else(self):
        wanted, cookies = f"{BACK}/bye", dict(self.signed_in().session.cookies)
        for address in (*(one.replace("/cb", "/cb/bye") for one in self.ADDRESSES if "/cb" in one), BACK, EVIL, "//evil.example"):
            if address == wanted:
                continue
            with self.subTest(repr(address)):
                for signed_in in (False, True):
                    session = requests.Session()
                    if signed_in:
                        session.cookies.update(cookies)
                    answer = session.get(
                        f"{self.url}/oauth2/logout", allow_redirects=False, timeout=TIMEOUT,
                        params={"client_id": self.trusted["id"], "post_logout_redirect_uri": address})
                    self.assertEqual(answer.status_code, 200, answer.headers)
                    self.assertNotIn("Location", answer.headers)
        # Registered for another client: not for this one.
        answer = requests.get(f"{self.url}/oauth2/logout", allow_redirects=False, timeout=TIMEOUT,
                              params={"client_id": self.client["id"], "post_logout_redirect_uri": wanted})
        self.assertEqual(answer.status_code, 200, answer.headers)

    def test_the_form_of_the_sign_in_leads_nowhere_else(self):
        for target in (EVIL, "//evil.example", "///evil.example", "/\\evil.example", "/oauth2/authorize", "/oauth2/authorized?x", "/console/",
                       "/oauth2/authorize?x\r\nSet-Cookie: a=b", "/oauth2/device?\nx", "https:/oauth2/authorize?", "/oauth2//evil.example?",
                       "/oauth2/authorize/../../evil?", "\t//evil.example", "javascript:alert(1)", "", "/oauth2/logout?x"):
            with self.subTest(repr(target)):
                browser = Browser()
                url, fields = browser.form(self.authorize(browser, self.query()), user="ada", password=PASSWORD)
                answer = browser.session.post(url, data={**fields, "target": target}, headers={"Origin": self.url},
                                              allow_redirects=False, timeout=TIMEOUT)
                self.assertGreaterEqual(answer.status_code, 400, answer.headers)
                self.assertNotIn("Location", answer.headers)
                answer = requests.get(f"{self.url}/oauth2/providers/none/login", params={"target": target}, allow_redirects=False, timeout=TIMEOUT)
                self.assertGreaterEqual(answer.status_code, 400)
                self.assertNotIn("Location", answer.headers)


class ForeignForms(Attacked):
    """Forms of other sites, and cookies that somebody planted."""

    def pages(self):
        """A form of each page: what it is called, the browser that got it, the page, what a person would fill in, and what must not
        have happened."""
        browser = Browser()
        yield "sign in", browser, self.authorize(browser, self.query()), {"user": "ada", "password": PASSWORD}
        browser = self.signed_in()
        yield "consent", browser, self.authorize(browser, self.query(prompt="consent")), {"decision": "allow"}
        browser = self.signed_in()
        begun = requests.post(f"{self.url}/oauth2/device_authorization", timeout=TIMEOUT,
                              data={"client_id": "passerelle-cli", "scope": "platform"}).json()
        yield "device", browser, browser.session.get(begun["verification_uri_complete"], timeout=TIMEOUT), {"decision": "allow"}
        browser = self.signed_in()
        yield "sign out", browser, browser.session.get(f"{self.url}/oauth2/logout", timeout=TIMEOUT), {}

    def test_a_form_is_taken_from_its_page_in_its_browser_only(self):
        other = Browser()
        others_key = other.form(self.authorize(other, self.query()))[1]["form"]
        tricks = {
            "no key": lambda fields, head: fields.pop("form"), "an empty key": lambda fields, head: fields.update(form=""),
            "the key of another browser": lambda fields, head: fields.update(form=others_key),
            "another origin": lambda fields, head: head.update(Origin=EVIL), "no origin at all": lambda fields, head: head.update(Origin="null"),
            "an origin that begins the same": lambda fields, head: head.update(Origin=f"{self.url}.evil.example"),
            "another port": lambda fields, head: head.update(Origin="http://127.0.0.1:9"),
            "another scheme": lambda fields, head: head.update(Origin=self.url.replace("http:", "https:")),
            "of another site": lambda fields, head: head.update({"Sec-Fetch-Site": "cross-site"}),
            "of a sibling": lambda fields, head: head.update({"Sec-Fetch-Site": "same-site"}),
            "typed in": lambda fields, head: head.update({"Sec-Fetch-Site": "none"}),
            "as text": lambda fields, head: head.update({"Content-Type": "text/plain"}),
            "as JSON": lambda fields, head: head.update({"Content-Type": "application/json"}),
        }
        for what, browser, page, values in self.pages():
            self.assertEqual(page.status_code, 200, what)
            url, right = browser.form(page, **values)
            for name, trick in tricks.items():
                with self.subTest(f"{what}: {name}"):
                    fields, head = dict(right), {"Origin": self.url}
                    trick(fields, head)
                    answer = browser.session.post(url, data=fields, headers=head, allow_redirects=False, timeout=TIMEOUT)
                    if what == "sign out" and answer.status_code == 200:
                        self.assertIn("<form", answer.text, "it asks")
                    else:
                        self.assertIn(answer.status_code, (400, 403, 415), answer.text)
                    self.assertNotIn("Location", answer.headers)
                    self.assertNotIn("Max-Age=0", answer.headers.get("Set-Cookie", ""))
                    self.assertNotIn("passerelle=", answer.headers.get("Set-Cookie", ""))
            with self.subTest(f"{what}: without cookies"):
                answer = requests.post(url, data=right, headers={"Origin": self.url}, allow_redirects=False, timeout=TIMEOUT)
                self.assertNotIn("passerelle=", answer.headers.get("Set-Cookie", "").replace("passerelle=;", ""))
                self.assertNotIn("code=", answer.headers.get("Location", ""))
            with self.subTest(f"{what}: as it is meant"):
                answer = browser.session.post(url, data=right, headers={"Origin": self.url}, allow_redirects=False, timeout=TIMEOUT)
                self.assertIn(answer.status_code, (200, 303), "the key was good, so what refused was the trick")

    def test_every_form_that_there_is_refuses_another_site(self):
        """From what serves: also a form that nobody thought of here."""
        browser = self.signed_in()
        for path, item in self.admin.get("/openapi.json")["paths"].items():
            operation = item.get("post")
            if not operation or operation["x-access"] != "anyone":
                continue
            with self.subTest(path):
                for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
                    answer = browser.session.post(
                        f"{self.url}{path}", data="decision=allow&user=ada&password=x&target=%2Foauth2%2Fdevice%3F&client_id=passerelle-cli",
                        headers={"Origin": EVIL, "Sec-Fetch-Site": "cross-site", "Content-Type": kind}, allow_redirects=False, timeout=TIMEOUT)
                    # What clients ask, and the pages to sign in and to sign out, need no page of ours before.
                    if operation["operationId"] not in ("endSessionForm", "deviceAuthorization", "revoke", "authorizeByForm"):
                        self.assertGreaterEqual(answer.status_code, 400, answer.text)
                    self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
                    leads = answer.headers.get("Location", "none")
                    self.assertTrue(leads == "none" or leads.startswith("/oauth2/authorize?"), leads)
                    self.assertNotIn("passerelle=", answer.headers.get("Set-Cookie", ""))
        self.assertIn("code=", self.authorize(browser, self.query()).headers.get("Location", ""), "and the sign-in is still there")

    def test_a_cookie_opens_no_operation(self):
        browser = self.signed_in()
        for path, item in self.admin.get("/openapi.json")["paths"].items():
            for method, operation in item.items():
                if operation["x-access"] == "anyone":
                    continue
                with self.subTest(f"{method} {path}"):
                    target = self.url + re.sub(r"\{[^}]+\}", "acme", path)
                    answer = browser.session.request(method, target, allow_redirects=False, timeout=TIMEOUT)
                    self.assertEqual(answer.status_code, 401, answer.text)
                    self.assertNotIn("Access-Control-Allow-Origin", answer.headers)

    def test_cookies_stay_with_the_browser_and_the_site(self):
        browser = Browser()
        page = self.authorize(browser, self.query())
        answers = [page, browser.submit(page, user="ada", password=PASSWORD)]
        for answer in answers:
            for words in answer.headers["Set-Cookie"].split(", "):
                for word in ("HttpOnly", "SameSite=Lax", "Path=/"):
                    self.assertIn(word, words)
                self.assertNotIn("Domain", words)
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertIn("frame-ancestors 'none'", page.headers["Content-Security-Policy"])

    def test_a_session_that_was_planted_lets_nobody_in(self):
        """Session fixation: what the browser had before the sign-in stands for nothing after it."""
        browser, planted = Browser(), secrets.token_urlsafe(32)
        browser.session.cookies.set("passerelle", planted, domain="127.0.0.1", path="/")
        page = self.authorize(browser, self.query())
        self.assertIn('name="password"', page.text)
        answer = browser.submit(page, user="ada", password=PASSWORD)
        self.assertEqual(answer.status_code, 303)
        self.assertNotIn(planted, answer.headers["Set-Cookie"])
        for session in (planted, planted + "x"):
            attacker = requests.get(f"{self.url}/oauth2/authorize", params=self.query(), cookies={"passerelle": session},
                                    allow_redirects=False, timeout=TIMEOUT)
            self.assertIn('name="password"', attacker.text)
        # Another sign-in in the same browser is another session.
        first = dict(browser.session.cookies)["passerelle"]
        second = browser.submit(self.authorize(browser, self.query(prompt="login")), user="ada", password=PASSWORD)
        self.assertNotIn(first, second.headers["Set-Cookie"])

    def test_two_cookies_of_one_name_are_none(self):
        good = dict(self.signed_in().session.cookies)["passerelle"]
        for line in (f"passerelle={good}; passerelle=x", f"passerelle=x; passerelle={good}"):
            answer = requests.get(f"{self.url}/oauth2/authorize", params=self.query(), headers={"Cookie": line},
                                  allow_redirects=False, timeout=TIMEOUT)
            self.assertEqual(answer.status_code, 200, "the sign-in page")

    def test_a_form_key_that_was_planted_agrees_to_nothing(self):
        """Somebody who can plant cookies (a sibling site) knows the key's cookie, but not that of the sign-in."""
        browser, planted = self.signed_in(), "known-to-somebody"
        field = hashlib.sha256(f"form:{planted}".encode()).hexdigest()
        browser.session.cookies.clear(domain="127.0.0.1", path="/", name="passerelle-form")
        browser.session.cookies.set("passerelle-form", planted, domain="127.0.0.1", path="/")
        attacker = requests.get(f"{self.url}/oauth2/authorize", params=self.query(), cookies={"passerelle-form": planted},
                                allow_redirects=False, timeout=TIMEOUT)
        learned = re.search(r'name="form" value="([^"]*)"', attacker.text).group(1)
        target = "/oauth2/authorize?" + urllib.parse.urlencode(self.query(prompt="consent"))
        for key in (field, learned):
            answer = browser.session.post(f"{self.url}/oauth2/consent", data={"form": key, "target": target, "decision": "allow"},
                                          allow_redirects=False, timeout=TIMEOUT)
            self.assertEqual(answer.status_code, 403, answer.headers)

    def test_who_is_not_there_looks_like_a_wrong_password(self):
        """Bodies and fields; that the same work is done is counted in IdentityTests/EnumerationTests."""
        made = self.admin.create("/v1/users", {"name": "gone", "password": PASSWORD, "grants": []})
        self.admin.expect(200, "PATCH", f"/v1/users/{made['id']}", {"state": "disabled"})
        names = {"ada": "wrong", "nobody": PASSWORD, "gone": PASSWORD, made["id"]: PASSWORD}
        by_rest, by_page = {}, {}
        for name, password in names.items():
            with Rest(self.url) as rest:
                answer = rest.request("POST", "/v1/sessions", {"user": name, "password": password})
            body = {key: value for key, value in answer.json.items() if key != "trace_id"}
            by_rest[name] = (answer.status, json.dumps(body), sorted(answer.fields.keys()))
            browser = Browser()
            page = browser.submit(self.authorize(browser, self.query()), user=name, password=password)
            text = re.sub(r'value="[^"]*"', "", page.text)
            by_page[name] = (page.status_code, text, sorted(page.headers.keys()))
        for answers in (by_rest, by_page):
            self.assertEqual({answer[0] for answer in answers.values()}, {401})
            self.assertEqual(len({str(answer) for answer in answers.values()}), 1, answers)
