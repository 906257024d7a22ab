"""What the control plane refuses: tokens, fields, documents; and what each refusal says."""

import base64
import json
import unittest

from clocks import ShiftedClock
from processes import ClassScope, Platform, eventually, folder, run
from rest import Rest, document
from upstream import Upstream


class Shared(unittest.TestCase):
    """One platform with the tenant `acme` for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.place = folder(cls.scope)
        cls.platform = Platform(cls.scope, f"{cls.place}/data").start()
        cls.rest = cls.platform.sign_in("acme")
        cls.scope.addCleanup(cls.rest.close)

    def refuse(self, status, kind, method, path, body=None, **more):
        answer = self.rest.request(method, path, body, **more)
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.fields["Content-Type"], "application/problem+json")
        problem = answer.json
        self.assertEqual(problem["type"], f"urn:passerelle:problem:{kind}")
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["title"] and problem["detail"] and problem["trace_id"], problem)
        return problem


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


class TokenTests(Shared):
    def refused(self, token):
        with Rest(self.platform.control_plane, token) as other:
            for path in ("/v1/me", "/v1/tenants", "/v1/tenants/acme/apis"):
                answer = other.request("GET", path)
                self.assertEqual(answer.status, 401, answer)
                self.assertEqual(answer.json["type"], "urn:passerelle:problem:unauthenticated")
                self.assertTrue(answer.fields["WWW-Authenticate"].startswith("Bearer"))
                self.assertNotIn("acme", answer.body.decode().replace(path, ""))

    def test_wrong_tokens_are_refused(self):
        head, claims, signature = self.rest.token.split(".")
        other = {**decoded(claims), "sub": "usr_00000000-0000-7000-8000-000000000000"}
        none = encoded({"alg": "none", "typ": "JWT"})
        hmac = encoded({**decoded(head), "alg": "HS256"})
        rows = {
            "none": "", "a word": "x", "three words": "a.b.c", "a space": "a b", "half": f"{head}.{claims}",
            "no signature": f"{head}.{claims}.", "alg none": f"{none}.{claims}.",
            "alg none with signature": f"{none}.{claims}.{signature}", "alg HS256": f"{hmac}.{claims}.{signature}",
            "another subject": f"{head}.{encoded(other)}.{signature}",
            "another signature": f"{head}.{claims}.{signature[::-1]}", "padding": f"{head}.{claims}.{signature}==",
            "a fourth part": f"{head}.{claims}.{signature}.{signature}", "very long": "a" * 30000,
            "a gateway's form": "pgw_" + "A" * 43, "a key's form": "pk_" + "A" * 43,
        }
        for name, token in rows.items():
            with self.subTest(name):
                self.refused(token)

    def test_other_schemes_are_refused(self):
        for value in ("Basic YWRtaW46eA==", "Bearer", self.rest.token, f"bearer2 {self.rest.token}"):
            with self.subTest(value[:12]), Rest(self.platform.control_plane) as other:
                answer = other.request("GET", "/v1/me", fields={"Authorization": value})
                self.assertEqual(answer.status, 401, answer)

    def test_a_session_that_was_ended_is_refused_at_once_and_after_a_restart(self):
        with Rest(self.platform.control_plane) as other:
            other.sign_in("admin", self.platform.password)
            session = decoded(other.token.split(".")[1])["sid"]
            other.expect(204, "DELETE", f"/v1/sessions/{session}")
            self.refused(other.token)
            self.assertEqual(self.platform.stop(), 0)
            self.platform.start()
            self.refused(other.token)
        self.rest.close()
        self.rest.get("/v1/me")

    def test_an_expired_token_is_refused(self):
        place = folder(self)
        clock = ShiftedClock(place)
        clock.set(-86400)
        yesterday = Platform(self, f"{place}/data", environment=clock.environment)
        with yesterday.start().sign_in("acme") as rest:
            rest.get("/v1/me")
            token = rest.token
        self.assertEqual(yesterday.stop(), 0)
        today = Platform(self, yesterday.data, yesterday.base).start()
        with Rest(today.control_plane, token) as rest:
            answer = rest.request("GET", "/v1/me")
            self.assertEqual((answer.status, answer.json["type"]), (401, "urn:passerelle:problem:unauthenticated"))
            rest.sign_in("admin", yesterday.password)
            self.assertEqual([tenant["name"] for tenant in rest.all("/v1/tenants")], ["acme"])

    def test_wrong_passwords_and_unknown_users_look_the_same(self):
        with Rest(self.platform.control_plane) as other:
            answers = [
                other.request("POST", "/v1/sessions", {"user": user, "password": "wrong"}) for user in ("admin", "nobody")]
        problems = []
        for answer in answers:
            self.assertEqual(answer.status, 401)
            problems.append({name: value for name, value in answer.json.items() if name != "trace_id"})
        self.assertEqual(problems[0], problems[1])

    def test_a_gateways_token_opens_only_the_link(self):
        with open(f"{self.platform.data}/gateway.token", encoding="utf-8") as file:
            token = file.read().strip()
        with Rest(self.platform.control_plane, token) as gateway:
            self.assertEqual(gateway.request("GET", "/v1/gateways/other/snapshot?since=0&wait=0").status, 200)
            for path in ("/v1/tenants", "/v1/users", "/v1/sessions"):
                self.assertEqual(gateway.all(path), [], "it reaches nothing")
            for path in ("/v1/tenants/acme", "/v1/audit/export", "/v1/events/audit-log"):
                self.assertIn(gateway.request("GET", path).status, (401, 403, 404), path)
        for path in ("/v1/gateways/other/snapshot?since=0&wait=0",):
            self.assertIn(self.rest.request("GET", path).status, (401, 403), "a user is no gateway")

    def test_a_tenants_user_reaches_no_other_tenant(self):
        self.rest.create("/v1/tenants", {"name": "globex"})
        self.rest.create("/v1/tenants/globex/apis", {"document": document(), "upstream": "http://127.0.0.1:9", "name": "secret-plans"})
        self.rest.create("/v1/users", {
            "name": "dana", "password": "correct horse battery", "grants": [{"role": "devops", "tenant": "acme"}]})
        with Rest(self.platform.control_plane) as dana:
            dana.sign_in("dana", "correct horse battery")
            self.assertEqual([tenant["name"] for tenant in dana.all("/v1/tenants")], ["acme"])
            for path in ("", "/apis", "/apis/secret-plans", "/plans", "/environments", "/applications", "/subscriptions",
                         "/apis/secret-plans/deployments", "/traffic"):
                answer = dana.request("GET", f"/v1/tenants/globex{path}")
                self.assertIn(answer.status, (403, 404), f"{path}: {answer}")
                self.assertNotIn("Orders", answer.body.decode())
            for topic in ("api-created", "deploy-requests"):
                answer = dana.request("GET", f"/v1/events/{topic}?from=earliest")
                self.assertNotIn(b"globex", answer.body, answer)
            self.assertEqual(dana.request("POST", "/v1/tenants", {"name": "mine"}).status, 403)
            answer = dana.request("PUT", "/v1/users/dana/grants", {"grants": [{"role": "platform-admin"}]})
            self.assertIn(answer.status, (403, 404), "nobody raises oneself")


class FieldTests(Shared):
    def test_unknown_fields_and_wrong_types_are_each_named(self):
        problem = self.refuse(400, "invalid-request", "POST", "/v1/tenants", {
            "name": 7, "display_name": ["x"], "colour": "red", "a/b~c": 1})
        pointers = {error["pointer"]: error["detail"] for error in problem["errors"]}
        self.assertEqual(set(pointers), {"/name", "/display_name", "/colour", "/a~1b~0c"})
        self.assertIn("string", pointers["/name"])

    def test_missing_fields_are_named(self):
        problem = self.refuse(400, "invalid-request", "POST", "/v1/tenants/acme/apis", {})
        text = json.dumps(problem["errors"])
        self.assertIn("document", text)
        self.assertIn("upstream", text)

    def test_bodies_that_are_no_objects_are_refused(self):
        for raw in (b"", b"[]", b"null", b"7", b'"text"'):
            with self.subTest(raw):
                self.refuse(400, "invalid-request", "POST", "/v1/tenants", raw=raw)

    def test_bodies_that_are_no_json_are_refused_with_the_place(self):
        for raw, place in ((b'{"name": }', "column 10"), (b'{"name": "a",\n"name": "b"}', "line 2"),
                           (b'{"name": "a"} x', "column 15"), (b'{"name": "\xff"}', "column"), (b'{"name": 01}', "column"),
                           (b"[" * 10000, "column"), (b'{"name": "\\ud800"}', "column")):
            with self.subTest(raw[:30]):
                problem = self.refuse(400, "invalid-request", "POST", "/v1/tenants", raw=raw)
                self.assertIn(place, json.dumps(problem))

    def test_other_media_types_are_refused(self):
        for media in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"):
            with self.subTest(media):
                self.refuse(415, "unsupported-media-type", "POST", "/v1/tenants", {"name": "other"},
                            fields={"Content-Type": media})

    def test_unknown_and_wrong_parameters_are_named(self):
        for query, name in (("limit=0", "limit"), ("limit=many", "limit"), ("limit=1&limit=2", "limit"),
                            ("colour=red", "colour"), ("cursor=%2B%2B", "cursor")):
            with self.subTest(query):
                problem = self.refuse(400, "invalid-request", "GET", f"/v1/tenants?{query}")
                self.assertEqual(problem["errors"][0]["pointer"], f"query:{name}")

    def test_names_have_one_form(self):
        for name in ("", "Acme", "a b", "-a", "a-", "a/b", "../a", "é", "a" * 64, "a\u0000b"):
            with self.subTest(name):
                problem = self.refuse(400, "invalid-request", "POST", "/v1/tenants", {"name": name})
                self.assertEqual(problem["errors"][0]["pointer"], "/name")

    def test_unknown_addresses_and_methods(self):
        self.refuse(404, "not-found", "GET", "/v1/nothing")
        self.refuse(404, "not-found", "GET", "/v1/tenants/nobody")
        answer = self.rest.request("DELETE", "/v1/tenants")
        self.assertEqual(answer.status, 405)
        self.assertIn("POST", answer.fields["Allow"])

    def test_conflicts_say_what_to_do(self):
        self.assertIn("already", self.refuse(409, "conflict", "POST", "/v1/tenants", {"name": "acme"})["detail"])
        self.rest.create("/v1/tenants/acme/apis", {"document": document(), "upstream": "http://127.0.0.1:9", "name": "twice"})
        problem = self.refuse(409, "conflict", "POST", "/v1/tenants/acme/apis/twice/deployments", {"environment": "prod"})
        self.assertEqual(problem["promotions"], "/v1/tenants/acme/promotions")
        self.refuse(409, "conflict", "POST", "/v1/tenants/acme/apis/twice/deployments",
                    {"environment": "dev", "action": "rollback"})

    def test_an_update_of_another_version_is_refused(self):
        path = "/v1/tenants/acme/apis/versioned"
        self.rest.create("/v1/tenants/acme/apis", {"document": document(), "upstream": "http://127.0.0.1:9", "name": "versioned"})
        tag = self.rest.expect(200, "GET", path).fields["ETag"]
        self.rest.expect(200, "PATCH", path, {"title": "One"}, {"If-Match": tag})
        self.refuse(412, "precondition-failed", "PATCH", path, {"title": "Two"}, fields={"If-Match": tag})
        self.assertEqual(self.rest.get(path)["title"], "One")

    def test_a_repeat_with_the_same_key_gets_the_same_answer(self):
        body, key = {"name": "repeated"}, {"Idempotency-Key": "a-key-of-this-test"}
        path = "/v1/tenants/acme/applications"
        first = self.rest.create(path, body, key)
        again = self.rest.expect(201, "POST", path, body, key)
        self.assertEqual(again.json["id"], first["id"])
        self.assertNotIn(first["key"], again.body.decode(), "a secret is shown once")
        self.refuse(422, "idempotency-mismatch", "POST", path, {"name": "other"}, fields=key)
        names = [application["name"] for application in self.rest.all(path)]
        self.assertEqual((names.count("repeated"), names.count("other")), (1, 0))

    def test_refusals_speak_french_where_it_is_asked_for(self):
        problem = self.refuse(404, "not-found", "GET", "/v1/nothing", fields={"Accept-Language": "fr-CH, en;q=0.5"})
        self.assertIn("n'existe pas", problem["title"])

    def test_the_description_of_the_interface_is_complete(self):
        described = self.rest.get("/openapi.json")
        self.assertTrue(described["openapi"].startswith("3.1"))
        for path in ("/v1/tenants", "/v1/tenants/{tenant}/apis/{api}/deployments", "/v1/sessions", "/v1/events/{topic}"):
            self.assertIn(path, described["paths"])
        again = self.rest.create(
            "/v1/tenants/acme/apis",
            {"name": "itself", "document": json.dumps(described), "upstream": self.platform.control_plane})
        self.assertEqual(again["latest_revision"], 1, "it is a valid document itself")


class DocumentTests(Shared):
    """OpenAPI documents that are refused: every problem with line, column and what was expected, and nothing stored."""

    def refused(self, text, *places):
        problem = self.refuse(422, "invalid-document", "POST", "/v1/tenants/acme/apis", {
            "document": text, "upstream": "http://127.0.0.1:9"})
        found = [(error["line"], error["column"], error["pointer"]) for error in problem["errors"]]
        for place in places:
            self.assertIn(place, found)
        for error in problem["errors"]:
            self.assertTrue(error["detail"])
        self.assertEqual(self.rest.all("/v1/tenants/acme/apis"), [], "nothing was stored")
        return problem

    def test_documents_that_cannot_be_read(self):
        deep = "[" * 5000
        bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 8)}]\n" for n in range(12))
        for name, text in {
                "not YAML": "openapi: [3.1.0\n", "not JSON": '{"openapi": "3.1.0",}', "two documents": "a: 1\n---\nb: 2\n",
                "a double key": "openapi: 3.1.0\nopenapi: 3.1.0\n", "too deep": deep, "an alias bomb": bomb,
                "plain text": "hello", "a list": "- 1\n", "binary": "\u0000\u0001"}.items():
            with self.subTest(name):
                self.refused(text)

    def test_every_problem_of_a_document_is_named(self):
        self.refused(
            'openapi: 3.1.0\ninfo: {title: 7}\npaths:\n  orders:\n    get: {}\n  /items/{id}:\n    get: {respones: {}}\n')
        problem = self.refused("openapi: 3.1.0\ninfo: {title: Orders}\npaths: {}\n")
        self.assertIn("version", json.dumps(problem["errors"]))

    def test_versions_that_do_not_exist(self):
        self.refused('openapi: 4.0.0\ninfo: {title: a, version: "1"}\npaths: {}\n', (1, 10, "/openapi"))

    def test_a_document_that_is_too_large(self):
        text = document() + " " * (8 << 20)
        answer = self.rest.request("POST", "/v1/tenants/acme/apis", {"document": text, "upstream": "http://127.0.0.1:9"})
        self.assertIn(answer.status, (400, 413), answer)
        body = b'{"document": "' + b"a" * (20 << 20)
        answer = self.rest.request("POST", "/v1/tenants/acme/apis", raw=body)
        self.assertEqual(answer.status, 413, answer)
        self.assertEqual(self.rest.all("/v1/tenants/acme/apis"), [])

    def test_a_configuration_no_gateway_could_run(self):
        for change, pointer in (({"upstream": "ftp://x"}, "/upstream"),
                                ({"policies": [{"rate_limit": {"limit": 0, "window": "1s"}}]}, "rate_limit/limit"),
                                ({"policies": [{"unknown": {}}]}, "/policies")):
            with self.subTest(change):
                problem = self.refuse(400, "invalid-request", "POST", "/v1/tenants/acme/apis", {
                    "document": document(), "upstream": "http://127.0.0.1:9", **change})
                self.assertIn(pointer, json.dumps(problem["errors"]))

    def test_the_command_says_it_for_people(self):
        path = f"{self.place}/broken.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write("openapi: 3.1.0\ninfo: {title: Orders}\npaths: {}\n")
        home = {"PASSERELLE_HOME": self.place}
        with open(f"{self.place}/password", "w", encoding="utf-8") as file:
            file.write(self.platform.password)
        done = run("login", "--url", self.platform.control_plane, "--tenant", "acme", "--password-file",
                   f"{self.place}/password", environment=home)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("apis", "import", path, "--upstream", "http://127.0.0.1:9", environment=home)
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 2, column", done.stderr)
        self.assertIn("version", done.stderr)


class KeyTests(Shared):
    """Keys at the gateway: unknown, revoked, expired, of another tenant, for another API."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        upstream = Upstream(cls.scope)
        for tenant, base in (("acme", "/shop"), ("globex", "/globex")):
            if tenant != "acme":
                cls.rest.create("/v1/tenants", {"name": tenant})
            cls.rest.create(f"/v1/tenants/{tenant}/apis", {"document": document(base=base), "upstream": upstream.url})
            assert cls.rest.deploy(tenant, "orders")["state"] == "success"

    def application(self, tenant, name, plan="gold"):
        made = self.rest.create(f"/v1/tenants/{tenant}/applications", {"name": name})
        self.rest.create(f"/v1/tenants/{tenant}/subscriptions", {"application": name, "api": "orders", "plan": plan})
        return made["key"]

    def call(self, key, path="/shop/orders"):
        with Rest(self.platform.gateway) as gateway:
            answer = gateway.request("GET", path, fields={"X-API-Key": key} if key is not None else {})
        return answer.status, None if answer.status == 200 else answer.json["type"].split(":")[-1]

    def becomes(self, expected, key, path="/shop/orders"):
        eventually(lambda: self.call(key, path) == expected)

    def test_keys_that_are_none(self):
        key = self.application("acme", "whole")
        self.becomes((200, None), key)
        self.assertEqual(self.call(None), (401, "credentials-missing"))
        for wrong in ("x", key[:-1], key + "x", key.upper(), "pk_" + "A" * 43):
            self.assertEqual(self.call(wrong), (401, "credentials-unknown"), wrong)

    def test_a_key_of_another_tenant_is_unknown_here(self):
        key = self.application("globex", "theirs")
        self.becomes((200, None), key, "/globex/orders")
        self.assertEqual(self.call(key), (401, "credentials-unknown"))

    def test_rotated_and_revoked_keys(self):
        old = self.application("acme", "rotating")
        self.becomes((200, None), old)
        path = "/v1/tenants/acme/applications/rotating/keys"
        new = self.rest.create(path, {"expires_old_after_seconds": 3})
        self.becomes((200, None), new["key"])
        self.assertEqual(self.call(old), (200, None), "both work for a while")
        self.becomes((401, "credentials-expired"), old)
        self.rest.expect(204, "DELETE", f"{path}/{new['id']}")
        self.becomes((401, "credentials-unknown"), new["key"])

    def test_a_suspended_subscription_and_a_deleted_application(self):
        key = self.application("acme", "leaving")
        self.becomes((200, None), key)
        found = next(one for one in self.rest.all("/v1/tenants/acme/subscriptions") if one["application"] == "leaving")
        path = f"/v1/tenants/acme/subscriptions/{found['id']}"
        self.rest.expect(200, "POST", f"{path}/suspend")
        self.becomes((403, "subscription-suspended"), key)
        self.rest.expect(200, "POST", f"{path}/resume")
        self.becomes((200, None), key)
        self.rest.expect(204, "DELETE", "/v1/tenants/acme/applications/leaving")
        self.becomes((401, "credentials-unknown"), key)
        self.assertNotIn(found["id"], [one["id"] for one in self.rest.all("/v1/tenants/acme/subscriptions")])

    def test_what_was_called_is_in_the_traffic_of_its_tenant_alone(self):
        key = self.application("acme", "counted")
        self.becomes((200, None), key)
        for _ in range(10):
            self.call(key)

        found = self.rest.get("/v1/tenants/acme/applications/counted")["id"]

        def requests(tenant):
            sums = self.rest.get(f"/v1/tenants/{tenant}/traffic?by=application")["items"]
            return sum(one["requests"] for one in sums if one["application_id"] == found)

        eventually(lambda: requests("acme") >= 11)
        self.assertEqual(requests("globex"), 0)


