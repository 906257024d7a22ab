"""Relying parties of others, each a whole path against our issuer, through a rotation of its keys: Apache's mod_auth_openidc (C), openid_connect
(Ruby), requests-oauthlib with PyJWT (Python). The issuer speaks TLS with a certificate of the platform's own authority, as some of them ask for.
They are Debian's packages; Authlib is in the suite `issuer`."""

import base64
import hashlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
import unittest.mock
import urllib.parse

from clocks import ShiftedClock
from people import BACK, PASSWORD, TIMEOUT, Browser, OnPlatform, requests  # first: it finds what follows

import jwt
from requests_oauthlib import OAuth2Session

from foreign import end
from processes import Platform, eventually, folder, free_base, spawn

MODULES = "/usr/lib/apache2/modules"
SCOPES = "openid profile roles"
# From when a new key signs: ten minutes after it was published.
UNTIL_IT_SIGNS = 660


def proof():
    """A PKCE verifier and its challenge."""
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def members(address):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))


class Apache:
    """Pages for whom mod_auth_openidc lets in, and `/api` for access tokens, about which it asks each time."""

    def __init__(self, case, issuer, authorities, client, base, environment):
        home = folder(case)
        os.chmod(home, 0o755)
        for name in ("index.html", "api", "bye"):
            os.makedirs(f"{home}/www", exist_ok=True)
            with open(f"{home}/www/{name}", "w", encoding="ascii") as file:
                file.write(f"this is {name}")
        # It gives up root's rights, and then reads nothing of the data folder.
        shutil.copyfile(authorities, f"{home}/ca.pem")
        self.url = f"http://127.0.0.1:{base}"
        self.callback = f"{self.url}/callback"
        self.log = f"{home}/error.log"
        modules = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "dir", "headers", "mime")
        loads = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in modules)
        with open(f"{home}/httpd.conf", "w", encoding="utf-8") as file:
            file.write(f"""{loads}ServerName 127.0.0.1
ServerRoot {home}
DefaultRuntimeDir {home}
PidFile {home}/pid
ErrorLog {self.log}
LogLevel warn auth_openidc:info
TypesConfig /dev/null
Listen 127.0.0.1:{base}
User {pwd.getpwnam("nobody").pw_name}
Group nogroup
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
KeepAlive Off
DocumentRoot {home}/www
DirectoryIndex index.html
OIDCCABundlePath {home}/ca.pem
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client["id"]}
OIDCClientSecret {client["secret"]}
OIDCRedirectURI {self.callback}
OIDCCryptoPassphrase {secrets.token_hex(16)}
OIDCPKCEMethod S256
OIDCScope "{SCOPES}"
OIDCRemoteUserClaim preferred_username
OIDCInfoHook access_token id_token userinfo refresh_token
OIDCOAuthClientID {client["id"]}
OIDCOAuthClientSecret {client["secret"]}
OIDCOAuthIntrospectionEndpoint {issuer}/oauth2/introspect
OIDCOAuthTokenIntrospectionInterval -1
OIDCOAuthRemoteUserClaim sub
Header always set X-User "expr=%{{REMOTE_USER}}"
Header always set X-Roles "%{{OIDC_CLAIM_roles}}e"
<Location />
AuthType openid-connect
Require valid-user
</Location>
<Location /bye>
AuthType None
Require all granted
</Location>
<Location /api>
AuthType oauth20
Require valid-user
</Location>
""")
        with open(self.log, "ab") as log:
            self.process = spawn(["/usr/sbin/apache2", "-D", "FOREGROUND", "-f", f"{home}/httpd.conf"], stdout=log, stderr=log,
                                 env={**os.environ, **environment})
        case.addCleanup(end, self.process)
        eventually(self._answers)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(self.said())
        try:
            return requests.get(f"{self.url}/bye", timeout=TIMEOUT).status_code == 200
        except requests.ConnectionError:
            return False

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def known(self, browser):
        """What it knows of who is signed in."""
        answer = browser.session.get(f"{self.callback}?info=json", timeout=TIMEOUT, allow_redirects=False)
        return answer.json() if answer.status_code == 200 else None

    def call(self, token):
        return requests.get(f"{self.url}/api", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT,
                            allow_redirects=False)


