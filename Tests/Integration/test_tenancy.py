"""A tenant with some of everything: exported, and deleted with SIGKILL half-way. Afterwards no table has a row of it but those that say why,
another tenant has all it had, and the audit log is sound."""

import base64
import hashlib
import io
import json
import random
import sqlite3
import tarfile
import time
import unittest

from postgres import Postgres
from processes import ClassScope, Platform, eventually, folder, run
from rest import Refused, Rest, document
from upstream import Upstream

PASSWORD = "correct horse battery"
PLANTED = "planted-value-of-a-secret"
APIS = 4
# Tables that keep rows of a tenant that has ended, and why: docs/decisions/020-the-end-of-a-tenant.md.
KEPT = {
    "tenants": "its name is not given again",
    "audit_entries": "the index of the audit log, which stays",
    "gateway_changes": "gateways that are away learn what is gone",
}


def settings(case, place, text):
    path = f"{place}/passerelle.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return ["--config", path]


class Kept:
    """What the tests look at in a database, whatever engine it is on."""

    def __init__(self, platform, server=None, database=None):
        self.platform, self.server, self.database = platform, server, database
        self._tables = []

    def lists(self, sql, path="passerelle.db"):
        if self.server and path == "passerelle.db":
            text = self.server.sql(self.database, sql)
            return [line.split("|") for line in text.splitlines()]
        connection = sqlite3.connect(f"file:{self.platform.data}/{path}?mode=ro", uri=True, timeout=30)
        try:
            return [[str(value) for value in row] for row in connection.execute(sql)]
        finally:
            connection.close()

    def tables(self):
        """Every table with a column `tenant`."""
        if self.server:
            sql = "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant' AND table_schema = 'public'"
        else:
            sql = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant'"
        self._tables = self._tables or sorted(name for (name,) in self.lists(sql))
        return self._tables

    def counts(self, tenant):
        # One question for all: each of them is a process of psql.
        every = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table} WHERE tenant = '{tenant}'" for table in self.tables())
        found = {table: int(count) for table, count in self.lists(every)}
        found["traffic_minutes"] = int(self.lists(
            f"SELECT count(*) FROM traffic_minutes WHERE tenant = '{tenant}'", "telemetry/passerelle.db")[0][0])
        return found

    def content(self, tenant):
        """All rows of a tenant, but for those that grow by being looked at."""
        grows = {"audit_entries", "audit_access", "gateway_counters"}
        tables = [table for table in self.tables() if table not in grows]
        if not self.server:
            return {table: sorted(self.lists(f"SELECT * FROM {table} WHERE tenant = '{tenant}'")) for table in tables}
        every = " UNION ALL ".join(f"SELECT '{table}', row_to_json(t)::text FROM {table} t WHERE tenant = '{tenant}'" for table in tables)
        found = {table: [] for table in tables}
        for table, *row in self.lists(every):
            found[table].append(row)
        return {table: sorted(rows) for table, rows in found.items()}


