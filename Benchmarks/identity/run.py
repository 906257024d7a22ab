#!/usr/bin/env python3
"""Measures sign-in and tokens, each with its goal: the check of a token, from the password to the token, and many passwords at once.

  Benchmarks/identity/run.py --binary .build/release/passerelle --bench .build/release/IdentityBench [--logins 60]

Starts its own platform on free ports in a folder of its own, and ends it. A login costs some 150 ms of processor time because its password's
hash does; on a busy machine it takes as much longer as the machine is busy: the closing line tells the load.
"""
import argparse
import base64
import hashlib
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "platform"))
from run import Platform, percentile  # noqa: E402

PASSWORD = "correct horse battery"
BACK = "http://127.0.0.1:9/cb"
AT_ONCE = 64
# What the platform lets wait, and the one that is being checked.
ADMITTED = 17

rows = []


def row(what, goal, finding, is_met):
    rows.append((what, goal, finding, {True: "met", False: "MISSED", None: ""}[is_met]))


def form(connection, path, values, cookie=None):
    headers = {"Content-Type": "application/x-www-form-urlencoded", **({"Cookie": cookie} if cookie else {})}
    connection.request("POST", path, urllib.parse.urlencode(values), headers)
    answer = connection.getresponse()
    return answer, answer.read()


def login(platform, client):
    """As a browser and a client: the page, the password, the code, the token. Returns the milliseconds from the password to the token."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = urllib.parse.urlencode({
        "response_type": "code", "client_id": client, "redirect_uri": BACK, "scope": "openid", "state": "s",
        "code_challenge": challenge, "code_challenge_method": "S256"})
    browser = http.client.HTTPConnection("127.0.0.1", platform.base + 1, timeout=60)
    browser.request("GET", f"/oauth2/authorize?{query}")
    answer = browser.getresponse()
    page = answer.read().decode()
    cookie = answer.headers["Set-Cookie"].split(";")[0]
    key = re.search(r'name="form" value="([^"]*)"', page).group(1)
    began = time.monotonic()
    answer, _ = form(browser, "/oauth2/login", {
        "form": key, "target": f"/oauth2/authorize?{query}", "user": "ada", "password": PASSWORD}, cookie)
    assert answer.status == 303, answer.status
    session = answer.headers["Set-Cookie"].split(";")[0]
    browser.request("GET", answer.headers["Location"], headers={"Cookie": session})
    answer = browser.getresponse()
    answer.read()
    code = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).query))["code"]
    answer, body = form(browser, "/oauth2/token", {
        "grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": verifier, "client_id": client})
    assert answer.status == 200, body
    browser.close()
    return (time.monotonic() - began) * 1000


def at_once(platform):
    """Everybody signs in at the same moment; who is sent away comes back after the pause that was asked for."""
    answers, took, lock, start = [], [], threading.Lock(), threading.Barrier(AT_ONCE)

    def one():
        connection = http.client.HTTPConnection("127.0.0.1", platform.base + 1, timeout=120)
        start.wait()
        began = time.monotonic()
        while True:
            connection.request("POST", "/v1/sessions", json.dumps({"user": "ada", "password": PASSWORD}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            with lock:
                answers.append((answer.status, answer.headers.get("Retry-After")))
            if answer.status == 201:
                with lock:
                    took.append(time.monotonic() - began)
                return
            time.sleep(int(answer.headers.get("Retry-After", 1)) + secrets.randbelow(1000) / 1000)

    threads = [threading.Thread(target=one) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, took


def peak(platform):
    with open(f"/proc/{platform.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=".build/release/passerelle")
    parser.add_argument("--bench", default=".build/release/IdentityBench")
    parser.add_argument("--logins", type=int, default=60)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = json.loads(subprocess.run([options.bench], capture_output=True, text=True, check=True, timeout=300).stdout)
    for name, what in (("first", "a token's check, RS256, never seen before"), ("again", "the same token again")):
        p50, p99 = found[name]["p50_us"], found[name]["p99_us"]
        row(what, "p50 < 50 us", f"p50 {p50:.1f} us, p99 {p99:.1f} us", p50 < 50)
    row("a token made and signed, by POST /oauth2/token", "", f"{found['issued_us'] / 1000:.2f} ms", None)
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(options.binary, os.path.join(folder, "data"))
        platform.start()
        try:
            password = re.search(r"One-time password: *(\S+)", "".join(platform.process.stdout.readline() for _ in range(2))).group(1)
            platform.sign_in(password)
            assert platform.call("POST", "/v1/users", {"name": "ada", "password": PASSWORD, "grants": [{"role": "viewer", "tenant": "acme"}]})[0] == 201
            status, client = platform.call("POST", "/v1/oauth-clients", {
                "name": "Bench", "confidential": False, "trusted": True, "redirect_uris": [BACK], "grant_types": ["authorization_code"], "scopes": ["openid"]})
            assert status == 201, client
            took = [login(platform, client["id"]) for _ in range(options.logins)]
            row("from the password to the token: page, code, token", "", f"p50 {percentile(took, 0.5):.0f} ms, p99 {percentile(took, 0.99):.0f} ms", None)
            before = peak(platform)
            answers, waited = at_once(platform)
            first = answers[:AT_ONCE]
            refused = [again for status, again in answers if status == 503]
            row(f"{AT_ONCE} passwords at once: let in, in turn", f"{AT_ONCE}, all", f"{len(waited)}; the last after {max(waited):.1f} s", len(waited) == AT_ONCE)
            row("of them sent away at first, each told when to come back", f">= {AT_ONCE - 2 * ADMITTED}, all with Retry-After",
                f"{sum(1 for status, _ in first if status == 503)}, then {len(refused)} in all",
                len(refused) >= AT_ONCE - 2 * ADMITTED and all(refused) and {status for status, _ in answers} == {201, 503})
            grown = peak(platform) - before
            row("memory that the hashes of all of them took", "< 128 MiB (one hash: 64)", f"{grown:.0f} MiB more at the peak", grown < 128)
        finally:
            platform.stop()
    widths = [max(len(line[column]) for line in rows) for column in range(4)]
    for line in [("what", "goal", "finding", "")] + rows:
        print("  ".join(text.ljust(width) for text, width in zip(line, [max(w, 7) for w in widths])).rstrip())
    print(f"\nload before and after: {load:.1f}, {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores")
    sys.exit(1 if any(line[3] == "MISSED" for line in rows) else 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