class EdgeTests(unittest.TestCase):
    """What happens to a request before it finds its operation: proxies, pages of other origins, rate limits."""

    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        place = folder(cls.scope)
        with open(f"{place}/edge.yaml", "w", encoding="utf-8") as file:
            file.write(
                "proxies: {trusted: [127.0.0.1]}\ncors: {origins: [https://console.example]}\n"
                "rate_limits: {caller: {limit: 60, window: 1d}, address: {limit: 200, window: 1d}}\n")
        cls.platform = Platform(cls.scope, f"{place}/data", arguments=["--config", f"{place}/edge.yaml"]).start()

    def anonymous(self):
        rest = Rest(self.platform.control_plane)
        self.addCleanup(rest.close)
        return rest

    def signed_in(self, address):
        rest = self.anonymous()
        answer = rest.request(
            "POST", "/v1/sessions", {"user": "admin", "password": self.platform.password}, {"X-Forwarded-For": address})
        self.assertEqual(answer.status, 201, answer)
        rest.token = answer.json["access_token"]
        return rest

    def test_one_who_floods_behind_a_proxy_locks_out_nobody_else(self):
        rest = self.anonymous()

        def status(forwarded):
            return rest.request("GET", "/v1/me", fields={"X-Forwarded-For": forwarded}).status

        # What stands before the last address, whoever floods has written.
        statuses = [status(f"198.51.100.{number % 250}, 192.0.2.66") for number in range(205)]
        self.assertEqual(statuses, [401] * 200 + [429] * 5)
        self.assertEqual(status("192.0.2.67, 192.0.2.66"), 429)
        self.assertEqual(status("192.0.2.66, 192.0.2.67"), 401)
        sessions = self.signed_in("192.0.2.66, 192.0.2.68").get("/v1/sessions")["items"]
        self.assertIn("192.0.2.68", [one["ip"] for one in sessions])

    def test_pages_of_other_origins_read_what_is_for_them(self):
        rest = self.anonymous()
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        for origin, granted in (("https://console.example", "https://console.example"), ("https://evil.example", None)):
            answer = rest.request("OPTIONS", "/v1/me", fields={"Origin": origin, "X-Forwarded-For": "192.0.2.70", **asked})
            self.assertEqual((answer.status, answer.fields["Access-Control-Allow-Origin"]), (204, granted))
            answer = rest.request("GET", "/v1/me", fields={"Origin": origin, "X-Forwarded-For": "192.0.2.70"})
            self.assertEqual((answer.status, answer.fields["Access-Control-Allow-Origin"]), (401, granted))
            self.assertEqual(answer.fields["Vary"], "Origin")
        admin = self.signed_in("192.0.2.71")
        admin.create("/v1/oauth-clients", {
            "name": "Page", "confidential": False, "grant_types": ["authorization_code"], "scopes": ["openid"],
            "redirect_uris": ["https://spa.example:8443/callback"]})

        def shared(path):
            fields = {"Origin": "https://spa.example:8443", "X-Forwarded-For": "192.0.2.72"}
            return rest.request("POST", path, raw=b"", fields=fields).fields["Access-Control-Allow-Origin"]

        eventually(lambda: shared("/oauth2/token") == "https://spa.example:8443")
        self.assertIsNone(shared("/oauth2/introspect"))
        self.assertIsNone(shared("/oauth2/login"))

    def test_who_sends_too_many_requests_waits_and_others_go_on(self):
        first, second = self.signed_in("192.0.2.80"), self.signed_in("192.0.2.81")
        # One person, two sessions: one limit.
        answers = [(first if number % 2 else second).request("GET", "/v1/me") for number in range(90)]
        refused = [answer for answer in answers if answer.status == 429]
        self.assertTrue(refused and answers[-1].status == 429, answers[-1])
        self.assertEqual({answer.status for answer in answers}, {200, 429})
        self.assertGreaterEqual(int(refused[0].fields["Retry-After"]), 1)
        self.assertEqual(refused[0].fields["RateLimit-Policy"], '"caller";q=60;w=86400')
        self.assertTrue(refused[0].fields["RateLimit"].startswith('"caller";r=0;t='), refused[0].fields)
        self.assertEqual(refused[0].json["type"], "urn:passerelle:problem:too-many-requests")
        rest = self.anonymous()
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(rest.request("GET", path).status, 200)
        self.assertIn('passerelle_rest_limited_total{sender="caller"}', rest.request("GET", "/metrics").body.decode())
        self.assertEqual(rest.request("GET", "/v1/me", fields={"X-Forwarded-For": "192.0.2.82"}).status, 401)
