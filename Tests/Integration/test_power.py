"""Power cuts: the platform runs under SyncWatch, and `--cuts` moments of the record become folders as a power cut would leave them:
unsynced writes missing, torn, in any order; files made, renamed or removed since their folder was synced there or not.

Each must open, hold everything that was acknowledged before the cut, and have a sound audit log that fits the last checkpoint seen;
some are started again, and go on where the cut was.
"""

import os
import random
import shutil
import sqlite3
import threading
import time

from processes import Platform, Settings, TimeLimit, eventually, run
from rest import Rest, document
from watched import WatchedTests

from synctrace import HEAD, Trace  # noqa: E402, of Tests/Crash

CALLERS = 4
LOAD_SECONDS = 4
# Of the cuts under load, every so many is started again.
STARTED_EACH = 6


class Caller(threading.Thread):
    """Makes applications and deploys; writes each acknowledgement into the record of the disk, after it came."""

    def __init__(self, case, number):
        super().__init__(daemon=True)
        self.case, self.number = case, number
        self.problem = None

    def run(self):
        try:
            with Rest(self.case.platform.control_plane, self.case.token) as rest:
                count = 0
                while not self.case.is_over.is_set():
                    count += 1
                    answer = rest.request(
                        "POST", "/v1/tenants/acme/applications", {"name": f"c{self.number}-{count}"})
                    self.note(answer, 201, "application")
                    if count % 3 == 0:
                        answer = rest.request("POST", "/v1/tenants/acme/apis/orders/deployments", {"environment": "dev"})
                        self.note(answer, 202, "deployment")
                    if self.number == 0:
                        note = rest.request("GET", "/v1/audit/checkpoint")
                        if note.status == 200:
                            self.case.acknowledge(f"checkpoint {note.body.hex()}")
        except OSError:
            pass
        except AssertionError as problem:
            self.problem = problem

    def note(self, answer, status, kind):
        if answer.status != status:
            raise AssertionError(f"{kind}: {answer}")
        self.case.acknowledge(f"{kind} {answer.json['id']}")


