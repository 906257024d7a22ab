"""The command line as somebody who signs in: by a device code, with renewals of the token that commands at once do not get wrong, with a
second factor; and the commands about users, groups, service accounts, clients and providers."""

import json
import os
import re
import stat
import subprocess
import threading
import urllib.parse

from people import PASSWORD, TIMEOUT, Browser, OnPlatform, code_of_app, requests
from processes import Settings, eventually, folder, run, spawn

OTHER = "another long password"


class Signed(OnPlatform):
    def setUp(self):
        self.home = folder(self)
        self.environment = {"PASSERELLE_HOME": self.home}

    @property
    def saved(self):
        with open(f"{self.home}/login.json", encoding="utf-8") as file:
            return json.load(file)

    def command(self, *words, code=0, text=None, **environment):
        done = run(*words, environment={**self.environment, **environment}, input=text)
        self.assertEqual(done.returncode, code, f"{words}: {done}")
        return done

    def json(self, *words, **options):
        return json.loads(self.command(*words, "--output", "json", **options).stdout)

    def begin(self, *words):
        """`login` in the background. - Returns: the process, and the address and the code that it shows."""
        process = spawn([Settings.binary, "login", "--url", self.url, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True, env={**os.environ, **self.environment})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        address = process.stderr.readline()
        shown = re.search(r"Open (\S+)", address)
        self.assertTrue(shown, address)
        typed = re.search(r"the code (\S+)", process.stderr.readline())
        return process, shown.group(1), typed.group(1)

    def decide(self, address, name, decision="allow"):
        browser = Browser()
        page = browser.session.get(address, timeout=TIMEOUT)
        page = browser.session.get(urllib.parse.urljoin(self.url, browser.submit(page, user=name, password=PASSWORD).headers["Location"]), timeout=TIMEOUT)
        self.assertEqual(browser.submit(page, decision=decision).status_code, 200)
        return browser

    def sign_in(self, name, *words):
        process, address, _ = self.begin(*words)
        browser = self.decide(address, name)
        out, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        return browser, out + said


class DeviceLogin(Signed):
    def test_somebody_signs_in_with_a_browser(self):
        self.user("ada", "devops@acme")
        process, address, typed = self.begin("--tenant", "acme")
        self.assertEqual(address, f"{self.url}/oauth2/device?user_code={typed}")
        self.assertRegex(typed, r"^[B-Z]{4}-[B-Z]{4}$")
        self.decide(address, "ada")
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        self.assertIn(f"Signed in to {self.url} as ada, tenant acme.", said)
        for secret in (self.saved["token"], self.saved["refresh_token"]):
            self.assertNotIn(secret, said)
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.home}/login.json").st_mode), 0o600)
        me = self.json("me")
        self.assertEqual((me["name"], me["url"], me["tenant"]), ("ada", self.url, "acme"))
        self.assertIn("devops", self.command("me").stdout)
        self.assertEqual(self.json("apis", "list"), [])
        # It counts like a sign-in: it makes tokens, too.
        self.assertIn("pst_", self.json("tokens", "create", "ci", "--scope", "catalog:*:read")["token"])
        old = self.saved
        self.assertIn("Signed out", self.command("logout").stderr)
        self.assertFalse(os.path.exists(f"{self.home}/login.json"))
        answer = requests.get(f"{self.url}/v1/me", headers={"Authorization": f"Bearer {old['token']}"}, timeout=TIMEOUT)
        self.assertEqual(answer.status_code, 401, "it has ended there as well")
        self.assertIn("passerelle login", self.command("me", code=1).stderr)
        self.assertIn("Nobody is signed in", self.command("logout").stderr)

    def test_who_says_no_signs_nobody_in(self):
        self.user("nora", "viewer@acme")
        process, address, _ = self.begin()
        self.decide(address, "nora", decision="deny")
        _, said = process.communicate(timeout=60)
        self.assertEqual((process.returncode, said.strip()), (1, "The sign-in was not allowed."))
        self.assertFalse(os.path.exists(f"{self.home}/login.json"))

    def test_the_token_is_renewed_once_however_many_commands_ask(self):
        """A refresh token that two commands used would end all of it (RFC 9700 section 4.14.2)."""
        self.user("rena", "devops@acme")
        self.sign_in("rena")
        first = self.saved
        self.age()
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(run("me", "--output", "json", environment=self.environment))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([done.returncode for done in answers], [0] * 6, answers)
        second = self.saved
        self.assertNotEqual(first["refresh_token"], second["refresh_token"])
        self.age()
        self.assertEqual(self.json("me")["name"], "rena", "the family lives")
        self.assertNotEqual(second["refresh_token"], self.saved["refresh_token"])
        self.assertEqual([one["event_type"] for one in self.admin.all("/v1/audit/entries?type=refresh-token.replayed")], [])
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.home}/login.json").st_mode), 0o600)
        # What was ended elsewhere says what to do.
        self.admin.expect(204, "DELETE", "/v1/users/rena/sessions")
        self.age()
        self.assertIn(f"Your sign-in has ended. Run: passerelle login --url {self.url}", self.command("me", code=1).stderr)

    def age(self):
        """As if the token had been there for some minutes."""
        saved = self.saved
        with open(f"{self.home}/login.json", "w", encoding="utf-8") as file:
            json.dump({**saved, "expires_at": "2026-01-01T00:00:00.000Z"}, file)

    def test_a_login_for_one_address_is_shown_to_no_other(self):
        self.user("olga", "viewer@acme")
        self.sign_in("olga")
        seen = []
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(self.headers.get("Authorization"))
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.command("me", "--url", f"http://127.0.0.1:{server.server_address[1]}", code=1)
        self.assertEqual(seen, [None])


