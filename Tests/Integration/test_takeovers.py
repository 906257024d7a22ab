"""Two processes on one database: what one of them held moves to the other when it is killed under load; clocks are set forward and back.
"""

import os
import time
import unittest

import ledger
from clocks import ShiftedClock
from postgres import Postgres
from processes import eventually
from rest import Rest, document
from shared import Shared


class TakeoverTests(Shared, unittest.TestCase):
    def test_leases_and_partitions_move_when_their_holder_is_killed(self):
        server = Postgres(self)
        self.begin(server)

        def rows(sql):
            return set(server.sql("shared", sql).split())

        def partitions():
            return rows("SELECT DISTINCT member FROM log_offsets WHERE member IS NOT NULL")

        def holders():
            """Who holds the leases; None while somebody's is missing."""
            found = server.sql("shared", "SELECT coalesce(holder, 'nobody') FROM log_leases").split()
            return None if len(found) < 2 or "nobody" in found else set(found)

        # Alone, a process holds every lease and every partition.
        first = eventually(holders)
        self.assertEqual(len(first), 1, first)
        members = rows("SELECT member FROM log_members")
        self.second.start()
        eventually(lambda: rows("SELECT member FROM log_members") > members)
        callers = self.load(self.first, self.second)
        # A machine that stood still for a second has moved leases and partitions already: killed is who has leases now.
        eventually(lambda: partitions() & members and partitions() - members)
        held = eventually(holders)
        if first <= held:
            killed, survivor, held, progressing = self.first, self.second, first, callers[1::2]
        else:
            killed, survivor, progressing = self.second, self.first, callers[0::2]
            members = rows("SELECT member FROM log_members") - members
        killed.kill()
        since = time.monotonic()
        eventually(lambda: not partitions() & members)
        moved = time.monotonic() - since
        eventually(lambda: (now := holders()) and not now & held)
        taken = time.monotonic() - since
        self.progress(progressing)
        print(f"    leases moved within {taken:.1f} s, partitions within {moved:.1f} s", flush=True)
        self.end(callers, survivor)

    def test_clocks_are_set_forward_and_back(self):
        os.chmod(self.place, 0o755)
        clocks = {name: ShiftedClock(self.place, name) for name in ("server", "first", "second")}
        shifted = {name: clock.environment for name, clock in clocks.items()}
        server = Postgres(self, environment=shifted["server"])
        self.begin(server, shifted["first"], shifted["second"])
        self.second.start()
        made = 0
        for steps in (
            {"server": 7200}, {"server": -7200}, {"first": 3600}, {"first": -3600, "second": 3600},
            {"server": 86400, "first": 86400, "second": 86400}, {"server": 0, "first": 0, "second": 0},
        ):
            with self.subTest(steps):
                for name, seconds in steps.items():
                    clocks[name].set(seconds)
                for platform in (self.first, self.second):
                    # Tokens end with their time: who signed in before a step signs in again.
                    with Rest(platform.control_plane) as rest:
                        rest.sign_in("admin", self.first.password)
                        self.token = rest.token
                        made += 1
                        name = f"step-{made}"
                        rest.create("/v1/tenants/acme/apis", {
                            "name": name, "document": document(base=f"/{name}"), "upstream": ledger.UPSTREAM})
                        self.assertEqual(rest.deploy("acme", name)["state"], "success")
                        eventually(lambda: rest.request("GET", "/readyz").status == 200)
                        self.assertEqual(len(rest.all("/v1/tenants/acme/apis")), made)
                        self.offsets(rest)
                        eventually(lambda: all(group["lag"] == 0 for group in rest.get("/v1/events/groups")["items"]))
        self.platform = self.second
        self.audit()
