"""Secrets and keys from outside: rotation of every level under load with SIGKILL, nothing in clear anywhere, a master key in a real OpenBao
(from PyPI), sealed starts, and imports.
"""

import base64
import http.server
import json
import os
import random
import ssl
import subprocess
import threading
import unittest
import urllib.parse

from foreign import call, end, is_ok, openbao
from postgres import Postgres
from processes import ClassScope, Platform, Settings, eventually, folder, free_base, run, spawn
from rest import Rest, document
from test_tls import Authority
from upstream import Upstream

# What is planted begins with this, so that one search finds any of it.
MARK = "planted-9d1f"
ROUNDS = 6


def planted(name, number):
    return f"{MARK}-{name}-{number:06d}"


def traces(needle):
    """Forms in which a value would be readable."""
    raw = needle.encode()
    # In base64 the text looks different by where it begins: the middle of each of the three.
    middles = []
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        middles.append(encoded[4:-4])
    return [raw, raw.hex().encode(), *middles]


def search(place, needles):
    """Files under a folder that hold any of it."""
    found = []
    for root, _, names in os.walk(place):
        for name in names:
            path = f"{root}/{name}"
            try:
                with open(path, "rb") as file:
                    text = file.read()
            except OSError:
                continue
            found += [f"{path}: {needle!r}" for needle in needles if needle in text]
    return found


class Writer(threading.Thread):
    """Gives secrets new values until stopped; knows what was acknowledged."""

    def __init__(self, name, platform, token):
        super().__init__(daemon=True)
        self.rest = Rest(platform.control_plane, token)
        self.secret = name
        self.number = 0
        self.acknowledged = None
        self.is_stopping = threading.Event()

    def run(self):
        while not self.is_stopping.is_set():
            self.number += 1
            value = planted(self.secret, self.number)
            try:
                answer = self.rest.request("PUT", f"/v1/tenants/acme/secrets/{self.secret}", {"value": value})
            except OSError:
                return
            except Exception:  # pylint: disable=broad-except
                return
            if answer.status in (200, 201):
                self.acknowledged = value
            elif answer.status >= 500 and answer.status != 503:
                raise AssertionError(answer)

    def stop(self):
        self.is_stopping.set()
        self.join(60)
        self.rest.close()


class SecretsCase(unittest.TestCase):
    def put(self, rest, path, body):
        answer = rest.request("PUT", path, body)
        self.assertIn(answer.status, (200, 201), answer)


