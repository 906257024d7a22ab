"""Changes that callers make while things break, and the comparison of what was acknowledged with what is there afterwards.

Each change is sent with an Idempotency-Key. One that was interrupted is sent again: it must give exactly one resource, whether
the first try was written or not.
"""

import random
import threading

from processes import eventually, run
from rest import Rest, document

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


# kind: (audit event, topic, the topic's field with the id)
TRACES = {
    "api": ("api.created", "api-created", "api_id"),
    "application": ("application.created", "application-created", "application_id"),
    "subscription": ("subscription.created", "subscription-created", "subscription_id"),
    "deployment": ("deployment.requested", "deploy-requests", "deployment_id"),
}


class Ledger:
    """What a test does that keeps `platform`, `token`, `home`, `done`, `pending`, `checkpoint` and `kept`: a mixin."""

    def repeat(self, rest):
        """The same request with the same key again: one resource, made before the kill or now."""
        for number, change in enumerate(self.pending):
            if change is not None:
                # What is refused for a moment, with 503, is sent again with the same key as well.
                eventually(lambda change=change: change.send(rest))
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
                # A gateway that stood still for long was not waited for: it follows.
                eventually(lambda api=api: gateway.request("GET", f"/{api}/orders").status == 401)

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
