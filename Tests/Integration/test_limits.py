"""Counts that gateways share: a limit through Redis with two gateways from a file, a quota over a restart and over two gateways of a
platform, and what happens while the counters are away."""

import base64
import hashlib
import hmac
import json
import os
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


def post(url, fields, body=b"ab"):
    """Status, body and whether the answer is a repeated one."""
    request = urllib.request.Request(url, data=body, headers=fields)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers.get("Idempotent-Replayed") == "true"
    except urllib.error.HTTPError as error:
        return error.code, error.read(), False


def signed(url, secret, nonce, body=b"ab"):
    """Fields of a request signed by RFC 9421 with hmac-sha256."""
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    parameters = ('("@method" "@authority" "@path" "content-digest");'
                  f'created={int(time.time())};keyid="k";nonce="{nonce}"')
    base = (f'"@method": POST\n"@authority": {url.split("/")[2]}\n"@path": /\n"content-digest": {digest}\n'
            f'"@signature-params": {parameters}')
    value = base64.b64encode(hmac.new(secret, base.encode(), hashlib.sha256).digest()).decode()
    return {"Content-Digest": digest, "Signature-Input": f"s={parameters}", "Signature": f"s=:{value}:",
            "Host": url.split("/")[2]}


def metric(admin, name):
    """The sum of a metric's series whose line begins like this."""
    with urllib.request.urlopen(f"{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


class FileLimitTests(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)
        self.upstream = Upstream(self)

    def gateway(self, name, policy, counters, applications=()):
        base = free_base()
        path = f"{self.place}/{name}.yaml"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "version": 1, "listen": {"http": f"127.0.0.1:{base}", "admin": f"127.0.0.1:{base + 1}"}, "workers": 1,
                "counters": counters, "applications": list(applications),
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
        eventually(lambda: status(second) == 429
                   and metric(admin, "passerelle_gateway_counter_exchange_failures_total") > 0)

    def test_gateways_share_idempotency_keys_through_redis(self):
        server, port = self.redis()
        with open(f"{self.place}/seal", "w", encoding="ascii") as file:
            file.write("a secret of these gateways\n")
        counters = {"redis": f"redis://127.0.0.1:{port}", "key_file": "seal"}
        gateways = [
            self.gateway(name, {"idempotency": {}}, {**counters, "when_away": "closed"}) for name in ("first", "second")]
        urls = [url for _, url, _ in gateways]
        key = {"Idempotency-Key": "order-1"}
        status_first, answer, replayed = post(urls[0], key)
        self.assertEqual((status_first, replayed), (200, False))
        # Its answer is on the way to the other.
        eventually(lambda: post(urls[1], key)[0] == 200)
        self.assertEqual(post(urls[1], key), (200, answer, True))
        self.assertEqual(post(urls[1], key, b"xy")[0], 422)
        self.assertEqual(len(self.upstream.requests), 1)
        # Also one that starts now.
        gateways[0][0].terminate()
        gateways[0][0].wait()
        _, url, _ = self.gateway("third", {"idempotency": {}}, counters)
        self.assertEqual(post(url, key), (200, answer, True))
        # Who has another secret cannot read the answer, and does not do the request again.
        _, stranger, _ = self.gateway("stranger", {"idempotency": {}}, {"redis": counters["redis"]})
        self.assertEqual(post(stranger, key)[0], 409)
        self.assertEqual(len(self.upstream.requests), 1)
        names = subprocess.run(["redis-cli", "-p", str(port), "keys", "*"], capture_output=True, check=True).stdout
        self.assertTrue(names.startswith(b"passerelle:idempotency:default:"), names)
        self.assertNotIn(b"order-1", names)
        kept = subprocess.run(["redis-cli", "-p", str(port), "--raw", "get", names.split()[0]], capture_output=True,
                              check=True).stdout
        self.assertGreater(len(kept), len(answer))
        self.assertNotIn(answer if isinstance(answer, bytes) else answer.encode(), kept)
        # Another secret while they serve: what follows is sealed with it, what was before opens still.
        later = "another secret of these gateways\n"
        for name, text in (("later", later), ("seal", later + "a secret of these gateways\n")):
            with open(f"{self.place}/{name}.new", "w", encoding="ascii") as file:
                file.write(text)
            os.replace(f"{self.place}/{name}.new", f"{self.place}/{name}")
        _, new, _ = self.gateway("new", {"idempotency": {}}, {**counters, "key_file": "later"})
        tries = iter(range(10_000))

        def is_taken():
            fresh = {"Idempotency-Key": f"later-{next(tries)}"}
            first = post(urls[1], fresh)
            self.assertEqual(first[0], 200)
            eventually(lambda: post(urls[1], fresh)[2])
            return post(new, fresh) == (200, first[1], True)

        eventually(is_taken, seconds=60)
        self.assertEqual(post(urls[1], key), (200, answer, True))
        self.assertEqual(post(new, key)[0], 409)
        server.kill()
        server.wait()
        # Away: closed as configured, open where nothing is said, and told.
        self.assertEqual(post(urls[1], {"Idempotency-Key": "order-2"})[0], 503)
        self.assertEqual(post(url, {"Idempotency-Key": "order-2"})[0], 200)
        self.assertGreater(
            metric(gateways[1][2], 'passerelle_gateway_shared_claims_total{kind="idempotency",result="away"}'), 0)

    def test_gateways_share_nonces_through_redis(self):
        _, port = self.redis()
        secret = bytes(range(32))
        shop = {"id": "shop", "credentials": [{"hmac": {"key_id": "k", "secret": base64.b64encode(secret).decode()}}],
                "subscriptions": [{"api": "a"}]}
        urls = [
            self.gateway(name, {"hmac": {}}, {"redis": f"redis://127.0.0.1:{port}"}, [shop])[1]
            for name in ("first", "second")]
        fields = signed(urls[0], secret, "n-1")
        self.assertEqual(post(urls[0], fields)[0], 200)
        for url in urls:
            code, answer, _ = post(url, fields)
            self.assertEqual(code, 401)
            self.assertIn(b"signature-replayed", answer)
        self.assertEqual(post(urls[1], signed(urls[0], secret, "n-2"))[0], 200)

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
            self.check_a_quota_of_the_tenant(rest, platform, urls)

    def check_a_quota_of_the_tenant(self, rest, platform, urls):
        """It counts for all APIs, applications and gateways, and goes as it came."""
        key = rest.create("/v1/tenants/acme/applications", {"name": "free"})["key"]
        rest.create("/v1/tenants/acme/subscriptions", {"application": "free", "api": "orders", "plan": "unlimited"})
        for url in urls:
            eventually(lambda: status(url, key) == 200)
        rest.expect(200, "PUT", "/v1/tenants/acme/quotas", {"requests_per_month": 30, "requests_per_second": 100000})
        # One gateway uses it up, and the other one learns of it.
        eventually(lambda: status(urls[0], key) == 429)
        eventually(lambda: status(urls[1], key) == 429)
        refused = urllib.request.Request(urls[0], headers={"X-API-Key": key})
        with self.assertRaises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(refused, timeout=30)
        self.assertIn('"tenant-quota";q=30', answer.exception.headers["RateLimit-Policy"])
        self.assertGreater(int(answer.exception.headers["Retry-After"]), 0)
        self.assertIn(b"tenant-quota-exceeded", answer.exception.read())
        use = lambda: rest.get("/v1/tenants/acme/quotas/use")["requests_per_month"]
        eventually(lambda: use()["used"] >= 30)
        self.assertEqual(use()["limit"], 30)
        counted = lambda line: line.startswith("passerelle_gateway_failures_total{") and "tenant-quota-exceeded" in line
        eventually(lambda: any(counted(line) for line in rest.expect(200, "GET", "/metrics").body.decode().splitlines()))
        rest.expect(200, "PUT", "/v1/tenants/acme/quotas", {})
        for url in urls:
            eventually(lambda: status(url, key) == 200)
