"""`passerelle demo`: the object it prints, the lines it says to try, its second start, and the folder it refuses."""

import json
import os
import re
import shlex
import stat
import subprocess
import unittest

from processes import Platform, folder, run
from rest import Rest


class DemoTests(unittest.TestCase):
    def demo(self, data, base=None):
        platform = Platform(self, data, base, verb="demo", arguments=["--output", "json"]).start(ready=False)
        return platform, platform.demo_lines()

    def test_the_demo_keeps_what_it_promises(self):
        data = os.path.join(folder(self), "data")
        platform, demo = self.demo(data)
        self.check_contract(platform, demo)
        for line in demo["try"]:
            with self.subTest(line):
                self.check_line(line)
        self.check_password(demo)
        self.check_modes(data)
        self.assertEqual(platform.stop(), 0)

        # Also after another end than the one it wishes for.
        for _ in range(2):
            again, second = self.demo(data, platform.base)
            self.assertEqual(second, demo, "a second start prints the same")
            for line in demo["try"]:
                self.check_line(line)
            again.kill()

    def check_contract(self, platform, demo):
        self.assertEqual(
            set(demo), {"gateway", "control_plane", "kafka", "data_dir", "admin", "api_key", "try"})
        self.assertEqual(demo["gateway"], platform.gateway)
        self.assertEqual(demo["control_plane"], platform.control_plane)
        self.assertEqual(os.path.realpath(demo["data_dir"]), platform.data)
        self.assertEqual(set(demo["admin"]), {"user", "password"})
        self.assertTrue(any(demo["api_key"] in line for line in demo["try"]), "one line holds the key as it is")
        if demo["kafka"] is not None:
            self.assertRegex(demo["kafka"], r"^127\.0\.0\.1:\d+$")

    def check_line(self, line):
        """One curl command without pipe or -o that answers 2xx as it stands."""
        words = shlex.split(line)
        self.assertEqual(words[0], "curl")
        self.assertNotIn("|", line)
        self.assertFalse({"-o", "--output"} & set(words), line)
        with_status = subprocess.run(
            line + " -w '\\n%{http_code}'", shell=True, capture_output=True, text=True, timeout=30, check=False)
        self.assertRegex(with_status.stdout.splitlines()[-1], r"^2\d\d$", line + "\n" + with_status.stdout)

    def check_password(self, demo):
        with Rest(demo["control_plane"]) as rest:
            rest.sign_in(demo["admin"]["user"], demo["admin"]["password"])
            self.assertEqual([tenant["name"] for tenant in rest.all("/v1/tenants")], ["pivori-studio"])

    def check_modes(self, data):
        for name in ("demo.json", "master.key", "gateway.token", "passerelle.db"):
            mode = stat.S_IMODE(os.stat(os.path.join(data, name)).st_mode)
            self.assertEqual(oct(mode), oct(0o600), name)
        self.assertEqual(oct(stat.S_IMODE(os.stat(data).st_mode)), oct(0o700))

    def test_the_demo_was_deployed_as_everything_is(self):
        _, demo = self.demo(os.path.join(folder(self), "data"))
        with Rest(demo["control_plane"]) as rest:
            rest.sign_in(demo["admin"]["user"], demo["admin"]["password"])
            requests = rest.events("deploy-requests", "pivori-studio")
            results = rest.events("deploy-results", "pivori-studio")
            self.assertEqual(len(requests), 1)
            self.assertEqual([event["value"]["status"] for event in results], ["success"])
            self.assertEqual(
                requests[0]["value"]["deployment_id"], results[0]["value"]["deployment_id"])
            subscriptions = rest.all("/v1/tenants/pivori-studio/subscriptions")
            self.assertEqual([found["state"] for found in subscriptions], ["active"])

    def test_the_text_for_people_holds_the_same(self):
        data = os.path.join(folder(self), "data")
        platform, demo = self.demo(data)
        platform.stop()
        people = Platform(self, data, platform.base, verb="demo").start(ready=False)
        text = ""
        while "Ctrl-C" not in text:
            line = people.process.stdout.readline().decode()
            self.assertTrue(line, f"ended early: {text}\n{people.log()}")
            text += line
        for wanted in [demo["gateway"], demo["control_plane"], demo["admin"]["password"], demo["api_key"], *demo["try"]]:
            self.assertIn(wanted, text)

    def test_a_folder_of_another_platform_is_refused(self):
        data = os.path.join(folder(self), "data")
        platform = Platform(self, data).start()
        platform.stop()
        refused = run("demo", "--data", data, "--port-base", str(platform.base))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("not a demo", refused.stderr)
        self.assertNotIn("demo.json", os.listdir(data), "nothing was written")

    def test_nothing_secret_is_in_logs_metrics_or_events(self):
        data = os.path.join(folder(self), "data")
        platform, demo = self.demo(data)
        with Rest(demo["control_plane"]) as rest:
            rest.sign_in(demo["admin"]["user"], demo["admin"]["password"])
            metrics = rest.request("GET", "/metrics").body.decode()
            topics = [topic["topic"] for topic in rest.get("/v1/events")["items"]]
            events = json.dumps([rest.events(topic) for topic in topics if not topic.endswith(".dlq")])
            token = rest.token
        with open(os.path.join(data, "gateway.token"), encoding="utf-8") as file:
            gateway_token = file.read().strip()
        for secret in (demo["admin"]["password"], demo["api_key"], token, gateway_token):
            for place, text in (("log", platform.log()), ("metrics", metrics), ("events", events)):
                self.assertNotIn(secret, text, f"a secret is in the {place}")
        self.assertIsNone(re.search(r"\$argon2", events + metrics + platform.log()))
        names = set(re.findall(r"^# TYPE (\S+)", metrics, re.M))
        self.assertGreater(len(names), 20)
        self.assertEqual({name for name in names if not name.startswith(("passerelle_", "process_"))}, set())