class Scene:
    """Two tenants with some of everything, and traffic."""

    def __init__(self, case, platform):
        self.case, self.platform = case, platform
        self.rest = platform.sign_in()
        case.addCleanup(self.rest.close)
        self.upstream = Upstream(case)
        self.documents = {}
        self.people = {}
        for tenant in ("acme", "globex"):
            self.fill(tenant)
        self.rest.create("/v1/users", {"name": "both", "password": PASSWORD, "grants": [
            {"role": "devops", "tenant": "acme"}, {"role": "viewer", "tenant": "globex"}]})
        self.sessions = {name: self.session(name) for name in ("only-acme", "both", "only-globex")}

    def session(self, name):
        rest = Rest(self.platform.control_plane)
        self.case.addCleanup(rest.close)
        rest.sign_in(name, PASSWORD)
        return rest

    def fill(self, tenant):
        rest, base = self.rest, f"/v1/tenants/{tenant}"
        rest.create("/v1/tenants", {"name": tenant})
        rest.expect(200, "PUT", f"{base}/quotas", {"apis": 100, "requests_per_month": 1_000_000, "requests_per_second": 100_000})
        rest.expect(201, "PUT", f"{base}/secrets/backend", {"value": f"{PLANTED}-{tenant}"})
        for number in range(APIS):
            text = document(title=f"Api {number}", base=f"/{tenant}/{number}")
            made = rest.create(f"{base}/apis", {"document": text, "upstream": self.upstream.url, "name": f"api-{number}"})
            rest.expect(200, "PATCH", f"{base}/apis/{made['name']}", {"state": "published"})
            self.documents[tenant, hashlib.sha256(text.encode()).hexdigest()] = text.encode()
        for number in range(APIS - 1):
            self.case.assertEqual(rest.deploy(tenant, f"api-{number}")["state"], "success")
        for number in range(3):
            made = rest.create(f"{base}/applications", {"name": f"app-{number}"})
            rest.create(f"{base}/subscriptions", {"application": f"app-{number}", "api": "api-0", "plan": "gold"})
        self.people[f"{tenant}-key"] = made["key"]
        rest.create("/v1/users", {"name": f"only-{tenant}", "password": PASSWORD, "grants": [{"role": "cpi-tenant", "tenant": tenant}]})
        account = rest.create(f"/v1/service-accounts?tenant={tenant}", {"name": "ci", "roles": ["devops"]})
        self.people[f"{tenant}-token"] = rest.create(
            f"/v1/service-accounts/{account['id']}/tokens?tenant={tenant}", {"name": "one", "scopes": ["catalog:*:read"]})["token"]
        # What somebody does leaves an address in the log, sealed under a key of their own.
        with Rest(self.platform.control_plane, self.people[f"{tenant}-token"]) as account:
            self.case.assertEqual(account.request("PUT", f"{base}/plans/own", {}).status, 403)
        rest.expect(201, "PUT", f"/v1/roles/reader?tenant={tenant}", {"permissions": ["catalog:*:read"]})
        rest.create(f"/v1/groups?tenant={tenant}", {"name": "builders", "roles": ["viewer"]})
        rest.expect(204, "PUT", f"/v1/groups/builders/members/only-{tenant}?tenant={tenant}")
        rest.create(f"/v1/oauth-clients?tenant={tenant}", {
            "name": "Shop", "confidential": True, "grant_types": ["authorization_code"], "scopes": ["openid"],
            "redirect_uris": ["https://shop.example/cb"]})
        rest.expect(200, "PUT", f"{base}/certificate-authority", {"allowed_names": [f"{tenant}.example"]})
        rest.create(f"{base}/certificates", {"names": [f"www.{tenant}.example"], "usage": "server"})
        rest.expect(200, "POST", f"{base}/cache/purges", {"api": "api-0"})
        with Rest(self.platform.gateway) as gateway:
            for _ in range(3):
                eventually(lambda: gateway.request("GET", f"/{tenant}/0/orders", fields={"X-API-Key": made["key"]}).status == 200)
        eventually(lambda: rest.get(f"{base}/traffic")["items"])

    def at_gateway(self, tenant):
        with Rest(self.platform.gateway) as gateway:
            return gateway.request(
                "GET", f"/{tenant}/0/orders", fields={"X-API-Key": self.people[f"{tenant}-key"]}).status

    def restart(self):
        self.platform.kill()
        self.platform.start()
        for rest in (self.rest, *self.sessions.values()):
            rest.close()


