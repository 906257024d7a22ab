#!/usr/bin/env python3
"""What one proxied request costs: the gateway beside nginx, HAProxy and, where it is installed, Envoy.

The figure is processor time (user and system, of all threads) that a proxy's own processes spend per request, in microseconds.
It stays steady on a machine that others use too, where requests per second do not. Each round measures every subject once, in
turn, so that whatever disturbs the machine disturbs all of them; the table shows medians.

    python3 Benchmarks/gateway/run.py --binary .build/release/passerelle          # plain, governed, tokens
    python3 Benchmarks/gateway/run.py --full                                      # and 100,000 routes, memory

Needs wrk, nginx and haproxy (Debian: wrk nginx-light haproxy). Processor 0 runs the subject, processor 1 the load and the backend;
with one processor they share it.
"""
import argparse
import base64
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

KEY = "benchmark-key-0123456789"
BODY = '{"id":7,"state":"shipped","items":[{"sku":"A-1","count":2},{"sku":"B-9","count":1}],"note":"' + "n" * 60 + '"}'


class Subject:
    """Something that answers at a URL, and the process whose time counts."""

    def __init__(self, name, process, url, header=None, script=None):
        self.name, self.process, self.url, self.header, self.script = name, process, url, header, script
        self.costs, self.rates, self.tails, self.failed = [], [], [], 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(processor):
    several = len(os.sched_getaffinity(0)) > 1
    return ["taskset", "-c", str(processor)] if several and shutil.which("taskset") else []


