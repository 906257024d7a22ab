"""Second factors in a real browser: Chromium with its virtual authenticator, axe-core, and an authenticator app that reads the picture.

Playwright, axe and the reader of QR codes come from PyPI, Chromium from the PATH; without them the tests are skipped, and say so.
"""

import base64
import hashlib
import hmac
import http.server
import io
import json
import shutil
import struct
import sys
import threading
import time
import unittest
import urllib.parse

from foreign import call, environment
from processes import ClassScope, Platform, folder, free_base

PASSWORD = "correct horse battery"
VERIFIER = "v" * 64


def libraries():
    """Playwright, axe and the QR reader, from an environment of their own."""
    if not shutil.which("chromium"):
        raise unittest.SkipTest("there is no chromium on the PATH")
    programs = environment(
        "browser", "playwright==1.65.2", "axe-playwright-python==0.1.8", "zxing-cpp==3.1.1", "pillow==13.0.0")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path = f"{programs.removesuffix('/bin')}/lib/{version}/site-packages"
    if path not in sys.path:
        sys.path.append(path)


def code(uri, seconds=None):
    """What an authenticator app shows."""
    secret = urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query)["secret"][0]
    step = int((seconds or time.time()) // 30)
    mac = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    start = mac[19] & 15
    return f"{(struct.unpack('>I', mac[start:start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


class Client(http.server.BaseHTTPRequestHandler):
    """Where the issuer sends users back to: a page that says nothing. The code is in the address."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class PasskeyTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        libraries()
        from playwright.sync_api import sync_playwright

        cls.scope = ClassScope(cls)
        listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Client)
        cls.addClassCleanup(listener.server_close)
        cls.addClassCleanup(listener.shutdown)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        cls.back = f"http://127.0.0.1:{listener.server_port}/cb"
        base = free_base()
        cls.url = f"http://localhost:{base + 1}"
        cls.platform = Platform(
            cls.scope, f"{folder(cls.scope)}/data", base=base, arguments=["--issuer", cls.url]).start()
        cls.admin = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.admin.close)
        cls.client = cls.admin.create("/v1/oauth-clients", {
            "name": "Shop", "confidential": True, "redirect_uris": [cls.back], "trusted": True,
            "grant_types": ["authorization_code"], "scopes": ["openid", "profile"]})
        play = sync_playwright().start()
        cls.addClassCleanup(play.stop)
        cls.chromium = play.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP localhost 127.0.0.1"])
        cls.addClassCleanup(cls.chromium.close)

    def setUp(self):
        self.name = f"ada-{self.id().rsplit('_', 1)[-1]}"
        self.admin.create("/v1/users", {
            "name": self.name, "password": PASSWORD, "grants": [{"role": "devops", "tenant": "acme"}]})
        self.context = self.browser()
        self.page = self.context.new_page()
        self.refused = []
        self.page.on("console", lambda message: self.refused.append(message.text)
                     if message.type == "error" and "Security Policy" in message.text else None)

    def browser(self, **options):
        context = self.chromium.new_context(locale="en", **options)
        context.set_default_timeout(10_000)
        self.addCleanup(context.close)
        return context

    # What a person does

    def authorize(self, **more):
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
        return f"{self.url}/oauth2/authorize?" + urllib.parse.urlencode({
            "response_type": "code", "client_id": self.client["id"], "redirect_uri": self.back, "scope": "openid profile",
            "code_challenge": challenge, "code_challenge_method": "S256", "state": "s", **more})

    def password(self, target=None):
        """Signs in with the password, at a page that asks for it."""
        self.page.goto(target or f"{self.url}/oauth2/factors")
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def arrives(self, action):
        """Does what leads back to the client. - Returns: the code that comes along."""
        action()
        self.page.wait_for_url(f"{self.back}?*")
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.page.url).query)["code"][0]

    def claims(self, authorization):
        secret = base64.b64encode(f"{self.client['id']}:{self.client['secret']}".encode()).decode()
        form = urllib.parse.urlencode({
            "grant_type": "authorization_code", "code": authorization, "redirect_uri": self.back, "code_verifier": VERIFIER})
        status, _, text = call(
            f"{self.platform.control_plane}/oauth2/token", form.encode(),
            {"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(status, 200, text)
        payload = json.loads(text)["id_token"].split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    def authenticator(self, page=None, **changes):
        """A virtual authenticator, as a phone or a computer has it."""
        session = self.context.new_cdp_session(page or self.page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True,
            "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True, **changes}})
        return session

    def scan(self):
        """What an app reads off the page."""
        import zxingcpp
        from PIL import Image

        picture = Image.open(io.BytesIO(self.page.locator("svg.qr").screenshot()))
        found = zxingcpp.read_barcodes(picture)
        self.assertEqual(len(found), 1)
        return found[0].text

    def codes(self):
        """The recovery codes of the page that shows them, once it is there."""
        self.page.locator(".codes li").first.wait_for()
        return self.page.locator(".codes li").all_text_contents()

    def check_accessible(self, title):
        """By axe-core, once the page with this title is there: WCAG 2.2 A and AA."""
        from axe_playwright_python.sync_playwright import Axe

        self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
        found = Axe().run(self.page, options={
            "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).response["violations"]
        self.assertEqual(
            [(one["id"], [node["html"] for node in one["nodes"]]) for one in found], [], self.page.url)

    # Tests

    def test_an_app_is_set_up_and_signs_in(self):
        self.page.goto(self.authorize())
        self.check_accessible("Sign in")
        self.password()
        self.check_accessible("Second factor")
        self.page.get_by_role("button", name="Set up an authenticator app").click()
        uri = self.scan()
        self.assertIn(f"otpauth://totp/Passerelle:{self.name}?secret=", uri)
        self.check_accessible("Authenticator app")
        self.page.get_by_role("textbox", name="Code").fill("000000")
        self.page.get_by_role("button", name="Confirm").click()
        self.page.get_by_role("alert").get_by_role("link", name="The code is wrong").click()
        self.assertTrue(self.page.get_by_role("textbox", name="Code").evaluate("it => it === document.activeElement"))
        self.check_accessible("Authenticator app")
        self.assertEqual(self.scan(), uri)
        self.page.get_by_role("textbox", name="Code").fill(code(uri))
        self.page.get_by_role("button", name="Confirm").click()
        codes = self.codes()
        self.assertEqual(len(set(codes)), 10)
        self.check_accessible("Your recovery codes")
        self.context.clear_cookies()
        self.password(self.authorize())
        self.check_accessible("Second step")
        # By keyboard alone: the field has the focus, Enter sends. The next code: the present one has been used.
        self.page.keyboard.type(code(uri, time.time() + 30))
        authorization = self.arrives(lambda: self.page.keyboard.press("Enter"))
        claims = self.claims(authorization)
        self.assertEqual(claims["amr"], ["pwd", "otp", "mfa"])
        self.assertEqual(claims["acr"], "urn:passerelle:acr:two-factors")
        self.context.clear_cookies()
        self.password(self.authorize())
        self.page.get_by_role("textbox", name="Code").fill(codes[0])
        self.claims(self.arrives(lambda: self.page.get_by_role("button", name="Continue").click()))
        self.context.clear_cookies()
        self.password(self.authorize())
        self.page.get_by_role("textbox", name="Code").fill(codes[0])
        self.page.get_by_role("button", name="Continue").click()
        self.assertIn("was used before", self.page.get_by_role("alert").first.text_content())
        self.assertEqual(self.refused, [])

    def test_a_passkey_is_added_and_signs_in_alone(self):
        session = self.authenticator()
        self.password()
        self.page.get_by_label("Name of the passkey").fill("Laptop <1>")
        self.page.get_by_role("button", name="Add a passkey").click()
        self.assertEqual(len(self.codes()), 10)
        self.page.get_by_role("link", name="I have kept them").click()
        self.page.get_by_role("button", name="Remove Laptop <1>").wait_for()
        self.check_accessible("Second factor")
        self.context.clear_cookies()
        self.page.goto(self.authorize())
        authorization = self.arrives(lambda: self.page.get_by_role("button", name="Sign in with a passkey").click())
        claims = self.claims(authorization)
        self.assertEqual(claims["preferred_username"], self.name)
        self.assertIn("user", claims["amr"])
        self.assertEqual(claims["acr"], "urn:passerelle:acr:two-factors")
        self.assertEqual(self.refused, [])
        session.detach()

    def test_a_key_without_a_pin_is_a_second_step_and_no_more(self):
        session = self.authenticator(
            transport="usb", hasResidentKey=False, hasUserVerification=False, isUserVerified=False)
        self.password()
        self.page.get_by_role("button", name="Add a passkey").click()
        self.page.get_by_role("link", name="I have kept them").click()
        self.context.clear_cookies()
        self.password(self.authorize())
        authorization = self.arrives(lambda: self.page.get_by_role("button", name="Use a passkey").click())
        self.assertEqual(self.claims(authorization)["amr"], ["pwd", "hwk", "user", "mfa"])
        session.detach()

    def test_without_scripts_everything_else_works(self):
        self.context = self.browser(java_script_enabled=False)
        self.page = self.context.new_page()
        self.page.goto(self.authorize())
        self.page.get_by_role("button", name="Sign in", exact=True).wait_for()
        self.assertFalse(self.page.get_by_role("button", name="Sign in with a passkey").is_visible())
        self.password()
        self.page.get_by_text("Adding a passkey needs JavaScript").wait_for()
        self.page.get_by_role("button", name="Set up an authenticator app").click()
        self.page.get_by_role("textbox", name="Code").fill(code(self.scan()))
        self.page.get_by_role("button", name="Confirm").click()
        self.assertEqual(len(self.codes()), 10)

    def test_a_policy_leads_to_setting_one_up_in_french(self):
        self.admin.expect(200, "PUT", "/v1/second-factor-policy?tenant=acme", {"roles": ["devops"]})
        self.addCleanup(self.admin.expect, 200, "PUT", "/v1/second-factor-policy?tenant=acme", {"roles": []})
        self.context = self.chromium.new_context(locale="fr")
        self.addCleanup(self.context.close)
        self.page = self.context.new_page()
        session = self.authenticator()
        self.page.goto(self.authorize())
        self.page.get_by_label("Nom d'utilisateur").fill(self.name)
        self.page.get_by_label("Mot de passe").fill(PASSWORD)
        self.page.get_by_role("button", name="Se connecter", exact=True).click()
        self.page.get_by_text("Vos rôles demandent un second facteur.").wait_for()
        self.check_accessible("Second facteur")
        self.page.get_by_role("button", name="Ajouter une clé d'accès").click()
        authorization = self.arrives(lambda: self.page.get_by_role("link", name="Je les ai gardés").click())
        self.assertEqual(self.claims(authorization)["acr"], "urn:passerelle:acr:two-factors")
        session.detach()
