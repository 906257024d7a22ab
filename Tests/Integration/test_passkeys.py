"""Second factors in a real browser: Chromium with its virtual authenticator, axe-core, and an authenticator app that reads the picture.

Playwright, axe and the reader of QR codes come from PyPI, Chromium from the PATH; without them the tests are skipped, and say so.
"""

import base64
import hashlib
import http.server
import io
import json
import shutil
import sys
import threading
import time
import unittest
import urllib.parse

from foreign import call, environment
from people import PASSWORD, OnPlatform, code_of_app
from processes import Platform, folder, free_base, run

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
    """What an app shows that has read this address."""
    return code_of_app(urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query)["secret"][0], seconds)


class Client(http.server.BaseHTTPRequestHandler):
    """Where the issuer sends users back to: a page that says nothing. The code is in the address."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class PasskeyTests(OnPlatform):
    @classmethod
    def setUpClass(cls):
        libraries()
        from playwright.sync_api import sync_playwright

        base = free_base()
        cls.base, cls.issuer = base, f"http://localhost:{base + 1}"
        super().setUpClass()
        listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Client)
        cls.addClassCleanup(listener.server_close)
        cls.addClassCleanup(listener.shutdown)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        cls.back = f"http://127.0.0.1:{listener.server_port}/cb"
        cls.url = cls.issuer
        cls.client = cls.admin.create("/v1/oauth-clients", {
            "name": "Shop", "confidential": True, "redirect_uris": [cls.back], "trusted": True,
            "grant_types": ["authorization_code"], "scopes": ["openid", "profile"]})
        play = sync_playwright().start()
        cls.addClassCleanup(play.stop)
        cls.chromium = play.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP localhost 127.0.0.1"])
        cls.addClassCleanup(cls.chromium.close)

    @classmethod
    def make_platform(cls):
        return Platform(cls.scope, f"{cls.place}/data", base=cls.base, arguments=["--issuer", cls.issuer])

    def setUp(self):
        self.name = f"ada-{self.id().rsplit('_', 1)[-1]}"
        self.user(self.name, "devops@acme")
        self.home = folder(self)
        self.context = self.browser()
        self.page = self.context.new_page()
        self.refused = []
        self.page.on("console", lambda message: self.refused.append(message.text)
                     if message.type == "error" and "Security Policy" in message.text else None)

    def browser(self, locale="en", **options):
        context = self.chromium.new_context(locale=locale, **options)
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

        self.check_title(title)
        found = Axe().run(self.page, options={
            "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).response["violations"]
        self.assertEqual(
            [(one["id"], [node["html"] for node in one["nodes"]]) for one in found], [], self.page.url)

    def check_title(self, title):
        self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for()

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
        self.recovery_codes = self.codes()
        self.assertEqual(len(self.recovery_codes), 10)
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
        self.at_the_terminal()
        session.detach()

    def at_the_terminal(self):
        """What a browser has made is seen, renamed and removed there."""
        codes = [*self.recovery_codes]
        environment = {"PASSERELLE_HOME": self.home, "PASSERELLE_URL": self.platform.control_plane, "PASSERELLE_PASSWORD": PASSWORD}

        def command(*words, code=0, **more):
            done = run(*words, environment={**environment, **more})
            self.assertEqual(done.returncode, code, done)
            return done.stdout + done.stderr

        command("login", "--user", self.name, PASSERELLE_CODE=codes.pop())
        self.assertIn("Laptop <1>", command("passkeys", "list"))
        self.assertIn("At home", command("passkeys", "rename", "Laptop <1>", "At home"))
        self.assertIn("no passkey", command("passkeys", "remove", "Laptop <1>", code=1))
        self.assertIn("At home", command("second-factor", "show"))
        self.assertIn("Removed At home.", command("passkeys", "remove", "At home"))
        self.assertNotIn("At home", command("passkeys", "list"))

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

    def test_every_other_page_is_accessible_in_both_languages(self):
        """Consent, a device, what does not work, signing out; read and used by what is written on them."""
        words = {
            "en": {"user": "User name", "password": "Password", "sign in": "Sign in", "consent": "Allow access?", "allow": "Allow",
                   "device": "Connect a device", "code": "Code that the device shows", "next": "Next", "wrong": "This does not work",
                   "unknown": "No device waits with this code.", "close": "You may close this page.", "out": "Sign out",
                   "signed out": "You are signed out."},
            "fr": {"user": "Nom d'utilisateur", "password": "Mot de passe", "sign in": "Se connecter", "consent": "Autoriser l'accès ?",
                   "allow": "Autoriser", "device": "Connecter un appareil", "code": "Code que l'appareil affiche", "next": "Continuer",
                   "wrong": "Cela ne fonctionne pas", "unknown": "Aucun appareil n'attend avec ce code.",
                   "close": "Vous pouvez fermer cette page.", "out": "Se déconnecter", "signed out": "Vous êtes déconnecté."}}
        for locale, text in words.items():
            client = self.admin.create("/v1/oauth-clients", {
                "name": "Portal", "confidential": False, "redirect_uris": [self.back], "grant_types": ["authorization_code"],
                "scopes": ["openid", "profile"]})
            self.context = self.browser(locale=locale)
            self.page = self.context.new_page()
            self.page.goto(self.authorize(client_id=client["id"]))
            self.page.get_by_label(text["user"]).fill(self.name)
            self.page.get_by_label(text["password"]).fill("wrong password 1")
            self.page.get_by_role("button", name=text["sign in"], exact=True).click()
            self.page.get_by_role("alert").wait_for()
            check = self.check_accessible
            check(text["sign in"])
            self.page.get_by_label(text["user"]).fill(self.name)
            self.page.get_by_label(text["password"]).fill(PASSWORD)
            self.page.get_by_role("button", name=text["sign in"], exact=True).click()
            check(text["consent"])
            self.arrives(lambda: self.page.get_by_role("button", name=text["allow"], exact=True).click())
            self.page.goto(f"{self.url}/oauth2/device")
            check(text["device"])
            self.page.get_by_label(text["code"]).fill("BBBB-BBBB")
            self.page.get_by_role("button", name=text["next"]).click()
            self.page.get_by_text(text["unknown"]).wait_for()
            check(text["device"])
            begun = json.loads(call(
                f"{self.platform.control_plane}/oauth2/device_authorization", b"client_id=passerelle-cli&scope=platform",
                {"Content-Type": "application/x-www-form-urlencoded"})[2])
            self.page.get_by_label(text["code"]).fill(begun["user_code"])
            self.page.get_by_role("button", name=text["next"]).click()
            self.page.get_by_text(begun["user_code"]).wait_for()
            check(text["device"])
            self.page.get_by_role("button", name=text["allow"], exact=True).click()
            self.page.get_by_text(text["close"]).wait_for()
            self.page.goto(self.authorize(client_id="nobody"))
            check(text["wrong"])
            self.page.goto(f"{self.url}/oauth2/logout")
            check(text["out"])
            self.page.get_by_role("button", name=text["out"]).click()
            self.page.get_by_text(text["signed out"]).wait_for()
            self.context.close()

    def test_a_policy_leads_to_setting_one_up_in_french(self):
        self.admin.expect(200, "PUT", "/v1/second-factor-policy?tenant=acme", {"roles": ["devops"]})
        self.addCleanup(self.admin.expect, 200, "PUT", "/v1/second-factor-policy?tenant=acme", {"roles": []})
        self.context = self.browser(locale="fr")
        self.page = self.context.new_page()
        session = self.authenticator()
        self.page.goto(self.authorize())
        self.page.get_by_label("Nom d'utilisateur").fill(self.name)
        self.page.get_by_label("Mot de passe").fill(PASSWORD)
        self.page.get_by_role("button", name="Se connecter", exact=True).click()
        self.page.get_by_text("Vos rôles demandent un second facteur.").wait_for()
        self.check_accessible("Second facteur")
        self.page.get_by_role("button", name="Ajouter une clé d'accès").click()
        self.codes()
        self.check_accessible("Vos codes de secours")
        authorization = self.arrives(lambda: self.page.get_by_role("link", name="Je les ai gardés").click())
        self.assertEqual(self.claims(authorization)["acr"], "urn:passerelle:acr:two-factors")
        self.page.goto(f"{self.url}/oauth2/factors")
        self.check_accessible("Second facteur")
        self.page.get_by_role("button", name="Configurer une application d'authentification").click()
        self.check_accessible("Application d'authentification")
        # In French because the client says so, in a browser of somebody else.
        self.context = self.browser(locale="en")
        self.page = self.context.new_page()
        self.page.goto(self.authorize(ui_locales="fr-CA"))
        self.page.get_by_label("Nom d'utilisateur").fill(self.name)
        self.page.get_by_label("Mot de passe").fill(PASSWORD)
        self.page.get_by_role("button", name="Se connecter", exact=True).click()
        self.check_accessible("Deuxième étape")
        session.detach()
