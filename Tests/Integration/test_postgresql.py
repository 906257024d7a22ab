"""The platform on PostgreSQL: two control planes on one database, an outage of the server, and an installation that moves there."""

import os
import shutil
import subprocess
import unittest

from postgres import Postgres
from processes import ClassScope, Platform, eventually, folder, free_base, run
from rest import Rest, document
from upstream import Upstream


class PostgresTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres(ClassScope(cls))

    def platform(self, name, url, issuer, arguments=()):
        return Platform(
            self, f"{self.place}/{name}", arguments=["--gateway-id", name, *arguments],
            environment={"PASSERELLE_STORE_URL": url, "PASSERELLE_ISSUER": issuer})

    def setUp(self):
        self.place = folder(self)
        self.upstream = Upstream(self)
        self.issuer = "http://passerelle.test"

    def pair(self, database):
        """Two control planes, each with a gateway, on one database; the second has a copy of the master key."""
        url = self.server.create(database)
        first = self.platform("first", url, self.issuer).start()
        os.makedirs(f"{self.place}/second", mode=0o700)
        shutil.copy(f"{first.data}/master.key", f"{self.place}/second/master.key")
        second = self.platform("second", url, self.issuer).start()
        rest = first.sign_in("acme")
        self.addCleanup(rest.close)
        return first, second, rest

    def other(self, platform, rest):
        """The same caller at another control plane."""
        there = Rest(platform.control_plane, token=rest.token)
        self.addCleanup(there.close)
        return there

    def imported(self, rest, count=1):
        body = {"document": document(paths=[f"/r{number + 1}" for number in range(count)]),
                "upstream": self.upstream.url, "authentication": "none"}
        rest.create("/v1/tenants/acme/apis", body)

    def status(self, platform, path):
        with Rest(platform.gateway) as rest:
            return rest.request("GET", path).status

    def test_two_control_planes_share_one_database(self):
        first, second, rest = self.pair("pair")
        there = self.other(second, rest)
        # Written here, read there.
        self.imported(rest)
        self.assertEqual([api["name"] for api in there.all("/v1/tenants/acme/apis")], ["orders"])
        # Asked for there, live on the gateways of both; the end names both.
        eventually(lambda: {one["id"] for one in there.all("/v1/gateways") if one["state"] == "live"} == {"first", "second"})
        deployment = there.deploy("acme", "orders")
        self.assertEqual(deployment["state"], "success", deployment)
        self.assertEqual(sorted(deployment["gateway_response"]["acknowledged"]), ["first", "second"])
        for platform in (first, second):
            self.assertEqual(self.status(platform, "/shop/r1"), 200)
        # One log: the same events with the same offsets from either.
        events = eventually(lambda: rest.events("deploy-results"))
        eventually(lambda: there.events("deploy-results") == events)
        # A session that ends here ends there, within a second.
        session = rest.get("/v1/sessions")["items"][-1]["id"]
        rest.expect(204, "DELETE", f"/v1/sessions/{session}")
        eventually(lambda: there.request("GET", "/v1/me").status == 401)

    def test_an_outage_is_named_and_ends_by_itself(self):
        server = Postgres(self)
        platform = self.platform("one", server.create("outage"), self.issuer).start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        server.stop()

        def unready():
            answer = rest.request("GET", "/readyz")
            return answer.status == 503 and next((one for one in answer.json["checks"] if one["name"] == "store"), None)

        check = eventually(lambda: (unready() or {}).get("reason") and unready())
        self.assertIn("no connection to PostgreSQL app@127.0.0.1", check["reason"])
        self.assertRegex(check["since"], r"^\d{4}-\d\d-\d\dT")
        refused = rest.request("POST", "/v1/tenants", {"name": "globex"})
        self.assertEqual(refused.status, 503, refused)
        self.assertIn("retry-after", {name.lower() for name in refused.fields.keys()})
        server.start()
        eventually(lambda: rest.request("GET", "/readyz").status == 200)
        rest.create("/v1/tenants", {"name": "globex"})

    def test_an_installation_moves(self):
        platform = Platform(self, f"{self.place}/data").start()
        rest = platform.sign_in("acme")
        self.imported(rest)
        self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        before = rest.events("audit-log")
        password = platform.password
        rest.close()
        # In use: refused. Stopped: moved. Once more: the target is no longer empty.
        url = self.server.create("moved")
        with open(f"{self.place}/url", "w", encoding="utf-8") as file:
            file.write(url + "\n")
        command = ["store", "migrate", "--data", platform.data, "--to-file", f"{self.place}/url"]
        busy = run(*command)
        self.assertEqual((busy.returncode, "is in use by process" in busy.stderr), (1, True), busy.stderr)
        self.assertEqual(platform.stop(), 0)
        done = run(*command)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{len(before)} audit entries verified", done.stdout)
        again = run(*command)
        self.assertEqual((again.returncode, "is a store already" in again.stderr), (1, True), again.stderr)
        moved = Platform(
            self, platform.data, base=platform.base, environment={"PASSERELLE_STORE_URL": url}).start()
        with Rest(moved.control_plane) as rest:
            rest.sign_in("admin", password)
            self.assertEqual(rest.events("audit-log")[:len(before)], before)
            eventually(lambda: self.status(moved, "/shop/r1") == 200)

    def test_addresses_that_cannot_work_are_named_without_their_password(self):
        for url, says in (
            ("mysql://app:geheim@127.0.0.1/db", "expected postgresql://USER@HOST:PORT/DATABASE"),
            (f"postgresql://app:geheim@127.0.0.1:{self.server.port}/missing", "database \"missing\" does not exist"),
            ("postgresql://app:geheim@127.0.0.1:1/db", "Connection refused"),
        ):
            with self.subTest(url):
                done = run("serve", "--data", f"{self.place}/data", "--port-base", str(free_base()),
                           environment={"PASSERELLE_STORE_URL": url})
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(says, done.stderr)
                self.assertNotIn("geheim", done.stdout + done.stderr)
        done = run("store", "migrate", "--to", "postgresql://app:geheim@127.0.0.1/db")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--to-file", done.stderr)

    def test_a_backup_is_refused_with_what_to_use_instead(self):
        platform = self.platform("backup", self.server.create("backup"), self.issuer).start()
        with platform.sign_in() as rest:
            told = rest.expect(409, "POST", "/v1/backups", {}).json
            self.assertIn("pg_basebackup", told["detail"])
            self.assertIn("master.key", told["detail"])
            self.assertEqual(told["postgresql"]["settings"]["archive_mode"], "off")
            self.assertTrue(any(one.startswith("archive_mode: ") for one in told["postgresql"]["problems"]))
            self.assertFalse(any(one.startswith("wal_level: ") for one in told["postgresql"]["problems"]))
            done = run("backup", environment={
                "PASSERELLE_URL": platform.control_plane, "PASSERELLE_TOKEN": rest.token, "PASSERELLE_HOME": self.place})
            self.assertEqual((done.returncode, "pg_basebackup" in done.stderr), (1, True), done.stderr)
            self.assertEqual(rest.get("/v1/backups")["items"], [])

    def test_the_state_of_a_moment_comes_from_the_log(self):
        url = self.server.create("replay")
        platform = self.platform("replay", url, self.issuer).start()
        with platform.sign_in("acme") as rest:
            self.imported(rest)
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
            last = rest.events("audit-log")[-1]["offset"]
            rest.create("/v1/tenants", {"name": "later"})
        into = f"{self.place}/state"
        environment = {"PASSERELLE_STORE_URL": url}
        done = run("events", "replay", "--into", into, "--until", str(last), environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(f"{into}/tenants"), ["acme"])
        place = f"{into}/tenants/acme/apis/orders"
        for name in ("api.json", "live.json", "revisions/1.json", "revisions/1.document.json", "revisions/1.gateway.json"):
            self.assertTrue(os.path.exists(f"{place}/{name}"), name)
        # Served or not, it is the same.
        self.assertEqual(platform.stop(), 0)
        again = f"{self.place}/again"
        self.assertEqual(
            run("events", "replay", "--into", again, "--until", str(last), environment=environment).returncode, 0)
        self.assertEqual(subprocess.run(["diff", "-r", into, again], check=False).returncode, 0)