def family(pid):
    """The process and those it started."""
    pids = [pid]
    with contextlib.suppress(FileNotFoundError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                for child in children.read().split():
                    pids += family(int(child))
    return pids


def processor_seconds(pid):
    """Time on the processor of all threads, from the scheduler's own count in nanoseconds."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError):
            for task in os.listdir(f"/proc/{member}/task"):
                with contextlib.suppress(FileNotFoundError):
                    with open(f"/proc/{member}/task/{task}/schedstat") as stat:
                        total += int(stat.read().split()[0])
    return total / 1e9


def resident_megabytes(pid):
    total = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{member}/statm") as statm:
                total += int(statm.read().split()[1]) * resource.getpagesize()
    return total / 1e6


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = tempfile.mkdtemp(prefix="passerelle-bench-")
        self.processes = []
        self.backend = free_port()

    def __enter__(self):
        self.spawn(1, ["nginx", "-p", self.folder, "-c", self.nginx("backend", f"""
            server {{
                listen 127.0.0.1:{self.backend};
                location / {{ default_type application/json; return 200 '{BODY}'; }}
            }}"""), "-e", f"{self.folder}/backend.err"])
        self.await_port(self.backend)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, processor, command):
        log = open(f"{self.folder}/{len(self.processes)}.log", "wb")
        process = subprocess.Popen([*pinned(processor), *command], stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def await_port(self, port, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.05)
        for index in range(len(self.processes)):
            with open(f"{self.folder}/{index}.log") as log:
                sys.stderr.write(log.read())
        sys.exit(f"nothing listens on port {port}")

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def nginx(self, name, server):
        return self.write(f"{name}.conf", f"""
            worker_processes 1; daemon off; pid {self.folder}/{name}.pid; error_log {self.folder}/{name}.err;
            events {{ worker_connections 8192; }}
            http {{
                access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                {server}
            }}""")

    # Subjects.

    def with_nginx(self):
        port = free_port()
        process = self.spawn(0, ["nginx", "-p", self.folder, "-c", self.nginx("proxy", f"""
            upstream backend {{ server 127.0.0.1:{self.backend}; keepalive 512; keepalive_requests 1000000000; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            }}"""), "-e", f"{self.folder}/proxy.err"])
        self.await_port(port)
        return Subject("nginx", process, f"http://127.0.0.1:{port}/x")

    def with_haproxy(self):
        port = free_port()
        process = self.spawn(0, ["haproxy", "-f", self.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 30s
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one 127.0.0.1:{self.backend}
""")])
        self.await_port(port)
        return Subject("haproxy", process, f"http://127.0.0.1:{port}/x")

    def with_envoy(self):
        port = free_port()
        address = "{{socket_address: {{address: 127.0.0.1, port_value: {}}}}}".format
        manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        config = self.write("envoy.yaml", f"""
static_resources:
  listeners:
  - address: {address(port)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {manager}
          stat_prefix: front
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: backend}}}}]}}
          http_filters: [{{name: envoy.filters.http.router, typed_config: {{"@type": {router}}}}}]
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: backend
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {address(self.backend)}}}}}]}}]
""")
        process = self.spawn(
            0, [self.arguments.envoy, "-c", config, "--concurrency", "1", "-l", "off", "--disable-hot-restart"])
        self.await_port(port)
        return Subject("envoy", process, f"http://127.0.0.1:{port}/x")

    def with_gateway(self, name, routes, policies="", more="", header=None, script=None, path="/x"):
        port = free_port()
        config = self.write(f"{name.replace(' ', '-')}.yaml", f"""version: 1
listen: {{http: "127.0.0.1:{port}"}}
workers: 1
apis:
  - id: bench
    tenant: bench
    upstream: {{targets: [{{url: "http://127.0.0.1:{self.backend}"}}]}}
    {policies}
    routes:
{routes}
{more}
""")
        process = self.spawn(0, [self.arguments.binary, "gateway", "--config", config, "--log-level", "error"])
        self.await_port(port, seconds=60)
        return Subject(name, process, f"http://127.0.0.1:{port}{path}", header, script)

    def plain(self):
        return self.with_gateway("passerelle plain", "      - {path: /x}")

    def governed(self):
        """API key, the plan's limit, metrics and records."""
        return self.with_gateway(
            "passerelle governed", "      - {path: /x}", policies="policies: [{api_key: {header: X-API-Key}}]",
            more=f"""applications:
  - {{id: app, tenant: bench, keys: [{{value: {KEY}}}], subscriptions: [{{api: bench, plan: gold}}]}}
plans:
  - {{id: gold, tenant: bench, rate_limit: {{limit: 90000000, window: 1s}}}}""", header=f"X-API-Key: {KEY}")

    def token_maker(self):
        """An RSA key made with openssl: its key set as YAML, and a function that signs claims with it."""
        key = f"{self.folder}/issuer.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        text = subprocess.run(["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True)
        modulus = bytes.fromhex(text.stdout.decode().strip().split("=")[1])
        encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()  # noqa: E731
        header = encode(b'{"alg":"RS256","kid":"k","typ":"at+jwt"}')

        def sign(claims):
            signed = header + "." + encode(json.dumps(claims).encode())
            signature = subprocess.run(
                ["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(), check=True, capture_output=True)
            return signed + "." + encode(signature.stdout)

        return f"{{keys: [{{kty: RSA, kid: k, n: {encode(modulus)}, e: AQAB}}]}}", sign

    def tokens(self, count):
        """So many RS256 tokens in rotation, of an application with a plan; an access rule, and headers for the upstream."""
        keys, sign = self.token_maker()
        now = int(time.time())
        texts = [sign({"iss": "https://issuer.test", "aud": "bench", "sub": f"user-{number}", "client_id": "app",
                       "scope": "read write", "iat": now, "exp": now + 86_400, "jti": f"token-{number}"})
                 for number in range(count)]
        lines = ",".join(f'"Bearer {text}"' for text in texts)
        script = self.write("tokens.lua", f"""
            local tokens = {{{lines}}}
            local requests = {{}}
            local place = 0
            init = function()
              for number, token in ipairs(tokens) do
                requests[number] = wrk.format("GET", "/x", {{["Host"] = "bench", ["Authorization"] = token}})
              end
            end
            request = function()
              place = place % #requests + 1
              return requests[place]
            end""")
        issuer = f'{{issuer: "https://issuer.test", audiences: [bench], keys: {{jwks: {keys}}}}}'
        return self.with_gateway(
            "passerelle JWT", "      - {path: /x}",
            policies=f"""policies:
      - jwt: {{issuers: [{issuer}], scopes: [read]}}
      - acl: {{allow: [{{plans: [gold]}}]}}""",
            more="""applications:
  - {id: app, tenant: bench, credentials: [{client_id: app}], subscriptions: [{api: bench, plan: gold}]}
plans:
  - {id: gold, tenant: bench, rate_limit: {limit: 90000000, window: 1s}}""", script=script)

    def many_routes(self, count):
        routes = "\n".join(
            f"      - {{path: \"/r{number}/items/{{id}}\", methods: [GET]}}" if number % 2 else
            f"      - {{path: /r{number}/items}}" for number in range(count))
        script = self.write(f"routes-{count}.lua", f"""
            request = function()
              local number = math.random(0, {count - 1})
              return wrk.format("GET", "/r" .. number .. "/items" .. (number % 2 == 1 and "/7" or ""))
            end""")
        return self.with_gateway(f"passerelle {count:,} routes", routes, script=script, path="/r0/items")

    # Measuring.

    def load(self, subject, seconds):
        command = [*pinned(1), "wrk", "-t1", f"-c{self.arguments.connections}", f"-d{seconds}s", "--latency"]
        if subject.header:
            command += ["-H", subject.header]
        if subject.script:
            command += ["-s", subject.script]
        text = subprocess.run([*command, subject.url], capture_output=True, text=True).stdout
        count = int(re.search(r"(\d+) requests in", text).group(1))
        tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
        milliseconds = float(tail.group(1)) * {"us": 1e-3, "ms": 1, "s": 1e3}[tail.group(2)] if tail else float("nan")
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        failed = (int(bad.group(1)) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)
        return count, milliseconds, failed

    def rounds(self, subjects):
        for number in range(self.arguments.rounds + 1):
            for subject in subjects:
                before = processor_seconds(subject.process.pid)
                count, tail, failed = self.load(subject, self.arguments.seconds)
                cost = (processor_seconds(subject.process.pid) - before) / max(count, 1) * 1e6
                if number == 0:
                    continue  # warms up
                subject.costs.append(cost)
                subject.rates.append(count / self.arguments.seconds)
                subject.tails.append(tail)
                subject.failed += failed

    def report(self, subjects):
        base = statistics.median(subjects[0].costs)
        print(f"{'subject':28} {'us/request':>10} {'min':>7} {'max':>7} {'x nginx':>8} {'requests/s':>11} "
              f"{'p99 ms':>8} {'failed':>7}")
        for subject in subjects:
            median = statistics.median(subject.costs)
            print(f"{subject.name:28} {median:10.2f} {min(subject.costs):7.2f} {max(subject.costs):7.2f} "
                  f"{median / base:8.2f} {statistics.median(subject.rates):11.0f} "
                  f"{statistics.median(subject.tails):8.2f} {subject.failed:7}")

    def memory(self, subject, connections):
        """Resident memory with so many connections that each carried one request and wait for the next."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        connections = min(connections, hard - 100)
        before = resident_megabytes(subject.process.pid)
        port = int(re.search(r":(\d+)/", subject.url).group(1))
        open_ones = []
        for _ in range(connections):
            one = socket.create_connection(("127.0.0.1", port))
            one.sendall(b"GET /x HTTP/1.1\r\nHost: bench\r\n\r\n")
            open_ones.append(one)
            one.recv(4096)
        after = resident_megabytes(subject.process.pid)
        for one in open_ones:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        print(f"memory: {before:.1f} MB idle, {after:.1f} MB with {len(open_ones):,} idle connections")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=".build/release/passerelle", help="the gateway (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (%(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of load for each subject in a round (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="keep-alive connections of the load (%(default)s)")
    parser.add_argument("--envoy", default=shutil.which("envoy"), help="Envoy's binary; left out when there is none")
    parser.add_argument("--full", action="store_true", help="also 10 and 100,000 routes, and memory")
    arguments = parser.parse_args()
    for tool in ["wrk", "nginx"]:
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed (Debian: apt-get install wrk nginx-light haproxy)")
    if not os.access(arguments.binary, os.X_OK):
        sys.exit(f"{arguments.binary} is not there; 'make build' makes it")
    with Bench(arguments) as bench:
        subjects = [bench.with_nginx()]
        if shutil.which("haproxy"):
            subjects.append(bench.with_haproxy())
        if arguments.envoy and os.access(arguments.envoy, os.X_OK):
            subjects.append(bench.with_envoy())
        subjects += [bench.plain(), bench.governed(), bench.tokens(1000)]
        if arguments.full:
            subjects += [bench.many_routes(10), bench.many_routes(100_000)]
        bench.rounds(subjects)
        bench.report(subjects)
        if arguments.full:
            bench.memory(next(subject for subject in subjects if subject.name == "passerelle plain"), 10_000)
        if any(subject.failed for subject in subjects):
            sys.exit("some requests failed: the figures do not count")


if __name__ == "__main__":
    main()
