"""A failing disk under the whole platform: EIO, ENOSPC, EROFS, EINTR, short writes, for a while and at single calls; and a clock that is set.

A refusal says why, nothing acknowledged is lost, and work goes on without a restart when the cause is gone.
"""

import glob
import os
import random
import re
import shutil

from clocks import ShiftedClock
from processes import Platform, Settings, eventually, run
from rest import Rest, document
from watched import WatchedTests

from synctrace import Trace  # noqa: E402, of Tests/Crash

# Single calls that fail, a letter each; more in longer runs.
CALLS = max(6, Settings.cuts // 8)
# Calls of one change with its deployment, roughly: which of them fails is drawn from these.
CALLS_OF_A_CHANGE = 24
STARTS = max(3, Settings.cuts // 16)


class FaultTests(WatchedTests):
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

        for letter in ("s", "n", "w", "f", "r"):
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
                self.heal()
                eventually(lambda: create().status == 201)
                eventually(lambda: rest.request("GET", "/readyz").status == 200)
        for letter in ("i", "h"):
            self.let_fail(letter)
            for _ in range(20):
                self.assertEqual(create().status, 201, "a call that is done by half is gone on with")
            self.heal()
        # SQLite takes an interrupted sync for a failed one: refused, and made the next time.
        self.let_fail("e")
        for _ in range(10):
            eventually(lambda: create().status == 201)
        self.heal()
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


    def test_each_write_and_each_sync_may_fail_once(self):
        """One call fails, whichever it is: the change is refused or not touched by it, and the next one is made."""
        rng = random.Random(Settings.seed)
        rest = self.begin("calls")
        made, deployed, refused, number = [], [], 0, 0
        for letter in "wfsn":
            for call in rng.sample(range(1, CALLS_OF_A_CHANGE + CALLS), CALLS):
                number += 1
                self.let_fail(f"{letter} {call}")
                for path, body, status, kept in (
                        ("applications", {"name": f"call-{number}"}, 201, made),
                        ("apis/orders/deployments", {"environment": "dev"}, 202, deployed)):
                    answer = self.insist(rest, f"/v1/tenants/acme/{path}", body, status)
                    refused += answer.tries - 1
                    kept.append(answer.json["id"])
                rest.finished(f"/v1/tenants/acme/apis/orders/deployments/{deployed[-1]}")
                self.heal()
        self.assertGreater(refused, 0, "no call failed where it was felt")
        eventually(lambda: rest.request("GET", "/readyz").status == 200)
        with Rest(self.platform.gateway) as gateway:
            self.assertEqual(gateway.request("GET", "/shop/orders").status, 401)
        self.assertIsNone(self.platform.process.poll())
        self.platform.kill()
        self.platform.environment = {}
        self.platform.start()
        with Rest(self.platform.control_plane, self.token) as again:
            self.assertEqual(sorted(one["id"] for one in again.all("/v1/tenants/acme/applications")), sorted(made))
            ended = [event["value"]["deployment_id"] for event in again.events("deploy-results", "acme")]
        self.assertEqual(sorted(ended), sorted(deployed), "each deployment ended once")
        self.platform.stop()
        self.sound(self.platform.data)

    def insist(self, rest, path, body, status):
        """Until it is made. What is refused says that it is the platform's fault, and when to try again."""
        tries = 0

        def send():
            nonlocal tries
            tries += 1
            # The same key: made once, also where a refused one was made after all.
            answer = rest.request("POST", path, body, {"Idempotency-Key": key})
            if answer.status != status:
                self.assertEqual(answer.status, 503, answer)
                self.assertGreater(int(answer.fields["Retry-After"]), 0)
                return None
            answer.tries = tries
            return answer

        key = f"insist-{random.getrandbits(64):x}"
        return eventually(send)

    def test_a_first_start_may_fail_at_each_call(self):
        """It ends with a reason, or goes on; the next start is fine."""
        rng = random.Random(Settings.seed)
        data = f"{self.place}/start"
        os.mkdir(data, 0o700)
        environment = self.watch(data)
        platform = Platform(self, data, environment=environment).start()
        platform.stop()
        calls = Trace(self.trace, data).calls
        count = {"s": sum(call.kind == "S" for call in calls), "w": sum(call.kind in "WTCRU" for call in calls)}
        ended = 0
        for letter in "wfs":
            calls = range(1, count["s" if letter == "s" else "w"])
            for call in rng.sample(calls, min(STARTS, len(calls))):
                with self.subTest(f"{letter} {call}"):
                    shutil.rmtree(data)
                    os.mkdir(data, 0o700)
                    self.let_fail(f"{letter} {call}")
                    platform.environment, platform.password = environment, None
                    platform.start(ready=False)
                    has_ended = eventually(
                        lambda: platform.process.poll() is not None and "ended" or self.is_ready(platform) and "ready", 60)
                    log = platform.log()
                    if has_ended == "ended":
                        ended += 1
                        self.assertEqual(platform.process.returncode, 1, log)
                        self.assertRegex(log, "(?i)input/output|no space|cannot write|" + re.escape(data))
                    platform.kill()
                    self.heal()
                    platform.environment = {}
                    shown = re.search(r"One-time password: *(\S+)", log)
                    self.works_after_first_start(platform, shown and shown[1])
        self.assertGreater(ended, 0, "no start was refused")

    @staticmethod
    def is_ready(platform):
        try:
            with Rest(platform.control_plane, timeout=5) as rest:
                return rest.request("GET", "/readyz").status == 200
        except OSError:
            return False

    # Backups

    def test_backup_and_restore_on_a_failing_disk(self):
        """Refused with the reason, nothing half-made is left, and the next one is fine."""
        place = f"{self.place}/backups"
        os.makedirs(place, 0o700)
        data, repository, restored = f"{self.place}/source", f"{place}/repository", f"{place}/restored"
        Platform(self, data).start().stop()
        with open(f"{self.place}/key", "w", encoding="ascii") as file:
            file.write("a passphrase of some length")
        key = ("--key-file", f"{self.place}/key")
        backup = ("backup", "--data", data, "--to", repository, *key)
        restore = ("restore", "--from", repository, "--data", restored, *key)
        self.assertEqual(run(*backup).returncode, 0)
        environment = self.watch(place)
        for letter, reason in (
                ("w", "Input/output error"), ("f", "No space left"), ("r", "Read-only"), ("s", "Input/output error"), ("n", "No space left")):
            for call in ("", " 1", " 2", " 5"):
                with self.subTest(letter + call):
                    self.let_fail(letter + call)
                    for arguments in ((*backup, "--full"), restore):
                        done = run(*arguments, environment=environment)
                        if call == "" or done.returncode:
                            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                            self.assertIn(reason.lower(), done.stderr.lower())
                            self.assertFalse(os.path.exists(restored))
                        shutil.rmtree(restored, ignore_errors=True)
                    self.heal()
                    done = run("backup", "verify", "--all", "--from", repository, *key)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for letter in "ihe":
            self.let_fail(letter)
            for arguments in ((*backup, "--full"), restore):
                done = run(*arguments, environment=environment)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.heal()
            self.sound(restored)
            shutil.rmtree(restored)
        self.assertEqual(run(*backup).returncode, 0)
        self.assertEqual(glob.glob(f"{repository}/*/*.partial"), [])

    # The clock

    def test_the_clock_may_be_set_forward_and_back(self):
        clock = ShiftedClock(self.place)
        self.platform = Platform(self, f"{self.place}/data-of-clock", environment=clock.environment).start()
        rest = self.platform.sign_in("acme")
        self.addCleanup(rest.close)
        rest.create("/v1/tenants/acme/apis", {
            "name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
        made = 0
        for seconds in (7200, -7200, 86400 * 40, 0, -3600, 0):
            clock.set(seconds)
            # Tokens end with their time: who signed in before a step signs in again.
            rest.token = None
            rest.sign_in("admin", self.platform.password)
            rest.create("/v1/tenants/acme/applications", {"name": f"step-{made}"})
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
            made += 1
            eventually(lambda: rest.request("GET", "/readyz").status == 200)
        eventually(lambda: all(group["lag"] == 0 for group in rest.get("/v1/events/groups")["items"]))
        self.assertEqual(len(rest.all("/v1/tenants/acme/applications")), made)
        offsets = [event["offset"] for event in rest.events("audit-log")]
        self.assertEqual(offsets, list(range(len(offsets))), "no gap, whatever the time was")
        self.platform.stop()
        self.sound(self.platform.data)
        into = f"{self.place}/replayed"
        self.assertEqual(run("events", "replay", "--data", self.platform.data, "--into", into).returncode, 0)
        self.assertEqual(len(os.listdir(f"{into}/tenants/acme/applications")), made)