class Ends:
    """The same on each engine."""

    def begin(self):
        self.place = folder(self)
        arguments = settings(self, self.place, "tenants: {deletion_grace: 0s}\nretention: {audit: 400d, traffic: 60d}\n")
        return self.make(arguments)

    def test_a_tenant_is_exported_whole_and_deleted_without_a_trace(self):
        platform, kept = self.begin()
        scene = Scene(self, platform.start())
        self.exported(scene, kept)
        self.archives(scene, kept)
        self.deleted(scene, kept)
        self.told(scene.rest)
        self.verified(platform)

    def exported(self, scene, kept):
        platform = scene.platform
        kept_for = {one["topic"]: one["retention_ms"] for one in scene.rest.get("/v1/events")["items"] if "retention_ms" in one}
        self.assertEqual(kept_for["audit-log"], 400 * 86_400_000)
        # Gateways tell once a second what they counted.
        use = eventually(lambda: (lambda use: use if use["requests_per_month"]["used"] >= 3 else None)(
            scene.rest.get("/v1/tenants/acme/quotas/use")))
        self.assertEqual({name: one["used"] for name, one in use.items()}, {
            "apis": APIS, "applications": 3, "environments": 5, "groups": 1, "plans": 3, "requests_per_month": use["requests_per_month"]["used"],
            "requests_per_second": None, "secrets": 1, "service_accounts": 1, "subscriptions": 3, "users": 2})
        self.assertEqual((use["apis"]["limit"], use["users"]["limit"]), (100, None))
        done = run("tenants", "export", "acme", "--into", f"{self.place}/acme.tar", "--url", platform.control_plane,
                   "--output", "json", environment={"PASSERELLE_TOKEN": scene.rest.token})
        self.assertEqual(done.returncode, 0, done.stderr)
        files = {}
        with tarfile.open(f"{self.place}/acme.tar") as archive:
            for member in archive:
                self.assertTrue(member.isfile() and member.name.startswith("acme/"), member.name)
                files[member.name.removeprefix("acme/")] = archive.extractfile(member).read()
        manifest = json.loads(files["manifest.json"])
        self.assertEqual((manifest["format"], manifest["version"], manifest["tenant"]), ("passerelle-tenant-export", 1, "acme"))
        # Documents, byte for byte.
        documents = {name.split("/")[-1].removesuffix(".json"): content for name, content in files.items() if "/documents/" in name}
        self.assertEqual(documents, {hash_: text for (tenant, hash_), text in scene.documents.items() if tenant == "acme"})
        # Every section has as many lines as it says, and tables as many as there are rows.
        lines = {}
        for name, content in files.items():
            if name.endswith(".jsonl"):
                lines.setdefault(name.rsplit("/", 1)[0], []).extend(json.loads(line) for line in content.splitlines())
        counts = kept.counts("acme")
        for section in manifest["sections"]:
            name = section["name"]
            if name != "catalog/documents":
                self.assertEqual(len(lines.get(name, [])), section["count"], name)
            table = name.split("/")[1]
            if table in counts and table not in ("tasks", "gateway_counters", "traffic_minutes"):
                self.assertEqual(section["count"], counts[table], name)
        for name in ("portal/subscriptions", "identity/members", "secrets/secrets", "deployments/live", "observability/traffic_minutes"):
            self.assertTrue(lines[name], name)
        self.assertEqual({one["name"] for one in lines["identity/members"]}, {"only-acme", "both"})
        self.assertEqual([one["name"] for one in lines["secrets/secrets"]], ["backend"])
        withheld = {section["name"]: section["withheld"] for section in manifest["sections"]}
        self.assertEqual(withheld["secrets/secret_versions"], ["sealed"])
        # Entries with the bytes that proofs are about; nothing of the other tenant; no secret in any form.
        entries = lines["audit/entries"]
        self.assertGreater(len(entries), 30)
        for one in entries:
            self.assertEqual((one["entry"]["tenant"], json.loads(base64.b64decode(one["leaf_bytes"]))), ("acme", one["entry"]))
        with open(f"{self.place}/acme.tar", "rb") as file:
            whole = file.read()
        for text in (PLANTED, PASSWORD, "only-globex", scene.people["acme-key"], scene.people["acme-token"]):
            self.assertNotIn(text.encode(), whole)

    def archives(self, scene, kept):
        """Who may fetch them, and what is left when they go."""
        rest = scene.rest
        listed = rest.get("/v1/tenants/acme/exports")["items"]
        self.assertEqual([one["state"] for one in listed], ["ready"])
        for name in ("only-acme", "both"):
            self.assertEqual(scene.sessions[name].request("GET", listed[0]["archive"]).status, 403)
            self.assertEqual(scene.sessions[name].request("POST", "/v1/tenants/acme/exports").status, 403)
        self.assertEqual(scene.sessions["only-globex"].request("GET", listed[0]["archive"]).status, 404)
        again = rest.request("GET", listed[0]["archive"])
        self.assertEqual((again.status, len(again.body)), (200, listed[0]["size"]))
        rest.expect(204, "DELETE", f"/v1/tenants/acme/exports/{listed[0]['id']}")
        self.assertEqual(rest.request("GET", listed[0]["archive"]).status, 404)
        eventually(lambda: kept.counts("acme")["tenant_export_parts"] == 0)
        # Killed while it is made: it goes on, and is whole.
        task = rest.expect(202, "POST", "/v1/tenants/acme/exports").json
        scene.restart()
        finished = eventually(lambda: (lambda one: one if one["state"] == "ready" else None)(
            rest.get(f"/v1/tenants/acme/exports/{task['id']}")), seconds=40)
        body = rest.expect(200, "GET", finished["archive"]).body
        self.assertEqual(len(body), finished["size"])
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            self.assertIn("acme/manifest.json", archive.getnames())

    def deleted(self, scene, kept):
        platform, rest = scene.platform, scene.rest
        wrong = rest.request("POST", "/v1/tenants/acme/deletion", {"confirm": "globex"})
        self.assertEqual((wrong.status, wrong.json["errors"][0]["pointer"]), (400, "/confirm"))
        for name in ("only-acme", "both"):
            self.assertEqual(scene.sessions[name].request("POST", "/v1/tenants/acme/deletion", {"confirm": "acme"}).status, 403)
        self.assertEqual([scene.at_gateway(one) for one in ("acme", "globex")], [200, 200])
        before = kept.content("globex")
        self.assertGreater(sum(1 for count in kept.counts("acme").values() if count), 15)
        ending = rest.expect(202, "POST", "/v1/tenants/acme/deletion", {"confirm": "acme"}).json
        stages = set()
        for _ in range(self.kills):
            time.sleep(random.uniform(0, 0.3))
            scene.restart()
            stages.add(rest.get(f"/v1/tasks/{ending['task']}")["result"]["stage"])
        print(f"    killed; afterwards at: {', '.join(sorted(stages))}")
        task = eventually(lambda: (lambda one: one if one["state"] != "running" else None)(
            rest.get(f"/v1/tasks/{ending['task']}")), seconds=90)
        self.assertEqual((task["state"], task["result"]["stage"], task["result"]["users_erased"]), ("done", "deleted", 1), task)
        # Nothing of it is left but what says why; the other one has all it had, and works.
        left = {table for table, count in kept.counts("acme").items() if count}
        self.assertEqual(left, set(KEPT), kept.counts("acme"))
        after = kept.content("globex")
        self.assertEqual({table: rows for table, rows in after.items() if rows != before[table]}, {})
        eventually(lambda: [scene.at_gateway(one) for one in ("acme", "globex")] == [404, 200])
        # Credentials end; accounts of the tenant alone are erased, others lose its roles.
        for credential in (scene.sessions["only-acme"].token, scene.sessions["both"].token, scene.people["acme-token"]):
            with Rest(platform.control_plane, credential) as lost:
                eventually(lambda: lost.request("GET", "/v1/me").status == 401)
        with Rest(platform.control_plane, scene.people["globex-token"]) as kept_token:
            self.assertEqual(kept_token.request("GET", "/v1/tenants/globex").status, 200)
        with self.assertRaises(Refused):
            scene.session("only-acme")
        both = scene.session("both")
        self.assertEqual([one["name"] for one in both.all("/v1/tenants")], ["globex"])
        # Its name is not given again, and for callers it is not there.
        self.assertEqual(rest.request("POST", "/v1/tenants", {"name": "acme"}).status, 409)
        self.assertEqual(rest.request("GET", "/v1/tenants/acme").status, 404)
        for path, body in (("/v1/service-accounts?tenant=acme", {"name": "late", "roles": ["viewer"]}),
                           ("/v1/groups?tenant=acme", {"name": "late", "roles": ["viewer"]})):
            self.assertEqual(rest.request("POST", path, body).status, 404, "nothing comes to life behind the end")

    def told(self, rest):
        types = [one["event_type"] for one in rest.all("/v1/audit/entries?tenant=acme&order=asc")]
        steps = ["tenant.deletion-requested", "tenant.deletion-started", "subscription.deleted", "api.deleted", "tenant.deleted"]
        self.assertEqual([types.index(step) for step in steps], sorted(types.index(step) for step in steps))
        self.assertEqual(types.count("tenant.deleted"), 1)
        self.assertEqual(types.count("api.deleted"), APIS)
        for topic, count in (("api-deleted", APIS), ("application-deleted", 3), ("subscription-deleted", 3)):
            self.assertEqual(len(rest.events(topic, "acme")), count, topic)
        notes = [one["value"]["type"] for one in rest.events("notifications", "acme")]
        self.assertEqual([one for one in notes if one.startswith("tenant-")], ["tenant-deletion-requested", "tenant-deleted"])
        # What the log has of who was the tenant's alone opens no more.
        erased = [one for one in rest.all("/v1/audit/entries?type=personal-data.erased")]
        self.assertEqual(len(erased), 2, "a user and a service account")

    def verified(self, platform):
        checked = run("audit", "verify", "--url", platform.control_plane, environment={"PASSERELLE_TOKEN": self.token(platform)})
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    @staticmethod
    def token(platform):
        with Rest(platform.control_plane) as rest:
            rest.sign_in("admin", platform.password)
            return rest.token