class Rotations(SecretsCase):
    """What tests of rotation share."""

    def setUp(self):
        self.place = folder(self)
        self.random = random.Random(Settings.seed)

    def keep(self, rest, known, count):
        for number in range(count):
            value = planted("kept", number)
            self.put(rest, f"/v1/tenants/acme/secrets/kept-{number}", {"value": value})
            known[f"kept-{number}"] = [value]

    def rotate(self, platform, known, rounds):
        """The master keys there were."""
        masters = {self.master(platform)}
        for number in range(rounds):
            self.round(platform, known, number)
            masters.add(self.master(platform))
        # Once in peace: each kill may have come before there was another one.
        with platform.sign_in() as rest:
            rest.expect(202, "POST", "/v1/keys/rotations", {"level": "master"})
        masters.add(self.master(platform))
        self.assertGreater(len(masters), 1)
        return masters

    def said(self, platform):
        """All that its processes said, those that were killed, too."""
        with open(platform.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def needles(self, masters):
        """Forms in which a planted secret or a master key would be readable in a file."""
        needles = traces(MARK)
        for master in masters:
            needles += [master.hex().encode(), base64.b64encode(master)]
        return needles

    def credentials(self, platform, rest):
        """Has the platform make every kind of credential that it shows once, each with an idempotency key.

        They are gathered from the answers, and must be found in no file, as values of secrets must not. Users have passwords that begin
        with the mark.
        """
        shown = []

        def gather(value, name=""):
            if isinstance(value, dict):
                for key, one in value.items():
                    gather(one, key)
            elif isinstance(value, list):
                for one in value:
                    gather(one, name)
            elif name in ("key", "token", "secret", "client_secret", "private_key", "codes", "recovery_codes") and len(value) >= 8:
                shown.append(value)

        def made(path, body, status=201, who=rest):
            before = len(shown)
            for _ in range(2):
                answer = who.expect(status, "POST", path, body, {"Idempotency-Key": f"made-{path}"}).json
                if len(shown) == before:
                    gather(answer)
            self.assertGreater(len(shown), before, path)
            return answer

        password = planted("password", 1)
        rest.create("/v1/users", {"name": "ada", "password": password, "grants": [{"role": "devops", "tenant": "acme"}]})
        rest.create("/v1/tenants/acme/applications", {"name": "shop"})
        made("/v1/tenants/acme/applications/shop/keys", {})
        made("/v1/tokens", {"name": "laptop", "scopes": ["catalog:api:read"]})
        made("/v1/gateways/tokens", {"gateway_group": "default"})
        rest.create("/v1/service-accounts?tenant=acme", {"name": "ci", "roles": ["viewer"]})
        made("/v1/service-accounts/ci/tokens?tenant=acme", {"name": "first", "scopes": ["catalog:api:read"]})
        made("/v1/oauth-clients?tenant=acme", {
            "name": "site", "confidential": True, "grant_types": ["authorization_code"], "scopes": ["openid"],
            "redirect_uris": ["https://site.test/back"]})
        self.issued = made("/v1/tenants/acme/certificates", {"usage": "client", "common_name": "caller"})
        with platform.rest() as ada:
            ada.sign_in("ada", password)
            made("/v1/me/second-factor", {"password": password}, who=ada)
            shown.append(ada.token)
        # What is refused is not repeated.
        path = "/v1/tenants/acme/secrets/refused"
        for method, target, body, raw in (
                ("PUT", path, {"value": {"a": planted("error", 1)}}, None), ("PUT", path, {"valeu": planted("error", 2)}, None),
                ("PUT", path, {"value": MARK * 10_000}, None), ("PUT", path, None, f'{{"value": "{MARK}'.encode()),
                ("PUT", path.replace("acme", "nobody"), {"value": planted("error", 3)}, None),
                ("PUT", path + "_", {"value": planted("error", 4)}, None),
                ("POST", "/v1/sessions", {"name": "nobody", "password": planted("error", 5)}, None),
                ("POST", "/v1/users", {"name": "bob", "password": MARK}, None)):
            answer = rest.request(method, target, body, raw=raw)
            self.assertIn(answer.status // 100, (4,), answer)
            self.assertNotIn(MARK, answer.body.decode() + str(answer.fields), (method, target))
        found = []
        for one in shown:
            lines = [line for line in one.splitlines() if line and not line.startswith("-")]
            # Of tokens that are signed the end: what is before says who signs in, and is no secret.
            found.append((lines[len(lines) // 2] if len(lines) > 1 else one[-40:]).encode())
        return found

    def still_open(self, rest):
        """What else was sealed before works: authorities, second factors, who an audit entry is about, the key of checkpoints."""
        renewed = rest.expect(201, "POST", f"/v1/tenants/acme/certificates/{self.issued['id']}/renewal", {}).json
        self.assertEqual(renewed["authority"], self.issued["authority"])
        entries = rest.get("/v1/audit/entries?limit=200")["items"]
        addresses = [one["actor"]["ip"] for one in entries if one["actor"]["user_id"].startswith("usr")]
        self.assertEqual(set(addresses), {"127.0.0.1"})
        eventually(lambda: rest.request("GET", "/v1/audit/checkpoint").status == 200)

    def told(self, rest):
        """All that is told of it: events, metrics, tasks, and exports of the tenant, of a person and of the audit log."""
        paths = ["/metrics", "/v1/tasks", "/v1/keys", "/v1/audit/entries", "/v1/audit/export", "/v1/audit/export?format=csv",
                 "/v1/tenants/acme/secrets", "/v1/tenants/acme/certificates", "/v1/users/ada", "/openapi.json"]
        paths += [f"/v1/events/{topic['topic']}?from=earliest&limit=500" for topic in rest.get("/v1/events")["items"]]
        text = "".join(rest.expect(200, "GET", path).body.decode() for path in paths)
        environment = {"PASSERELLE_TOKEN": rest.token}
        text += run("audit", "person", "ada", "--url", rest.url, environment=environment).stdout
        return text

    def round(self, platform, known, number):
        """Rotates under load, kills at some moment, and starts again."""
        rest = platform.sign_in()
        writers = [Writer(f"hot-{place}", platform, rest.token) for place in range(3)]
        for writer in writers:
            writer.start()
        level = ("data", "key-encrypting", "master")[number % 3]
        kill = threading.Timer(self.random.uniform(0.02, 0.6), platform.kill)
        kill.start()
        try:
            while True:
                rest.request("POST", "/v1/keys/rotations", {"level": level})
        except Exception:  # pylint: disable=broad-except
            pass
        kill.join()
        rest.close()
        for writer in writers:
            writer.stop()
            # The last one may have been written, or not; where none was acknowledged, what was there before may stand there still.
            before = [writer.acknowledged] if writer.acknowledged else known.get(writer.secret, [])
            known[writer.secret] = [*before, planted(writer.secret, writer.number)]
        # As it was left: with what is in write-ahead logs and half-written files.
        self.assertEqual(search(platform.data, traces(MARK) + self.shown), [])
        platform.start()
        with platform.sign_in() as rest:
            self.compare(rest, {name: values for name, values in known.items() if name.startswith("hot")})

    def master(self, platform):
        with open(f"{platform.data}/master.key", "rb") as file:
            return file.read()

    def renewed(self, rest):
        ring = rest.get("/v1/keys")
        return ring if ring["values_to_seal"] + ring["data_keys_to_wrap"] == 0 else None

    def compare(self, rest, known):
        """A value that is put again is no new version exactly when it is the one that is there."""
        for name, values in known.items():
            path = f"/v1/tenants/acme/secrets/{name}"
            before = rest.request("GET", path)
            if before.status == 404 and len(values) == 1 and name.startswith("hot"):
                continue
            unchanged = any(self.is_value(rest, path, value) for value in values)
            self.assertTrue(unchanged, f"{name} is none of {values}")

    def is_value(self, rest, path, value):
        version = rest.get(path)["version"]
        if rest.expect(200, "PUT", path, {"value": value}).json["version"] == version:
            return True
        rest.expect(200, "POST", f"{path}/rollback", {"version": version})
        return False


class RotationTests(Rotations):
    def test_rotation_under_load_with_sigkill_loses_nothing_and_leaves_nothing_in_clear(self):
        key = f"{self.place}/backup.key"
        with open(key, "w", encoding="ascii") as file:
            file.write("a passphrase for backups\n")
        platform = Platform(
            self, f"{self.place}/data",
            arguments=("--backup-folder", f"{self.place}/backups", "--backup-key-file", key)).start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        known = {}
        self.keep(rest, known, 300)
        self.shown = self.credentials(platform, rest)
        masters = self.rotate(platform, known, ROUNDS)
        rest = platform.sign_in()
        self.addCleanup(rest.close)
        ring = eventually(lambda: self.renewed(rest), seconds=60)
        self.assertFalse(ring["sealed"])
        self.compare(rest, known)
        # Tokens signed before still are: signing keys open as everything does.
        self.assertEqual(rest.request("GET", "/v1/me").status, 200)
        self.still_open(rest)
        made = rest.expect(202, "POST", "/v1/backups", {}).json
        eventually(lambda: rest.get(f"/v1/backups/{made['id']}")["state"] == "done", seconds=60)
        # An export of the tenant lies in the data folder.
        export = rest.expect(202, "POST", "/v1/tenants/acme/exports").json
        eventually(lambda: rest.get(f"/v1/tenants/acme/exports/{export['id']}")["state"] == "ready", seconds=60)
        told = self.told(rest)
        for needle in [MARK, *(one.decode() for one in self.shown)]:
            self.assertNotIn(needle, told)
        needles = self.needles(masters) + self.shown
        self.assertEqual(search(platform.data, needles), [], "while it runs")
        with open(f"/proc/{platform.process.pid}/limits", encoding="ascii") as limits:
            self.assertRegex(limits.read(), r"Max core file size +0 +0 ")
        platform.stop()
        self.assertEqual(search(platform.data, needles), [])
        self.assertEqual(search(f"{self.place}/backups", needles + list(masters)), [])
        self.assertEqual(search(self.place, needles), [], "also in what it left beside")
        self.assertFalse([needle for needle in needles if needle.decode() in self.said(platform)])
        # A search that finds nothing must be able to find something.
        with open(f"{self.place}/data/probe", "wb") as file:
            file.write(b"x" + base64.b64encode(b"ab" + planted("probe", 1).encode()))
        self.assertEqual(len(search(platform.data, needles)), 1)


class PostgreSQLRotationTests(Rotations):
    """The same with PostgreSQL: what it stores, logs and dumps has nothing in clear."""

    def test_rotation_with_sigkill_on_postgresql(self):
        server = Postgres(self)
        platform = Platform(
            self, f"{self.place}/data", environment={"PASSERELLE_STORE_URL": server.create("app")}).start()
        known = {}
        with platform.sign_in("acme") as rest:
            self.keep(rest, known, 50)
            self.shown = self.credentials(platform, rest)
        # Each level once.
        masters = self.rotate(platform, known, 3)
        with platform.sign_in() as rest:
            self.compare(rest, known)
            self.assertFalse(rest.get("/v1/keys")["sealed"])
            self.still_open(rest)
            told = self.told(rest)
            self.assertFalse([needle for needle in (MARK.encode(), *self.shown) if needle.decode() in told])
        platform.stop()
        needles = self.needles(masters) + self.shown
        dump = server.dump("app")
        self.assertIn("secret_versions", dump)
        for needle in needles:
            self.assertNotIn(needle.decode(), dump)
        self.assertEqual(search(platform.data, needles), [])
        self.assertEqual(search(server.folder, needles), [])
        self.assertNotIn(MARK, self.said(platform))


class OpenBao:
    """A server with its storage on disk, so that it can be killed and comes back sealed."""

    def __init__(self, case, programs):
        self.case = case
        self.programs = programs
        self.port = free_base()
        self.base = f"http://127.0.0.1:{self.port}"
        self.storage = folder(case)
        self.process = None
        self.start()
        made = json.loads(call(f"{self.base}/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}, method="PUT")[2])
        self.key, self.token = made["keys"][0], made["root_token"]
        self.unseal()

    def start(self):
        path = f"{self.storage}/bao.hcl"
        os.makedirs(f"{self.storage}/data", exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""
storage "raft" {{
  path = "{self.storage}/data"
  node_id = "one"
}}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  cluster_address = "127.0.0.1:{self.port + 1}"
  tls_disable = true
}}
api_addr = "{self.base}"
cluster_addr = "https://127.0.0.1:{self.port + 1}"
disable_mlock = true
""")
        self.process = spawn(
            [f"{self.programs}/bao", "server", f"-config={path}", "-log-level=error"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self.storage})
        self.case.addCleanup(end, self.process)
        eventually(self.answers, seconds=60)

    def answers(self):
        try:
            return call(f"{self.base}/v1/sys/seal-status")[0] == 200
        except OSError:
            return False

    def unseal(self):
        call(f"{self.base}/v1/sys/unseal", {"key": self.key}, method="PUT")
        eventually(lambda: is_ok(f"{self.base}/v1/sys/health"), seconds=60)

    def post(self, path, body):
        """Waits where a new engine is not ready yet."""
        def tried():
            status, _, text = call(f"{self.base}/v1/{path}", body, {"X-Vault-Token": self.token}, "POST")
            if status >= 300 and "resume service shortly" not in text:
                raise AssertionError(f"{path}: {text}")
            return (text,) if status < 300 else None

        text = eventually(tried, seconds=60)[0]
        return json.loads(text) if text else None


class OpenBaoTests(SecretsCase):
    """The master key in the transit engine of a real OpenBao, and imports from its KV engine."""

    @classmethod
    def setUpClass(cls):
        scope = ClassScope(cls)
        cls.bao = OpenBao(scope, openbao())
        cls.bao.post("sys/mounts/transit", {"type": "transit"})
        cls.bao.post("sys/policies/acl/passerelle", {"policy": "\n".join(
            f'path "transit/{path}" {{ capabilities=["update"] }}'
            for path in ("encrypt/+", "decrypt/+", "keys/+/rotate"))})
        cls.bao.post("sys/auth/approle", {"type": "approle"})

    def setUp(self):
        self.place = folder(self)
        self.key = f"key-{os.path.basename(self.place)}"
        self.bao.post(f"transit/keys/{self.key}", {})
        made = self.bao.post("auth/token/create", {"policies": ["passerelle"], "no_parent": True})
        self.token_file = f"{self.place}/bao.token"
        with open(self.token_file, "w", encoding="ascii") as file:
            file.write(made["auth"]["client_token"] + "\n")
        self.arguments = (
            "--keys-url", f"openbao+{self.bao.base}/transit/{self.key}", "--keys-token-file", self.token_file)

    def sign_in(self, platform, tenant=None):
        rest = platform.sign_in(tenant)
        self.addCleanup(rest.close)
        return rest

    def test_a_master_key_in_openbao_and_its_outage(self):
        platform = Platform(self, f"{self.place}/data", arguments=self.arguments).start()
        rest = self.sign_in(platform, "acme")
        self.put(rest, "/v1/tenants/acme/secrets/one", {"value": planted("bao", 1)})
        self.assertFalse(os.path.exists(f"{platform.data}/master.key"))
        self.assertEqual(rest.get("/v1/keys")["master"], f"transit:transit/{self.key}")
        # The key rotates there, and wraps anew here.
        task = rest.expect(202, "POST", "/v1/keys/rotations", {"level": "master"}).json
        eventually(lambda: rest.get(f"/v1/tasks/{task['id']}")["state"] == "done")
        status, _, text = call(f"{self.bao.base}/v1/transit/keys/{self.key}", fields={"X-Vault-Token": self.bao.token})
        self.assertEqual((status, json.loads(text)["data"]["latest_version"]), (200, 2))
        # Away: nothing is missed while the ring is open.
        end(self.bao.process)
        self.assertEqual(rest.request("PUT", "/v1/tenants/acme/secrets/one", {"value": planted("bao", 2)}).status, 200)
        self.assertEqual(rest.expect(503, "POST", "/v1/keys/rotations", {"level": "master"}).json["status"], 503)
        # Sealed meanwhile, it stays so, and says why.
        rest.expect(200, "POST", "/v1/keys/seal")
        self.assertIn("does not answer", rest.expect(503, "POST", "/v1/keys/unseal").json["detail"])
        self.assertTrue(rest.get("/v1/keys")["sealed"])
        platform.stop()
        # Without it the platform starts sealed, says so, and can be stopped.
        platform.start(ready=False)
        detail = eventually(lambda: self.sealed(platform), seconds=60)
        self.assertIn("does not answer", detail)
        self.assertEqual(json.loads(call(f"{platform.control_plane}/healthz")[2])["status"], "sealed")
        platform.stop()
        platform.start(ready=False)
        eventually(lambda: self.sealed(platform), seconds=60)
        self.bao.start()
        eventually(lambda: "sealed" in (self.sealed(platform) or "").lower(), seconds=60)
        self.bao.unseal()
        platform.wait_until_ready()
        rest = self.sign_in(platform)
        before = rest.get("/v1/tenants/acme/secrets/one")["version"]
        self.assertEqual(rest.expect(200, "PUT", "/v1/tenants/acme/secrets/one", {"value": planted("bao", 2)}).json["version"], before)
        # Sealed by hand, and opened again.
        rest.expect(200, "POST", "/v1/keys/seal")
        self.assertEqual(rest.request("PUT", "/v1/tenants/acme/secrets/one", {"value": "x"}).status, 503)
        rest.expect(200, "POST", "/v1/keys/unseal")
        self.assertEqual(rest.request("PUT", "/v1/tenants/acme/secrets/one", {"value": "x"}).status, 200)
        platform.stop()
        with open(self.token_file, encoding="ascii") as file:
            token = file.read().strip().encode()
        self.assertEqual(search(platform.data, traces(MARK) + [token]), [])
        self.assertNotIn(token.decode(), platform.log())

    def sealed(self, platform):
        try:
            status, _, text = call(f"{platform.control_plane}/readyz")
        except OSError:
            return None
        return json.loads(text)["detail"] if status == 503 and "sealed" in text else None

    def role(self, policy):
        """Flags of an AppRole with that policy, whose tokens live shortly."""
        name = f"role-{self.key}"
        self.bao.post(f"auth/approle/role/{name}", {"token_policies": [policy], "token_ttl": "2s", "token_max_ttl": "1h"})
        _, _, text = call(f"{self.bao.base}/v1/auth/approle/role/{name}/role-id", fields={"X-Vault-Token": self.bao.token})
        file = f"{self.place}/secret-id"
        with open(file, "w", encoding="ascii") as secret:
            secret.write(self.bao.post(f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"] + "\n")
        return json.loads(text)["data"]["role_id"], file

    def test_signs_in_by_a_role_and_renews_a_token(self):
        role, file = self.role("passerelle")
        url = ("--keys-url", f"openbao+{self.bao.base}/transit/{self.key}")
        platform = Platform(self, f"{self.place}/data", arguments=(
            *url, "--keys-role-id", role, "--keys-secret-id-file", file)).start()
        rest = self.sign_in(platform, "acme")
        for _ in range(3):
            # Also after the token of before has ended: with each try another one may be needed.
            rest.expect(202, "POST", "/v1/keys/rotations", {"level": "master"})
            accessors = json.loads(call(f"{self.bao.base}/v1/auth/token/accessors?list=true",
                                        fields={"X-Vault-Token": self.bao.token})[2])["data"]["keys"]
            for accessor in accessors:
                shown = self.bao.post("auth/token/lookup-accessor", {"accessor": accessor})["data"]
                if shown["path"].startswith("auth/approle"):
                    self.bao.post("auth/token/revoke-accessor", {"accessor": accessor})
        platform.stop()
        with open(file, encoding="ascii") as secret:
            needle = secret.read().strip()
        self.assertEqual(search(platform.data, [needle.encode()]), [])
        self.assertNotIn(needle, platform.log())
        # A secret id that is wrong, and flags that do not go together.
        with open(file, "w", encoding="ascii") as secret:
            secret.write("none\n")
        base = str(free_base())
        refused = run("serve", "--data", platform.data, "--port-base", base, *platform.arguments)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("The master key is refused: OpenBao answered 400", refused.stderr)
        for more, says in ((("--keys-role-id", role), "belong together"),
                           ((*platform.arguments[2:], "--keys-token-file", file), "two ways to sign in"),
                           ((*platform.arguments[2:], "--keys-namespace", "../a"), "expected letters")):
            done = run("serve", "--data", platform.data, "--port-base", base, *url, *more)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(says, done.stderr)
        # The token of a file is renewed, without being needed.
        platform.arguments = self.arguments
        platform.start()
        with open(self.token_file, encoding="ascii") as token:
            shown = {"token": token.read().strip()}
        eventually(lambda: self.bao.post("auth/token/lookup", shown)["data"].get("last_renewal"), seconds=60)

    def test_moves_from_a_file_to_openbao_and_back(self):
        platform = Platform(self, f"{self.place}/data").start()
        rest = self.sign_in(platform, "acme")
        self.put(rest, "/v1/tenants/acme/secrets/one", {"value": planted("moved", 1)})
        platform.stop()
        old = f"{self.place}/old.key"
        os.rename(f"{platform.data}/master.key", old)
        platform.arguments = [*self.arguments, "--keys-old-url", f"file:{old}"]
        platform.start()
        platform.stop()
        os.remove(old)
        platform.arguments = list(self.arguments)
        platform.start()
        rest = self.sign_in(platform)
        self.assertEqual(rest.expect(200, "PUT", "/v1/tenants/acme/secrets/one", {"value": planted("moved", 1)}).json["version"], 1)
        platform.stop()
        # A token that is refused ends the start, and says why; so does another key than the data needs.
        with open(self.token_file, "w", encoding="ascii") as file:
            file.write("none\n")
        base = str(free_base())
        refused = run("serve", "--data", platform.data, "--port-base", base, *self.arguments)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("The master key is refused: OpenBao answered 403", refused.stderr)
        other = run("serve", "--data", platform.data, "--port-base", base, "--keys-url", "env:NEW_KEY",
                    environment={"NEW_KEY": "0f" * 32})
        self.assertEqual(other.returncode, 1)
        self.assertIn(f"wrapped with the master key transit:transit/{self.key}", other.stderr)

    def test_imports_from_a_kv_engine(self):
        self.bao.post("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        self.bao.post("secret/data/apps/crm", {"data": {"token": planted("kv", 1), "API.Key": planted("kv", 2)}})
        self.bao.post("secret/data/apps/mail/smtp", {"data": {"password": planted("kv", 3)}})
        platform = Platform(self, f"{self.place}/data").start()
        rest = self.sign_in(platform, "acme")
        root = f"{self.place}/root.token"
        with open(root, "w", encoding="ascii") as file:
            file.write(self.bao.token)
        done = run("secrets", "import", "vault", self.bao.base, "apps/", "--token-file", root, "--prefix", "bao/", "--tenant", "acme",
                   environment={"PASSERELLE_URL": platform.control_plane, "PASSERELLE_TOKEN": rest.token})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(MARK, done.stdout + done.stderr)
        names = [one["name"] for one in rest.all("/v1/tenants/acme/secrets")]
        self.assertEqual(names, ["bao-apps-crm-api-key", "bao-apps-crm-token", "bao-apps-mail-smtp-password"])
        for name, number in zip(names, (2, 1, 3)):
            self.assertEqual(
                rest.expect(200, "PUT", f"/v1/tenants/acme/secrets/{name}", {"value": planted("kv", number)}).json["version"], 1)
        # Version 1, in a namespace, and read as a role.
        self.bao.post("sys/namespaces/team", {})
        self.bao.post("team/sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
        self.bao.post("team/old/apps/crm", {"token": planted("kv", 4)})
        self.bao.post("sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
        self.bao.post("old/apps/crm", {"token": planted("kv", 5)})
        self.bao.post("sys/policies/acl/reader", {"policy": 'path "old/*" { capabilities=["read","list"] }'})
        role, file = self.role("reader")
        for name, number, flags in (
                ("team-apps-crm-token", 4, ("--namespace", "team", "--token-file", root)),
                ("role-apps-crm-token", 5, ("--role-id", role, "--secret-id-file", file))):
            done = run("secrets", "import", "vault", self.bao.base, "apps/", "--mount", "old", "--kv-version", "1", *flags,
                       "--prefix", name[:5], "--tenant", "acme",
                       environment={"PASSERELLE_URL": platform.control_plane, "PASSERELLE_TOKEN": rest.token})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(
                rest.expect(200, "PUT", f"/v1/tenants/acme/secrets/{name}", {"value": planted("kv", number)}).json["version"], 1)
        missing = run("secrets", "import", "vault", self.bao.base, "apps/none", "--token-file", root, "--tenant", "acme",
                      environment={"PASSERELLE_URL": platform.control_plane, "PASSERELLE_TOKEN": rest.token})
        self.assertEqual(missing.returncode, 1)
        self.assertIn("answered 404", missing.stderr)


class GatewayTests(SecretsCase):
    """`secret://` in an API: the value reaches the upstream through both gateways and stands nowhere in clear."""

    def test_a_reference_opens_at_the_gateways_alone(self):
        place = folder(self)
        upstream = Upstream(self)
        platform = Platform(self, f"{place}/data", arguments=["--gateway-id", "first"]).start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        apart = Platform(self, f"{place}/apart", arguments=[
            "--services", "gateway", "--control-plane", platform.control_plane, "--gateway-id", "second",
            "--gateway-token-file", f"{platform.data}/gateway.token", "--keys-url", "env:EDGE_KEY"],
                         environment={"EDGE_KEY": "0f" * 32}).start()
        eventually(lambda: len([one for one in rest.all("/v1/gateways") if one["state"] == "live"]) == 2)
        rest.create("/v1/tenants/acme/apis", {
            "document": document(), "upstream": upstream.url, "authentication": "none",
            "policies": [{"headers": {"request": {"set": {"X-Upstream-Token": "Bearer secret://crm-token"}}}}]})
        path = "/v1/tenants/acme/apis/orders/deployments"
        refused = rest.expect(409, "POST", path, {"environment": "dev"}).json
        self.assertIn("secret://crm-token", refused["detail"])
        self.put(rest, "/v1/tenants/acme/secrets/crm-token", {"value": planted("link", 1)})
        self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        for gateway in (platform, apart):
            self.assertEqual(self.sent(gateway, upstream), "Bearer " + planted("link", 1))
        self.assertIn("orders", rest.expect(409, "DELETE", "/v1/tenants/acme/secrets/crm-token").json["detail"])
        self.assertEqual(
            rest.get("/v1/tenants/acme/secrets/crm-token/references"), {"items": [{"kind": "api", "name": "orders"}]})
        # A new version reaches both without a deployment.
        self.put(rest, "/v1/tenants/acme/secrets/crm-token", {"value": planted("link", 2)})
        for gateway in (platform, apart):
            eventually(lambda gateway=gateway: self.sent(gateway, upstream) == "Bearer " + planted("link", 2))
        # The gateway apart starts without its control plane, from its disk, where the value is sealed to its own key.
        apart.stop()
        platform.stop()
        apart.start()
        eventually(lambda: self.sent(apart, upstream) == "Bearer " + planted("link", 2))
        self.assertEqual(search(place, [*traces(MARK), b"PRIVATE KEY"]), [])
        # Who loses the key gets the secrets again.
        apart.stop()
        os.remove(f"{apart.data}/gateway/gateway.key")
        platform.start()
        apart.start()
        for gateway in (platform, apart):
            eventually(lambda gateway=gateway: self.sent(gateway, upstream) == "Bearer " + planted("link", 2))
        for one in (platform, apart):
            one.stop()
            self.assertNotIn(MARK, one.log())
        self.assertEqual(search(place, traces(MARK)), [])

    def sent(self, gateway, upstream):
        """What the upstream gets through a gateway; None when nothing answers."""
        upstream.fields = None
        with Rest(gateway.gateway) as rest:
            if rest.request("GET", "/shop/orders").status != 200:
                return None
        return upstream.fields["X-Upstream-Token"]


class UpstreamCertificateTests(SecretsCase):
    """An API whose target, OpenSSL's own server, takes only those who show a certificate: the gateway's key is a secret."""

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.place, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def certificate(self, name, *extensions):
        """Chain and key of a certificate of the authority, as one text."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                     "-out", f"{name}.csr", "-subj", f"/CN={name}")
        with open(f"{self.place}/{name}.ext", "w", encoding="ascii") as file:
            file.write("\n".join(extensions) + "\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
                     "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        return self.text(f"{name}.pem") + self.text(f"{name}.key")

    def text(self, name):
        with open(f"{self.place}/{name}", encoding="ascii") as file:
            return file.read()

    def test_a_target_that_demands_a_certificate(self):
        self.place = folder(self)
        place = folder(self)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     "authority.key", "-out", "authority.pem", "-days", "2", "-subj", "/CN=authority")
        self.certificate("server", "subjectAltName=IP:127.0.0.1")
        first = self.certificate("gateway-one", "extendedKeyUsage=clientAuth")
        second = self.certificate("gateway-two", "extendedKeyUsage=clientAuth")
        port = free_base()
        server = spawn(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-www", "-Verify", "1",
                        "-verify_return_error", "-cert", f"{self.place}/server.pem", "-key", f"{self.place}/server.key",
                        "-CAfile", f"{self.place}/authority.pem"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(end, server)
        platform = Platform(self, f"{place}/data").start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)

        def answer():
            with Rest(platform.gateway) as client:
                reply = client.request("GET", "/shop/orders")
                return reply.status, reply.body

        tls = {"authorities": self.text("authority.pem")}
        upstream = {"targets": [{"url": f"https://127.0.0.1:{port}"}], "tls": tls, "passive_health": {"failures": 1000}}
        rest.create("/v1/tenants/acme/apis", {
            "document": document(), "authentication": "none", "gateway": {"upstream": upstream}})
        self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        self.assertEqual(answer()[0], 502)
        tls["certificate"] = {"cert_pem": "secret://client", "key_pem": self.text("gateway-one.key")}
        refused = rest.expect(400, "POST", "/v1/tenants/acme/apis/orders/revisions", {"gateway": {"upstream": upstream}})
        self.assertIn("/gateway/upstream/tls/certificate/key_pem", json.dumps(refused.json))
        tls["certificate"]["key_pem"] = "secret://client"
        self.put(rest, "/v1/tenants/acme/secrets/client", {"value": first})
        rest.expect(201, "POST", "/v1/tenants/acme/apis/orders/revisions", {
            "authentication": "none", "gateway": {"upstream": upstream}})
        self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        status, body = answer()
        self.assertEqual(status, 200)
        self.assertIn(b"gateway-one", body)
        # A new version of the secret is shown without a deployment.
        self.put(rest, "/v1/tenants/acme/secrets/client", {"value": second})
        eventually(lambda: b"gateway-two" in answer()[1])
        # A value that is none changes nothing that works, and a deployment says what is wrong with it, but not what it holds.
        self.put(rest, "/v1/tenants/acme/secrets/broken", {"value": planted("pem", 1)})
        tls["certificate"] = {"cert_pem": "secret://broken", "key_pem": "secret://broken"}
        rest.expect(201, "POST", "/v1/tenants/acme/apis/orders/revisions", {
            "authentication": "none", "gateway": {"upstream": upstream}})
        failed = rest.deploy("acme", "orders")
        self.assertEqual(failed["state"], "failed")
        for expected in ("upstream.tls.certificate.cert_pem: expected certificates in PEM",
                         "upstream.tls.certificate.key_pem: expected an unencrypted private key in PEM"):
            self.assertIn(expected, failed["detail"])
        self.assertNotIn(MARK, json.dumps(failed))
        self.assertIn(b"gateway-two", answer()[1])
        self.put(rest, "/v1/tenants/acme/secrets/client", {"value": planted("pem", 2)})
        eventually(lambda: "upstream.tls.certificate.cert_pem" in json.dumps(rest.all("/v1/gateways")))
        self.assertIn(b"gateway-two", answer()[1])
        self.put(rest, "/v1/tenants/acme/secrets/client", {"value": first})
        eventually(lambda: b"gateway-one" in answer()[1])
        platform.stop()
        self.assertNotIn(MARK, platform.log())
        for key in ("gateway-one.key", "gateway-two.key"):
            self.assertEqual(search(place, [self.text(key).splitlines()[1].encode()]), [])


class Cluster(http.server.BaseHTTPRequestHandler):
    """As much of a Kubernetes API server as lists secrets: pages, tokens, and Status objects for what is refused."""

    TOKEN = "a.service.account"
    objects = []
    pages = 0

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(target.query, strict_parsing=True))
        if self.headers["Authorization"] != f"Bearer {self.TOKEN}":
            return self.answer(401, {"kind": "Status", "message": "Unauthorized"})
        if target.path != "/api/v1/namespaces/crm/secrets":
            return self.answer(403, {"kind": "Status", "message": "secrets is forbidden"})
        first = int(query.get("continue", "0"))
        key, _, value = query.get("labelSelector", "").partition("=")
        chosen = [one for one in self.objects if not key or one["metadata"]["labels"].get(key) == value]
        type(self).pages += 1
        metadata = {"resourceVersion": "1"}
        if first + 2 < len(chosen):
            metadata["continue"] = str(first + 2)
        return self.answer(200, {"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": chosen[first:first + 2]})

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


class CommandTests(SecretsCase):
    """The command line: values from standard input and files; imports of manifests (a file stands for the cluster) and folders."""

    def setUp(self):
        self.place = folder(self)
        self.platform = Platform(self, f"{self.place}/data").start()
        self.rest = self.platform.sign_in("acme")

    def command(self, *arguments, code=0, **options):
        done = run(*arguments, "--tenant", "acme", environment={
            "PASSERELLE_URL": self.platform.control_plane, "PASSERELLE_TOKEN": self.rest.token}, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn(MARK, done.stdout + done.stderr)
        return done

    def is_value(self, name, value):
        path = f"/v1/tenants/acme/secrets/{name}"
        version = self.rest.get(path)["version"]
        return self.rest.expect(200, "PUT", path, {"value": value}).json["version"] == version

    def test_values_come_from_standard_input_and_files(self):
        self.command("secrets", "set", "piped", input=planted("pipe", 1) + "\n")
        self.assertTrue(self.is_value("piped", planted("pipe", 1)))
        many = "-----BEGIN\n" + planted("file", 1) + "\n-----END"
        with open(f"{self.place}/value", "w", encoding="utf-8") as file:
            file.write(many + "\n")
        self.command("secrets", "set", "lines", "--file", f"{self.place}/value", "--description", "two lines")
        self.assertTrue(self.is_value("lines", many))
        self.command("secrets", "set", "piped", input=planted("pipe", 2))
        self.command("secrets", "rollback", "piped", "--to", "1")
        self.assertTrue(self.is_value("piped", planted("pipe", 1)))
        shown = self.command("secrets", "show", "piped", "--output", "json").stdout
        self.assertEqual([one["version"] for one in json.loads(shown)["versions"]], [3, 2, 1])
        self.command("secrets", "destroy", "piped", "--version", "2")
        self.command("secrets", "delete", "piped")
        self.assertEqual(self.rest.request("GET", "/v1/tenants/acme/secrets/piped").status, 404)
        self.command("secrets", "set", "piped", "an argument", code=2, input="")
        self.command("keys", "rotate", "data")
        self.assertFalse(json.loads(self.command("keys", "show", "--output", "json").stdout)["sealed"])
        self.assertTrue(self.is_value("lines", many))

    def test_values_of_the_settings_file_stand_for_secrets_of_the_platform(self):
        settings = f"{self.place}/settings.yaml"
        with open(settings, "w", encoding="utf-8") as file:
            file.write("limits:\n  url: redis://127.0.0.1:1\n  password: secret://redis\n")
        checked = run("config", "check", settings)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.command("secrets", "set", "redis", "--platform", input=planted("platform", 1))
        listed = json.loads(self.command("secrets", "list", "--platform", "--output", "json").stdout)
        self.assertEqual([one["name"] for one in listed], ["redis"])
        self.assertEqual(self.rest.all("/v1/tenants/acme/secrets"), [])
        self.platform.stop()
        self.platform.arguments = ["--config", settings]
        self.platform.start()
        self.assertNotIn(MARK, self.platform.log())
        self.rest = self.platform.sign_in()
        used = json.loads(self.command("secrets", "references", "redis", "--platform", "--output", "json").stdout)
        self.assertEqual(used, [{"kind": "setting", "name": "/limits/password"}])
        self.assertIn("/limits/password", self.command("secrets", "delete", "redis", "--platform", code=1).stderr)
        # What is read is the value: one that is too long is refused, without being shown.
        self.command("secrets", "set", "redis", "--platform", input=MARK * 1000)
        self.platform.stop()
        with open(settings, "a", encoding="utf-8") as file:
            file.write("identity:\n  providers:\n    - {name: staff, issuer: https://a.test, client_secret: secret://none}\n")
        for expected in (f"{settings}:6:60: /identity/providers/0/client_secret: the platform has no secret 'none'",
                         f"{settings}:3:13: /limits/password: "):
            self.platform.start(ready=False)
            self.assertEqual(self.platform.wait(), 1 if "none" in expected else 2)
            self.assertIn(expected, self.platform.log())
            self.assertNotIn(MARK, self.platform.log())
            with open(settings, "w", encoding="utf-8") as file:
                file.write("limits:\n  url: redis://127.0.0.1:1\n  password: 'as a part, secret://redis'\n")
        # Needed before anything can be opened, and what is no reference.
        for text, expected in (
                ("store: {url: secret://place}", ":1:14: /store/url: expected the value itself: the store holds the secrets"),
                ("store: {url: 'postgresql://a:secret://place@b/c'}", "PASSERELLE_STORE_URL, or into a file that store.url_file"),
                ("keys: {url: 'env:secret://place'}", ":1:13: /keys/url: expected the value itself: the master key opens"),
                ("listen: {https: {address: 'a:1', certificates: [{cert: a, key: secret://key}]}}",
                 "/listen/https/certificates/0/key: expected the value itself: gateways start without"),
                ("tls: {certificate: {cert: a.pem, key: 'of secret://key'}}", "/tls/certificate/key: expected a file, or one secret"),
                ("tls: {certificate: own, names: [secret://name]}", "/tls/names/0: expected the value itself: secrets stand in"),
                ("limits: {url: 'redis://a:1', password: secret://Redis}", "/limits/password: expected the name of a secret"),
                ("limits: {url: 'redis://a:1', password: secret://redis@2}", "/limits/password: expected no version")):
            with open(settings, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            with self.subTest(text):
                refused = run("config", "check", settings)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(expected, refused.stderr)

    def test_secrets_of_a_cluster_are_imported_page_by_page(self):
        """A server that is written from the API's description stands for the cluster's."""
        authority = Authority(self.place)
        certificate, key = authority.issue("cluster", "cluster", ["localhost"])
        Cluster.objects = [
            {"metadata": {"name": f"crm-{number}", "labels": {"app": "ab"[number % 2]}}, "type": "Opaque",
             "data": {"token": base64.b64encode(planted("cluster", number).encode()).decode()}} for number in range(5)]
        Cluster.objects.append({
            "metadata": {"name": "default-token", "labels": {}}, "type": "kubernetes.io/service-account-token",
            "data": {"token": base64.b64encode(b"of the cluster").decode()}})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        token = f"{self.place}/token"
        with open(token, "w", encoding="ascii") as file:
            file.write(Cluster.TOKEN)
        address = f"https://localhost:{server.server_address[1]}"

        def imported(*more, namespace="crm", code=0):
            return self.command("secrets", "import", "cluster", address, namespace, "--token-file", token, *more, code=code)

        self.assertIn("certificate", imported(code=1).stderr)
        trusted = ("--ca-file", authority.file)
        self.assertIn("answered 403. secrets is forbidden", imported(*trusted, namespace="other", code=1).stderr)
        imported(*trusted, "--selector", "app=b")
        self.assertEqual([one["name"] for one in self.rest.all("/v1/tenants/acme/secrets")], ["crm-1-token", "crm-3-token"])
        before = Cluster.pages
        imported(*trusted)
        self.assertEqual(Cluster.pages - before, 3)
        for number in range(5):
            self.assertTrue(self.is_value(f"crm-{number}-token", planted("cluster", number)))
        self.assertEqual(len(self.rest.all("/v1/tenants/acme/secrets")), 5)
        with open(token, "w", encoding="ascii") as file:
            file.write("another")
        self.assertIn("answered 401", imported(*trusted, code=1).stderr)

    def test_manifests_and_folders_are_imported_whole_or_not_at_all(self):
        one, two, three = (planted("kube", number) for number in (1, 2, 3))
        manifest = f"""# kubectl get secrets -o yaml
apiVersion: v1
kind: Secret
metadata: {{name: crm}}
type: Opaque
data:
  token: {base64.b64encode(one.encode()).decode()}
stringData:
  Client_Secret: {two}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: no-secret}}
data: {{a: b}}
---
apiVersion: v1
kind: List
items:
  - kind: Secret
    metadata: {{name: mail}}
    data: {{password: {base64.b64encode(three.encode()).decode()}}}
"""
        path = f"{self.place}/secrets.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(manifest)
        self.command("secrets", "import", "kubernetes", path, "--dry-run")
        self.assertEqual(self.rest.all("/v1/tenants/acme/secrets"), [])
        self.command("secrets", "import", "kubernetes", path)
        for name, value in (("crm-token", one), ("crm-client-secret", two), ("mail-password", three)):
            self.assertTrue(self.is_value(name, value), name)
        with open(path, "a", encoding="utf-8") as file:
            file.write("---\nkind: Secret\nmetadata: {name: bad}\ndata: {key: '*not base64*'}\n")
        self.assertIn("bad/key: expected base64", self.command("secrets", "import", "kubernetes", path, code=1).stderr)
        files = f"{self.place}/files"
        os.makedirs(files)
        for name, value in (("db_password", one), (".hidden", two), ("tls.key", three + "\n")):
            with open(f"{files}/{name}", "w", encoding="utf-8") as file:
                file.write(value)
        self.command("secrets", "import", "files", files, "--prefix", "run-")
        self.assertTrue(self.is_value("run-db-password", one))
        self.assertTrue(self.is_value("run-tls-key", three))
        with open(f"{files}/db.password", "w", encoding="utf-8") as file:
            file.write(two)
        self.assertIn("would both become", self.command("secrets", "import", "files", files, code=1).stderr)


if __name__ == "__main__":
    unittest.main()
