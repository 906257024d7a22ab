"""What becomes of events that a consumer group cannot handle, and what an operator sees of it: dead letters, retries and lag, by the
command line and in /metrics."""

import json
import re
import time
import unittest

from postgres import Postgres, Session
from processes import ClassScope, Platform, eventually, folder, run
from record_batch import batch
from rest import Rest, document
from upstream import Upstream

GROUP, TOPIC = "deployer", "deploy-requests"


class ConsumerTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scope = ClassScope(cls)
        cls.server = Postgres(scope)
        cls.upstream = Upstream(scope)
        cls.platform = Platform(scope, f"{folder(scope)}/data", environment={
            "PASSERELLE_STORE_URL": cls.server.create("consumers"), "PASSERELLE_ISSUER": "http://passerelle.test"}).start()
        cls.rest = cls.platform.sign_in("acme")
        scope.addCleanup(cls.rest.close)

    def sql(self, text):
        return self.server.sql("consumers", text)

    def dlq(self, *words, code=0):
        done = run("events", "dlq", *words, environment={
            "PASSERELLE_URL": self.platform.control_plane, "PASSERELLE_TOKEN": self.rest.token})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def letters(self, *words):
        found = json.loads(self.dlq("list", TOPIC, "--output", "json", *words))
        return found["items"] if isinstance(found, dict) else found

    def metric(self, name, partition=None):
        """The sum over the group's partitions of the topic, or that of one."""
        with Rest(self.platform.control_plane, self.rest.token) as rest:
            text = rest.expect(200, "GET", "/metrics").body.decode()
        total, seen = 0, 0
        for labels, value in re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", text, re.MULTILINE):
            told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if (told["group"], told["topic"]) == (GROUP, TOPIC) and partition in (None, int(told["partition"])):
                total, seen = total + float(value), seen + 1
        self.assertEqual(seen, 6 if partition is None else 1, f"{name} in:\n{text}")
        return total

    def row(self, partition):
        """The group's line about a partition, as `events groups` has it."""
        rows = [one for one in self.rest.get("/v1/events/groups")["items"] if (one["group"], one["topic"]) == (GROUP, TOPIC)]
        return next(one for one in rows if one["partition"] == partition)

    def imported(self, name):
        self.rest.create("/v1/tenants/acme/apis", {
            "name": name, "document": document(base=f"/{name}"), "upstream": self.upstream.url, "authentication": "none"})

    def ask(self, name):
        """Asks for a deployment; returns it and where its request stands in the log."""
        made = self.rest.expect(202, "POST", f"/v1/tenants/acme/apis/{name}/deployments", {"environment": "dev"}).json
        return made, eventually(lambda: next(iter(
            [one for one in self.rest.events(TOPIC) if one["value"]["deployment_id"] == made["id"]]), None))

    def ends(self, name, made):
        return self.rest.finished(f"/v1/tenants/acme/apis/{name}/deployments/{made['id']}")["state"]

    def test_a_poisoned_event_steps_aside_and_is_settled_by_the_operator(self):
        self.imported("poison")
        made, asked = self.ask("poison")
        self.assertEqual(self.ends("poison", made), "success")
        known = len(self.letters("--all"))
        given_up = self.metric("passerelle_log_dead_letters_total", asked["partition"])
        # As something else than this platform may have written it: in the same partition, with the key of the same API.
        value = b'{"deployment_id": 7}'
        poison = batch(int(time.time() * 1000), asked["value"]["api_id"].encode(), value, [("ce_id", b"evt_strange")])
        self.sql(
            "INSERT INTO log_outbox (transaction_id, topic, partition, batch) VALUES (pg_current_xact_id()::text::bigint, "
            f"'{TOPIC}', {asked['partition']}, '\\x{poison.hex()}')")
        letter = eventually(lambda: next(iter(self.letters()), None))
        self.assertEqual(
            {name: letter[name] for name in ("group", "partition", "record_offset", "tries")},
            {"group": GROUP, "partition": asked["partition"], "record_offset": asked["offset"] + 1, "tries": 1})
        self.assertIn("expected tenant and deployment_id", letter["reason"])
        # Later events of the same key go on.
        made, _ = self.ask("poison")
        self.assertEqual(self.ends("poison", made), "success")
        eventually(lambda: self.metric("passerelle_log_dead_letters_total", asked["partition"]) == given_up + 1)
        eventually(lambda: self.metric("passerelle_log_consumer_lag") == 0)
        number = str(letter["offset"])
        shown = json.loads(self.dlq("show", TOPIC, number))
        self.assertEqual(shown["record"]["value"], {"deployment_id": 7})
        self.assertEqual((shown["topic"], shown["outcome"]), (TOPIC, None))
        # Given back, it is no better, and lies there anew; then it is let go.
        self.dlq("redrive", TOPIC, number)
        again = eventually(lambda: next(iter(self.letters()), None))
        self.assertEqual((again["offset"], again["record_offset"]), (letter["offset"] + 1, letter["record_offset"]))
        self.dlq("drop", TOPIC, str(again["offset"]))
        self.assertEqual(self.letters(), [])
        self.assertEqual([one["outcome"] for one in self.letters("--all")][known:], ["redriven", "dropped"])
        for verb, which in (("redrive", number), ("drop", str(again["offset"]))):
            self.assertIn("may have been dealt with", self.dlq(verb, TOPIC, which, code=1))
        audited = eventually(lambda: (lambda found: found if len(found) >= 2 else None)([
            (one["value"]["event_type"], one["value"]["resource"]["id"]) for one in self.rest.events("audit-log")
            if one["value"]["resource"]["type"] == "dead-letter"]))
        self.assertEqual(audited[-2:], [
            ("events.dead-letter-redriven", f"{TOPIC}/{number}"),
            ("events.dead-letter-dropped", f"{TOPIC}/{again['offset']}")])

    def test_what_failed_for_a_while_succeeds_when_it_is_redriven(self):
        self.imported("mended")
        self.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not on a Saturday'; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON live FOR EACH ROW EXECUTE FUNCTION refuse()")
        made, asked = self.ask("mended")
        eventually(lambda: self.metric("passerelle_log_consumer_waiting", asked["partition"]) == 1)
        self.assertEqual(self.row(asked["partition"])["waiting"], 1)
        # As if it had been tried for a minute; a higher epoch has the reader look again.
        place = f"group_name = '{GROUP}' AND topic = '{TOPIC}' AND partition = {asked['partition']}"
        self.sql(
            f"BEGIN; UPDATE log_offsets SET epoch = epoch + 1 WHERE {place}; "
            f"UPDATE log_retries SET tries = 7, due_at = 0 WHERE {place}; COMMIT")
        letter = eventually(lambda: next(iter(self.letters()), None))
        self.assertEqual((letter["tries"], letter["record_offset"]), (8, asked["offset"]))
        self.assertIn("not on a Saturday", letter["reason"])
        self.assertEqual(self.row(asked["partition"])["waiting"], 0)
        self.sql("DROP TRIGGER refuse ON live")
        self.dlq("redrive", TOPIC, str(letter["offset"]))
        self.assertEqual(self.ends("mended", made), "success")
        self.assertEqual(self.letters(), [])
        with Rest(self.platform.gateway) as gateway:
            self.assertEqual(gateway.request("GET", "/mended/orders").status, 200)

    def test_lag_is_told_while_a_group_is_held_up(self):
        self.imported("slow")
        # A lock that writes nothing: a transaction with a number would hold the events themselves back.
        somebody = Session(self, self.server, "consumers", "BEGIN; LOCK TABLE live IN EXCLUSIVE MODE;")
        made, asked = self.ask("slow")
        eventually(lambda: self.metric("passerelle_log_consumer_lag", asked["partition"]) == 1)
        self.assertEqual(self.row(asked["partition"])["lag"], 1)
        somebody.close()
        self.assertEqual(self.ends("slow", made), "success")
        eventually(lambda: self.metric("passerelle_log_consumer_lag") == 0)
        self.assertEqual(self.row(asked["partition"])["lag"], 0)