class Ruby:
    """A relying party in a process of its own, asked by lines."""

    def __init__(self, case, environment, **settings):
        place = os.path.dirname(os.path.abspath(__file__))
        self.process = spawn(["ruby", f"{place}/relying_party.rb", json.dumps(settings)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        case.addCleanup(end, self.process)
        case.addCleanup(self.process.stdin.close)
        case.addCleanup(self.process.stdout.close)

    def ask(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class LibraryTests(OnPlatform):
    @classmethod
    def make_platform(cls):
        cls.clock = ShiftedClock(cls.place)
        data = f"{cls.place}/data"
        # For what runs in this process, and for Ruby.
        trusted = unittest.mock.patch.dict(
            os.environ, {"REQUESTS_CA_BUNDLE": f"{data}/ca.pem", "SSL_CERT_FILE": f"{data}/ca.pem"})
        trusted.start()
        cls.scope.addCleanup(trusted.stop)
        return Platform(cls.scope, data, environment=cls.clock.environment, arguments=["--control-tls-cert", "own"],
                        authorities=f"{data}/ca.pem")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.id = cls.user("ada", "devops@acme")
        cls.metadata = requests.get(f"{cls.url}/.well-known/openid-configuration", timeout=TIMEOUT).json()

    def setUp(self):
        self.clock.set(0)
        self.admin.sign_in("admin", self.platform.password)

    def client(self, name, back, **more):
        return self.admin.create("/v1/oauth-clients", {
            "name": name, "confidential": True, "redirect_uris": [back], "scopes": SCOPES.split(),
            "grant_types": ["authorization_code", "refresh_token"], **more})

    def visit(self, browser, url):
        """As a person: follows, signs in and agrees, until a page asks for nothing more."""
        answer = browser.session.get(url, allow_redirects=False, timeout=TIMEOUT)
        for _ in range(12):
            if answer.is_redirect:
                target = urllib.parse.urljoin(answer.url, answer.headers["Location"])
                answer = browser.session.get(target, allow_redirects=False, timeout=TIMEOUT)
            elif '<form method="post" action="/oauth2/' in answer.text:
                answer = browser.submit(answer, user="ada", password=PASSWORD, decision="allow")
            else:
                return answer
        raise AssertionError(f"no end: {answer.status_code} {answer.text[:500]}")

    def rotate(self):
        """The next key, and the time at which it signs. - Returns: its id."""
        key = self.admin.create("/v1/signing-keys", None)["id"]
        self.clock.set(UNTIL_IT_SIGNS)
        # The platform looks at its keys at least once a minute; a change of theirs makes it look at once.
        self.admin.create("/v1/signing-keys", None)
        return key

    def userinfo(self, token):
        return requests.get(self.metadata["userinfo_endpoint"], headers={"Authorization": f"Bearer {token}"},
                            timeout=TIMEOUT)

    def test_mod_auth_openidc(self):
        base = free_base()
        url = f"http://127.0.0.1:{base}"
        client = self.client("Apache", f"{url}/callback", post_logout_redirect_uris=[f"{url}/bye"])
        apache = Apache(self, self.url, self.platform.authorities, client, base, self.clock.environment)
        browser = Browser()
        page = self.visit(browser, f"{apache.url}/index.html")
        self.assertEqual(page.text, "this is index.html", apache.said())
        self.assertEqual((page.headers["X-User"], page.headers["X-Roles"]), ("ada", "devops@acme"))
        first = apache.known(browser)
        self.assertEqual(first["id_token"]["sub"], self.id)
        self.assertEqual(first["userinfo"]["preferred_username"], "ada")

        # As a resource server.
        token = first["access_token"]
        answer = apache.call(token)
        self.assertEqual((answer.status_code, answer.headers["X-User"]), (200, self.id), answer.text)
        for wrong in (token[:-6] + "AAAAAA", first["id_token"]["sub"], "x"):
            self.assertEqual(apache.call(wrong).status_code, 401)

        # Keys rotate: who is signed in stays so, refreshes, and others sign in, with tokens of a key it had not seen.
        before = {jwt.get_unverified_header(token)["kid"]}
        self.rotate()
        refreshed = browser.session.get(
            apache.callback, params={"refresh": f"{apache.url}/index.html", "access_token": token}, timeout=TIMEOUT)
        self.assertEqual(refreshed.text, "this is index.html", apache.said())
        second = apache.known(browser)
        self.assertNotEqual(second["access_token"], token)
        self.assertNotEqual(second["refresh_token"], first["refresh_token"])
        self.assertNotIn(jwt.get_unverified_header(second["access_token"])["kid"], before)
        self.assertEqual(apache.call(second["access_token"]).status_code, 200)
        other = Browser()
        self.assertEqual(self.visit(other, f"{apache.url}/index.html").headers["X-User"], "ada")

        # Signing out ends it here and there; what it had works nowhere that asks.
        bye = self.visit(browser, f"{apache.callback}?" + urllib.parse.urlencode({"logout": f"{apache.url}/bye"}))
        self.assertEqual(bye.text, "this is bye", bye.url)
        self.assertIsNone(apache.known(browser))
        self.assertEqual(self.userinfo(second["access_token"]).status_code, 401)
        self.assertEqual(apache.call(second["access_token"]).status_code, 401)
        again = browser.session.get(f"{apache.url}/index.html", timeout=TIMEOUT)
        self.assertIn('name="password"', again.text, "signed out at the issuer as well")
        self.assertIsNotNone(apache.known(other), "another sign-in stays")

    def test_mod_auth_openidc_of_somebody_who_says_no(self):
        base = free_base()
        client = self.client("Apache", f"http://127.0.0.1:{base}/callback")
        apache = Apache(self, self.url, self.platform.authorities, client, base, self.clock.environment)
        browser = Browser()
        page = browser.session.get(f"{apache.url}/index.html", timeout=TIMEOUT)
        page = browser.submit(page, user="ada", password=PASSWORD)
        page = browser.session.get(urllib.parse.urljoin(self.url, page.headers["Location"]), timeout=TIMEOUT)
        answer = browser.submit(page, decision="deny")
        self.assertEqual(members(answer.headers["Location"])["error"], "access_denied")
        back = browser.session.get(answer.headers["Location"], timeout=TIMEOUT, allow_redirects=False)
        # This version takes `iss` of RFC 9207 for something else where there is no code: an error page, though another one.
        self.assertIn("<title>Error</title>", back.text)
        self.assertIsNone(apache.known(browser))

    def test_openid_connect_of_ruby(self):
        client = self.client("Ruby", BACK)
        ruby = Ruby(self, self.clock.environment, issuer=self.url, id=client["id"], secret=client["secret"],
                    redirect_uri=BACK, revocation_endpoint=self.metadata["revocation_endpoint"])

        def tokens(browser):
            verifier, challenge = proof()
            begun = ruby.ask("begin", scope=SCOPES, state="s", nonce="n-1", challenge=challenge)
            back = members(browser.open(begun["url"]))
            self.assertEqual((back["state"], back["iss"]), ("s", self.url))
            return ruby.ask("finish", code=back["code"], verifier=verifier, nonce="n-1")

        browser = Browser()
        first = tokens(browser)
        self.assertEqual(first["id_token"]["preferred_username"], "ada", first)
        self.assertTrue(first["fits"], "at_hash")
        self.assertEqual(ruby.ask("userinfo", access_token=first["access_token"])["sub"], first["id_token"]["sub"])
        self.rotate()
        second = ruby.ask("refresh", refresh_token=first["refresh_token"])
        self.assertNotIn("error", second)
        self.assertEqual(second["id_token"]["sub"], first["id_token"]["sub"])
        self.assertNotEqual(second["key"], first["key"])
        self.assertNotEqual(tokens(browser)["key"], first["key"])
        self.assertEqual(ruby.ask("revoke", access_token=second["access_token"]), {"revoked": "success"})
        self.assertEqual(ruby.ask("userinfo", access_token=second["access_token"])["error"], "OpenIDConnect::Unauthorized")
        refused = ruby.ask("refresh", refresh_token=second["refresh_token"])
        self.assertIn("invalid_grant", refused["message"])

    def test_requests_oauthlib_and_pyjwt(self):
        # Its own address is only on this machine.
        insecure = unittest.mock.patch.dict(os.environ, {"OAUTHLIB_INSECURE_TRANSPORT": "1"})
        insecure.start()
        self.addCleanup(insecure.stop)
        client = self.client("Python", BACK, post_logout_redirect_uris=[f"{BACK}/bye"])
        keys = jwt.PyJWKClient(self.metadata["jwks_uri"])
        # Its clock stays when that of the platform is set.
        leeway = UNTIL_IT_SIGNS + 60

        def checked(text, audience):
            return jwt.decode(text, keys.get_signing_key_from_jwt(text).key, ["RS256"], audience=audience,
                              issuer=self.url, leeway=leeway, options={"require": ["exp", "iat", "sub", "aud", "iss"]})

        def tokens(browser):
            session = OAuth2Session(client["id"], redirect_uri=BACK, scope=SCOPES.split())
            verifier, challenge = proof()
            url, _ = session.authorization_url(
                self.metadata["authorization_endpoint"], nonce="n-1", code_challenge=challenge, code_challenge_method="S256")
            # It compares the state itself, and refuses scopes other than it asked for.
            return session, session.fetch_token(
                self.metadata["token_endpoint"], authorization_response=browser.open(url), code_verifier=verifier,
                client_secret=client["secret"])

        browser = Browser()
        session, first = tokens(browser)
        claims = checked(first["id_token"], client["id"])
        self.assertEqual((claims["nonce"], claims["preferred_username"]), ("n-1", "ada"))
        self.assertEqual(session.get(self.metadata["userinfo_endpoint"]).json()["sub"], claims["sub"])
        self.rotate()
        old = jwt.get_unverified_header(first["id_token"])["kid"]
        second = session.refresh_token(
            self.metadata["token_endpoint"], auth=(client["id"], client["secret"]), client_id=client["id"])
        self.assertEqual(checked(second["id_token"], client["id"])["sub"], claims["sub"])
        self.assertNotEqual(jwt.get_unverified_header(second["id_token"])["kid"], old)
        checked(first["id_token"], client["id"])
        _, third = tokens(browser)
        # Sign-out by the hint of the first key, which is still published.
        left = browser.session.get(self.metadata["end_session_endpoint"], allow_redirects=False, timeout=TIMEOUT, params={
            "id_token_hint": first["id_token"], "post_logout_redirect_uri": f"{BACK}/bye", "state": "s-2"})
        self.assertEqual(left.headers["Location"], f"{BACK}/bye?state=s-2")
        for token in (second, third):
            self.assertEqual(self.userinfo(token["access_token"]).status_code, 401)
        with self.assertRaises(Exception) as refused:
            session.refresh_token(
                self.metadata["token_endpoint"], auth=(client["id"], client["secret"]), client_id=client["id"])
        self.assertIn("invalid_grant", str(refused.exception))
