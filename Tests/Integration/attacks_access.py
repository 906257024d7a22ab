"""Attacks on what callers may do: fields that are not theirs to set, identifiers of other tenants, roles bent until they give more, and
values that would be more than values to headers, logs, terminals and pages."""

import json
import re
import urllib.parse

from people import BACK, PASSWORD, TIMEOUT, OnPlatform, requests
from processes import eventually, run
from rest import Rest, document
from test_access import sample

# In what belongs to acme and nobody else may read.
MARK = "zq9mark"


def operations(rest):
    """Method, path and description of everything that is served."""
    for path, item in rest.get("/openapi.json")["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def body_schema(operation):
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")


class Tenants(OnPlatform):
    # Who is needed: each costs a hash.
    PEOPLE = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin.create("/v1/tenants", {"name": "globex"})
        for name, roles in cls.PEOPLE.items():
            cls.user(name, *roles)


class ForeignFields(Tenants):
    """Mass assignment: what a body may hold is what its route says, on every route that changes something."""

    EXTRA = {"id": "api_1", "tenant": "globex", "created_by": "usr_1", "owner": "usr_1", "is_admin": True, "admin": True, "role": "platform-admin",
             "roles": ["platform-admin"], "grants": [{"role": "platform-admin"}], "version": 99, "password_hash": "x", "secret_hash": "x",
             "secret": "pcs_x", "sha256": "x", "state": "active", "trusted": True, "expires_at": "2099-01-01T00:00:00Z", "__proto__": {"admin": True},
             "constructor": {}, "created_at": "2020-01-01T00:00:00Z", "second_factor_at": 1}

    def objects(self, schema, pointer=""):
        """Every object that a body's schema describes, and where."""
        if "properties" in schema or schema.get("type") == "object":
            yield pointer, schema
        for name, value in schema.get("properties", {}).items():
            yield from self.objects(value, f"{pointer}/{name}")
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                yield from self.objects(schema[key], f"{pointer}/*")
        for one in schema.get("anyOf", []) + schema.get("oneOf", []) + schema.get("allOf", []):
            yield from self.objects(one, pointer)

    def test_every_field_that_is_not_the_routes_is_refused_by_name(self):
        count = 0
        for method, path, operation in operations(self.admin):
            schema = body_schema(operation)
            if schema is None or method == "GET" or operation["x-access"] == "gateway":
                continue
            known = schema.get("properties", {})
            body = {**sample(schema), **{name: value for name, value in self.EXTRA.items() if name not in known}}
            target = re.sub(r"\{[^}]+\}", "nothing", path.replace("{tenant}", "acme"))
            query = [f"{one['name']}={sample(one['schema'])}" for one in operation.get("parameters", []) if one["in"] == "query" and one["required"]]
            with self.subTest(f"{method} {path}"):
                count += 1
                answer = self.admin.request(method, target + ("?" + "&".join(query) if query else ""), body)
                self.assertEqual(answer.status, 400, answer)
                named = {error["pointer"] for error in answer.json["errors"]}
                self.assertLessEqual({f"/{name}" for name in self.EXTRA if name not in known}, named)
        self.assertGreater(count, 30)

    def test_no_object_of_a_body_takes_whatever_comes(self):
        """Nested ones, too. Free are only those that hold what the gateway's own configuration reads strictly, a user's own values, or what a
        browser made: the standard lets it say more than is read."""
        free = set()
        for method, path, operation in operations(self.admin):
            schema = body_schema(operation)
            for pointer, one in self.objects(schema or {}):
                rest = one.get("additionalProperties")
                # So many short texts under keys of the caller's, and nothing else.
                is_map = isinstance(rest, dict) and "maxProperties" in one and "maxLength" in rest and "object" not in rest["type"]
                if rest is not False and not is_map:
                    free.add(pointer.split("/")[1] if pointer else "")
        self.assertLessEqual(free, {"policies", "gateway", "value", "variables", "credential"}, free)
        for gateway in ({"upstream": {"colour": 1}}, {"routes": [{"path": "/orders", "colour": 1}]}, {"upstream": {"tls": {"colour": 1}}}):
            answer = self.admin.request("POST", "/v1/tenants/acme/apis", {"document": document(), "upstream": "http://127.0.0.1:9", "gateway": gateway})
            self.assertEqual(answer.status, 400, answer)
            self.assertIn("colour", answer.body.decode())

    def test_a_member_that_comes_twice_is_refused(self):
        """Two readers that differ about which one counts are a way round the first of them."""
        for raw in (b'{"name":"one","name":"two"}', b'{"name":"one","n\\u0061me":"two"}', b'{"name":"x","display_name":"a","display_name":"b"}'):
            answer = self.admin.request("POST", "/v1/tenants", raw=raw)
            self.assertEqual(answer.status, 400, answer)
        self.assertEqual({one["name"] for one in self.admin.all("/v1/tenants")}, {"acme", "globex"})


class ForeignIdentifiers(Tenants):
    """References to what another tenant has, wherever a request can name something: paths, queries, bodies; and lists without any."""

    PEOPLE = {"gus": ["cpi-tenant@globex"]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        a, acme = cls.admin, "/v1/tenants/acme"
        a.expect(200, "PUT", f"{acme}/targets/{MARK}-target", {"kind": "own", "gateway_group": "default"})
        a.expect(200, "PUT", f"{acme}/environments/{MARK}-env", {"target": f"{MARK}-target", "hosts": [f"{MARK}.acme.localhost"]})
        a.expect(200, "PUT", f"{acme}/plans/{MARK}-plan", {"quota": {"limit": 5, "window": "day"}})
        a.create(f"{acme}/apis", {"name": f"{MARK}-api", "document": document(title=MARK), "upstream": "http://127.0.0.1:9"})
        a.expect(200, "PATCH", f"{acme}/apis/{MARK}-api", {"state": "published"})
        a.create(f"{acme}/applications", {"name": f"{MARK}-app"})
        a.create(f"{acme}/subscriptions", {"application": f"{MARK}-app", "api": f"{MARK}-api", "plan": f"{MARK}-plan"})
        a.expect(201, "PUT", f"{acme}/secrets/{MARK}-secret", {"value": f"{MARK} itself"})
        a.create("/v1/groups?tenant=acme", {"name": f"{MARK}-group", "roles": ["viewer"]})
        a.create("/v1/service-accounts?tenant=acme", {"name": f"{MARK}-robot", "roles": ["viewer"]})
        a.create(f"/v1/service-accounts/{MARK}-robot/tokens?tenant=acme", {"name": f"{MARK}-token", "scopes": ["catalog:api:read"]})
        a.expect(201, "PUT", f"/v1/roles/{MARK}-role?tenant=acme", {"permissions": ["catalog:api:read"]})
        a.create("/v1/oauth-clients?tenant=acme", {
            "name": f"{MARK}-client", "confidential": True, "redirect_uris": [BACK], "grant_types": ["authorization_code"], "scopes": ["openid"]})
        cls.victim = a.create("/v1/users", {"name": f"{MARK}-user", "password": PASSWORD, "grants": [{"role": "devops", "tenant": "acme"}]})["id"]
        a.expect(204, "PUT", f"/v1/groups/{MARK}-group/members/{cls.victim}?tenant=acme")
        cls.admin.expect(202, "POST", f"{acme}/apis/{MARK}-api/deployments", {"environment": f"{MARK}-env"})
        with Rest(cls.url) as victim:
            victim.sign_in(f"{MARK}-user", PASSWORD)
            victim.create("/v1/tokens", {"name": f"{MARK}-own", "scopes": ["catalog:api:read"]})
            cls.own = {"session": victim.get("/v1/sessions")["items"][0]["id"], "token": victim.get("/v1/tokens")["items"][0]["id"]}
        cls.known = {(method, path): operation for method, path, operation in operations(a)}
        cls.found = {}

    def values(self, path):
        """What stands for the last parameter of a path at acme: taken from the list beside it, so that a new kind of thing is known by
        itself."""
        if path not in self.found:
            base, name = path.rsplit("/", 1)
            self.found[path] = []
            if name == "{tenant}":
                self.found[path] = ["acme"]
            elif name == "{user}":
                self.found[path] = [self.victim, f"{MARK}-user"]
            elif path in ("/v1/sessions/{session}", "/v1/tokens/{token}"):
                self.found[path] = [self.own[name.strip("{}")]]
            elif ("GET", base) in self.known and "{events}" not in base:
                for concrete in self.concrete(base)[:1]:
                    scope = "?tenant=acme" if self.known["GET", base]["x-access"] == "scoped" else ""
                    answer = self.admin.request("GET", concrete + scope)
                    items = (answer.json or {}).get("items", []) if answer.status == 200 else []
                    items.sort(key=lambda item: MARK not in json.dumps(item))
                    for item in items[:1]:
                        self.found[path] = [str(item[key]) for key in ("id", "name", "revision", "version", "number") if item.get(key)][:2]
        return self.found[path] or ["nothing"]

    def concrete(self, path):
        """A path with what acme has in place of its parameters."""
        made = [""]
        for index, segment in enumerate(path.split("/")[1:]):
            values = [segment]
            if segment.startswith("{"):
                values = self.values("/".join(path.split("/")[:index + 2]))
            made = [f"{one}/{value}" for one in made for value in values]
        return made

    @classmethod
    def theirs(cls, schema):
        """A body in which everything that names something names what acme has."""
        names = {"api": f"{MARK}-api", "application": f"{MARK}-app", "plan": f"{MARK}-plan", "environment": f"{MARK}-env", "target": f"{MARK}-target",
                 "service_account": f"{MARK}-robot", "user": cls.victim, "tenant": "acme", "role": "viewer", "roles": [f"{MARK}-role"],
                 "grants": [{"role": "viewer", "tenant": "acme"}], "revision": 1, "name": "mine"}
        body = sample(schema)
        for name in schema.get("properties", {}):
            if name in names:
                body[name] = names[name]
        return body

    def state(self):
        """What the administrator sees of acme, as far as it stays the same by itself."""
        seen = {}
        for (method, path), operation in self.known.items():
            if method != "GET" or operation["x-access"] not in ("tenant", "scoped") or re.search("traffic|audit|events|keys$", path):
                continue
            scope = "?tenant=acme" if operation["x-access"] == "scoped" else ""
            if any(one["required"] for one in operation.get("parameters", []) if one["in"] == "query"):
                continue
            for concrete in self.concrete(path):
                answer = self.admin.request("GET", concrete + scope)
                if answer.status == 200 and answer.fields["Content-Type"] == "application/json":
                    seen[concrete] = answer.body
        return seen

    def test_what_acme_has_is_nowhere_for_globex(self):
        before = self.state()
        self.assertGreater(len(before), 20)
        text = b" ".join(before.values()).decode()
        ids = set(re.findall(r"[a-z]{2,4}_[0-9a-f]{8}-[0-9a-f-]{27}", text)) | {self.victim, *self.own.values()}
        ids = {one for one in ids if not one.startswith("usr_") or one == self.victim}
        gus, driven = self.caller("gus"), 0
        # What makes namesakes comes last: whoever has made one may remove it.
        order = sorted(self.known.items(), key=lambda item: item[0][0] == "PUT")
        for (method, path), operation in order:
            if operation["x-access"] in ("anyone", "gateway") or path in ("/v1/sessions", "/v1/me") and method == "DELETE":
                continue
            for concrete in self.concrete(path):
                target = concrete.replace("/tenants/acme", "/tenants/globex")
                query = []
                for one in operation.get("parameters", []):
                    if one["in"] == "query" and (one["required"] or one["name"] in ("tenant",)):
                        query.append(f"{one['name']}=" + ("globex" if one["name"] == "tenant" else str(sample(one["schema"]))))
                for more in [[]] + [[f"{one['name']}={value}"] for one in operation.get("parameters", []) if one["in"] == "query"
                                    for value in self.filters(one["name"])]:
                    schema = body_schema(operation)
                    body = self.theirs(schema) if schema else None
                    with self.subTest(f"{method} {target} {more}"):
                        answer = gus.request(method, target + ("?" + "&".join(query + more) if query or more else ""), body)
                        driven += 1
                        self.assertLess(answer.status, 500, answer)
                        sent = target + json.dumps(body) + "".join(more)
                        said = answer.body.decode(errors="replace")
                        for mark in ids | {MARK}:
                            if mark in said and mark not in sent:
                                self.fail(f"{mark} is shown: {answer}")
                        if answer.status < 300 and "{" in path.replace("{tenant}", "") and method not in ("PUT",):
                            # The own things of globex that are called the same are the own ones: only what acme alone has counts.
                            self.assertFalse(any(mark in target for mark in ids | {MARK}), answer)
        self.assertGreater(driven, 150)
        self.assertEqual(self.state(), before, "nothing of acme has changed")

    def filters(self, name):
        return {"api": [f"{MARK}-api"], "application": [f"{MARK}-app"], "environment": [f"{MARK}-env"], "resource": [self.victim],
                "actor": [self.victim], "cursor": ["YWNtZQ", "MA"]}.get(name, [])


class BentRoles(Tenants):
    """Escalation: each way to more than one has."""

    PEOPLE = {"tina": ["cpi-tenant@acme"], "gus": ["cpi-tenant@globex"], "rolf": [], "cora": ["cpi-admin"]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tina, cls.gus, cls.cora = cls.caller("tina"), cls.caller("gus"), cls.caller("cora")

    def hold(self, name, *permissions, environments=None, labels=None):
        """Rolf, with these permissions in acme and nothing else."""
        body = {"permissions": list(permissions)}
        if environments:
            body["conditions"] = {"environments": environments}
        if labels:
            body["conditions"] = {"labels": labels}
        self.admin.request("PUT", f"/v1/roles/{name}?tenant=acme", body)
        self.admin.expect(200, "PUT", "/v1/users/rolf/grants", {"grants": [{"role": name, "tenant": "acme"}]})
        return self.caller("rolf")

    def refused(self, rest, method, path, body=None, statuses=(403,)):
        with self.subTest(f"{method} {path} {body}"):
            answer = rest.request(method, path, body)
            self.assertIn(answer.status, statuses, answer)

    def test_nobody_gives_what_they_do_not_have(self):
        more = ({"role": "platform-admin"}, {"role": "cpi-admin"}, {"role": "cpi-tenant", "tenant": "globex"}, {"role": "viewer", "tenant": "globex"})
        for grant in more:
            for rest, name in ((self.tina, "tina"), (self.tina, "rolf")):
                self.refused(rest, "PUT", f"/v1/users/{name}/grants", {"grants": [{"role": "cpi-tenant", "tenant": "acme"}, grant]}, (403, 404))
            self.refused(self.tina, "POST", "/v1/users", {"name": "puppet", "password": PASSWORD, "grants": [grant]})
        self.refused(self.cora, "PUT", "/v1/users/cora/grants", {"grants": [{"role": "platform-admin"}]})
        self.refused(self.cora, "POST", "/v1/users", {"name": "puppet", "password": PASSWORD, "grants": [{"role": "platform-admin"}]})
        for what in ("groups", "service-accounts"):
            self.refused(self.cora, "POST", f"/v1/{what}", {"name": "puppet", "roles": ["platform-admin"]})
            self.refused(self.tina, "POST", f"/v1/{what}?tenant=acme", {"name": "puppet", "roles": ["platform-admin"]}, (400, 403))
        for rest in (self.tina, self.cora):
            self.refused(rest, "PUT", "/v1/users/admin/password", {"password": "another long password"}, (403, 404))
            self.refused(rest, "PATCH", "/v1/users/admin", {"state": "disabled"})
            self.refused(rest, "DELETE", "/v1/users/admin/second-factor")
            self.refused(rest, "DELETE", "/v1/users/admin/sessions")

    def test_no_role_holds_more_than_its_maker(self):
        for permissions in (["*:*:*"], ["identity:*:*"], ["identity:user:write"], ["audit:*:*"], ["*:*:read"], ["catalog:api:read", "keys:key:write"],
                            ["catalog:*:*"], ["backups:backup:write"], ["identity:signing-key:write"]):
            self.refused(self.tina, "PUT", "/v1/roles/mine?tenant=acme", {"permissions": permissions})
        self.refused(self.cora, "PUT", "/v1/roles/mine", {"permissions": ["catalog:api:read"]})
        self.refused(self.tina, "PUT", "/v1/roles/mine?tenant=globex", {"permissions": ["catalog:api:read"]}, (404,))
        for name in ("platform-admin", "cpi-tenant", "viewer"):
            self.refused(self.tina, "PUT", f"/v1/roles/{name}?tenant=acme", {"permissions": ["catalog:api:read"]}, (409,))
        for name in ("Platform-Admin", "platform-admin%00", "platform%2Dadmin%20", "pl%C3%A4tform", "..", "platform-admin%0a"):
            self.refused(self.tina, "PUT", f"/v1/roles/{name}?tenant=acme", {"permissions": ["catalog:api:read"]}, (400, 404))

    def test_a_label_is_no_way_to_more(self):
        acme = "/v1/tenants/acme"
        for name, team in (("pay", "payments"), ("bill", "billing")):
            self.admin.create(f"{acme}/apis", {
                "name": name, "document": document(title=name, base=f"/{name}"), "upstream": "http://127.0.0.1:9", "labels": {"team": team}})
        rolf = self.hold("payer", "catalog:api:*", "portal:subscription:*", labels={"team": "payments"})
        for change in ({"team": "billing"}, {"team": None}, {"team": "Payments"}):
            self.refused(rolf, "PATCH", f"{acme}/apis/pay", {"labels": change})
        for change in ({"team": "payments"}, {"other": "x"}, {}):
            self.refused(rolf, "PATCH", f"{acme}/apis/bill", {"labels": change}, (404,))
        for labels in (None, {}, {"team": "billing"}, {"TEAM": "payments"}):
            body = {"name": "own", "document": document(base="/own"), "upstream": "http://127.0.0.1:9"}
            self.refused(rolf, "POST", f"{acme}/apis", {**body, "labels": labels} if labels is not None else body)
        # More by another role, for which he would only have to say so.
        self.tina.expect(201, "PUT", "/v1/roles/gold-deployer?tenant=acme", {
            "permissions": ["deployments:deployment:*"], "conditions": {"labels": {"tier": "gold"}}})
        self.admin.expect(200, "PUT", "/v1/users/rolf/grants", {
            "grants": [{"role": "payer", "tenant": "acme"}, {"role": "gold-deployer", "tenant": "acme"}]})
        self.refused(rolf, "PATCH", f"{acme}/apis/pay", {"labels": {"tier": "gold"}})
        # Nor does a condition make a role that its maker does not have, or take a permission for more than APIs.
        rolf = self.hold("half", "identity:role:*")
        self.refused(rolf, "PUT", "/v1/roles/mine?tenant=acme", {"permissions": ["catalog:api:read"], "conditions": {"labels": {"team": "payments"}}})
        for pattern in ("catalog:*:read", "*:*:*", "audit:entry:read", "events:topic:read", "secrets:secret:read"):
            self.refused(
                self.tina, "PUT", "/v1/roles/mine?tenant=acme",
                {"permissions": [pattern], "conditions": {"labels": {"team": "payments"}}}, (400,))

    def test_nobody_edits_the_role_they_hold_into_more(self):
        rolf = self.hold("clerk", "identity:role:*", "identity:grant:write", "identity:user:read", "catalog:api:read")
        for permissions in (["identity:role:*", "catalog:api:*"], ["identity:role:*", "secrets:secret:read"], ["*:*:*"]):
            self.refused(rolf, "PUT", "/v1/roles/clerk?tenant=acme", {"permissions": permissions})
        self.refused(rolf, "PUT", "/v1/users/rolf/grants", {"grants": [{"role": "clerk", "tenant": "acme"}, {"role": "devops", "tenant": "acme"}]})
        self.refused(rolf, "PUT", "/v1/users/rolf/grants", {"grants": [{"role": "cpi-tenant", "tenant": "acme"}]})
        # What he holds completely he may give: but a role he has made of it holds no more either.
        self.assertEqual(rolf.request("PUT", "/v1/roles/less?tenant=acme", {"permissions": ["catalog:api:read"]}).status, 201)
        self.refused(rolf, "PUT", "/v1/roles/less?tenant=acme", {"permissions": ["catalog:plan:write"]})
        # Nor does he narrow, or delete, a role that holds more than he has.
        self.tina.expect(201, "PUT", "/v1/roles/strong?tenant=acme", {"permissions": ["secrets:secret:*"]})
        self.refused(rolf, "PUT", "/v1/roles/strong?tenant=acme", {"permissions": ["catalog:api:read"]})
        self.refused(rolf, "DELETE", "/v1/roles/strong?tenant=acme")

    def test_a_condition_does_not_come_off(self):
        rolf = self.hold("dev-only", "identity:role:*", "deployments:deployment:*", environments=["dev"])
        self.refused(rolf, "PUT", "/v1/roles/dev-only?tenant=acme", {"permissions": ["identity:role:*", "deployments:deployment:*"]})
        self.refused(rolf, "PUT", "/v1/roles/other?tenant=acme", {"permissions": ["deployments:deployment:*"]})
        self.refused(rolf, "POST", "/v1/tenants/acme/apis/none/deployments", {"environment": "prod"})
        self.refused(rolf, "POST", "/v1/tenants/acme/apis/none/deployments", {"environment": "Dev"}, (400, 403))

    def test_neither_groups_nor_service_accounts_nor_clients_are_a_way_round(self):
        self.tina.create("/v1/groups?tenant=acme", {"name": "chiefs", "roles": ["cpi-tenant"]})
        self.tina.create("/v1/service-accounts?tenant=acme", {"name": "chief", "roles": ["cpi-tenant"]})
        client = self.tina.create("/v1/oauth-clients?tenant=acme", {
            "name": "Chief", "confidential": True, "grant_types": ["client_credentials"], "scopes": ["profile"], "service_account": "chief"})["id"]
        rolf = self.hold("helper", "identity:group:*", "identity:service-account:*", "identity:client:*", "identity:user:read", "identity:grant:write")
        for what in ("groups", "service-accounts"):
            for roles in (["cpi-tenant"], ["devops"], ["viewer"]):
                self.refused(rolf, "POST", f"/v1/{what}?tenant=acme", {"name": "mine", "roles": roles})
        self.refused(rolf, "PUT", "/v1/groups/chiefs/members/rolf?tenant=acme")
        self.refused(rolf, "PATCH", "/v1/groups/chiefs?tenant=acme", {"roles": []})
        self.refused(rolf, "DELETE", "/v1/groups/chiefs?tenant=acme")
        self.refused(rolf, "POST", "/v1/service-accounts/chief/tokens?tenant=acme", {"name": "x", "scopes": ["*:*:*"]})
        self.refused(rolf, "PATCH", "/v1/service-accounts/chief?tenant=acme", {"state": "disabled"})
        self.refused(rolf, "DELETE", "/v1/service-accounts/chief?tenant=acme")
        self.refused(rolf, "POST", "/v1/oauth-clients?tenant=acme", {
            "name": "Mine", "confidential": True, "grant_types": ["client_credentials"], "scopes": ["profile"], "service_account": "chief"})
        for change in ({"name": "Mine"}, {"scopes": ["platform"]}, {"trusted": True}, {"service_account": "chief"}):
            self.refused(rolf, "PATCH", f"/v1/oauth-clients/{client}?tenant=acme", change)
        self.refused(rolf, "POST", f"/v1/oauth-clients/{client}/secret?tenant=acme", {})
        for extra in ({"trusted": True}, {"scopes": ["platform"]}):
            self.refused(self.tina, "POST", "/v1/oauth-clients?tenant=acme", {
                "name": "Mine", "confidential": False, "redirect_uris": [BACK], "grant_types": ["authorization_code"], "scopes": ["openid"], **extra})
        self.refused(self.gus, "POST", "/v1/oauth-clients?tenant=globex", {
            "name": "Mine", "confidential": True, "grant_types": ["client_credentials"], "scopes": ["profile"], "service_account": "chief"}, (400,))

    def test_a_role_of_the_same_name_elsewhere_is_another_role(self):
        self.tina.expect(201, "PUT", "/v1/roles/twin?tenant=acme", {"permissions": ["catalog:api:read"]})
        self.gus.expect(201, "PUT", "/v1/roles/twin?tenant=globex", {"permissions": ["catalog:api:*", "secrets:secret:*"]})
        self.admin.expect(200, "PUT", "/v1/users/rolf/grants", {"grants": [{"role": "twin", "tenant": "acme"}]})
        rolf = self.caller("rolf")
        self.assertEqual(rolf.request("GET", "/v1/tenants/acme/apis").status, 200)
        self.refused(rolf, "GET", "/v1/tenants/acme/secrets")
        self.refused(rolf, "GET", "/v1/tenants/globex/apis", statuses=(404,))
        # A role for all tenants does not take over one that is there, nor is it shadowed.
        self.admin.expect(201, "PUT", "/v1/roles/everywhere", {"permissions": ["catalog:api:read"]})
        self.refused(self.gus, "PUT", "/v1/roles/everywhere?tenant=globex", {"permissions": ["secrets:secret:*"]}, (409,))

    def test_a_token_gives_birth_to_nothing(self):
        token = self.tina.create("/v1/tokens", {"name": "all", "scopes": ["*:*:*"]})["token"]
        with Rest(self.url, token) as rest:
            self.assertEqual(rest.get("/v1/me")["name"], "tina")
            self.refused(rest, "POST", "/v1/tokens", {"name": "more", "scopes": ["*:*:*"]})
            self.refused(rest, "PUT", "/v1/users/tina/password", {"old_password": PASSWORD, "password": "another long password"})
            self.refused(rest, "POST", "/v1/me/second-factor", {"password": PASSWORD})
            self.refused(rest, "POST", "/v1/service-accounts/none/tokens?tenant=acme", {"name": "more", "scopes": ["*:*:*"]}, (403, 404))


class MoreThanValues(Tenants):
    """Values with line ends, quotes, markup and escape sequences in them."""

    PEOPLE = {"rolf": []}
    CRLF = "x\r\nX-Evil: 1\r\n\r\nevil"
    SENT = ["%0d%0aX-Evil:%201", "%0aX-Evil:%201", "%E5%98%8A%E5%98%8DX-Evil:%201", "%22%2C%22admin%22%3Atrue", "'%20OR%20'1'='1", "%00", "%1b[2J",
            "..%2f..%2fetc%2fpasswd", "%ff", "%7B%7B7*7%7D%7D", "$%7Bjndi%3Aldap%3A%2F%2Fx%7D"]

    def clean(self, answer):
        self.assertLess(answer.status, 500, answer)
        for name, value in answer.fields.items():
            self.assertNotEqual(name.lower(), "x-evil")
            self.assertNotRegex(value, r"[\x00-\x08\x0a-\x1f\x7f]", name)

    def filled(self, schema, text):
        """A body with the text wherever one can stand."""
        if "anyOf" in schema:
            return self.filled(schema["anyOf"][0], text)
        kind = schema.get("type")
        if kind == "object":
            known = schema.get("properties", {})
            return {name: self.filled(value, text) for name, value in known.items()}
        if kind == "array":
            return [self.filled(schema.get("items", {}), text)]
        if kind == "string" and "enum" not in schema:
            return text
        return sample(schema)

    def test_nothing_breaks_out_of_a_header_a_line_or_a_page(self):
        admin = self.platform.sign_in()
        self.addCleanup(admin.close)
        for method, path, operation in operations(admin):
            if operation["operationId"] in ("revokeSessions", "sealKeyRing", "rotateKeys") or path.startswith("/v1/keys/"):
                continue
            names = [one for one in re.findall(r"\{([^}]+)\}", path) if one != "tenant"]
            target = path.replace("{tenant}", "acme")
            for value in self.SENT if names else []:
                with self.subTest(f"{method} {path}, {value}"):
                    self.clean(admin.request(method, re.sub(r"\{[^}]+\}", value, target), sample(body_schema(operation)) if body_schema(operation) else None))
            if body_schema(operation):
                for text in (self.CRLF, '","admin":true,"x":"', "\x1b]0;evil\x07\x1b[2J", "'; DROP TABLE users; --", "\u202eevil", "=cmd|' /C calc'!A0"):
                    with self.subTest(f"{method} {path}, body {text!r}"):
                        self.clean(admin.request(method, re.sub(r"\{[^}]+\}", "nothing", target), self.filled(body_schema(operation), text)))
            for one in operation.get("parameters", []):
                if one["in"] == "query":
                    with self.subTest(f"{method} {path}, query {one['name']}"):
                        self.clean(admin.request(method, re.sub(r"\{[^}]+\}", "nothing", target) + f"?{one['name']}=a%0d%0aX-Evil:%201"))
        self.clean(admin.request("GET", "/v1/me", fields={"Accept-Language": "fr\tx", "traceparent": "00-\x80", "Idempotency-Key": "\x80"}))
        for line in self.platform.log().splitlines():
            self.assertFalse(line.startswith(("X-Evil", "evil", "\x1b")), line)
            self.assertNotIn("\x1b", line)
            if line.startswith("{"):
                json.loads(line)
        # What was taken is there as it was written: nothing more was made of it.
        odd = 'a","roles":["platform-admin"],"x":"' + self.CRLF
        admin.expect(200, "PATCH", "/v1/tenants/globex", {"display_name": odd})
        self.assertEqual(admin.get("/v1/tenants/globex")["display_name"], odd)
        entries = "/v1/audit/entries?type=tenant.updated&order=desc&limit=1"
        eventually(lambda: [one["changes"]["display_name"] for one in admin.get(entries)["items"]] == [odd])

    def test_what_others_wrote_does_not_move_a_terminal(self):
        name = "\x1b[2J\x1b]0;evil\x07shop\u009b31m\r"
        made = self.admin.create("/v1/oauth-clients", {
            "name": name, "confidential": False, "redirect_uris": [BACK], "grant_types": ["authorization_code"], "scopes": ["openid"]})
        environment = {"PASSERELLE_TOKEN": self.admin.token}
        for words in (["clients", "list"], ["clients", "show", made["id"]]):
            done = run(*words, "--url", self.url, environment=environment)
            self.assertEqual(done.returncode, 0, done)
            self.assertIn("shop", done.stdout)
            self.assertNotRegex(done.stdout + done.stderr, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        refused = run("clients", "show", name, "--url", self.url, environment=environment)
        self.assertEqual(refused.returncode, 1)
        self.assertNotRegex(refused.stderr, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        shown = json.loads(run("clients", "show", made["id"], "--output", "json", "--url", self.url, environment=environment).stdout)
        self.assertEqual(shown["name"], name, "programs get what is there")

    def test_what_others_wrote_is_no_markup(self):
        name = "<img src=x onerror=alert(1)>\"'&"
        client = self.admin.create("/v1/oauth-clients", {
            "name": name, "confidential": False, "redirect_uris": [BACK], "grant_types": ["authorization_code"], "scopes": ["openid"]})["id"]
        session = requests.Session()
        query = {"response_type": "code", "client_id": client, "redirect_uri": BACK, "scope": "openid", "code_challenge": "A" * 43,
                 "code_challenge_method": "S256", "state": "</script><script>alert(1)</script>"}
        page = session.get(f"{self.url}/oauth2/authorize", params=query, timeout=TIMEOUT)
        fields = {key: value.replace("&amp;", "&") for key, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)}
        self.assertNotIn("<script", page.text)
        fields["target"] = "/oauth2/authorize?" + urllib.parse.urlencode(query)
        wrong = session.post(f"{self.url}/oauth2/login", data={**fields, "user": "<svg/onload=alert(1)>", "password": "x"}, timeout=TIMEOUT)
        self.assertNotIn("<svg", wrong.text)
        asked = session.post(f"{self.url}/oauth2/login", data={**fields, "user": "rolf", "password": PASSWORD}, timeout=TIMEOUT)
        self.assertIn("&lt;img", asked.text, asked.text)
        for one in (page, wrong, asked):
            for markup in ("<img", "<svg", "<script", "onerror=alert(1)>"):
                self.assertNotIn(markup, one.text)
            self.assertIn("default-src 'none'", one.headers["Content-Security-Policy"])
