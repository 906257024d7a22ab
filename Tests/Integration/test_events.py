"""`passerelle events`: what the log's command line does against a running platform, and what it refuses."""

import json
import unittest

from processes import Platform, eventually, folder, run


class EventTests(unittest.TestCase):
    def setUp(self):
        self.platform = Platform(self, f"{folder(self)}/data").start()
        self.rest = self.platform.sign_in("acme")
        self.addCleanup(self.rest.close)

    def events(self, *words, code=0, text=None):
        done = run("events", *words, "--url", self.platform.control_plane, "--tenant", "acme", input=text, environment={
            "PASSERELLE_TOKEN": self.rest.token})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_an_event_is_produced_and_read(self):
        made = json.loads(self.events(
            "produce", "security-job-results", "--key", "nightly", "--type", "scan.ended", "--value",
            '{"status": "passed"}', "--output", "json"))
        self.events("produce", "security-job-results", "--key", "nightly", text='{"status": "failed"}')
        lines = self.events("tail", "security-job-results", "--from", "earliest", "--limit", "2").splitlines()
        first, second = (json.loads(line) for line in lines)
        self.assertEqual((first["id"], first["type"], first["tenant"]), (made["id"], "scan.ended", "acme"))
        self.assertEqual([first["value"]["status"], second["value"]["status"]], ["passed", "failed"])
        for words, code, said in [
            (("produce", "deploy-requests", "--key", "k", "--value", "{}"), 1, "Only the platform publishes"),
            (("produce", "security-job-results", "--key", "k", "--value", "{"), 2, "not JSON"),
            (("produce", "security-job-results", "--value", "{}"), 2, "--key"),
            (("produce", "nothing", "--key", "k", "--value", "{}"), 1, "nothing"),
        ]:
            with self.subTest(words=words):
                self.assertIn(said, self.events(*words, code=code))

    def test_groups_are_shown_and_moved(self):
        eventually(lambda: "deployer" in self.events("groups"))
        rows = json.loads(self.events("groups", "--group", "deployer", "--output", "json"))
        rows = rows["items"] if isinstance(rows, dict) else rows
        self.assertEqual({row["group"] for row in rows}, {"deployer"})
        topic = rows[0]["topic"]
        self.events("replay", "group", "deployer", topic, "--from", "latest")
        self.events("replay", "group", "deployer", topic, "--partition", "0", "--from", "0")
        self.assertIn("expected an offset", self.events(
            "replay", "group", "deployer", topic, "--partition", "0", "--from", "999", code=1))
        self.assertIn("expected earliest", self.events("replay", "group", "deployer", topic, "--from", "now", code=1))
        self.assertIn("running", self.events("groups", "delete", "deployer", code=1))
        self.assertIn("no consumer group", self.events("groups", "--group", "nobody", code=1))

    def test_dead_letters_that_are_not_there(self):
        self.events("dlq", "list", "deploy-results")
        for verb in ["show", "redrive", "drop"]:
            with self.subTest(verb=verb):
                self.events("dlq", verb, "deploy-results", "3", code=1)
                self.assertIn("Example:", run("events", "dlq", verb, "--help").stdout)
