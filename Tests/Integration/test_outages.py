"""What happens to PostgreSQL under load: killed, restarted, cut off. The platform says so, goes on by itself, and what was acknowledged
is there once.
"""

import datetime
import time
import unittest

from network import network
from postgres import Postgres
from processes import eventually
from rest import Rest
from shared import RECOVERY_SECONDS, Shared

# A cut network is noticed after some seconds of silence.
NOTICE_SECONDS = 60


class OutageTests(Shared, unittest.TestCase):
    def unready(self, platform):
        """The failing check of the store, once there is one."""
        with Rest(platform.control_plane) as rest:
            answer = rest.request("GET", "/readyz")
        failing = [check for check in answer.json["checks"] if not check["ok"]]
        return answer.status == 503 and next((check for check in failing if check["name"] == "store"), None)

    def ready(self, platform):
        with Rest(platform.control_plane) as rest:
            return rest.request("GET", "/readyz").status == 200

    def test_the_server_is_killed_restarted_and_cut_off_under_load(self):
        between = network(self)
        server = Postgres(self, between)
        self.begin(server)
        self.second.start()
        callers = self.load(self.first, self.second)
        for name, trouble, mend in (
            ("killed", server.kill, server.start),
            ("cut off", between.cut, between.mend),
            ("restarted", lambda: server.stop("fast"), server.start),
        ):
            before = time.time()
            refused = [caller.refused for caller in callers]
            trouble()
            if name != "restarted":
                for platform in (self.first, self.second):
                    check = eventually(lambda: self.unready(platform), seconds=NOTICE_SECONDS)
                    told = time.time() - before
                    self.assertRegex(check["reason"], "PostgreSQL", name)
                    since = datetime.datetime.fromisoformat(check["since"].replace("Z", "+00:00")).timestamp()
                    self.assertTrue(before - 1 <= since <= time.time() + 1, f"{name}: since {check['since']}")
                eventually(lambda: all(
                    caller.refused > mark for caller, mark in zip(callers, refused)), seconds=NOTICE_SECONDS)
                with Rest(self.first.control_plane, self.token) as rest:
                    answer = rest.request("POST", "/v1/tenants/acme/applications", {"name": "never"})
                    self.assertEqual(answer.status, 503, answer)
                    self.assertGreater(int(answer.fields["Retry-After"]), 0)
                    self.assertEqual(rest.request("GET", "/healthz").status, 200)
            noticed = time.time() - before
            if name == "restarted":
                told = noticed
            mend()
            mended = time.time()
            for platform in (self.first, self.second):
                eventually(lambda: self.ready(platform), seconds=RECOVERY_SECONDS)
            ready = time.time() - mended
            self.progress(callers)
            print(f"    {name}: unready after {told:.1f} s, all callers refused after {noticed:.1f} s; ready {ready:.1f} s after its end, all callers went on after "
                  f"{time.time() - mended:.1f} s", flush=True)
        for platform in (self.first, self.second):
            self.assertIsNone(platform.process.poll())
        self.end(callers, self.second)
        print(f"    over {between.kind}: {len(self.done)} acknowledged changes, none lost, none twice", flush=True)
