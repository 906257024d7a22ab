"""The platform on PostgreSQL: two control planes on one database, each with all services or some; an outage of the server, its full disk,
and an installation that moves there."""

import os
import shutil
import subprocess
import threading
import time
import unittest

from network import Relay
from postgres import Postgres, SmallDisk
from processes import ClassScope, Platform, Settings, eventually, folder, free_base, run, spawn
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
        # Both at once do not pass a quota together.
        rest.expect(200, "PUT", "/v1/tenants/acme/quotas", {"applications": 5})
        answers = []

        def make(platform, number):
            with Rest(platform.control_plane, rest.token) as client:
                answers.append(client.request("POST", "/v1/tenants/acme/applications", {"name": f"quota-{number}"}))

        makers = [threading.Thread(target=make, args=((first, second)[number % 2], number)) for number in range(12)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
        self.assertEqual(sorted(answer.status for answer in answers), [201] * 5 + [409] * 7)
        self.assertEqual({answer.json["quota"] for answer in answers if answer.status == 409}, {"applications"})
        # What one seals with new keys opens at the other, which has learnt of them before they are used.
        there.expect(202, "POST", "/v1/keys/rotations", {"level": "key-encrypting"})
        eventually(lambda: all(task["state"] == "done" for task in there.all("/v1/tasks")), 120)
        there.expect(201, "PUT", "/v1/tenants/acme/secrets/word", {"value": "kept"})
        self.assertEqual(rest.get("/v1/tenants/acme/secrets/word")["version"], 1)
        rest.expect(200, "PUT", "/v1/tenants/acme/secrets/word", {"value": "kept on"})
        # A session that ends here ends there, within a second.
        session = rest.get("/v1/sessions")["items"][-1]["id"]
        rest.expect(204, "DELETE", f"/v1/sessions/{session}")
        eventually(lambda: there.request("GET", "/v1/me").status == 401)

    def test_services_are_shared_out_among_processes(self):
        """One has the catalogue and the people, the other one what is deployed; neither has what the other does."""
        url = self.server.create("services")
        people = self.platform(
            "people", url, self.issuer, ["--services", "catalog,identity,portal,audit"]).start()
        os.makedirs(f"{self.place}/machines", mode=0o700)
        shutil.copy(f"{people.data}/master.key", f"{self.place}/machines/master.key")
        machines = self.platform("machines", url, self.issuer, ["--services", "deployments,gateway"]).start()
        rest = people.sign_in("acme")
        self.addCleanup(rest.close)
        there = self.other(machines, rest)
        deployments = "/v1/tenants/acme/apis/orders/deployments"
        self.assertEqual(rest.request("POST", deployments, {"environment": "dev"}).status, 404)
        self.assertEqual(there.request("GET", "/v1/tenants/acme/apis").status, 404)
        with self.assertRaises(OSError), Rest(people.gateway, timeout=5) as gateway:
            gateway.request("GET", "/")
        # Imported and subscribed at one, deployed at the other.
        rest.create("/v1/tenants/acme/apis", {"document": document(paths=["/r1"]), "upstream": self.upstream.url})
        self.assertEqual(there.deploy("acme", "orders")["state"], "success")
        key = rest.create("/v1/tenants/acme/applications", {"name": "shop"})["key"]
        rest.create("/v1/tenants/acme/subscriptions", {"application": "shop", "api": "orders", "plan": "gold"})
        self.assertEqual(self.status(machines, "/shop/r1"), 401)
        with Rest(machines.gateway) as gateway:
            eventually(lambda: gateway.request("GET", "/shop/r1", fields={"X-API-Key": key}).status == 200)
        # Each consumer runs where its service does, and both get on with their work.
        groups = "SELECT group_name FROM log_members ORDER BY 1"
        eventually(lambda: self.server.sql("services", groups).split() == ["deployer", "portal-api-deletions"])
        rest.expect(204, "DELETE", "/v1/tenants/acme/apis/orders?undeploy=true")
        eventually(lambda: self.status(machines, "/shop/r1") == 404)
        eventually(lambda: rest.all("/v1/tenants/acme/subscriptions") == [])
        for one in (rest, there):
            eventually(lambda: all(group["lag"] == 0 for group in one.get("/v1/events/groups")["items"]))
        # Who is gone is missed by nobody else.
        people.kill()
        eventually(lambda: self.server.sql("services", groups).split() == ["deployer"])
        self.assertEqual(there.request("GET", "/readyz").status, 200)

    def test_a_full_disk_of_the_server_is_named_and_work_resumes(self):
        disk = SmallDisk(self)
        server = Postgres(self)
        platform = self.platform("full", disk.database(server, "tight"), self.issuer).start()
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        made = []

        def create(size=20_000):
            answer = rest.request("POST", "/v1/tenants/acme/apis", {
                "name": f"a{len(made)}-{time.monotonic_ns()}", "upstream": self.upstream.url,
                "document": document(title="x" * size, base=f"/a{time.monotonic_ns()}")})
            if answer.status == 201:
                made.append(answer.json["id"])
            return answer

        def store(rest):
            answer = rest.request("GET", "/readyz")
            check = next(one for one in answer.json["checks"] if one["name"] == "store")
            return None if check["ok"] else (answer.status, check["reason"].split(" (")[0], check["since"])

        create()
        disk.fill()
        refused = eventually(lambda: next(iter([one for one in [create()] if one.status != 201]), None))
        self.assertEqual(refused.status, 503, refused)
        self.assertGreater(int(refused.fields["Retry-After"]), 0)
        # What still fits changes nothing about that: the same answer for as long as it lasts.
        first = eventually(lambda: store(rest))
        self.assertEqual(first[0], 503)
        self.assertIn("no space left on the database server", first[1])
        end = time.monotonic() + 2
        while time.monotonic() < end:
            self.assertEqual(store(rest), first)
            time.sleep(0.05)
        self.assertEqual(rest.get("/v1/tenants/acme")["name"], "acme", "reading goes on")
        self.assertEqual(rest.request("GET", "/healthz").status, 200)
        disk.empty()
        eventually(lambda: rest.request("GET", "/readyz").status == 200)
        self.assertEqual(create().status, 201)
        there = [one["id"] for one in rest.all("/v1/tenants/acme/apis")]
        self.assertEqual((set(made) - set(there), len(there)), (set(), len(set(there))), "acknowledged, and lost or doubled")
        created = [one["value"]["api_id"] for one in rest.events("api-created", "acme")]
        eventually(lambda: len(rest.events("api-created", "acme")) == len(there))
        self.assertEqual(len(created), len(set(created)))

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
            # Its audit log is verified while it is served, also against a checkpoint that somebody kept.
            eventually(lambda: len(rest.events("audit-log")) > len(before))
            kept = rest.expect(200, "GET", "/v1/audit/checkpoint").body
        with open(f"{self.place}/checkpoint", "wb") as file:
            file.write(kept)
        verify = ("audit", "verify", "--store-url-file", f"{self.place}/url", "--checkpoint", f"{self.place}/checkpoint")
        sound = run(*verify)
        self.assertEqual(sound.returncode, 0, sound.stdout + sound.stderr)
        self.server.sql("moved", "UPDATE log_batches SET batch = set_byte(batch, position('event_type'::bytea IN batch), 88) "
                                 "WHERE topic = 'audit-log' AND base_offset = 0")
        altered = run(*verify)
        self.assertEqual(altered.returncode, 1, altered.stdout)
        self.assertIn("entry 0", (altered.stdout + altered.stderr).lower())

    def test_a_move_that_is_killed_half_way_goes_on(self):
        """At several points of the way; each time a platform is refused until the copy is whole."""
        platform = Platform(self, f"{self.place}/data").start()
        rest = platform.sign_in("acme")
        self.imported(rest, count=20)
        for number in range(30):
            rest.create("/v1/tenants/acme/applications", {"name": f"app-{number}"})
        self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        before = rest.events("audit-log")
        rest.close()
        self.assertEqual(platform.stop(), 0)
        relay = Relay(self)
        port = relay.reach(self.server.port)[1]

        def command(url):
            with open(f"{self.place}/url", "w", encoding="utf-8") as file:
                file.write(url + "\n")
            os.chmod(f"{self.place}/url", 0o600)
            return ["store", "migrate", "--data", platform.data, "--to-file", f"{self.place}/url"]

        def relayed(database):
            return self.server.create(database).replace(f":{self.server.port}/", f":{port}/")

        whole = run(*command(relayed("whole")))
        self.assertEqual(whole.returncode, 0, whole.stderr)
        total, states = relay.sent, set()
        for percent in (35, 70, 95):
            database = f"half{percent}"
            relay.sent, relay.limit = 0, total * percent // 100
            process = spawn([Settings.binary, *command(relayed(database))],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            eventually(lambda: relay.is_cut or process.poll() is not None)
            self.assertIsNone(process.poll(), f"{percent} %: it ended before it was killed")
            process.kill()
            process.wait()
            relay.limit = None
            relay.mend()
            direct = self.server.url(database)
            begun = self.server.sql(database, "SELECT to_regclass('store_copied') IS NOT NULL") == "t"
            states.add(begun)
            if begun:
                refused = run("serve", "--data", f"{self.place}/other", "--port-base", str(free_base()), environment={
                    "PASSERELLE_STORE_URL": direct})
                self.assertEqual((refused.returncode, "unfinished copy" in refused.stderr), (1, True), refused.stderr)
            done = run(*command(direct))
            self.assertEqual(done.returncode, 0, f"{percent} %: {done.stderr}")
            self.assertEqual(done.stdout.splitlines()[0], whole.stdout.splitlines()[0])
        self.assertIn(True, states, "none was killed while rows were copied")
        moved = Platform(self, platform.data, base=platform.base, environment={
            "PASSERELLE_STORE_URL": direct, "PASSERELLE_ISSUER": self.issuer}).start()
        with Rest(moved.control_plane) as rest:
            rest.sign_in("admin", platform.password)
            self.assertEqual(rest.events("audit-log")[:len(before)], before)

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
        # A newer binary beside the platform: what only reads does so, what would change something is refused, the schema stays.
        applied = "SELECT service, number FROM schema_migrations ORDER BY 1, 2"
        self.server.sql("replay", "DELETE FROM schema_migrations WHERE service = 'identity' AND number = "
                                  "(SELECT max(number) FROM schema_migrations WHERE service = 'identity')")
        before = self.server.sql("replay", applied)
        with open(f"{self.place}/url", "w", encoding="utf-8") as file:
            file.write(url + "\n")
        os.chmod(f"{self.place}/url", 0o600)
        sound = run("audit", "verify", "--store-url-file", f"{self.place}/url")
        self.assertEqual(sound.returncode, 0, sound.stdout + sound.stderr)
        refused = run("users", "reset-administrator", "--store-url-file", f"{self.place}/url")
        self.assertEqual((refused.returncode, "older version" in refused.stderr), (1, True), refused.stderr)
        # Served or not, it is the same.
        self.assertEqual(platform.stop(), 0)
        again = f"{self.place}/again"
        self.assertEqual(
            run("events", "replay", "--into", again, "--until", str(last), environment=environment).returncode, 0)
        self.assertEqual(subprocess.run(["diff", "-r", into, again], check=False).returncode, 0)
        self.assertEqual(self.server.sql("replay", applied), before)