class SQLiteTests(Ends, unittest.TestCase):
    kills = 3

    def make(self, arguments):
        platform = Platform(self, f"{self.place}/data", arguments=arguments)
        return platform, Kept(platform)

    def test_the_end_can_be_called_off_until_it_begins(self):
        platform = Platform(self, f"{folder(self)}/data").start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        ending = rest.expect(202, "POST", "/v1/tenants/acme/deletion", {"confirm": "acme"}).json
        self.assertEqual(ending["state"], "waiting")
        self.assertEqual(rest.get("/v1/tenants/acme")["ends_at"], ending["due_at"])
        self.assertEqual(rest.request("POST", "/v1/tenants/acme/deletion", {"confirm": "acme"}).status, 409)
        rest.expect(200, "PUT", "/v1/tenants/acme/plans/one", {})
        done = run("tenants", "cancel-deletion", "acme", "--url", platform.control_plane, environment={"PASSERELLE_TOKEN": rest.token})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("ends_at", rest.get("/v1/tenants/acme"))
        self.assertEqual(rest.get(f"/v1/tasks/{ending['task']}")["state"], "failed")
        self.assertEqual(rest.request("GET", "/v1/tenants/acme/deletion").status, 404)


class PostgreSQLTests(Ends, unittest.TestCase):
    # Each costs seconds, in which the leases of the killed process end.
    kills = 1

    @classmethod
    def setUpClass(cls):
        cls.server = Postgres(ClassScope(cls))
        cls.number = 0

    def make(self, arguments):
        type(self).number += 1
        database = f"tenants{self.number}"
        platform = Platform(
            self, f"{self.place}/data", arguments=arguments,
            environment={"PASSERELLE_STORE_URL": self.server.create(database)})
        return platform, Kept(platform, self.server, database)
