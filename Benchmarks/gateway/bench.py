"""What every measurement needs: processes on their processors, ports, loads, and the time and memory that processes take."""

import contextlib
import os
import random
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

BODY = '{"id":7,"state":"shipped","items":[{"sku":"A-1","count":2},{"sku":"B-9","count":1}],"note":"' + "n" * 60 + '"}'
# Below the range from which the kernel takes ports for outgoing connections.
PORT_RANGE = (20000, 32000)
CONNECTIONS_MAX = 24_000


def free_port(count=1):
    """A port such that it and the next `count - 1` are free."""
    for _ in range(200):
        port = random.randrange(*PORT_RANGE)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in range(port, port + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port
    sys.exit("no free ports")


def pinned(processor):
    several = len(os.sched_getaffinity(0)) > 1
    return ["taskset", "-c", str(processor)] if several and shutil.which("taskset") else []


def family(pid):
    """The process and those it started."""
    pids = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                for child in children.read().split():
                    pids += family(int(child))
    return pids


def processor_seconds(pid):
    """Time on the processor of all threads, from the scheduler's own count in nanoseconds."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{member}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(f"/proc/{member}/task/{task}/schedstat") as stat:
                        total += int(stat.read().split()[0])
    return total / 1e9


def resident_megabytes(pid):
    total = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{member}/statm") as statm:
                total += int(statm.read().split()[1]) * resource.getpagesize()
    return total / 1e6


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


class Subject:
    """Something that answers at a URL, the process whose time counts, and what was measured."""

    def __init__(self, name, process, url, header=None, script=None, protocol="http/1.1"):
        self.name, self.process, self.url, self.header, self.script = name, process, url, header, script
        self.protocol = protocol
        self.costs, self.rates, self.failed = [], [], 0

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(re.search(r":(\d+)/", self.url).group(1))

    @property
    def cost(self):
        """Microseconds of processor time for a request, the median of the rounds; None before the first."""
        return statistics.median(self.costs) if self.costs else None

    @property
    def rate(self):
        return statistics.median(self.rates)


class Bench:
    """A folder, an upstream, and the processes under test; everything ends with it."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = tempfile.mkdtemp(prefix="passerelle-bench-")
        self.processes = []
        self.backend = free_port()
        self.failures = []

    def __enter__(self):
        # For ten thousand connections, on both sides; inherited by what is started.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.backend_process = self.start_backend(self.backend)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Processes.

    def spawn(self, processor, command, name="process"):
        path = f"{self.folder}/{len(self.processes)}-{name}.log"
        with open(path, "wb") as log:
            process = subprocess.Popen([*pinned(processor), *command], stdout=log, stderr=log)
        process.log_path = path
        self.processes.append(process)
        return process

    def end(self, process, kill=False):
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        process.wait(timeout=30)

    def await_port(self, port, process, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.02)
        with open(process.log_path) as log:
            sys.exit(f"{' '.join(process.args[:8])}: nothing listens on port {port}:\n{log.read()[-4000:]}")

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def nginx(self, processor, name, port, text):
        config = self.write(f"{name}.conf", f"""
            worker_processes 1; worker_rlimit_nofile {CONNECTIONS_MAX * 2}; daemon off; pid {self.folder}/{name}.pid;
            events {{ worker_connections {CONNECTIONS_MAX}; }}
            http {{
                access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                {text}
            }}""")
        process = self.spawn(processor, ["nginx", "-p", self.folder, "-c", config, "-e", f"{self.folder}/{name}.err"], name)
        self.await_port(port, process)
        return process

    def start_backend(self, port):
        return self.nginx(1, f"backend-{port}", port, f"""
            server {{
                listen 127.0.0.1:{port};
                location / {{ default_type application/json; return 200 '{BODY}'; }}
            }}""")

    # Loads.

    def wrk(self, subject, seconds):
        """As many requests as it takes on keep-alive connections. Returns how many were answered, and how many were not as they should."""
        command = [*pinned(1), "wrk", "-t1", f"-c{self.arguments.connections}", f"-d{seconds}s"]
        if subject.header:
            command += ["-H", subject.header]
        if subject.script:
            command += ["-s", subject.script]
        text = subprocess.run([*command, subject.url], capture_output=True, text=True).stdout
        count = int(re.search(r"(\d+) requests in", text).group(1))
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        return count, (int(bad.group(1)) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)

    def h2load(self, subject, seconds):
        """The same over HTTP/2: as many requests on their way, on a quarter of the connections."""
        clients = max(1, self.arguments.connections // 4)
        text = subprocess.run(
            [*pinned(1), "h2load", "-t1", f"-c{clients}", "-m4", f"-D{seconds}", subject.url], capture_output=True,
            text=True).stdout
        done = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
        count, _, failed, broken = map(int, done.groups())
        return count, failed + broken

    def paced(self, subject, rate, seconds, command=None):
        """A load of so many requests a second on HTTP/1.1. Returns milliseconds to the end of each answer; starts nothing late on
        purpose. With `command` the process is returned at once."""
        clients = self.arguments.connections
        log = f"{self.folder}/paced-{time.monotonic_ns()}.tsv"
        process = subprocess.Popen(
            [*pinned(1), "h2load", "--h1", "-t1", f"-c{clients}", f"-D{seconds}", f"--rps={rate / clients:.2f}",
             f"--log-file={log}", *(["-H", subject.header] if subject.header else []), subject.url],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if command == "start":
            return process, log
        said = process.communicate()[0]
        took = self.told(subject, log)
        if not took:
            sys.exit(f"h2load got no answer of {subject.name}:\n{said[-2000:]}")
        return took

    def told(self, subject, log):
        """Milliseconds of each answer in the log of a paced load."""
        took = []
        with open(log) as lines:
            for line in lines:
                _, status, microseconds = line.split("\t")[:3]
                if status != "200":
                    subject.failed += 1
                took.append(int(microseconds) / 1000)
        os.unlink(log)
        return took

    # Rounds.

    def rounds(self, subjects, what):
        """Each subject once in a round, in turn, so that whatever disturbs the machine disturbs all of them. The first one warms up."""
        for number in range(self.arguments.rounds + 1):
            for subject in subjects:
                self.say(f"{what}: round {number} of {self.arguments.rounds}, {subject.name}")
                self.round(subject, self.arguments.seconds if number else 1, counts=number > 0, what=what)
        for subject in subjects:
            if subject.failed:
                self.failures.append(f"{what}: {subject.failed} requests of {subject.name} failed")
        self.say("")

    def round(self, subject, seconds, counts, what):
        """One load. On a machine that is very busy it may not get to a single answer: then another one, and then it has failed."""
        for _ in range(3):
            before = processor_seconds(subject.pid)
            count, failed = (self.h2load if subject.protocol == "h2" else self.wrk)(subject, seconds)
            if not counts:
                return
            if count:
                subject.costs.append((processor_seconds(subject.pid) - before) / count * 1e6)
                subject.rates.append(count / seconds)
                subject.failed += failed
                return
        self.failures.append(f"{what}: {subject.name} answered nothing in {3 * seconds} s")

    def say(self, text):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()
