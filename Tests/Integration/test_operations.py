"""Every operation of /openapi.json with generated requests, good and bad: never a failure of the platform, never a bad body taken, and every
answer as the document says. A short run has one seed for all times; with `--rounds` of more than SHORT it is `--seed`, and every operation
has so many turns."""

import json
import random
import re
import time
import unittest
import urllib.parse

import test_isolation
from generated import Maker, TEXTS, problem
from processes import ClassScope, Platform, Settings, folder
from rest import Rest
from test_tenancy import PASSWORD, Scene

# Operations that end what the others need: only refused requests of theirs are sent.
ENDS_THE_TEST = {
    "sealKeys": "seals the platform",
}
# Answers 503 for what they are asked to do, and why.
UNAVAILABLE = {
    "createBackup": "no folder for backups is set up",
    "getReadiness": "says what is not ready",
}
# In OAuth's own form (RFC 6749 section 5.2, RFC 6750), or pages for people.
OAUTH = re.compile(r"^/oauth2/|^/\.well-known/")
# An operation that was busy for so long has had its turn.
SECONDS_EACH = 0.6
# Up to so many rounds, as by default, a run is short.
SHORT, SHORT_ROUNDS, SHORT_SEED = 50, 8, 1
# Of each kind of problem and language; French titles are other words than the English ones.
TITLES = {}


class OperationTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        for name in ("assertEqual", "assertTrue"):
            setattr(cls.scope, name, getattr(unittest.TestCase(), name))
        cls.platform = Platform(cls.scope, f"{folder(cls.scope)}/data").start()
        cls.scene = Scene(cls.scope, cls.platform)
        cls.admin = cls.scene.rest
        cls.theirs = test_isolation.IsolationTests.identifiers.__func__(cls)
        cls.description = cls.admin.get("/openapi.json")
        cls.components = cls.description["components"]["schemas"]
        with open(f"{cls.platform.data}/gateway.token", encoding="ascii") as file:
            cls.gateway_token = file.read().strip()

    def setUp(self):
        self.is_short = Settings.rounds <= SHORT
        self.seed = SHORT_SEED if self.is_short else Settings.seed
        self.random = random.Random(self.seed)
        words = [word for word in self.theirs.values() if isinstance(word, str)]
        self.maker = Maker(self.random, [*words, "acme", "api-0", "dev", "prod", "gold", "viewer", "catalog:*:read"])
        self.spent = {}
        self.callers = {}

    def test_no_generated_request_makes_the_platform_fail_or_lie(self):
        operations = [
            (method.upper(), path, operation)
            for path, item in self.description["paths"].items() for method, operation in item.items()]
        rounds = SHORT_ROUNDS if self.is_short else Settings.rounds
        sent = 0
        for number in range(rounds):
            self.random.shuffle(operations)
            for method, path, operation in operations:
                if self.spent.get(operation["operationId"], 0) < SECONDS_EACH * rounds / SHORT_ROUNDS:
                    self.send(number, method, path, operation)
                    sent += 1
        self.assertGreater(sent, len(operations) * 4, "most operations had most of their turns")
        print(f"    {sent} requests to {len(operations)} operations, seed {self.seed}", flush=True)
        # Whatever was sent: it serves on, and the audit log is whole.
        self.assertEqual(self.admin.request("GET", "/readyz").status, 200)
        self.assertEqual(self.platform.log().count('"request failed"'), 0, self.platform.log()[-2000:])

    def caller(self, operation):
        """Who sends it: mostly somebody who may."""
        if operation["x-access"] == "gateway":
            return self.known("gateway", self.gateway_token)
        return self.known("admin", self.admin.token) if self.random.random() < 0.9 else self.known("nobody", None)

    def known(self, name, token):
        if name not in self.callers:
            self.callers[name] = Rest(self.platform.control_plane)
            self.addCleanup(self.callers[name].close)
        self.callers[name].token = token
        return self.callers[name]

    def send(self, number, method, path, operation):
        name = operation["operationId"]
        target = self.target(path, operation, number)
        raw, fields, is_bad = self.body(operation)
        fields.update(self.fields(method))
        if name in ENDS_THE_TEST:
            fields["Authorization"] = "Bearer nobody"
        caller = self.caller(operation)
        before = time.monotonic()
        answer = caller.request(method, target, raw=raw, fields=fields)
        self.spent[name] = self.spent.get(name, 0) + time.monotonic() - before
        if answer.status == 401 and caller.token == self.admin.token and name not in ENDS_THE_TEST:
            self.sign_in_again()
        with self.subTest(operation=name, method=method, target=target[:200], body=(raw or b"")[:400], fields=fields, seed=self.seed):
            self.judge(answer, method, path, operation, fields)
            if is_bad:
                self.assertTrue(400 <= answer.status < 500, f"a body that is not as described was taken: {answer}")

    def sign_in_again(self):
        """One of the requests ended the session."""
        if self.admin.request("GET", "/v1/me").status == 401:
            self.admin.token = None
            self.admin.sign_in("admin", self.platform.password)

    def target(self, path, operation, number):
        parameters = operation.get("parameters", [])
        for one in re.findall(r"\{([^}]+)\}", path):
            value = self.theirs.get(one, "1") if number % 2 == 0 or self.random.random() < 0.5 else self.maker.text()
            if one == "tenant" and self.random.random() < 0.8:
                value = "globex"
            path = path.replace("{" + one + "}", urllib.parse.quote(value or "-", safe=""))
        query = []
        for one in parameters:
            if one["in"] != "query" or not (one["required"] or self.random.random() < 0.3):
                continue
            if one["name"] == "tenant" and self.random.random() < 0.8:
                value = "globex"
            elif one["name"] == "wait":
                value = "0"
            elif self.random.random() < 0.8:
                value = self.maker.good(one["schema"], one["name"])
            else:
                value = self.maker.text()
            if isinstance(value, bool):
                value = str(value).lower()
            query.append((one["name"], value))
        if self.random.random() < 0.05:
            query.append((self.maker.text(), self.maker.text()))
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def body(self, operation):
        """The bytes, the fields that tell of them, and whether the document says that they must be refused."""
        content = operation.get("requestBody", {}).get("content", {})
        if not content:
            return None, {}, False
        if "application/json" not in content:
            kind = next(iter(content))
            form = urllib.parse.urlencode([(self.random.choice(FORM), self.maker.text()) for _ in range(self.random.randrange(6))])
            return (form.encode() if "form" in kind else self.maker.text().encode()), {"Content-Type": kind}, False
        schema = content["application/json"]["schema"]
        value = self.maker.good(schema)
        choice = self.random.random()
        if choice < 0.5:
            return json.dumps(value).encode(), {}, False
        if choice < 0.85:
            value = self.maker.spoilt(value)
            return json.dumps(value).encode(), {}, problem(schema, value) is not None
        if choice < 0.95:
            return self.maker.bytes(value), {}, False
        return json.dumps(value).encode(), {"Content-Type": self.random.choice(["text/plain", "application/xml", "application/json;charset=x", ";"])}, False

    def fields(self, method):
        fields = {}
        odd = self.random.random() < 0.2
        if self.random.random() < 0.5:
            fields["Accept-Language"] = self.random.choice(["fr", "en", "fr-CA;q=0.9, en;q=0.1", "*", "xx", ";;q=,", "fr;q=nan"])
        if method != "GET" and self.random.random() < 0.3:
            fields["If-Match"] = self.random.choice(['"1"', "*", '"1", "2"', "W/\"1\"", "\"\"", "nonsense", '"99999999999999999999"'])
        if method == "POST" and self.random.random() < 0.3:
            fields["Idempotency-Key"] = self.random.choice(["one", "x" * 255, "x" * 256, f"{self.random.random()}", "é".encode().decode("latin-1")])
        if odd:
            fields["traceparent"] = self.random.choice(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-00-00-00", "x"])
            fields["Accept"] = self.random.choice(["application/xml", "text/html", "*/*;q=0", "application/openmetrics-text"])
        return fields

    def judge(self, answer, method, path, operation, fields):
        name = operation["operationId"]
        kind = answer.fields.get("Content-Type", "").split(";")[0]
        if answer.status >= 500:
            self.assertTrue(answer.status == 503 and name in UNAVAILABLE, answer)
        documented = operation["responses"].get(str(answer.status))
        if documented is None:
            if kind == "application/problem+json" and answer.json["type"] == "about:blank":
                # Refused before it was a request: the target is too long, for one.
                self.assertIn(answer.status, (400, 414, 431))
                return
            self.assertGreaterEqual(answer.status, 400, f"not documented: {answer}")
            if OAUTH.match(path) and kind != "application/problem+json":
                return
            self.assertEqual(kind, "application/problem+json", answer)
        if kind == "application/problem+json":
            self.judge_problem(answer, fields)
            return
        content = (documented or {}).get("content", {})
        if answer.status == 204:
            self.assertEqual(answer.body, b"", answer)
        schema = content.get("application/json", {}).get("schema")
        if schema is not None:
            self.assertEqual(kind, "application/json", answer)
            self.assertIsNone(problem(schema, answer.json, self.components), answer)
        elif content:
            self.assertIn(kind, [one.split(";")[0] for one in content], answer)

    def judge_problem(self, answer, fields):
        said = answer.json
        self.assertIsNone(problem(self.components["Problem"], said, self.components), answer)
        self.assertEqual(said["status"], answer.status)
        self.assertTrue(said["type"].startswith("urn:passerelle:problem:") and said["title"] and said["detail"] and said["trace_id"], answer)
        if answer.status == 429 or answer.status == 503:
            self.assertGreaterEqual(int(answer.fields["Retry-After"]), 1, answer)
        language = answer.fields["Content-Language"]
        self.assertEqual(language, "fr" if fields.get("Accept-Language", "").startswith("fr") and "nan" not in fields["Accept-Language"] else "en", fields)
        if fields.get("traceparent", "").startswith("00-0af"):
            self.assertEqual(said["trace_id"], "0af7651916cd43dd8448eb211c80319c")
        self.assertNotIn("Fatal", said["detail"])
        for one in said.get("errors", []):
            self.assertEqual(set(one), {"pointer", "detail"} | set(one), answer)
        # A title has one French and one English form.
        other = TITLES.setdefault((said["type"], language), said["title"])
        self.assertEqual(other, said["title"])
        translated = TITLES.get((said["type"], "en" if language == "fr" else "fr"))
        self.assertNotEqual(translated, said["title"], "a title that is not translated")


# Names of what the issuer's forms and pages take.
FORM = [
    "grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "refresh_token", "scope", "token", "token_type_hint",
    "device_code", "user_code", "user", "password", "form", "target", "action", "state", "nonce", "id_token_hint", "post_logout_redirect_uri",
    *TEXTS[:4],
]
