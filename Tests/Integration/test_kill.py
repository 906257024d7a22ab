"""SIGKILL at random moments under concurrent changes and deployments, again and again on the same folder; then everything that was
acknowledged is compared with what is there: nothing lost, nothing twice, the audit log sound, the gateway serving what was deployed.
"""

import random
import threading
import time
import unittest

from ledger import TRACES, Caller, Ledger
from postgres import Postgres
from processes import Platform, Settings, TimeLimit, eventually, folder
from rest import Rest

CALLERS = 6
# Longest life of a process under load, seconds.
LIFE_SECONDS = 1
# Rounds on one folder before the next begins with an empty one: the comparison grows with what is stored.
ROUNDS_PER_FOLDER = 10


class Watcher(threading.Thread):
    """Keeps the last checkpoint of the audit log that anyone saw."""

    def __init__(self, url, token):
        super().__init__(daemon=True)
        self.url = url
        self.token = token
        self.checkpoint = None
        self.is_over = threading.Event()

    def run(self):
        try:
            with Rest(self.url, self.token, timeout=30) as rest:
                while not self.is_over.is_set():
                    answer = rest.request("GET", "/v1/audit/checkpoint")
                    if answer.status == 200:
                        self.checkpoint = answer.body
                    time.sleep(0.02)
        except Exception:  # the process is gone
            pass


class KillTests(Ledger, unittest.TestCase):
    @property
    def rounds(self):
        return Settings.rounds

    def test_what_was_acknowledged_is_there_once(self):
        random.seed(Settings.seed)
        print(f"    seed {Settings.seed}", flush=True)
        total = number = 0
        limit = TimeLimit()
        while number < self.rounds and not limit.is_over:
            self.begin()
            for _ in range(min(ROUNDS_PER_FOLDER, self.rounds - number)):
                try:
                    self.round()
                except AssertionError as problem:
                    raise AssertionError(f"seed {Settings.seed}, round {number}: {problem}") from problem
                number += 1
                limit.progress(number, self.rounds)
                if limit.is_over:
                    break
            total += len(self.done)
            self.assertEqual(self.platform.stop(), 0)
        print(f"    {number} rounds{limit.remark(number, self.rounds)}, {total} acknowledged changes, none lost, none twice", flush=True)

    def begin(self):
        place = folder(self)
        self.platform = self.make(place).start()
        self.home = {"PASSERELLE_HOME": f"{place}/home"}
        with self.platform.sign_in("acme") as rest:
            self.token = rest.token
        self.done = []
        self.pending = [None] * CALLERS
        self.checkpoint = None
        self.kept = f"{place}/checkpoint"

    def make(self, place):
        return Platform(self, f"{place}/data")

    def strike(self):
        self.platform.kill()

    def revive(self):
        if random.random() < 0.15:
            self.killed_while_starting()
        self.platform.start()

    def settle(self, rest):
        """Waits until the log has what was written."""

    def round(self):
        watcher = Watcher(self.platform.control_plane, self.token)
        callers = [
            Caller(number, self.platform.control_plane, self.token, self.pending[number], [])
            for number in range(CALLERS)]
        for caller in callers:
            caller.done.extend(change for change in self.done if change.name.startswith(f"c{caller.number}-"))
        known = [len(caller.done) for caller in callers]
        for thread in [*callers, watcher]:
            thread.start()
        time.sleep(random.uniform(0.05, LIFE_SECONDS))
        self.strike()
        watcher.is_over.set()
        for number, caller in enumerate(callers):
            caller.join(60)
            self.assertFalse(caller.is_alive(), "a caller hangs")
            if caller.problem:
                raise caller.problem
            self.done += caller.done[known[number]:]
            self.pending[number] = caller.pending
        watcher.join(60)
        self.checkpoint = watcher.checkpoint or self.checkpoint
        self.revive()
        with Rest(self.platform.control_plane, self.token) as rest:
            self.repeat(rest)
            self.settle(rest)
            self.compare(rest)
            self.offsets(rest)
            self.audit()

    def killed_while_starting(self):
        self.platform.start(ready=False)
        time.sleep(random.uniform(0, 0.3))
        self.platform.kill()


class PostgresKillTests(KillTests):
    """The same on PostgreSQL, where either side may go: the platform is killed, or the server crashes under it."""

    # A new process waits for the lease of the one that was killed.
    rounds = max(3, Settings.rounds // 20)

    def make(self, place):
        self.server = Postgres(self)
        return Platform(
            self, f"{place}/data", environment={"PASSERELLE_STORE_URL": self.server.create("platform")})

    def strike(self):
        self.is_server = random.random() < 0.5
        if self.is_server:
            self.server.stop("immediate")
        else:
            self.platform.kill()

    def revive(self):
        if not self.is_server:
            return super().revive()
        self.server.start()
        eventually(self.is_ready, seconds=60)

    def is_ready(self):
        with Rest(self.platform.control_plane) as rest:
            return rest.request("GET", "/readyz").status == 200

    def settle(self, rest):
        """One process numbers what all write, a moment later."""
        for kind, (_, topic, _) in TRACES.items():
            count = sum(change.kind == kind for change in self.done)
            eventually(lambda: len(rest.events(topic, "acme")) >= count, seconds=60)
