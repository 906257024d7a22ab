"""Nothing of a tenant shows to another: every operation with the other's identifiers against identifiers that nobody has, and everything a
tenant can read, searched for what is the other's. The operations come from what serves, so a new one is covered by itself."""

import http.client
import json
import re
import unittest
import urllib.parse
import uuid

from processes import ClassScope, Platform, eventually, folder
from rest import Rest, document
from test_access import sample
from test_tenancy import PASSWORD, Scene

# What two answers may differ in.
PASSING = {"date", "traceparent"}
# Parameters of paths that are numbers, places in the audit tree, names of what is everybody's, or looked for among what is the caller's own
# (a passkey needs a browser to be made: IdentityTests ask for those of others).
NO_IDENTIFIERS = {"version", "revision", "purge", "topic", "offset", "level", "n", "n2", "n3", "n4", "width", "provider", "backup", "passkey"}
# Of the caller alone: they name nothing.
ALONE = {"revokeSessions", "listSessions", "createToken", "listTokens"}


class IsolationTests(unittest.TestCase):
    """`acme` looks at `globex`, with every role a tenant can give. Reading comes before asking (`test_what_…`): what was asked for stands in
    the own audit log."""

    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        # Scene asks for assertions, too.
        for name in ("assertEqual", "assertTrue"):
            setattr(cls.scope, name, getattr(unittest.TestCase(), name))
        # At this level each request says which statements it ran.
        cls.platform = Platform(cls.scope, f"{folder(cls.scope)}/data", arguments=["--log-level", "debug"]).start()
        cls.scene = Scene(cls.scope, cls.platform)
        cls.admin = cls.scene.rest
        cls.operations = []
        for path, item in cls.admin.get("/openapi.json")["paths"].items():
            for method, operation in item.items():
                cls.operations.append((method.upper(), path, operation))
        grants = [{"role": role, "tenant": "acme"} for role in ("cpi-tenant", "devops", "developer", "operator", "auditor", "viewer")]
        cls.admin.create("/v1/users", {"name": "spy", "password": PASSWORD, "grants": grants})
        cls.theirs = cls.identifiers()

    @classmethod
    def identifiers(cls):
        """By the name of a path's parameter: something of `globex`, found by no name that `acme` has, too."""
        rest, base = cls.admin, "/v1/tenants/globex"
        rest.expect(201, "PUT", f"{base}/secrets/only-globex", {"value": "x"})
        rest.expect(200, "PUT", f"{base}/plans/only-globex", {})
        rest.expect(200, "PUT", f"{base}/targets/only-globex", {"kind": "own", "gateway_group": "default"})
        rest.expect(200, "PUT", f"{base}/environments/only-globex", {"target": "own", "hosts": ["x.globex.localhost"]})
        rest.expect(201, "PUT", "/v1/roles/only-globex?tenant=globex", {"permissions": ["catalog:*:read"]})
        export = rest.expect(202, "POST", f"{base}/exports").json
        eventually(lambda: rest.get(f"{base}/exports/{export['id']}")["state"] == "ready")
        application = rest.get(f"{base}/applications")["items"][0]
        account = rest.get("/v1/service-accounts?tenant=globex")["items"][0]
        certificate = rest.get(f"{base}/certificates")["items"][0]
        return {
            "api": rest.get(f"{base}/apis/api-0")["id"], "application": application["id"],
            "key": rest.get(f"{base}/applications/{application['id']}/keys")["items"][0]["id"],
            "subscription": rest.get(f"{base}/subscriptions")["items"][0]["id"],
            "deployment": rest.get(f"{base}/apis/api-0/deployments")["items"][0]["id"],
            "account": account["id"], "group": rest.get("/v1/groups?tenant=globex")["items"][0]["id"],
            "token": rest.get(f"/v1/service-accounts/{account['id']}/tokens?tenant=globex")["items"][0]["id"],
            "client": rest.get("/v1/oauth-clients?tenant=globex")["items"][0]["id"],
            "session": cls.scene.sessions["only-globex"].get("/v1/sessions")["items"][0]["id"],
            "user": rest.get("/v1/users/only-globex")["id"], "person": rest.get("/v1/users/only-globex")["id"],
            "certificate": certificate["id"], "authority": certificate["authority"], "task": export["task"], "export": export["id"], "gateway": rest.get("/v1/gateways")["items"][0]["id"],
            "secret": "only-globex", "plan": "only-globex", "target": "only-globex", "environment": "only-globex",
            "role": "only-globex", "tenant": "globex",
        }

    def setUp(self):
        self.spy = self.client("spy")
        self.lines = open(self.platform.log_path, encoding="utf-8", errors="replace")
        self.addCleanup(self.lines.close)
        self.unread, self.ran = "", {}

    def client(self, name):
        rest = Rest(self.platform.control_plane)
        self.addCleanup(rest.close)
        rest.sign_in(name, PASSWORD)
        return rest

    @staticmethod
    def nobodys(text):
        """Something of the same form that nobody has."""
        if "_" in text and len(text) > 36:
            return f"{text[:-36]}{uuid.UUID(int=uuid.uuid4().int >> 64 | uuid.UUID(text[-36:]).int >> 64 << 64)}"
        return text.replace("globex", "glonex")

    def target(self, path, operation, values, tenant):
        names = re.findall(r"\{([^}]+)\}", path)
        for name in names:
            value = tenant if name == "tenant" else values.get(name, "1")
            path = path.replace("{" + name + "}", urllib.parse.quote(value))
        query = [f"{p['name']}={sample(p['schema'])}" for p in operation.get("parameters", []) if p["in"] == "query" and p["required"]]
        if any(p["in"] == "query" and p["name"] == "tenant" for p in operation.get("parameters", [])):
            query.append(f"tenant={tenant}")
        return path + ("?" + "&".join(query) if query else "")

    def send(self, method, target, operation, trace=None):
        fields = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"} if trace else {}
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            return self.spy.request(method, target, sample(content["application/json"]["schema"]), fields)
        if content:
            return self.spy.request(method, target, raw=b"", fields={"Content-Type": next(iter(content)), **fields})
        return self.spy.request(method, target, fields=fields)

    def statements(self, *traces):
        """The texts of the SQL statements that the requests of these traces ran."""
        def look():
            *lines, self.unread = (self.unread + self.lines.read()).split("\n")
            for line in lines:
                one = json.loads(line) if '"message":"request"' in line else {}
                if "statements" in one:
                    self.ran[one["trace_id"]] = one["statements"]
            return all(trace in self.ran for trace in traces)
        eventually(look)
        return [self.ran.pop(trace) for trace in traces]

    def assertSameWork(self, ask_theirs, ask_nobodys):
        """Both make the store do the same. What a request does for itself now and then (a session is looked at anew after a while) does
        not come three times in a row."""
        for last in (False, False, True):
            traces = [uuid.uuid4().hex, uuid.uuid4().hex]
            answers = [ask_theirs(traces[0]), ask_nobodys(traces[1])]
            theirs, nobodys = self.statements(*traces)
            if theirs == nobodys or last:
                self.assertEqual(theirs, nobodys, answers)
                return len(theirs)

    def told(self, answer, values):
        """All of an answer, with what was asked for taken out."""
        text = answer.body.decode()
        fields = sorted((name.lower(), value) for name, value in answer.fields.items() if name.lower() not in PASSING)
        whole = json.dumps([answer.status, fields, text])
        for name, value in values.items():
            if len(value) > 1:
                whole = whole.replace(value, f"<{name}>")
        whole = re.sub(r'trace_id\\":\\"[0-9a-f]{32}', "trace_id", whole)
        return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>", whole)

    def test_what_another_tenant_has_is_like_what_nobody_has(self):
        names = {name for _, path, _ in self.operations for name in re.findall(r"\{([^}]+)\}", path)}
        self.assertEqual(names - set(self.theirs) - NO_IDENTIFIERS, set(), "say what of the other tenant this is, in identifiers()")
        compared = statements = 0
        for method, path, operation in self.operations:
            named = "{" in path or any(p["name"] == "tenant" for p in operation.get("parameters", []))
            if operation["x-access"] == "anyone" or not named or operation["operationId"] in ALONE:
                continue
            forms = {value: self.nobodys(value) for value in set(self.theirs.values())}
            nobodys = {name: forms[value] for name, value in self.theirs.items()}
            own = [name for name in re.findall(r"\{([^}]+)\}", path) if name != "tenant"]
            scopes = [("globex", "glonex")] + ([("acme", "acme")] if own else [])
            for there, nowhere in scopes:
                with self.subTest(f"{method} {path} in {there}"):
                    real = self.send(method, self.target(path, operation, self.theirs, there), operation)
                    none = self.send(method, self.target(path, operation, nobodys, nowhere), operation)
                    compared += 1
                    self.assertEqual(
                        self.told(real, {**self.theirs, "tenant": there}), self.told(none, {**nobodys, "tenant": nowhere}))
                    if there == "globex" and operation["x-access"] in ("tenant", "scoped"):
                        self.assertEqual(real.status, 404, real)
                    theirs, nobody = (self.target(path, operation, *named) for named in ((self.theirs, there), (nobodys, nowhere)))
                    statements += self.assertSameWork(
                        lambda trace: self.send(method, theirs, operation, trace),
                        lambda trace: self.send(method, nobody, operation, trace))
        self.assertGreater(compared, 100)
        self.assertGreater(statements, compared, "the log says what was asked of the store")

    def test_what_bodies_name_of_another_tenant_is_like_what_nobody_has(self):
        plain = {"application": "app-0", "api": "api-1", "plan": "gold"}
        for name in plain:
            self.compare_bodies("/v1/tenants/acme/subscriptions", plain, name, self.theirs[name])
        for value in (self.theirs["user"], "only-globex"):
            self.compare_bodies(
                "/v1/permissions/check", {"tenant": "acme", "permission": "catalog:api:read"}, "user", value)

    def compare_bodies(self, path, body, name, value):
        def ask(value, trace=None):
            fields = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"} if trace else {}
            return self.spy.request("POST", path, {**body, name: value}, fields)

        other = self.nobodys(value)
        self.assertEqual(self.told(ask(value), {name: value}), self.told(ask(other), {name: other}), name)
        self.assertGreater(self.assertSameWork(lambda trace: ask(value, trace), lambda trace: ask(other, trace)), 0)

    def labelled(self):
        """Somebody who may do everything about APIs, but for those with a label alone: of `acme`, `api-1` has it, `api-0` has not."""
        rest, base = self.admin, "/v1/tenants/acme"
        role = {"permissions": ["catalog:api:*", "deployments:deployment:*", "portal:subscription:*", "observability:traffic:*"],
                "conditions": {"labels": {"team": "payments"}}}
        rest.expect(201, "PUT", "/v1/roles/payer?tenant=acme", role)
        rest.expect(200, "PATCH", f"{base}/apis/api-1", {"labels": {"team": "payments"}})
        rest.expect(200, "PATCH", f"{base}/apis/api-0", {"labels": {"team": "billing", "only-theirs": "yes"}})
        rest.create("/v1/users", {"name": "payer", "password": PASSWORD, "grants": [{"role": "payer", "tenant": "acme"}]})
        self.spy = self.client("payer")
        return {
            "api": rest.get(f"{base}/apis/api-0")["id"], "deployment": rest.get(f"{base}/apis/api-0/deployments")["items"][0]["id"],
            "subscription": rest.get(f"{base}/subscriptions")["items"][0]["id"], "tenant": "acme",
        }

    def test_an_api_without_the_label_is_like_one_that_nobody_has(self):
        unseen = self.labelled()
        nobodys = {name: self.nobodys(value) for name, value in unseen.items()}
        compared = read = 0
        for method, path, operation in self.operations:
            if operation.get("x-labels") == "list" or (method == "GET" and "{" not in path.replace("{tenant}", "")):
                answer = self.spy.request("GET", self.target(path, operation, {}, "acme"))
                read += answer.status == 200
                for name in ("api", "deployment", "subscription"):
                    self.assertNotIn(unseen[name], answer.body.decode(), path)
                self.assertNotIn("only-theirs", answer.body.decode(), path)
            if operation.get("x-labels") != "api":
                continue
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            body = {**sample(schema), **({"api": None} if "api" in schema.get("properties", {}) else {})} if schema else None
            query = "?api={api}" if any(p["name"] == "api" for p in operation.get("parameters", []) if p["in"] == "query") else ""
            if not re.search("{(api|deployment|subscription)}", path + query) and "api" not in (body or {}):
                continue

            def ask(values, trace=None):
                sent = {**body, "api": values["api"]} if body and "api" in body else body
                if sent and "application" in sent:
                    sent["application"] = "app-0"
                if operation["operationId"] == "createRevision":
                    sent = {"document": document(), "upstream": "http://127.0.0.1:9"}
                if operation["operationId"] == "createDeployment":
                    sent = {"environment": "dev"}
                fields = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"} if trace else {}
                target = self.target(path, operation, values, "acme") + query.replace("{api}", values["api"])
                return self.spy.request(method, target, sent, fields)

            with self.subTest(f"{method} {path}"):
                real, none = ask(unseen), ask(nobodys)
                self.assertIn(real.status, (400, 404), real)
                self.assertEqual(self.told(real, unseen), self.told(none, nobodys))
                self.assertGreater(self.assertSameWork(lambda trace: ask(unseen, trace), lambda trace: ask(nobodys, trace)), 0)
                compared += 1
        self.assertGreater(compared, 15)
        self.assertGreater(read, 8)
        self.assertEqual([one["name"] for one in self.spy.get("/v1/tenants/acme/apis")["items"]], ["api-1"])
        self.assertEqual([one["name"] for one in self.spy.get("/v1/portal/apis")["items"]], ["api-1"])
        seen = self.spy.get("/v1/tenants/acme/apis/api-1")["id"]
        self.assertEqual(self.spy.request("GET", f"/v1/tenants/acme/traffic?api={seen}").status, 200)
        self.assertEqual(self.spy.request("GET", "/v1/tenants/acme/traffic").status, 403)

    def markers(self):
        """What is of `globex` alone."""
        return [value for name, value in self.theirs.items() if name != "gateway"]

    def assertNothingOfTheirs(self, text, what):
        for marker in self.markers():
            self.assertNotIn(marker, text, what)

    def test_nothing_that_can_be_read_has_anything_of_another_tenant(self):
        read = 0
        for method, path, operation in self.operations:
            if method != "GET" or re.search(r"\{(?!tenant|topic)", path) or operation["x-access"] == "anyone":
                continue
            for topic in [one["topic"] for one in self.spy.get("/v1/events?tenant=acme")["items"]] if "{topic}" in path else [""]:
                target = self.target(path.replace("{topic}", topic), operation, {}, "acme")
                if topic and "dlq" not in path:
                    target += "&from=earliest&limit=1000"
                answer = self.spy.request("GET", target)
                read += answer.status == 200
                self.assertNothingOfTheirs(answer.body.decode(), target)
        self.assertGreater(read, 30)
        for form in ("proof", "jsonl", "csv"):
            self.assertNothingOfTheirs(self.spy.expect(200, "GET", f"/v1/audit/export?format={form}&tenant=acme").body.decode(), form)

    def test_metrics_show_tenants_to_those_who_may_read_them(self):
        def metrics(token):
            with Rest(self.platform.control_plane, token) as rest:
                return rest.expect(200, "GET", "/metrics").body.decode()

        everything = eventually(lambda: (lambda text: text if 'tenant="globex"' in text else None)(metrics(self.admin.token)))
        self.assertIn('tenant="acme"', everything)
        self.assertIn("passerelle_rest_requests_total", metrics(None))
        self.assertNotIn("tenant=", metrics(None))
        mine = metrics(self.spy.token)
        self.assertIn('tenant="acme"', mine)
        self.assertNothingOfTheirs(mine, "metrics")

    def test_the_number_of_others_tasks_does_not_show(self):
        for _ in range(5):
            made = self.admin.expect(202, "POST", "/v1/tenants/globex/exports").json if self.free() else None
            if made:
                eventually(lambda: self.admin.get(f"/v1/tasks/{made['task']}")["state"] == "done")
        self.assertEqual(self.spy.get("/v1/tasks?limit=1"), {"items": [], "next": None})
        self.assertGreater(len(self.admin.get("/v1/tasks")["items"]), 1)

    def free(self):
        return len(self.admin.get("/v1/tenants/globex/exports")["items"]) < 5

    def test_a_stream_is_silent_while_others_are_busy(self):
        address = urllib.parse.urlsplit(self.platform.control_plane).netloc
        connection = http.client.HTTPConnection(address, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/events/application-created?tenant=acme", headers={
            "Authorization": f"Bearer {self.spy.token}", "Accept": "text/event-stream"})
        stream = connection.getresponse()
        self.assertEqual(stream.status, 200)
        frame = lambda: b"".join(iter(stream.readline, b"\n")).decode()
        self.assertNotIn("data:", frame(), "the position it begins at")
        for number in range(3):
            self.admin.create("/v1/tenants/globex/applications", {"name": f"busy-{number}"})
        made = self.admin.create("/v1/tenants/acme/applications", {"name": "busy"})
        self.assertIn(made["id"], frame(), "the first frame after is the own event")

    def test_keys_and_cursors_of_others_open_nothing(self):
        there = self.client("only-globex")
        fields = {"Idempotency-Key": "the same"}
        first = there.create("/v1/tenants/globex/applications", {"name": "twice"}, fields)
        second = self.spy.create("/v1/tenants/acme/applications", {"name": "twice"}, fields)
        self.assertNotEqual(first["id"], second["id"])
        for path in ("applications", "subscriptions", "apis"):
            cursor = there.get(f"/v1/tenants/globex/{path}?limit=1")["next"]
            answer = self.spy.request("GET", f"/v1/tenants/acme/{path}?cursor={cursor}")
            self.assertEqual(answer.status, 200)
            self.assertNothingOfTheirs(answer.body.decode(), path)
        cursor = there.get("/v1/events/application-created?from=earliest&limit=1&tenant=globex")["next"]
        refused = self.spy.request("GET", f"/v1/events/application-created?from={urllib.parse.quote(cursor)}&tenant=acme")
        self.assertEqual(refused.status, 400, refused)
