"""State from the log: every route that changes something is driven, then `events replay` must tell exactly what the tables hold.

A route that is new and in neither list fails the test: whoever adds it says what its audit entry must rebuild.
"""

import hashlib
import json
import os
import sqlite3
import subprocess
import unittest

from processes import Platform, eventually, folder, run
from rest import Rest, document

UPSTREAM = "http://127.0.0.1:9"
PASSWORD = "a long password"

# Routes that change nothing that is replayed, and why.
ELSEWHERE = {
    "POST /v1/sessions": "sessions end by themselves and are not restored",
    "DELETE /v1/sessions/{session}": "sessions",
    "DELETE /v1/sessions": "sessions",
    "DELETE /v1/users/{user}/sessions": "sessions",
    "POST /v1/tokens": "tokens end by themselves and are not restored",
    "DELETE /v1/tokens/{token}": "tokens",
    "POST /v1/service-accounts/{account}/tokens": "tokens",
    "DELETE /v1/service-accounts/{account}/tokens/{token}": "tokens",
    "POST /oauth2/authorize": "leads on, and changes nothing",
    "POST /oauth2/login": "sessions",
    "POST /oauth2/consent": "users are asked again",
    "POST /oauth2/token": "tokens",
    "POST /oauth2/introspect": "asks, and changes nothing",
    "POST /oauth2/revoke": "tokens",
    "POST /oauth2/userinfo": "asks, and changes nothing",
    "POST /oauth2/device_authorization": "tokens",
    "POST /oauth2/device": "tokens",
    "POST /oauth2/logout": "sessions",
    "POST /v1/me/second-factor": "secrets are not in the log",
    "POST /v1/me/second-factor/confirm": "secrets",
    "POST /v1/me/second-factor/verify": "sessions",
    "POST /v1/me/second-factor/remove": "secrets",
    "DELETE /v1/users/{user}/second-factor": "secrets",
    "POST /v1/me/second-factor/recovery-codes": "secrets",
    "POST /v1/me/second-factor/options": "asks, and changes nothing",
    "POST /v1/me/second-factor/passkey": "sessions",
    "POST /v1/me/passkeys/options": "asks, and changes nothing that counts",
    "POST /v1/me/passkeys": "what a user has is not in the log",
    "PATCH /v1/me/passkeys/{passkey}": "what a user has is not in the log",
    "DELETE /v1/me/passkeys/{passkey}": "what a user has is not in the log",
    "POST /oauth2/challenge": "sessions",
    "POST /oauth2/passkey": "sessions",
    "POST /oauth2/factors": "secrets are not in the log",
    "POST /v1/oauth-clients/{client}/secret": "secrets",
    "POST /v1/signing-keys": "keys are secret and made anew",
    "POST /v1/permissions/check": "asks, and changes nothing",
    "POST /v1/events/groups/{group}/seek": "positions in the log, not state",
    "DELETE /v1/events/groups/{group}": "positions in the log",
    "POST /v1/events/{topic}": "events of others",
    "POST /v1/events/dlq/{topic}/{offset}/redrive": "positions in the log",
    "DELETE /v1/events/dlq/{topic}/{offset}": "positions in the log",
    "POST /v1/gateways/{gateway}/acknowledgement": "what a gateway runs now",
    "POST /v1/gateways/{gateway}/records": "traffic",
    "POST /v1/gateways/{gateway}/counters": "traffic: what quotas have counted",
    "POST /v1/tenants/{tenant}/cache/purges": "what gateways are asked to forget",
    "DELETE /v1/gateways/{gateway}": "a gateway that calls is known again",
    "POST /v1/keys/rotations": "keys are secret",
    "POST /v1/keys/seal": "keys are secret",
    "POST /v1/keys/unseal": "keys are secret",
    "PUT /v1/tenants/{tenant}/secrets/{secret}": "values are not in the log",
    "DELETE /v1/tenants/{tenant}/secrets/{secret}": "values are not in the log",
    "POST /v1/tenants/{tenant}/secrets/{secret}/rollback": "values are not in the log",
    "DELETE /v1/tenants/{tenant}/secrets/{secret}/versions/{version}": "values are not in the log",
    "POST /v1/tenants/{tenant}/exports": "an archive is no part of what it holds",
    "DELETE /v1/tenants/{tenant}/exports/{export}": "an archive",
    "POST /v1/tenants/{tenant}/deletion": "what is replayed is its end, which DELETE /v1/tenants/{tenant} has, too",
    "DELETE /v1/tenants/{tenant}/deletion": "calls off what has not begun",
    "PUT /v1/secrets/{secret}": "values are not in the log",
    "DELETE /v1/secrets/{secret}": "values are not in the log",
    "POST /v1/secrets/{secret}/rollback": "values are not in the log",
    "DELETE /v1/secrets/{secret}/versions/{version}": "values are not in the log",
    "POST /v1/tenants/{tenant}/certificates": "keys of authorities are not in the log",
    "POST /v1/tenants/{tenant}/certificates/{certificate}/renewal": "keys of authorities are not in the log",
    "POST /v1/tenants/{tenant}/certificates/{certificate}/revocation": "keys of authorities are not in the log",
    "POST /v1/tenants/{tenant}/certificate-authority": "keys of authorities are not in the log",
    "PUT /v1/tenants/{tenant}/certificate-authority": "goes with the authorities",
    "POST /v1/certificates": "keys of authorities are not in the log",
    "POST /v1/certificates/{certificate}/renewal": "keys of authorities are not in the log",
    "POST /v1/certificates/{certificate}/revocation": "keys of authorities are not in the log",
    "POST /v1/certificate-authority": "keys of authorities are not in the log",
    "POST /v1/gateways/{gateway}/certificate": "keys of authorities are not in the log",
    "POST /v1/backups": "a backup is no part of what it holds",
}


