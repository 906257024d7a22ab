"""SIGKILL at random moments under concurrent changes and deployments, again and again on the same folder; then everything that was
acknowledged is compared with what is there: nothing lost, nothing twice, the audit log sound, the gateway serving what was deployed.

Each caller sends every change with an Idempotency-Key. One that a kill interrupted is sent again after the restart: it must give
exactly one resource, whether the first try was written or not.
"""

import random
import threading
import time
import unittest

from postgres import Postgres
from processes import Platform, Settings, TimeLimit, eventually, folder, run
from rest import Rest, document

CALLERS = 6
# Longest life of a process under load, seconds.
LIFE_SECONDS = 1
# Rounds on one folder before the next begins with an empty one: the comparison grows with what is stored.
ROUNDS_PER_FOLDER = 10
UPSTREAM = "http://127.0.0.1:9"


class Change:
    """One change: how it is sent, and what it must have left."""

    def __init__(self, kind, name, path, body, status=201):
        self.kind = kind
        self.name = name
        self.path = path
        self.body = body
        self.status = status
        self.key = f"{kind}-{name}-{random.getrandbits(64):x}"
        self.made = None

    def send(self, rest):
        """True when it was acknowledged; an answer that refuses it fails the test."""
        answer = rest.request("POST", self.path, self.body, {"Idempotency-Key": self.key})
        if answer.status == 503:
            return False
        if answer.status != self.status:
            raise AssertionError(f"{self.path} {self.body.get('name', '')}: {answer}")
        self.made = answer.json
        return True


class Caller(threading.Thread):
    """Sends one change after the other until the process is gone. The last one may have been interrupted."""

    def __init__(self, number, url, token, pending, done):
        super().__init__(daemon=True)
        self.number = number
        self.url = url
        self.token = token
        self.pending = pending
        self.done = done
        self.problem = None

    def run(self):
        try:
            with Rest(self.url, self.token, timeout=30) as rest:
                while True:
                    change = self.pending or self.next()
                    self.pending = change
                    if not change.send(rest):
                        return
                    self.done.append(change)
                    self.pending = None
        except OSError:
            pass
        except AssertionError as problem:
            self.problem = problem
        except Exception as problem:  # the process died in the middle of an answer
            if "IncompleteRead" not in repr(problem) and "BadStatusLine" not in repr(problem):
                self.problem = problem

    def next(self):
        base = "/v1/tenants/acme"
        name = f"c{self.number}-{random.getrandbits(48):x}"
        apis = [change.name for change in self.done if change.kind == "api"]
        applications = [change.name for change in self.done if change.kind == "application"]
        choice = random.random()
        if choice < 0.08 or not apis:
            return Change("api", name, f"{base}/apis", {
                "name": name, "document": document(base=f"/{name}"), "upstream": UPSTREAM})
        if choice < 0.55:
            api = random.choice(apis)
            return Change("deployment", name, f"{base}/apis/{api}/deployments", {"environment": "dev"}, status=202)
        if choice < 0.80 or not applications:
            return Change("application", name, f"{base}/applications", {"name": name})
        # A fresh application each: the pair is subscribed once.
        taken = {change.body["application"] for change in self.done if change.kind == "subscription"}
        free = [application for application in applications if application not in taken]
        if not free:
            return Change("application", name, f"{base}/applications", {"name": name})
        return Change("subscription", name, f"{base}/subscriptions", {
            "application": free[0], "api": random.choice(apis), "plan": "gold"})


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


# kind: (audit event, topic, the topic's field with the id)
TRACES = {
    "api": ("api.created", "api-created", "api_id"),
    "application": ("application.created", "application-created", "application_id"),
    "subscription": ("subscription.created", "subscription-created", "subscription_id"),
    "deployment": ("deployment.requested", "deploy-requests", "deployment_id"),
}


class KillTests(unittest.TestCase):
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

    def repeat(self, rest):
        """The same request with the same key again: one resource, made before the kill or now."""
        for number, change in enumerate(self.pending):
            if change is not None:
                self.assertTrue(change.send(rest))
                self.done.append(change)
                self.pending[number] = None

    def compare(self, rest):
        """State, audit log and events hold what was acknowledged, each once, and nothing else."""
        audited = self.audited(rest)
        for kind, (event, topic, field) in TRACES.items():
            acknowledged = {change.made["id"] for change in self.done if change.kind == kind}
            published = [record["value"][field] for record in rest.events(topic, "acme")]
            for place, ids in (("the state", self.there(rest, kind)), ("the audit log", audited.get(event, [])),
                               (f"the topic {topic}", published)):
                self.assertEqual(len(ids), len(set(ids)), f"{kind}: something is twice in {place}")
                self.assertEqual(acknowledged - set(ids), set(), f"{kind}: acknowledged, and lost from {place}")
                self.assertEqual(set(ids) - acknowledged, set(), f"{kind}: in {place} and never sent")
        self.compare_deployments(rest)

    def there(self, rest, kind):
        if kind != "deployment":
            place = {"api": "apis", "application": "applications", "subscription": "subscriptions"}[kind]
            return [one["id"] for one in rest.all(f"/v1/tenants/acme/{place}")]
        return [one["id"] for one in self.deployments(rest)]

    def deployments(self, rest):
        return [one for api in rest.all("/v1/tenants/acme/apis")
                for one in rest.all(f"/v1/tenants/acme/apis/{api['name']}/deployments")]

    def compare_deployments(self, rest):
        """Each ends, with success, and says so once; what it deployed is at the gateway."""
        requested = {change.made["id"]: change.made for change in self.done if change.kind == "deployment"}

        def results():
            return [record["value"] for record in rest.events("deploy-results", "acme")]

        eventually(lambda: len(results()) >= len(requested), seconds=60)
        ended = results()
        self.assertEqual(len(ended), len(requested), "a deployment ended twice")
        self.assertEqual({one["deployment_id"] for one in ended}, set(requested), "deployments and their results differ")
        self.assertEqual([one for one in ended if one["status"] != "success"], [])
        self.assertEqual({one["state"] for one in self.deployments(rest)} - {"success"}, set())
        with Rest(self.platform.gateway) as gateway:
            for api in {made["api"] for made in requested.values()}:
                status = gateway.request("GET", f"/{api}/orders").status
                self.assertEqual(status, 401, f"{api} was deployed; without a key it answers")

    def offsets(self, rest):
        """No partition has a gap."""
        for topic in [*(topic for _, topic, _ in TRACES.values()), "deploy-results", "audit-log"]:
            found = {}
            for record in rest.events(topic):
                found.setdefault(record["partition"], []).append(record["offset"])
            for partition, numbers in found.items():
                self.assertEqual(sorted(numbers), list(range(len(numbers))), f"{topic}, partition {partition}")

    def audited(self, rest):
        found = {}
        for record in rest.events("audit-log"):
            entry = record["value"]
            found.setdefault(entry["event_type"], []).append(entry["resource"]["id"])
        return found

    def audit(self):
        """Sound, and what it was when the last checkpoint was seen."""
        arguments = []
        if self.checkpoint:
            with open(self.kept, "wb") as file:
                file.write(self.checkpoint)
            arguments = ["--checkpoint", self.kept]
        done = run("audit", "verify", *arguments, environment={
            "PASSERELLE_URL": self.platform.control_plane, "PASSERELLE_TOKEN": self.token, **self.home})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


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
