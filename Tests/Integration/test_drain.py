"""SIGTERM: what is under way ends well, nothing new is taken, the exit code is 0. A full disk: refused, said, and work resumes."""

import resource
import signal
import socket
import threading
import time
import unittest

from processes import Platform, eventually, folder
from rest import Rest
from upstream import Upstream

# More than the platform has written when it is ready, less than what the test writes.
ROOM_BYTES = 64 << 10


class DrainTests(unittest.TestCase):
    def setUp(self):
        self.upstream = Upstream(self)
        self.platform = Platform(self, f"{folder(self)}/data").start()
        self.token = self.platform.open_api(self.upstream.url)

    def in_background(self, work):
        results = []
        thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
        thread.start()
        return thread, results

    def test_requests_under_way_are_answered_and_nothing_new_is_taken(self):
        def slow():
            with Rest(self.platform.gateway) as rest:
                return rest.request("GET", "/shop/orders?wait=2")

        idle = socket.create_connection(("127.0.0.1", self.platform.base), 10)
        self.addCleanup(idle.close)
        calls = [self.in_background(slow) for _ in range(8)]
        eventually(lambda: len(self.upstream.requests) >= 8)
        self.platform.process.send_signal(signal.SIGTERM)
        eventually(self.refuses)
        self.assertEqual(idle.recv(1), b"", "an idle connection ends at once")
        for thread, results in calls:
            thread.join(20)
            self.assertEqual(results[0].status, 200)
            self.assertEqual(results[0].fields["Connection"].lower(), "close")
        self.assertEqual(self.platform.wait(), 0)

    def refuses(self):
        try:
            socket.create_connection(("127.0.0.1", self.platform.base), 1).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_changes_under_way_are_kept_or_were_never_acknowledged(self):
        acknowledged = []

        def write(caller):
            with Rest(self.platform.control_plane, self.token) as rest:
                for number in range(1000):
                    try:
                        answer = rest.request("POST", "/v1/tenants/acme/applications", {"name": f"app-{caller}-{number}"})
                    except OSError:
                        return
                    if answer.status == 503:
                        return
                    self.assertEqual(answer.status, 201, answer)
                    acknowledged.append(answer.json["id"])

        threads = [self.in_background(lambda caller=caller: write(caller))[0] for caller in range(4)]
        eventually(lambda: len(acknowledged) > 40)
        self.assertEqual(self.platform.stop(), 0)
        for thread in threads:
            thread.join(20)
        self.platform.start()
        with Rest(self.platform.control_plane, self.token) as rest:
            there = {application["id"] for application in rest.all("/v1/tenants/acme/applications")}
        self.assertEqual(set(acknowledged) - there, set(), "acknowledged and lost")

    def test_streams_end_with_the_process(self):
        def follow():
            with Rest(self.platform.control_plane, self.token) as rest:
                return rest.request("GET", "/v1/events/api-created?from=latest",
                                    fields={"Accept": "text/event-stream"}).status

        def wait():
            with Rest(self.platform.control_plane, self.token) as rest:
                return rest.request("GET", "/v1/events/api-created?from=latest&wait=30").status

        threads = [self.in_background(work)[0] for work in (follow, wait)]
        time.sleep(0.2)
        started = time.monotonic()
        self.assertEqual(self.platform.stop(), 0)
        self.assertLess(time.monotonic() - started, 15, "a quiet stream held the process")
        for thread in threads:
            thread.join(5)

    def test_a_second_signal_ends_the_process_at_once(self):
        def slow():
            with Rest(self.platform.gateway) as rest:
                try:
                    return rest.request("GET", "/shop/orders?wait=5").status
                except OSError:
                    return None

        self.in_background(slow)
        self.assertTrue(self.upstream.arrived.wait(10))
        self.platform.process.send_signal(signal.SIGTERM)
        eventually(self.refuses)
        self.platform.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.platform.wait(), 1)


class FullDiskTests(unittest.TestCase):
    def test_a_full_disk_is_said_and_work_resumes_without_a_restart(self):
        """The kernel lets no file grow beyond a size: what writes get then is an error, as on a full disk."""
        def ignore():
            # The signal of this limit ends a process; a full disk sends none.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        platform = Platform(self, f"{folder(self)}/data").start(preexec_fn=ignore)
        self.addCleanup(platform.kill)
        rest = platform.sign_in("acme")
        self.addCleanup(rest.close)
        acknowledged = self.write(rest, "before", 20)
        self.limit(platform, ROOM_BYTES)
        refused = None
        for number in range(500):
            answer = rest.request("POST", "/v1/tenants/acme/applications", {"name": f"full-{number}"})
            if answer.status != 201:
                refused = answer
                break
            acknowledged.append(answer.json["id"])
        self.assertIsNotNone(refused, "the limit was not felt")
        self.assertEqual(refused.status, 503, refused)
        self.assertEqual(refused.json["type"], "urn:passerelle:problem:unavailable")
        readiness = rest.request("GET", "/readyz")
        self.assertEqual(readiness.status, 503, readiness)
        failing = [check for check in readiness.json["checks"] if not check["ok"]]
        self.assertTrue(all(check["reason"] and check["since"] for check in failing), failing)
        self.assertEqual(rest.get("/v1/tenants/acme")["name"], "acme", "reading goes on")

        self.limit(platform, resource.RLIM_INFINITY)
        eventually(lambda: rest.request("POST", "/v1/tenants/acme/applications", {"name": "again"}).status in (201, 409))
        eventually(lambda: rest.request("GET", "/readyz").status == 200)
        acknowledged += self.write(rest, "after", 20)
        self.compare(rest, acknowledged)
        platform.kill()
        rest.close()
        platform.start()
        self.compare(rest, acknowledged)

    def limit(self, platform, size):
        resource.prlimit(platform.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def write(self, rest, name, count):
        return [rest.create("/v1/tenants/acme/applications", {"name": f"{name}-{number}"})["id"]
                for number in range(count)]

    def compare(self, rest, acknowledged):
        there = [application["id"] for application in rest.all("/v1/tenants/acme/applications")]
        self.assertEqual(len(there), len(set(there)))
        self.assertEqual(set(acknowledged) - set(there), set(), "acknowledged and lost")