class ReplayTests(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)
        self.platform = Platform(self, f"{self.place}/data").start()
        self.rest = self.platform.sign_in()
        self.driven = set()

    def send(self, status, method, path, body=None, route=None, **parameters):
        """Sends, and notes which route that was."""
        self.driven.add(f"{method} {path}")
        address = path.format(**parameters)
        return self.rest.expect(status, method, address, body).json

    def drive(self):
        acme = "/v1/tenants/{tenant}"
        for tenant in ("acme", "gone", "globex"):
            self.send(201, "POST", "/v1/tenants", {"name": tenant})
        self.send(200, "PUT", f"{acme}/quotas", {"apis": 40, "subscriptions": 100}, tenant="acme")
        self.send(200, "PUT", f"{acme}/quotas", {"plans": 3}, tenant="globex")
        self.send(200, "PATCH", acme, {"display_name": "Acme Ltd"}, tenant="acme")
        ending = self.send(202, "DELETE", acme, tenant="gone")
        eventually(lambda: self.rest.get(f"/v1/tasks/{ending['task']}")["state"] == "done")
        self.send(200, "PUT", f"{acme}/targets/{{target}}", {"kind": "own", "gateway_group": "default"}, tenant="acme", target="second")
        self.send(
            200, "PUT", f"{acme}/environments/{{environment}}", {"target": "second", "hosts": ["qa.acme.localhost"]},
            tenant="acme", environment="qa")
        plan = f"{acme}/plans/{{plan}}"
        self.send(200, "PUT", plan, {"rate_limit": {"limit": 5, "window": "1m"}}, tenant="acme", plan="bronze")
        self.send(200, "PUT", plan, {
            "rate_limit": {"limit": 7, "window": "1m"}, "quota": {"limit": 100, "window": "month"}, "concurrency": 3,
        }, tenant="acme", plan="bronze")
        self.send(200, "PUT", plan, {"approval": True}, tenant="acme", plan="asked")
        self.send(200, "PUT", plan, {}, tenant="acme", plan="short-lived")
        self.send(204, "DELETE", plan, tenant="acme", plan="short-lived")
        self.apis(acme)
        self.applications(acme)
        self.users()
        self.programs()
        self.groups()
        self.roles()
        self.clients()
        self.send(201, "POST", "/v1/gateways/tokens", {"gateway_group": "default"})

    def apis(self, acme):
        for name in ("orders", "parcels", "retired"):
            self.send(201, "POST", f"{acme}/apis", {
                "name": name, "document": document(base=f"/{name}"), "upstream": UPSTREAM, "labels": {"team": name, "tier": "gold"}},
                tenant="acme")
        api = f"{acme}/apis/{{api}}"
        self.send(200, "PATCH", api, {"state": "published", "title": "All orders", "labels": {"tier": None, "stage": "beta"}}, tenant="acme", api="orders")
        self.send(200, "PATCH", api, {"state": "published"}, tenant="acme", api="parcels")
        self.send(201, "POST", f"{api}/revisions", {
            "document": document(paths=("/orders", "/more"), base="/orders"), "upstream": UPSTREAM}, tenant="acme", api="orders")
        for name, body in (
                ("orders", {"environment": "dev", "revision": 1}), ("orders", {"environment": "dev"}),
                ("orders", {"environment": "dev", "action": "rollback", "to": 1}), ("orders", {"environment": "staging"}),
                ("parcels", {"environment": "dev"}), ("parcels", {"environment": "dev", "action": "undeploy"}),
                ("retired", {"environment": "dev"})):
            made = self.send(202, "POST", f"{api}/deployments", body, tenant="acme", api=name)
            self.rest.finished(f"/v1/tenants/acme/apis/{name}/deployments/{made['id']}")
        self.driven.add(f"DELETE {api}")
        self.rest.expect(204, "DELETE", "/v1/tenants/acme/apis/retired?undeploy=true")

    def applications(self, acme):
        for name in ("shop", "closed", "rotating"):
            self.send(201, "POST", f"{acme}/applications", {"name": name}, tenant="acme")
        application = f"{acme}/applications/{{application}}"
        first = self.rest.get("/v1/tenants/acme/applications/rotating/keys")["items"][0]["id"]
        self.send(
            201, "POST", f"{application}/keys", {"expires_old_after_seconds": 3600}, tenant="acme", application="rotating")
        self.send(201, "POST", f"{application}/keys", {}, tenant="acme", application="rotating")
        self.send(204, "DELETE", f"{application}/keys/{{key}}", tenant="acme", application="rotating", key=first)
        subscription = f"{acme}/subscriptions/{{subscription}}"
        made = {}
        for name, api, plan in (
                ("shop", "orders", "gold"), ("shop", "parcels", "asked"), ("rotating", "orders", "free"),
                ("rotating", "parcels", "free"), ("closed", "orders", "free")):
            made[name, api] = self.send(
                201, "POST", f"{acme}/subscriptions", {"application": name, "api": api, "plan": plan}, tenant="acme")["id"]
        self.send(200, "POST", f"{subscription}/approve", tenant="acme", subscription=made["shop", "parcels"])
        self.send(200, "POST", f"{subscription}/suspend", tenant="acme", subscription=made["shop", "orders"])
        self.send(200, "POST", f"{subscription}/resume", tenant="acme", subscription=made["shop", "orders"])
        self.send(200, "POST", f"{subscription}/suspend", tenant="acme", subscription=made["rotating", "orders"])
        self.send(200, "PATCH", subscription, {"plan": "bronze"}, tenant="acme", subscription=made["shop", "orders"])
        self.send(204, "DELETE", subscription, tenant="acme", subscription=made["rotating", "parcels"])
        self.send(204, "DELETE", application, tenant="acme", application="closed")

    def users(self):
        user = "/v1/users/{user}"
        grants = [{"role": "devops", "tenant": "acme"}, {"role": "viewer", "tenant": "globex"}]
        for name in ("ada", "bob", "gone"):
            self.send(201, "POST", "/v1/users", {"name": name, "password": PASSWORD, "grants": grants})
        self.send(200, "POST", "/v1/audit/persons/{person}/erasure", {"reason": "asked for"}, person="gone")
        self.send(200, "PUT", f"{user}/grants", {"grants": [{"role": "auditor", "tenant": "acme"}]}, user="ada")
        self.send(200, "PATCH", user, {"state": "disabled"}, user="bob")
        self.send(204, "PUT", f"{user}/password", {"password": "another long password"}, user="bob")

    def programs(self):
        account = "/v1/service-accounts/{account}"
        for name, tenant in (("ci", "?tenant=acme"), ("gone", "?tenant=acme"), ("platform-ci", "")):
            roles = ["devops"] if tenant else ["cpi-admin"]
            self.driven.add("POST /v1/service-accounts")
            self.rest.expect(201, "POST", f"/v1/service-accounts{tenant}", {"name": name, "roles": roles})
        self.driven |= {f"PATCH {account}", f"DELETE {account}"}
        self.rest.expect(200, "PATCH", "/v1/service-accounts/ci?tenant=acme", {"roles": ["viewer"], "state": "disabled"})
        self.rest.expect(204, "DELETE", "/v1/service-accounts/gone?tenant=acme")

    def groups(self):
        group = "/v1/groups/{group}"
        for name, tenant in (("builders", "?tenant=acme"), ("gone", "?tenant=acme"), ("everywhere", "")):
            roles = ["developer"] if tenant else ["cpi-admin"]
            self.driven.add("POST /v1/groups")
            self.rest.expect(201, "POST", f"/v1/groups{tenant}", {"name": name, "roles": roles})
            for user in ("ada", "bob"):
                self.driven.add(f"PUT {group}/members/{{user}}")
                self.rest.expect(204, "PUT", f"/v1/groups/{name}/members/{user}{tenant}")
        self.driven |= {f"PATCH {group}", f"DELETE {group}", f"DELETE {group}/members/{{user}}"}
        self.rest.expect(200, "PATCH", "/v1/groups/builders?tenant=acme", {"roles": ["developer", "operator"]})
        self.rest.expect(204, "DELETE", "/v1/groups/builders/members/bob?tenant=acme")
        self.rest.expect(204, "DELETE", "/v1/groups/gone?tenant=acme")

    def roles(self):
        role = "/v1/roles/{role}"
        body = {"permissions": ["catalog:*:read"], "conditions": {"environments": ["dev"]}}
        for name, tenant in (("reader", "?tenant=acme"), ("gone", "?tenant=acme"), ("watcher", "")):
            self.driven.add(f"PUT {role}")
            self.rest.expect(201, "PUT", f"/v1/roles/{name}{tenant}", body)
        self.rest.expect(201, "PUT", "/v1/roles/payer?tenant=acme", {
            "permissions": ["catalog:api:*"], "conditions": {"environments": ["dev"], "labels": {"team": ["payments", "x"], "tier": "gold"}}})
        self.rest.expect(200, "PUT", "/v1/roles/reader?tenant=acme", {"permissions": ["catalog:*:read", "portal:*:read"]})
        self.driven.add(f"DELETE {role}")
        self.rest.expect(204, "DELETE", "/v1/roles/gone?tenant=acme")

        policy = "/v1/second-factor-policy"
        self.driven.add(f"PUT {policy}")
        for tenant, roles in (("?tenant=acme", ["auditor"]), ("", ["cpi-admin", "auditor"]), ("?tenant=acme", ["viewer", "auditor"])):
            self.rest.expect(200, "PUT", f"{policy}{tenant}", {"roles": roles})

    def clients(self):
        body = {"name": "Shop", "confidential": True, "grant_types": ["authorization_code"], "scopes": ["openid"],
                "redirect_uris": ["https://shop.example/cb"]}
        self.driven |= {"POST /v1/oauth-clients", "PATCH /v1/oauth-clients/{client}", "DELETE /v1/oauth-clients/{client}"}
        for tenant in ("?tenant=acme", ""):
            made = [self.rest.expect(201, "POST", f"/v1/oauth-clients{tenant}", body).json["id"] for _ in range(2)]
            self.rest.expect(204, "DELETE", f"/v1/oauth-clients/{made[0]}{tenant}")
            self.rest.expect(200, "PATCH", f"/v1/oauth-clients/{made[1]}{tenant}", {"name": "Store"})

    def missing_routes(self):
        routes = set()
        for path, operations in self.rest.get("/openapi.json")["paths"].items():
            for method in operations:
                if method in ("post", "put", "patch", "delete"):
                    routes.add(f"{method.upper()} {path}")
        return {route for route in routes - set(ELSEWHERE) if self.shape(route) not in map(self.shape, self.driven)}

    @staticmethod
    def shape(route):
        """Without the names of its parameters."""
        return "/".join("{}" if part.startswith("{") else part for part in route.split("/"))

    # What the tables hold, as the replay tells it

    def replay(self, name="state", *arguments, data=None, code=0):
        into = f"{self.place}/{name}"
        done = run("events", "replay", "--data", data or self.platform.data, "--into", into, *arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return into

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def things(self, into, kind):
        """{(tenant, name): object}"""
        found = {}
        for tenant in os.listdir(f"{into}/tenants"):
            place = f"{into}/tenants/{tenant}/{kind}"
            for name in os.listdir(place) if os.path.isdir(place) else []:
                found[tenant, name.removesuffix(".json")] = self.read(f"{place}/{name}")
        return found

    def held(self, into, kind):
        """The same, with the platform's own, whose tenant is empty."""
        found = self.things(into, kind)
        for name in os.listdir(f"{into}/{kind}"):
            found["", name.removesuffix(".json")] = self.read(f"{into}/{kind}/{name}")
        return found

    def rows(self, sql, data=None):
        database = sqlite3.connect(f"file:{data or self.platform.data}/passerelle.db?mode=ro", uri=True)
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def compare(self, into, data=None):
        rows = lambda sql: self.rows(sql, data)
        self.assertTrue(self.read(f"{into}/summary.json")["complete"])
        self.assertEqual(
            {name: (one["display_name"], one["version"]) for name, one in self.tenants(into).items()},
            {n: (d, v) for n, d, v in rows(
                "SELECT tenant, display_name, version FROM tenants WHERE deleted_at IS NULL")})
        self.assertEqual(
            {(name, quota, limit) for name, one in self.tenants(into).items() for quota, limit in one["quotas"].items()},
            set(rows("SELECT tenant, name, maximum FROM tenant_quotas")))
        self.assertEqual(
            {at: (one["kind"], one["gateway_group"], one["version"]) for at, one in self.things(into, "targets").items()},
            {(t, n): (k, g, v) for t, n, k, g, v in rows("SELECT tenant, name, kind, gateway_group, version FROM targets")})
        self.assertEqual(
            {at: (one["target"], one["hosts"], one["requires_promotion"], one["version"])
             for at, one in self.things(into, "environments").items()},
            {(t, n): (target, json.loads(hosts), bool(promotion), v) for t, n, target, hosts, promotion, v in rows(
                "SELECT tenant, name, target, hosts, requires_promotion, version FROM environments")})
        self.assertEqual(
            {at: ((one["rate_limit"] or {}).get("limit"), (one["quota"] or {}).get("limit"), (one["quota"] or {}).get("window"),
                  one["concurrency"], one["approval"], one["version"])
             for at, one in self.things(into, "plans").items()},
            {(t, n): (limit, quota, window, concurrency, bool(approval), v)
             for t, n, limit, quota, window, concurrency, approval, v in rows(
                "SELECT tenant, name, rate_limit, quota, quota_window, concurrency, approval, version FROM plans")})
        self.compare_apis(into, rows)
        self.compare_applications(into, rows)
        self.compare_users(into, rows)
        self.assertEqual(
            sorted(name.removesuffix(".json") for name in os.listdir(f"{into}/gateway-tokens")),
            sorted(hash_ for (hash_,) in rows("SELECT sha256 FROM gateway_tokens")))

    def tenants(self, into):
        return {name: self.read(f"{into}/tenants/{name}/tenant.json") for name in os.listdir(f"{into}/tenants")}

    def compare_apis(self, into, rows):
        apis, live, revisions = {}, {}, {}
        for tenant in os.listdir(f"{into}/tenants"):
            place = f"{into}/tenants/{tenant}/apis"
            for name in os.listdir(place) if os.path.isdir(place) else []:
                one = self.read(f"{place}/{name}/api.json")
                apis[one["id"]] = (
                    tenant, name, one["title"], one["state"], one["base_path"], one["latest_revision"], one["version"],
                    one["labels"])
                if os.path.exists(f"{place}/{name}/live.json"):
                    for environment, there in self.read(f"{place}/{name}/live.json").items():
                        live[one["id"], environment] = (there["revision"], there["deployment_id"], there["gateway_group"])
                for number in range(1, one["latest_revision"] + 1):
                    path = f"{place}/{name}/revisions/{number}"
                    revision = self.read(f"{path}.json")
                    with open(f"{path}.document.json", "rb") as file:
                        self.assertEqual(hashlib.sha256(file.read()).hexdigest(), revision["document_sha256"])
                    revisions[one["id"], number] = (
                        revision["document_sha256"], self.read(f"{path}.gateway.json"), revision["api_version"],
                        revision["created_by"])
        self.assertEqual(apis, {i: (t, n, title, s, b, r, v, json.loads(labels)) for t, i, n, title, s, b, r, v, labels in rows(
            "SELECT tenant, api_id, name, title, state, base_path, latest_revision, version, labels FROM apis "
            "WHERE deleted_at IS NULL")})
        self.assertEqual(live, {(i, e): (r, d, g) for i, e, r, d, g in rows(
            "SELECT api_id, environment, revision, deployment_id, gateway_group FROM live")})
        self.assertEqual(revisions, {(i, r): (h, json.loads(g), v, by) for i, r, h, g, v, by in rows(
            "SELECT r.api_id, revision, document_hash, gateway, api_version, r.created_by FROM revisions r "
            "JOIN apis a ON a.tenant = r.tenant AND a.api_id = r.api_id WHERE a.deleted_at IS NULL")})

    def compare_applications(self, into, rows):
        applications = self.things(into, "applications")
        self.assertEqual(
            {name: (tenant, one["name"], one["owner"]) for (tenant, name), one in applications.items()},
            {i: (t, n, o) for t, i, n, o in rows("SELECT tenant, application_id, name, owner FROM applications")})
        self.assertEqual(
            {(name, key["id"], key["sha256"], key["expires_at"] is not None)
             for (_, name), one in applications.items() for key in one["keys"]},
            {(a, k, h, e is not None) for a, k, h, e in rows("SELECT application_id, key_id, sha256, expires_at FROM api_keys")})
        self.assertEqual(
            {name: (one["application_id"], one["api_id"], one["plan"], one["state"], one["version"])
             for (_, name), one in self.things(into, "subscriptions").items()},
            {i: (a, api, p, s, v) for i, a, api, p, s, v in rows(
                "SELECT subscription_id, application_id, api_id, plan, state, version FROM subscriptions")})
        self.assertEqual(
            {name: (one["api_id"], one["revision"], one["environment"], one["action"], one["state"])
             for (_, name), one in self.things(into, "deployments").items()},
            {i: (a, r, e, action, s) for i, a, r, e, action, s in rows(
                "SELECT deployment_id, api_id, revision, environment, action, state FROM deployments")})

    def compare_users(self, into, rows):
        users = {name.removesuffix(".json"): self.read(f"{into}/users/{name}") for name in os.listdir(f"{into}/users")}
        self.assertEqual(
            {name: one["state"] for name, one in users.items()}, dict(rows("SELECT user_id, state FROM users")))
        self.assertEqual(
            {(name, grant.get("tenant", ""), grant["role"]) for name, one in users.items() for grant in one["grants"]},
            set(rows("SELECT user_id, tenant, role FROM grants")))
        self.assertEqual(
            {at: (one["name"], one["state"], one["roles"], one["version"])
             for at, one in self.held(into, "service-accounts").items()},
            {(t, i): (n, s, roles.split(), v) for t, i, n, s, roles, v in rows(
                "SELECT tenant, account_id, name, state, roles, version FROM service_accounts")})
        self.assertEqual(
            {at: (one["permissions"], one.get("conditions", {}).get("environments", []), one.get("conditions", {}).get("labels", {}),
                  one["version"])
             for at, one in self.held(into, "roles").items()},
            {(t, n): (p.split(), e.split(), json.loads(labels), v) for t, n, p, e, labels, v in rows(
                "SELECT tenant, name, permissions, environments, labels, version FROM custom_roles")})
        self.assertEqual(
            {at: (one["name"], one["redirect_uris"], one["scopes"], one["version"])
             for at, one in self.held(into, "oauth-clients").items()},
            {(t, i): (n, r.split(), s.split(), v) for t, i, n, r, s, v in rows(
                "SELECT tenant, client_id, name, redirect_uris, scopes, version FROM oauth_clients")})
        self.assertEqual(
            {(tenant, role) for (tenant, _), one in self.held(into, "second-factor-rules").items() for role in one["roles"]},
            set(rows("SELECT tenant, role FROM second_factor_policies")))
        groups = self.held(into, "groups")
        self.assertEqual(
            {at: (one["name"], one["roles"], one["version"]) for at, one in groups.items()},
            {(t, i): (n, roles.split(), v) for t, i, n, roles, v in rows(
                "SELECT tenant, group_id, name, roles, version FROM user_groups")})
        self.assertEqual(
            {(*at, user) for at, one in groups.items() for user in one["members"]},
            set(rows("SELECT tenant, group_id, user_id FROM group_members")))
        for one in users.values():
            self.assertNotIn("name", one, "the log holds no names of people")

    # Tests

    def test_every_change_can_be_replayed(self):
        self.drive()
        self.assertEqual(self.missing_routes(), set(), "routes that change something and are not driven here")
        ended = "SELECT count(*) FROM deployments WHERE state IN ('pending', 'running')"
        eventually(lambda: self.rows(ended) == [(0,)])
        self.entries = self.rest.all("/v1/audit/entries")
        # While it is served; and again after it was stopped, from a backup too.
        self.compare(self.replay())
        self.platform.stop()
        again = self.replay("again")
        self.compare(again)
        self.assertEqual(subprocess.run(["diff", "-r", f"{self.place}/state/tenants", f"{again}/tenants"], check=False).returncode, 0)
        self.from_an_entry()
        self.from_a_base()

    def from_an_entry(self):
        """The tenant as it stood before its name was changed, and nothing that came later."""
        renamed = next(entry["leaf"] for entry in self.entries if entry["event_type"] == "tenant.updated")
        for number, name in ((renamed - 1, "acme"), (renamed, "Acme Ltd")):
            into = self.replay(f"to-{number}", "--until", str(number))
            self.assertEqual(self.read(f"{into}/summary.json")["last_entry"], number)
            self.assertEqual(self.tenants(into)["acme"]["display_name"], name)
        self.replay("never", "--until", "1999-01-01T00:00:00Z")
        self.assertFalse(os.path.exists(f"{self.place}/never/tenants"))
        done = run("events", "replay", "--data", self.platform.data, "--into", f"{self.place}/never")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not empty", done.stderr)

    def from_a_base(self):
        """What retention removed is taken from a restored backup; without it the summary says what may be missing."""
        key = f"{self.place}/key"
        with open(key, "w", encoding="ascii") as file:
            file.write(PASSWORD)
        base, repository = f"{self.place}/base", f"{self.place}/backups"
        for arguments in (("backup", "--data", self.platform.data, "--to", repository, "--key-file", key),
                          ("restore", "--from", repository, "--data", base, "--key-file", key)):
            self.assertEqual(run(*arguments).returncode, 0)
        self.remove_entries(20)
        short = self.replay("short")
        self.assertFalse(self.read(f"{short}/summary.json")["complete"])
        self.assertGreater(self.read(f"{short}/summary.json")["first_entry"], 0)
        self.compare(self.replay("whole", "--base", base))
        other = Platform(self, f"{self.place}/other").start()
        other.stop()
        done = run("events", "replay", "--data", other.data, "--base", base, "--into", f"{self.place}/mixed")
        self.assertEqual(done.returncode, 1)
        self.assertIn("another installation", done.stderr)

    def remove_entries(self, least):
        """As retention does: whole batches from the front, and the first offset after them."""
        with sqlite3.connect(f"{self.platform.data}/passerelle.db") as database:
            (start,) = database.execute(
                "SELECT min(base_offset) FROM log_batches WHERE topic = 'audit-log' AND base_offset >= ?", (least,)).fetchone()
            database.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset < ?", (start,))
            database.execute("UPDATE log_partitions SET first_offset = ? WHERE topic = 'audit-log'", (start,))
        database.close()