class PowerTests(WatchedTests):
    def acknowledge(self, line):
        """Into the record of the disk, so that it has its place among the writes: after them, as it is noted after it came."""
        data = f"ack {line}\n".encode()
        with open(self.trace, "ab", buffering=0) as file:
            file.write(HEAD.pack(ord("A"), 0, 0, 0, 0, len(data), 0) + data)

    def test_a_power_cut_loses_nothing_that_was_acknowledged(self):
        print(f"    seed {Settings.seed}", flush=True)
        rng = random.Random(Settings.seed)
        self.begin("power")
        self.is_over = threading.Event()
        callers = [Caller(self, number) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        time.sleep(LOAD_SECONDS)
        self.is_over.set()
        for caller in callers:
            caller.join(60)
            if caller.problem:
                raise caller.problem
        self.platform.kill()
        trace = Trace(self.trace, self.platform.data)
        image = f"{self.place}/cut"
        acknowledged = started = count = 0
        limit = TimeLimit()
        for cut, disk in trace.images(trace.cuts(Settings.cuts, rng), self.before):
            shutil.rmtree(image, ignore_errors=True)
            self.write_before(trace, image)
            trace.write_image(disk, image, rng)
            lines = [line.split() for _, line in trace.acknowledgements(cut)]
            try:
                self.check(image, lines)
                count += 1
                if count % STARTED_EACH == 0:
                    self.goes_on(image, lines)
                    started += 1
            except AssertionError as problem:
                raise AssertionError(f"seed {Settings.seed}, cut at call {cut}: {problem}") from problem
            acknowledged = max(acknowledged, len(lines))
            limit.progress(count, Settings.cuts)
            if limit.is_over:
                break
        print(f"    {count} power cuts{limit.remark(count, Settings.cuts)}, {started} started again, {acknowledged} acknowledgements, none lost", flush=True)

    def write_before(self, trace, image):
        """What was there before the trace began and does not appear in it."""
        for path, content in self.before.items():
            place = os.path.join(image, os.path.relpath(path, self.platform.data))
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            if path not in trace.paths.values():
                with open(place, "wb") as file:
                    file.write(content)

    def check(self, image, lines):
        kept = {kind: {line[2] for line in lines if line[1] == kind} for kind in ("application", "deployment", "checkpoint")}
        with sqlite3.connect(f"{image}/passerelle.db") as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            there = {
                kind: [identity for (identity,) in database.execute(f"SELECT {kind}_id FROM {kind}s")]
                for kind in ("application", "deployment")}
            logged = database.execute(
                "SELECT topic, partition, base_offset, record_count FROM log_batches ORDER BY 1, 2, 3").fetchall()
            first = {(topic, partition): offset for topic, partition, offset in database.execute(
                "SELECT topic, partition, first_offset FROM log_partitions")}
        database.close()
        for kind, found in there.items():
            self.assertEqual(kept[kind] - set(found), set(), f"{kind}: acknowledged, and lost")
            self.assertEqual(len(found), len(set(found)))
        following = dict(first)
        for topic, partition, offset, count in logged:
            self.assertEqual(offset, following[topic, partition], f"{topic} has a gap")
            following[topic, partition] = offset + count
        with sqlite3.connect(f"{image}/telemetry/passerelle.db") as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        database.close()
        last = [line[2] for line in lines if line[1] == "checkpoint"]
        self.sound(image, bytes.fromhex(last[-1]) if last else None)

    def goes_on(self, image, lines):
        """Started on what the cut left: what was under way ends, each once, and the gateway serves it."""
        platform = Platform(self, image, base=self.platform.base).start()
        with Rest(platform.control_plane) as rest:
            rest.sign_in("admin", self.platform.password)
            deployments = "/v1/tenants/acme/apis/orders/deployments"
            eventually(lambda: not {one["state"] for one in rest.all(deployments)} & {"pending", "running"}, seconds=60)
            requested = [one["id"] for one in rest.all(deployments)]
            self.assertEqual({line[2] for line in lines if line[1] == "deployment"} - set(requested), set(), "lost")
            results = [event["value"] for event in rest.events("deploy-results", "acme")]
            self.assertEqual(sorted(one["deployment_id"] for one in results), sorted(requested), "each ended once")
            self.assertEqual({one["status"] for one in results} - {"success"}, set())
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success", "work goes on")
        with Rest(platform.gateway) as gateway:
            self.assertEqual(gateway.request("GET", "/shop/orders").status, 401, "it is deployed; without a key it answers")
        self.assertEqual(platform.stop(), 0)
        self.sound(image)

    def test_the_power_fails_during_the_first_start(self):
        """Migrations, keys and the administrator are half made: the next start makes the rest."""
        rng = random.Random(Settings.seed)
        data, image = f"{self.place}/first", f"{self.place}/first-cut"
        os.mkdir(data, 0o700)
        platform = Platform(self, data, environment=self.watch(data)).start()
        platform.kill()
        trace = Trace(self.trace, data)
        cuts = sorted(rng.randrange(1, len(trace.calls) + 1) for _ in range(max(6, Settings.cuts // 6)))
        for cut, disk in trace.images(cuts):
            shutil.rmtree(image, ignore_errors=True)
            os.mkdir(image, 0o700)
            trace.write_image(disk, image, rng)
            try:
                self.works_after_first_start(Platform(self, image, base=platform.base), platform.password)
            except AssertionError as problem:
                raise AssertionError(f"seed {Settings.seed}, cut at call {cut}: {problem}") from problem

    def test_the_power_fails_during_an_upgrade(self):
        """A folder of an older version whose schema is brought up to date: it is so, or as it was, and nothing in it is lost."""
        rng = random.Random(Settings.seed)
        data, image = f"{self.place}/older", f"{self.place}/older-cut"
        self.platform = Platform(self, data).start()
        with self.platform.sign_in("acme") as rest:
            rest.create("/v1/tenants/acme/apis", {
                "name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
            note = rest.expect(200, "GET", "/v1/audit/checkpoint").body
        self.assertEqual(self.platform.stop(), 0)
        # Steps that only made tables, which nothing of this folder is in: undone, they are to be done again.
        with sqlite3.connect(f"{data}/passerelle.db") as database:
            for table in ("log_members", "log_leases"):
                database.execute(f"DROP TABLE {table}")
            database.execute("DELETE FROM schema_migrations WHERE service = 'log' AND number > 1")
        database.close()
        self.before = self.contents(data)
        self.platform.environment = self.watch(data)
        self.platform.start()
        self.platform.kill()
        trace = Trace(self.trace, data)
        # The first thing that is synced to the log is the schema.
        log = next(number for number, path in trace.paths.items() if path == f"{data}/passerelle.db-wal")
        schema = next(at for at, call in enumerate(trace.calls) if call.kind == "E" and call.file == log)
        count = max(6, Settings.cuts // 6)
        cuts = sorted(
            [schema, schema + 1] + [rng.randrange(1, schema + 1) for _ in range(count - 3)]
            + [rng.randrange(schema, len(trace.calls)) + 1])
        for cut, disk in trace.images(cuts, self.before):
            shutil.rmtree(image, ignore_errors=True)
            self.write_before(trace, image)
            trace.write_image(disk, image, rng)
            try:
                self.is_upgraded(Platform(self, image, base=self.platform.base), note)
            except AssertionError as problem:
                raise AssertionError(f"seed {Settings.seed}, cut at call {cut}: {problem}") from problem

    def is_upgraded(self, platform, note):
        platform.start()
        with Rest(platform.control_plane) as rest:
            rest.sign_in("admin", self.platform.password)
            self.assertEqual([one["name"] for one in rest.all("/v1/tenants/acme/apis")], ["orders"])
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        self.assertEqual(platform.stop(), 0)
        with sqlite3.connect(f"{platform.data}/passerelle.db") as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            steps = "SELECT number FROM schema_migrations WHERE service = 'log' ORDER BY number"
            self.assertEqual([number for (number,) in database.execute(steps)][:3], [1, 2, 3])
            self.assertEqual(database.execute("SELECT count(*) FROM log_leases").fetchone()[0] > 0, True)
        database.close()
        self.sound(platform.data, note)

    def test_the_power_fails_during_a_backup(self):
        """What the repository held is whole, what it holds beside is whole or no backup, and the next one is made."""
        rng = random.Random(Settings.seed)
        place, image = f"{self.place}/repository", f"{self.place}/repository-cut"
        Platform(self, f"{self.place}/source").start().stop()
        with open(f"{self.place}/key", "w", encoding="ascii") as file:
            file.write("a passphrase of some length")
        key = ("--key-file", f"{self.place}/key")

        def backup(to, **options):
            return self.done("backup", "--data", f"{self.place}/source", "--to", to, *key, "--full", **options)

        backup(place)
        before = self.contents(place)
        backup(place, environment=self.watch(place))
        trace = Trace(self.trace, place)
        cuts = sorted(rng.randrange(1, len(trace.calls) + 1) for _ in range(max(6, Settings.cuts // 6)))
        for cut, disk in trace.images(cuts, before):
            shutil.rmtree(image, ignore_errors=True)
            for path, content in before.items():
                os.makedirs(os.path.dirname(path.replace(place, image, 1)), mode=0o700, exist_ok=True)
                if path not in trace.paths.values():
                    with open(path.replace(place, image, 1), "wb") as file:
                        file.write(content)
            trace.write_image(disk, image, rng)
            try:
                self.done("backup", "verify", "--all", "--from", image, *key)
                backup(image)
                self.done("backup", "verify", "--all", "--from", image, *key)
            except AssertionError as problem:
                raise AssertionError(f"seed {Settings.seed}, cut at call {cut}: {problem}") from problem

    def done(self, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
