"""Two platforms on one PostgreSQL, and callers that go on through whatever happens to them."""

import http.client
import os
import random
import shutil
import threading

import ledger
from processes import Platform, Settings, eventually, folder
from rest import Rest

CALLERS = 4
# Between two changes of a caller: the load shall meet the trouble, not be the trouble.
PAUSE_SECONDS = 0.02
RECOVERY_SECONDS = 60


class Caller(ledger.Caller):
    """Goes on through an outage: what was refused with 503 is sent again, with the same key, after the pause that was asked for."""

    def __init__(self, number, url, token):
        super().__init__(number, url, token, None, [])
        self.refused = 0
        self.is_over = threading.Event()

    def run(self):
        try:
            with Rest(self.url, self.token, timeout=120) as rest:
                while not self.is_over.is_set():
                    self.pending = self.pending or self.next()
                    if self.pending.send(rest):
                        self.done.append(self.pending)
                        self.pending = None
                        self.is_over.wait(PAUSE_SECONDS)
                    else:
                        self.refused += 1
                        self.is_over.wait(0.2)
        except (OSError, http.client.HTTPException) as problem:
            # Its process was killed: for the test to judge.
            self.problem = problem
        except AssertionError as problem:
            self.problem = problem


class Shared(ledger.Ledger):
    """A test of two platforms on one database, `first` and `second`, and callers of both: a mixin."""

    def setUp(self):
        random.seed(Settings.seed)
        self.place = folder(self)
        self.home = {"PASSERELLE_HOME": f"{self.place}/home"}
        self.kept, self.checkpoint = f"{self.place}/checkpoint", None
        self.done, self.pending = [], []

    def begin(self, server, first=None, second=None):
        """Two platforms on one database; `first` and `second` are their environments."""
        url = server.create("shared")
        self.first, self.second = (
            Platform(self, f"{self.place}/{name}", arguments=["--gateway-id", name], environment={
                "PASSERELLE_STORE_URL": url, "PASSERELLE_ISSUER": "http://passerelle.test", **(environment or {})})
            for name, environment in (("first", first), ("second", second)))
        self.first.start()
        with self.first.sign_in("acme") as rest:
            self.token = rest.token
        os.makedirs(self.second.data, mode=0o700)
        shutil.copy(f"{self.first.data}/master.key", f"{self.second.data}/master.key")

    def load(self, *platforms):
        callers = []
        for number in range(CALLERS):
            platform = platforms[number % len(platforms)]
            callers.append(Caller(number + len(self.done), platform.control_plane, self.token))
        for caller in callers:
            self.addCleanup(caller.is_over.set)
            caller.start()
        self.progress(callers)
        return callers

    def progress(self, callers, seconds=RECOVERY_SECONDS):
        """Every caller gets on with its work from now on."""
        marks = [len(caller.done) for caller in callers]

        def all_moved():
            for caller in callers:
                if caller.problem:
                    raise caller.problem
            return all(len(caller.done) > mark + 5 for caller, mark in zip(callers, marks))

        eventually(all_moved, seconds=seconds)

    def end(self, callers, platform):
        """Everything acknowledged is there, once, in state, log and audit log; nothing else is."""
        for caller in callers:
            caller.is_over.set()
        for caller in callers:
            caller.join(120)
            if isinstance(caller.problem, AssertionError):
                raise caller.problem
            self.done += caller.done
            self.pending.append(caller.pending)
        self.platform = platform
        with Rest(platform.control_plane, self.token) as rest:
            self.repeat(rest)
            # Numbers come a moment after the commit.
            made = {change.made["id"] for change in self.done}
            eventually(lambda: made <= {identity for ids in self.audited(rest).values() for identity in ids})
            self.compare(rest)
            self.offsets(rest)
            self.audit()
            eventually(lambda: all(group["lag"] == 0 for group in rest.get("/v1/events/groups")["items"]))