class Passwords(Signed):
    def test_a_login_with_a_password_ends_with_logout(self):
        self.user("paul", "viewer@acme")
        self.command("login", "--url", self.url, "--user", "paul", "--password-file", "-", text=PASSWORD + "\n")
        self.assertEqual(self.json("me")["name"], "paul")
        token = self.saved["token"]
        self.command("logout")
        answer = requests.get(f"{self.url}/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT)
        self.assertEqual(answer.status_code, 401)
        self.assertIn("wrong", self.command("login", "--url", self.url, "--user", "paul", code=1, PASSERELLE_PASSWORD="wrong").stderr)

    def test_a_password_is_changed_and_others_are_reset(self):
        self.user("pia", "viewer@acme")
        self.command("login", "--url", self.url, "--user", "pia", PASSERELLE_PASSWORD=PASSWORD)
        self.command("users", "password", "pia", PASSERELLE_OLD_PASSWORD="wrong one it is", PASSERELLE_PASSWORD=OTHER, code=1)
        self.command("users", "password", "pia", PASSERELLE_OLD_PASSWORD=PASSWORD, PASSERELLE_PASSWORD=OTHER)
        self.command("me", code=1)
        self.command("login", "--user", "pia", PASSERELLE_PASSWORD=OTHER)
        admin = {"PASSERELLE_TOKEN": self.admin.token, "PASSERELLE_URL": self.url}
        self.command("users", "password", "pia", PASSERELLE_PASSWORD=PASSWORD, **admin)
        self.command("me", code=1)
        self.assertEqual(self.json("users", "state", "pia", "disabled", **admin)["state"], "disabled")
        self.command("login", "--user", "pia", PASSERELLE_PASSWORD=PASSWORD, code=1)
        self.assertEqual(self.json("users", "show", "pia", **admin)["state"], "disabled")
        self.json("users", "state", "pia", "active", **admin)
        self.command("login", "--user", "pia", PASSERELLE_PASSWORD=PASSWORD)
        self.assertEqual(len([one for one in self.json("users", "sessions", "pia", **admin) if not one["revoked"]]), 1)
        self.command("users", "sessions", "pia", "--revoke-all", **admin)
        self.command("me", code=1)

    def test_a_second_factor_is_set_up_shown_and_removed(self):
        self.user("mfa", "cpi-tenant@acme")
        self.command("login", "--url", self.url, "--user", "mfa", PASSERELLE_PASSWORD=PASSWORD)
        process = spawn([Settings.binary, "second-factor", "set-up"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                        env={**os.environ, **self.environment, "PASSERELLE_PASSWORD": PASSWORD})
        self.addCleanup(process.kill)
        said = process.stderr.readline() + process.stderr.readline() + process.stderr.readline()
        secret = re.search(r"secret=([A-Z2-7]+)", said).group(1)
        out, _ = process.communicate(code_of_app(secret) + "\n", timeout=60)
        self.assertEqual(process.returncode, 0)
        codes = out.split()
        self.assertEqual(len(codes), 10)
        # Without the code nobody signs in, with it one does; a code works once, so recovery codes stand for later ones.
        self.command("login", "--user", "mfa", PASSERELLE_PASSWORD=PASSWORD, code=1)
        self.command("login", "--user", "mfa", PASSERELLE_PASSWORD=PASSWORD, PASSERELLE_CODE=codes[0])
        # A personal token of hers cannot make another; a session that has not shown the factor lately says what to do.
        token = self.json("tokens", "create", "ci", "--scope", "*:*:*")["token"]
        refused = self.command("tokens", "create", "more", "--scope", "*:*:*", "--url", self.url, PASSERELLE_TOKEN=token, code=1)
        self.assertIn("passerelle second-factor verify", refused.stderr)
        self.command("second-factor", "verify", PASSERELLE_CODE=codes[1])
        self.command("second-factor", "verify", PASSERELLE_CODE=codes[1], code=1)
        self.assertEqual(self.json("second-factor", "show")["recovery_codes_left"], 8)
        codes = self.command("second-factor", "recovery-codes").stdout.split()
        self.assertEqual((len(codes), self.json("second-factor", "show")["recovery_codes_left"]), (10, 10))
        self.command("second-factor", "remove", PASSERELLE_CODE=codes[2])
        self.command("login", "--user", "mfa", PASSERELLE_PASSWORD=PASSWORD)


class Verbs(Signed):
    """Every command about people and programs once, in both forms of output, with its exit codes."""

    def setUp(self):
        super().setUp()
        self.environment = {**self.environment, "PASSERELLE_TOKEN": self.admin.token, "PASSERELLE_URL": self.url, "PASSERELLE_TENANT": "acme"}

    def test_clients(self):
        made = self.json("clients", "create", "shop", "--redirect-uri", "https://shop.example/cb", "--grant", "authorization_code",
                         "--grant", "refresh_token", "--scope", "openid", "--scope", "profile")
        self.assertTrue(made["secret"].startswith("pcs_"))
        self.assertEqual((made["tenant"], made["grant_types"]), ("acme", ["authorization_code", "refresh_token"]))
        listed = self.command("clients", "list")
        self.assertIn(made["id"], listed.stdout)
        self.assertNotIn(made["secret"], listed.stdout)
        changed = self.json("clients", "update", made["id"], "--name", "Shop", "--scope", "openid")
        self.assertEqual((changed["name"], changed["scopes"], changed["redirect_uris"]), ("Shop", ["openid"], ["https://shop.example/cb"]))
        self.assertEqual(self.json("clients", "show", made["id"])["name"], "Shop")
        again = self.command("clients", "secret", made["id"], "--expires-old-after", "0")
        self.assertIn("pcs_", again.stdout)
        self.assertIn("shown this once", again.stderr)
        public = self.json("clients", "create", "app", "--public", "--grant", "device_code", "--scope", "openid")
        self.assertNotIn("secret", public)
        self.assertEqual(public["grant_types"], ["urn:ietf:params:oauth:grant-type:device_code"])
        self.command("clients", "delete", made["id"])
        self.assertIn("There is no client", self.command("clients", "show", made["id"], code=1).stderr)
        self.assertIn("expected https://", self.command("clients", "create", "x", "--redirect-uri", "ftp://x", code=1).stderr)
        self.command("clients", "update", made["id"], code=2)
        self.command("clients", "secret", public["id"], "--expires-old-after", "soon", code=2)

    def test_groups_and_service_accounts(self):
        self.user("gwen", "viewer@acme")
        self.json("groups", "create", "team", "--role", "viewer")
        self.command("groups", "member", "team", "gwen")
        shown = self.json("groups", "show", "team")
        self.assertEqual((shown["roles"], len(shown["members"])), (["viewer"], 1))
        self.assertEqual(self.json("groups", "update", "team", "--role", "devops", "--role", "auditor")["roles"], ["devops", "auditor"])
        self.command("groups", "delete", "team")
        self.command("groups", "show", "team", code=1)
        self.json("service-accounts", "create", "robot", "--role", "devops")
        self.assertEqual(self.json("service-accounts", "update", "robot", "--state", "disabled")["state"], "disabled")
        self.assertEqual(self.json("service-accounts", "update", "robot", "--role", "viewer", "--state", "active")["roles"], ["viewer"])
        self.assertEqual(self.json("service-accounts", "show", "robot")["name"], "robot")
        self.command("service-accounts", "update", "robot", code=2)
        self.command("service-accounts", "delete", "robot")

    def test_policies_of_second_factors(self):
        self.assertEqual(self.json("second-factor", "policy")["roles"], [])
        self.assertEqual(self.json("second-factor", "require", "--role", "viewer", "--role", "devops")["roles"], ["devops", "viewer"])
        self.assertIn("devops", self.command("second-factor", "policy").stdout)
        self.assertEqual(self.json("second-factor", "policy", "--platform")["roles"], [], "that of the tenant is another")
        self.user("paula", "devops@acme")
        self.command("login", "--user", "paula", PASSERELLE_PASSWORD=PASSWORD, PASSERELLE_TOKEN="")
        shown = self.json("second-factor", "show", PASSERELLE_TOKEN="")
        self.assertEqual((shown["app"], shown["required"], shown["passkeys"]), (False, True, []))
        self.assertIn("second-factor verify", self.command("apis", "list", PASSERELLE_TOKEN="", code=1).stderr)
        self.assertEqual(self.json("second-factor", "require", "--none")["roles"], [])
        self.json("apis", "list", PASSERELLE_TOKEN="")
        self.assertIn("expected a role", self.command("second-factor", "require", "--role", "nobody", code=1).stderr)
        for words in ([], ["--none", "--role", "viewer"]):
            self.command("second-factor", "require", *words, code=2)

    def test_passkeys(self):
        """Those of somebody who has none; suite `passkeys` has a browser make some."""
        self.assertEqual(self.json("passkeys", "list"), [])
        self.assertIn("You have no passkey 'Laptop'", self.command("passkeys", "rename", "Laptop", "Desk", code=1).stderr)
        self.assertIn("passkeys list shows them", self.command("passkeys", "remove", "Laptop", code=1).stderr)

    def test_permissions_and_signing_keys(self):
        listed = self.json("permissions", "list")
        self.assertIn("*:*:*", [one["permission"] for one in listed])
        self.assertIn("platform-admin", self.command("permissions", "list").stdout)
        before = [one["kid"] for one in self.json("signing-keys", "list")]
        made = self.json("signing-keys", "rotate")["id"]
        self.assertEqual(sorted(one["kid"] for one in self.json("signing-keys", "list")), sorted([*before, made]))

    def test_providers_and_help(self):
        self.assertEqual(self.json("providers", "list"), [])
        for words in ("login", "logout", "me", "clients create", "clients list", "clients show", "clients update", "clients secret", "clients delete",
                      "providers list", "groups show", "groups update", "groups delete", "service-accounts show", "service-accounts update",
                      "users show", "users state", "users password", "users sessions", "second-factor set-up", "second-factor verify",
                      "second-factor remove", "second-factor reset", "second-factor show", "second-factor recovery-codes",
                      "second-factor policy", "second-factor require", "passkeys list", "passkeys rename", "passkeys remove",
                      "permissions list", "signing-keys list", "signing-keys rotate"):
            shown = self.command(*words.split(), "--help").stdout
            self.assertIn(f"Usage: passerelle {words}", shown)
            self.assertIn(f"Example:\n  passerelle {words}", shown)
            self.command(*words.split(), "--colour", code=2)
            self.assertNotRegex(shown, r"--(password|secret|token|code) ", "no secret is an argument")
        self.assertEqual(eventually(lambda: self.command("me").returncode == 0), True)
