"""A control plane, and a gateway apart that follows it: with records for analytics, and with deployments."""

import http.client
import json
import os
import re
import sys
import time

from bench import Subject, free_port
from gateways import LIMIT


def document(paths, base):
    def operation(path):
        wanted = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}] if "{id}" in path else []
        return {"get": {"parameters": wanted, "responses": {"200": {"description": "fine"}}}}

    return json.dumps({"openapi": "3.1.0", "info": {"title": base[1:], "version": "1"}, "servers": [{"url": base}],
                       "paths": {path: operation(path) for path in paths}})


class ControlPlane:
    def __init__(self, bench, binary):
        self.bench, self.binary = bench, binary
        self.base = free_port(5)
        self.data = f"{bench.folder}/control-plane"
        self.process = bench.spawn(
            1, [binary, "serve", "--data", self.data, "--port-base", str(self.base), "--log-level", "error"],
            "control-plane")
        self.token = None
        self.connection = http.client.HTTPConnection("127.0.0.1", self.base + 1, timeout=60)
        bench.await_port(self.base + 1, self.process)
        self.until(lambda: self.call("GET", "/readyz")[0] == 200)
        with open(self.process.log_path) as log:
            password = re.search(r"One-time password: *(\S+)", log.read())[1]
        self.token = self.expect(201, "POST", "/v1/sessions", {"user": "admin", "password": password})["access_token"]
        self.expect(201, "POST", "/v1/tenants", {"name": "bench"})

    @staticmethod
    def until(condition, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        sys.exit("the control plane did not get there")

    def call(self, method, path, body=None):
        fields = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        self.connection.request(method, path, json.dumps(body) if body is not None else None, fields)
        answer = self.connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data[:1] in (b"{", b"[") else data

    def expect(self, status, method, path, body=None):
        got, answer = self.call(method, path, body)
        if got != status:
            sys.exit(f"{method} {path}: {got} {answer}")
        return answer

    def gateway(self, name, telemetry):
        """A gateway apart, on the subject's processor; its process and port."""
        base = free_port(5)
        config = self.bench.write(f"{name}-settings.yaml", f"gateway: {{workers: 1}}\ntelemetry: {telemetry}\n")
        process = self.bench.spawn(0, [
            self.binary, "serve", "--services", "gateway", "--config", config, "--data", f"{self.bench.folder}/{name}",
            "--port-base", str(base), "--control-plane", f"http://127.0.0.1:{self.base + 1}", "--gateway-id", name,
            "--gateway-token-file", f"{self.data}/gateway.token", "--log-level", "error"], name)
        self.bench.await_port(base, process)
        return process, base

    def deploy(self, api, **body):
        made = self.expect(202, "POST", f"/v1/tenants/bench/apis/{api}/deployments", {"environment": "dev", **body})
        return f"/v1/tenants/bench/apis/{api}/deployments/{made['id']}"

    def succeeded(self, path):
        answer = self.expect(200, "GET", path)
        if answer["state"] == "failed":
            sys.exit(f"{path}: {answer}")
        return answer["state"] == "success"

    # An API with a key, a plan and an access rule.

    def publish_governed(self):
        """Publishes it; returns the path on a gateway and the header with the key."""
        upstream = f"http://127.0.0.1:{self.bench.backend}"
        self.expect(201, "POST", "/v1/tenants/bench/apis", {
            "name": "governed", "document": document(["/x"], "/governed"), "upstream": upstream,
            "policies": [{"acl": {"allow": [{"plans": ["gold"]}]}}]})
        deployed = self.deploy("governed")
        self.call("PUT", "/v1/tenants/bench/plans/gold", {"rate_limit": {"limit": LIMIT, "window": "1s"}})
        key = self.expect(201, "POST", "/v1/tenants/bench/applications", {"name": "app"})["key"]
        self.expect(201, "POST", "/v1/tenants/bench/subscriptions", {"application": "app", "api": "governed", "plan": "gold"})
        self.until(lambda: self.succeeded(deployed))
        return "/governed/x", f"X-API-Key: {key}"

    def governed(self, name, path, header, telemetry):
        process, port = self.gateway(name, telemetry)
        subject = Subject(name, process, f"http://127.0.0.1:{port}{path}", header)
        self.until(lambda: self.status(port, path, header) == 200)
        return subject

    @staticmethod
    def status(port, path, header=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers=dict([header.split(": ")]) if header else {})
            return connection.getresponse().status
        finally:
            connection.close()

    # Deployments under load.

    def publish_routes(self, apis, each):
        """So many APIs with so many routes each. The first has a second revision with a route more."""
        upstream = f"http://127.0.0.1:{self.bench.backend}"
        last = None
        # It may have been idle for long.
        self.connection.close()
        for number in range(apis):
            self.bench.say(f"deployments: API {number} of {apis}")
            paths = [f"/r{route}/items/{{id}}" if route % 2 else f"/r{route}/items" for route in range(each)]
            body = {"name": f"many-{number}", "document": document(paths, f"/many-{number}"), "upstream": upstream,
                    "authentication": "none"}
            self.expect(201, "POST", "/v1/tenants/bench/apis", body)
            last = self.deploy(f"many-{number}")
            if number == 0:
                body = {"document": document([*paths, "/more"], "/many-0"), "upstream": upstream, "authentication": "none"}
                self.expect(201, "POST", "/v1/tenants/bench/apis/many-0/revisions", body)
        self.until(lambda: self.succeeded(last))

    def deployments(self, subject, rate, count):
        """Deploys one revision and the other in turn while the gateway gets `rate` requests a second. Returns milliseconds from
        sending each deployment to the first answer of the gateway that only the new revision gives."""
        seconds = max(10, count // 8)
        load, log = self.bench.paced(subject, rate, seconds, command="start")
        gateway = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=30)
        took = []
        time.sleep(1)
        try:
            while len(took) < count and load.poll() is None:
                self.bench.say(f"deployments: {len(took)} of {count}")
                wanted = 200 if len(took) % 2 == 0 else 404
                began = time.monotonic()
                path = self.deploy("many-0", revision=2 if wanted == 200 else 1)
                while True:
                    gateway.request("GET", "/many-0/more")
                    answer = gateway.getresponse()
                    answer.read()
                    if answer.status == wanted:
                        break
                    time.sleep(0.0003)
                    if time.monotonic() - began > 30:
                        sys.exit(f"not live after 30 s: {answer.status}")
                took.append((time.monotonic() - began) * 1000)
                self.until(lambda: self.succeeded(path))
        finally:
            if load.poll() is None:
                load.terminate()
            load.wait()
            gateway.close()
        answered = self.bench.told(subject, log) if os.path.exists(log) else []
        return took, answered
