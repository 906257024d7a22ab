"""A failing disk under the whole platform, and a power cut under load.

The platform runs under SyncWatch (Tests/Crash), which makes calls on the data folder fail and records what reaches the disk when.
`--cuts` moments of that record become folders as a power cut would leave them: unsynced writes missing, torn, in any order; each
must open, hold everything that was acknowledged before the cut, and have a sound audit log that fits the last checkpoint seen.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

from processes import Platform, Settings, eventually, folder, run
from rest import Rest, document

CRASH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Crash")
sys.path.insert(0, CRASH)

from synctrace import HEAD, Trace  # noqa: E402

CALLERS = 4
LOAD_SECONDS = 4


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


class FaultTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = folder(type("Scope", (), {"addCleanup": cls.addClassCleanup}))
        cls.library = f"{cls.place}/syncwatch.so"
        compiler = shutil.which("cc") or shutil.which("clang")
        subprocess.run(
            [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", cls.library,
             os.path.join(CRASH, "SyncWatch", "SyncWatch.c"), "-ldl"], check=True)

    def begin(self, name):
        """A platform that was served once and stopped; then again, watched."""
        data = f"{self.place}/{name}"
        self.platform = Platform(self, data).start()
        with self.platform.sign_in("acme") as rest:
            rest.create("/v1/tenants/acme/apis", {
                "name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
        self.assertEqual(self.platform.stop(), 0)
        self.before = {}
        for root, _, files in os.walk(data):
            for file in files:
                with open(os.path.join(root, file), "rb") as content:
                    self.before[os.path.join(root, file)] = content.read()
        self.trace, self.fail = f"{data}.trace", f"{data}.fail"
        self.platform.environment = {
            "LD_PRELOAD": self.library, "SYNCWATCH_FOLDER": data, "SYNCWATCH_TRACE": self.trace,
            "SYNCWATCH_FAIL": self.fail}
        self.platform.start()
        rest = Rest(self.platform.control_plane)
        self.addCleanup(rest.close)
        rest.sign_in("admin", self.platform.password)
        self.token = rest.token
        return rest

    def let_fail(self, letter):
        with open(f"{self.fail}.new", "w", encoding="ascii") as file:
            file.write(letter)
        os.rename(f"{self.fail}.new", self.fail)

    # Faults

    def test_a_failing_disk_refuses_says_why_and_heals(self):
        rest = self.begin("faults")
        made, number = [], 0

        def create():
            nonlocal number
            number += 1
            answer = rest.request("POST", "/v1/tenants/acme/applications", {"name": f"fault-{number}"})
            if answer.status == 201:
                made.append(answer.json["id"])
            return answer

        for letter in ("s", "w", "f"):
            with self.subTest(letter):
                self.assertEqual(create().status, 201)
                self.let_fail(letter)
                refused = eventually(lambda: next(iter([one for one in [create()] if one.status != 201]), None))
                self.assertEqual(refused.status, 503, refused)
                self.assertGreater(int(refused.fields["Retry-After"]), 0)
                self.assertEqual(refused.json["type"], "urn:passerelle:problem:unavailable")
                readiness = eventually(lambda: next(
                    iter([one for one in [rest.request("GET", "/readyz")] if one.status == 503]), None))
                failing = [check for check in readiness.json["checks"] if not check["ok"]]
                self.assertTrue(failing and all(check["reason"] and check["since"] for check in failing), failing)
                self.assertEqual(rest.get("/v1/tenants/acme")["name"], "acme", "reading goes on")
                self.assertEqual(rest.request("GET", "/healthz").status, 200, "it lives")
                os.unlink(self.fail)
                eventually(lambda: create().status == 201)
                eventually(lambda: rest.request("GET", "/readyz").status == 200)
        for letter in ("i", "h"):
            self.let_fail(letter)
            for _ in range(20):
                self.assertEqual(create().status, 201, "a call that is done by half is gone on with")
            os.unlink(self.fail)
        self.assertIsNone(self.platform.process.poll())
        self.platform.kill()
        self.platform.environment = {}
        self.platform.start()
        with Rest(self.platform.control_plane, self.token) as again:
            there = [one["id"] for one in again.all("/v1/tenants/acme/applications")]
        self.assertEqual(set(made) - set(there), set(), "acknowledged, and lost")
        self.assertEqual(len(there), len(set(there)))
        self.platform.stop()
        self.sound(self.platform.data)

    # The clock

    def test_the_clock_may_be_set_forward_and_back(self):
        shift, library = f"{self.place}/shift", f"{self.place}/shifted_clock.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shifted_clock.c")
        compiler = shutil.which("cc") or shutil.which("clang")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self.set_clock(shift, 0)
        self.platform = Platform(
            self, f"{self.place}/clock", environment={"LD_PRELOAD": library, "SHIFT_FILE": shift}).start()
        rest = self.platform.sign_in("acme")
        self.addCleanup(rest.close)
        rest.create("/v1/tenants/acme/apis", {
            "name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
        made = 0
        for seconds in (7200, -7200, 86400 * 40, 0, -3600, 0):
            self.set_clock(shift, seconds)
            # Tokens end with their time: who signed in before a step signs in again.
            rest.token = None
            rest.sign_in("admin", self.platform.password)
            rest.create("/v1/tenants/acme/applications", {"name": f"step-{made}"})
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
            made += 1
            self.assertEqual(rest.request("GET", "/readyz").status, 200)
        eventually(lambda: all(group["lag"] == 0 for group in rest.get("/v1/events/groups")["items"]))
        self.assertEqual(len(rest.all("/v1/tenants/acme/applications")), made)
        offsets = [event["offset"] for event in rest.events("audit-log")]
        self.assertEqual(offsets, list(range(len(offsets))), "no gap, whatever the time was")
        self.platform.stop()
        self.sound(self.platform.data)
        into = f"{self.place}/replayed"
        self.assertEqual(run("events", "replay", "--data", self.platform.data, "--into", into).returncode, 0)
        self.assertEqual(len(os.listdir(f"{into}/tenants/acme/applications")), made)

    @staticmethod
    def set_clock(path, seconds):
        """In place, as the process has the file open."""
        with open(path, "r+" if os.path.exists(path) else "w", encoding="ascii") as file:
            file.write(f"{seconds}".ljust(24))

    # Power cuts

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
        acknowledged = 0
        for cut, disk in trace.images(trace.cuts(Settings.cuts, rng), self.before):
            shutil.rmtree(image, ignore_errors=True)
            self.write_before(image)
            trace.write_image(disk, image, rng)
            lines = [line.split() for _, line in trace.acknowledgements(cut)]
            try:
                self.check(image, lines)
            except AssertionError as problem:
                raise AssertionError(f"seed {Settings.seed}, cut at call {cut}: {problem}") from problem
            acknowledged = max(acknowledged, len(lines))
        print(f"    {Settings.cuts} power cuts, {acknowledged} acknowledgements, none lost", flush=True)

    def write_before(self, image):
        """What was there before the trace began and is not written in it: keys."""
        for path, content in self.before.items():
            place = os.path.join(image, os.path.relpath(path, self.platform.data))
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            if not os.path.basename(path).startswith("passerelle.db"):
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

    def sound(self, data, checkpoint=None):
        arguments = ["audit", "verify", "--data", data]
        if checkpoint:
            with open(f"{self.place}/checkpoint", "wb") as file:
                file.write(checkpoint)
            arguments += ["--checkpoint", f"{self.place}/checkpoint"]
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


