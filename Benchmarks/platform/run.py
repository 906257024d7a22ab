#!/usr/bin/env python3
"""Measures the whole platform: deploy to live, durable changes through REST, start, memory.

  Benchmarks/platform/run.py --binary .build/release/passerelle [--apis 1000] [--deploys 200] [--seconds 5]

Starts its own platform on free ports in a folder of its own, and ends it. Needs wrk (Debian). Live is when the gateway
answers the first request that only the new revision has. Figures are of this machine, with the load on the same cores; a slow
sync of its disk is in every durable change, so the disk is watched too.
"""
import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from disk import DiskWatch  # noqa: E402

PATHS = {1: ["/healthz"], 2: ["/healthz", "/readyz"]}


def document(name, revision):
    paths = {p: {"get": {"responses": {"200": {"description": "ok"}}}} for p in PATHS[revision]}
    return json.dumps({"openapi": "3.0.3", "info": {"title": name, "version": str(revision)}, "paths": paths})


def free_base():
    """A port whose next four are free as well, below those the kernel gives to outgoing connections: who asks a port of these while
    nobody listens there yet may be connected to itself."""
    for _ in range(100):
        base = random.randrange(20000, 32000)
        try:
            for port in range(base, base + 5):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    sys.exit("no free ports")


class Platform:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.base, self.process = binary, folder, free_base(), None

    def start(self):
        """Starts and waits until the control plane is ready. Returns the seconds that took."""
        began = time.monotonic()
        # All that is sent here comes from one caller, as fast as it can.
        with open(f"{self.folder}.yaml", "w", encoding="utf-8") as settings:
            settings.write("rate_limits: {caller: off, address: off}\n")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data", self.folder, "--port-base", str(self.base), "--log-level", "error",
             "--config", f"{self.folder}.yaml"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while time.monotonic() - began < 60:
            try:
                status, _ = self.call("GET", "/readyz", token=None)
                if status == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.002)
        sys.exit("the platform did not become ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=40)

    def rss(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) / 1024

    def call(self, method, path, body=None, token=True, connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.base + 1, timeout=30)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, (json.loads(data) if data[:1] in (b"{", b"[") else data)

    def sign_in(self, password):
        status, answer = self.call("POST", "/v1/sessions", {"user": "admin", "password": password}, token=None)
        assert status == 201, answer
        self.token = answer["access_token"]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def setup(platform, count):
    rest = http.client.HTTPConnection("127.0.0.1", platform.base + 1, timeout=30)
    status, answer = platform.call("POST", "/v1/tenants", {"name": "bench"}, connection=rest)
    assert status == 201, answer
    upstream = f"http://127.0.0.1:{platform.base + 1}"
    for n in range(count):
        name = f"api-{n}"
        body = {"name": name, "document": document(name, 1), "upstream": upstream, "authentication": "none"}
        status, answer = platform.call("POST", "/v1/tenants/bench/apis", body, connection=rest)
        assert status == 201, answer
        status, answer = platform.call(
            "POST", f"/v1/tenants/bench/apis/{name}/deployments", {"environment": "dev"}, connection=rest)
        assert status == 202, answer
        if sys.stderr.isatty() and n % 50 == 0:
            print(f"\r{n} of {count} APIs", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    body = {"document": document("api-0", 2), "upstream": upstream, "authentication": "none"}
    status, answer = platform.call("POST", "/v1/tenants/bench/apis/api-0/revisions", body, connection=rest)
    assert status == 201, answer
    wait(platform, answer_of=f"/v1/tenants/bench/apis/api-{count - 1}/deployments", rest=rest)


def wait(platform, answer_of, rest):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        _, answer = platform.call("GET", answer_of, connection=rest)
        if answer["items"][0]["state"] == "success":
            return
        time.sleep(0.05)
    sys.exit(f"no success within 60 s: {answer}")


def deploys(platform, count):
    """Milliseconds from sending the deployment to the first answer of the new revision."""
    rest = http.client.HTTPConnection("127.0.0.1", platform.base + 1, timeout=30)
    gateway = http.client.HTTPConnection("127.0.0.1", platform.base, timeout=30)
    took = []
    for n in range(count):
        revision = 2 if n % 2 == 0 else 1
        wanted = 200 if revision == 2 else 404
        began = time.monotonic()
        status, answer = platform.call(
            "POST", "/v1/tenants/bench/apis/api-0/deployments", {"environment": "dev", "revision": revision}, connection=rest)
        assert status == 202, answer
        while True:
            gateway.request("GET", "/api-0/readyz")
            reply = gateway.getresponse()
            reply.read()
            if reply.status == wanted:
                break
            assert time.monotonic() - began < 30, reply.status
        took.append((time.monotonic() - began) * 1000)
        wait(platform, "/v1/tenants/bench/apis/api-0/deployments?limit=1", rest)
    return took


def changes(platform, apis, seconds, folder):
    """Durable changes a second and their p99, 64 connections: each changes an API, with its event and its audit entry."""
    script = os.path.join(folder, "changes.lua")
    with open(script, "w") as f:
        f.write(f"""
local n = 0
local headers = {{["Content-Type"] = "application/json", ["Authorization"] = "Bearer {platform.token}"}}
request = function()
    n = n + 1
    local body = '{{"title":"Title ' .. n .. '"}}'
    return wrk.format("PATCH", "/v1/tenants/bench/apis/api-" .. (n % {apis}), headers, body)
end
""")
    out = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "-s", script, f"http://127.0.0.1:{platform.base + 1}"],
        capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out, out
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    p99 = re.search(r"99%\s+(\S+)", out).group(1)
    return rate, p99


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--apis", type=int, default=1000)
    parser.add_argument("--deploys", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    folder = tempfile.mkdtemp(prefix="platform-bench-")
    platform = Platform(arguments.binary, os.path.join(folder, "data"))
    rows = []
    try:
        platform.start()
        password = None
        while password is None:
            line = platform.process.stdout.readline()
            match = re.search(r"password:\s+(\S+)", line)
            password = match.group(1) if match else None
        platform.sign_in(password)
        time.sleep(3)
        rows.append(("memory idle, all services, no APIs", "<= 50 MB", f"{platform.rss():.0f} MB"))
        setup(platform, arguments.apis)
        disk = DiskWatch(folder)
        disk.start()
        took = deploys(platform, arguments.deploys)
        disk_meanwhile = disk.end()
        rows.append((f"REST deploy to live, {arguments.apis} APIs: p50", "", f"{statistics.median(took):.1f} ms"))
        rows.append((f"REST deploy to live, {arguments.apis} APIs: p99", "<= 50 ms", f"{percentile(took, 0.99):.1f} ms"))
        rows.append(("a sync of this disk meanwhile: p50, p99, max", "", disk_meanwhile))
        rate, p99 = changes(platform, arguments.apis, arguments.seconds, folder)
        rows.append(("durable changes through REST, 64 connections", ">= 2,000/s", f"{rate:,.0f}/s"))
        rows.append(("their p99", "<= 50 ms", p99))
        platform.stop()
        starts = []
        for _ in range(5):
            starts.append(platform.start() * 1000)
            time.sleep(1)
            memory = platform.rss()
            platform.stop()
        rows.append(("start to ready on that data, median of 5", "<= 200 ms", f"{statistics.median(starts):.0f} ms"))
        rows.append((f"memory idle with {arguments.apis} APIs live", "", f"{memory:.0f} MB"))
    finally:
        if platform.process and platform.process.poll() is None:
            platform.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'what':52} {'goal':>12} {'here':>20}")
    for what, goal, here in rows:
        print(f"{what:52} {goal:>12} {here:>20}")


if __name__ == "__main__":
    main()
