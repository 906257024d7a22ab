"""Processes of the binary under test: free ports, folders of their own, an end for every one of them."""

import atexit
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from rest import Rest, document

START_SECONDS = 60
STOP_SECONDS = 40
# Ports a platform takes above its base, as `--port-base` says.
PORTS = range(0, 5)
# Below the range from which the kernel takes ports for outgoing connections; each lane has its own.
FIRST_PORT, PORTS_OF_A_LANE, LANES = 20000, 3000, 4

_running = []


class Settings:
    """What the command line of the tests says; set once by run.py."""

    binary = ".build/release/passerelle"
    rounds = 50
    cuts = 50
    # Rounds and cuts end early after so long, and say so; 0: never.
    seconds = 180
    seed = 0
    # Which of the lanes of suites that run side by side this process is.
    lane = 0


@atexit.register
def end_everything():
    for process in _running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def folder(case):
    """A folder that goes with the test."""
    path = os.path.realpath(tempfile.mkdtemp(prefix="passerelle-e2e-"))
    case.addCleanup(shutil.rmtree, path, ignore_errors=True)
    return path


def free_base():
    """A port such that it and those above it are free. Another process may take one before it is used: then a test says so."""
    first = FIRST_PORT + Settings.lane % LANES * PORTS_OF_A_LANE
    for _ in range(200):
        base = random.randrange(first, first + PORTS_OF_A_LANE - len(PORTS))
        if all(_is_free(base + port) for port in PORTS):
            return base
    raise RuntimeError("no free ports")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def spawn(command, **options):
    """Starts a process that ends, with those it starts itself, with the tests at the latest."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    _running.append(process)
    return process


def run(*arguments, environment=None, timeout=60, **options):
    """Runs one command of the binary to its end."""
    return subprocess.run(
        [Settings.binary, *arguments], capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, "PASSERELLE_HOME": "/nonexistent", **(environment or {})}, **options)


# Of what is done many times, how often it is said how far it is.
SAYS_EACH = 100


class TimeLimit:
    """For what is done many times: whether the next time still fits."""

    def __init__(self):
        self.deadline = time.monotonic() + Settings.seconds if Settings.seconds else None

    @property
    def is_over(self):
        return self.deadline is not None and time.monotonic() > self.deadline

    def progress(self, done, wanted):
        """Says now and then how far a long run is."""
        if done % SAYS_EACH == 0 and done < wanted:
            print(f"    {done} of {wanted}", flush=True)

    def remark(self, done, wanted):
        return "" if done == wanted else f" (of {wanted}: {Settings.seconds} s were over)"


class ClassScope:
    """Stands for all tests of a class: what it owns ends after the last of them."""

    def __init__(self, cls):
        self.addCleanup = cls.addClassCleanup


class Platform:
    """One `passerelle serve`, `demo` or gateway apart."""

    def __init__(self, case, data, base=None, verb="serve", arguments=(), environment=None, log=None, authorities=None,
                 certificate=None):
        """`authorities`: the control plane speaks TLS, and who vouches for it is in that file; `certificate`: what callers show it."""
        self.case = case
        self.data = data
        self.base = base or free_base()
        self.gateway = f"http://127.0.0.1:{self.base}"
        self.authorities = authorities
        self.certificate = certificate
        self.control_plane = f"{'https' if authorities else 'http'}://127.0.0.1:{self.base + 1}"
        self.verb = verb
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.log_path = log or f"{data}.log"
        self.process = None
        self.password = None

    @property
    def command(self):
        return [Settings.binary, self.verb, "--data", self.data, "--port-base", str(self.base), *self.arguments]

    def start(self, ready=True, **options):
        with open(self.log_path, "ab") as log:
            self._mark = log.tell()
            self.process = spawn(
                self.command, stdout=subprocess.PIPE if self.verb == "demo" else log, stderr=log,
                env={**os.environ, **self.environment}, **options)
        self.case.addCleanup(self.kill)
        if ready:
            self.wait_until_ready()
        return self

    @property
    def is_gateway_apart(self):
        return "--control-plane" in self.arguments

    def wait_until_ready(self, seconds=START_SECONDS):
        """Until it says that it serves, and `/readyz` does; a gateway apart is ready when it accepts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"exited with {self.process.returncode} at start:\n{self.log()}")
            if self._answers():
                self._read_password()
                return
            time.sleep(0.01)
        raise AssertionError(f"not ready within {seconds} s:\n{self.log()}")

    def _answers(self):
        if "Serving: " not in self.log():
            return False
        try:
            if self.is_gateway_apart:
                socket.create_connection(("127.0.0.1", self.base), 1).close()
                return True
            with self.rest(timeout=5) as rest:
                return rest.request("GET", "/readyz").status == 200
        except OSError:
            return False

    def rest(self, token=None, timeout=60):
        return Rest(self.control_plane, token, timeout, self.authorities, self.certificate)

    def _read_password(self):
        found = re.search(r"One-time password: *(\S+)", self.log())
        if found:
            self.password = found[1]

    def sign_in(self, tenant=None):
        rest = self.rest()
        rest.sign_in("admin", self.password)
        if tenant:
            rest.create("/v1/tenants", {"name": tenant})
        return rest

    def open_api(self, upstream):
        """The tenant `acme` with an API at this upstream that anybody may call under `/shop/orders`. The administrator's token."""
        with self.sign_in("acme") as rest:
            rest.create("/v1/tenants/acme/apis", {"document": document(), "upstream": upstream, "authentication": "none"})
            state = rest.deploy("acme", "orders")["state"]
            assert state == "success", state
            return rest.token

    def log(self):
        """What this process said; not what earlier ones with the same log did."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self._mark)
            return log.read()

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        code = self.process.wait(STOP_SECONDS)
        self._close()
        return code

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self):
        if self.process and self.process.stdout:
            self.process.stdout.close()

    def demo_lines(self):
        """The object `demo --output json` prints once everything answers."""
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"no output:\n{self.log()}")
        return json.loads(line)


def eventually(what, seconds=60, every=0.02):
    """Polls until `what()` is true and returns that; fails with the last answer. The limit is for what is broken, and generous: machines
    stand still for seconds, or are busy with something else."""
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; last answer: {answer!r}")
        time.sleep(every)
