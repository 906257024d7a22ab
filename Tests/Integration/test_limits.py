"""Counts that gateways share: a limit through Redis with two gateways from a file, a quota over a restart and over two gateways of a
platform, and what happens while the counters are away."""

import json
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from processes import Platform, eventually, folder, free_base, spawn, Settings
from rest import Rest, document
from upstream import Upstream


def status(url, key=None):
    request = urllib.request.Request(url, headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def admitted(url, tries, key=None):
    return sum(status(url, key) == 200 for _ in range(tries))


class FileLimitTests(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)
        self.upstream = Upstream(self)

    def gateway(self, name, policy, counters):
        base = free_base()
        path = f"{self.place}/{name}.yaml"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "version": 1, "listen": {"http": f"127.0.0.1:{base}", "admin": f"127.0.0.1:{base + 1}"}, "workers": 1,
                "counters": counters,
                "apis": [{"id": "a", "routes": [{"path": "/*"}], "policies": [policy],
                          "upstream": {"targets": [{"url": self.upstream.url}]}}]}, file)
        process = spawn([Settings.binary, "gateway", "--config", path], stderr=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        url = f"http://127.0.0.1:{base + 1}"
        eventually(lambda: status(f"{url}/readyz") == 200)
        return process, f"http://127.0.0.1:{base}/", url

    def redis(self, port=None):
        port = port or free_base()
        server = spawn(["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"],
                       stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        eventually(lambda: subprocess.run(
            ["redis-cli", "-p", str(port), "ping"], capture_output=True, check=False).stdout == b"PONG\n")
        return server, port

    def test_gateways_share_a_limit_through_redis(self):
        server, port = self.redis()
        policy = {"rate_limit": {"limit": 100, "window": "31d", "scope": "shared"}}
        counters = {"redis": f"redis://127.0.0.1:{port}", "when_away": "closed"}
        _, first, _ = self.gateway("first", policy, counters)
        _, second, admin = self.gateway("second", policy, counters)
        self.assertEqual(admitted(first, 60), 60)
        self.assertEqual(status(second), 200)
        # Exchanged ten times a second.
        time.sleep(2)
        self.assertEqual(admitted(second, 60), 39)
        server.kill()
        server.wait()

        def failures():
            with urllib.request.urlopen(f"{admin}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            return [line for line in text.splitlines()
                    if line.startswith("passerelle_gateway_counter_exchange_failures_total")][0].split()[-1] != "0"

        eventually(lambda: status(second) == 429 and failures())

    def test_without_its_counters_a_limit_is_what_is_configured(self):
        port = free_base()
        policy = {"rate_limit": {"limit": 10, "window": "31d", "scope": "shared"}}
        _, url, _ = self.gateway("open", policy, {"redis": f"redis://127.0.0.1:{port}", "when_away": "open"})
        self.assertEqual(admitted(url, 20), 10)

    def test_a_quota_outlives_its_gateway(self):
        policy = {"quota": {"limit": 10, "window": "year", "by": "api"}}
        process, url, _ = self.gateway("quota", policy, {"folder": "counts"})
        self.assertEqual(admitted(url, 4), 4)
        process.terminate()
        process.wait()
        process, url, _ = self.gateway("quota", policy, {"folder": "counts"})
        self.assertEqual(admitted(url, 20), 6)
        # Told within a second or so: a kill loses at most that.
        eventually(lambda: open(f"{self.place}/counts/quotas", encoding="utf-8").read().splitlines()[-1].startswith("10 "))
        process.kill()
        process.wait()
        _, url, _ = self.gateway("quota", policy, {"folder": "counts"})
        eventually(lambda: status(url) == 429)
        self.assertEqual(admitted(url, 5), 0)


class PlatformLimitTests(unittest.TestCase):
    def test_a_plans_quota_counts_for_all_gateways_and_limits_are_divided(self):
        place = folder(self)
        upstream = Upstream(self)
        platform = Platform(self, f"{place}/data", arguments=["--gateway-id", "first"]).start()
        with platform.sign_in("acme") as rest:
            rest.create("/v1/tenants/acme/apis", {"document": document(paths=["/r"]), "upstream": upstream.url})
            rest.deploy("acme", "orders")
            rest.request("PUT", "/v1/tenants/acme/plans/small", {"quota": {"limit": 20, "window": "year"}})
            rest.request("PUT", "/v1/tenants/acme/plans/rate", {"rate_limit": {"limit": 20, "window": "1d"}})
            keys = {}
            for plan in ("small", "rate"):
                keys[plan] = rest.create("/v1/tenants/acme/applications", {"name": plan})["key"]
                rest.create("/v1/tenants/acme/subscriptions", {"application": plan, "api": "orders", "plan": plan})
            second = Platform(self, f"{place}/second", arguments=[
                "--services", "gateway", "--control-plane", platform.control_plane, "--gateway-id", "second",
                "--gateway-token-file", f"{platform.data}/gateway.token"]).start()
            urls = [f"{gateway.gateway}/shop/r" for gateway in (platform, second)]
            eventually(lambda: status(urls[1], keys["small"]) == 200)
            eventually(lambda: status(urls[0], keys["small"]) == 200)
            # What the waiting used is not known here: the first learns what the second counted, and the other way round.
            time.sleep(6)
            left = admitted(urls[0], 40, keys["small"])
            self.assertLessEqual(left, 18)
            time.sleep(20)
            self.assertEqual(admitted(urls[1], 40, keys["small"]), 0)
            # Two live gateways divide a limit.
            self.assertEqual([admitted(url, 40, keys["rate"]) for url in urls], [10, 10])
