"""A PostgreSQL of the test's own, in a folder of its own on a free port; as root, the account `postgres` runs it."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 60


class Postgres:
    """`network` (network.py) stands between it and the others; `environment` is its processes'."""

    def __init__(self, case, network=None, environment=None):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        self.bin = found[-1] if found else ""
        self.folder = tempfile.mkdtemp(prefix="passerelle-pg-")
        case.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.environment = {**os.environ, **(environment or {})}
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.prefix:
            shutil.chown(self.folder, "postgres")
        self.prefix = [*(network.prefix if network else []), *self.prefix]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "-D", self.data, "-U", "app", "--auth=trust", "--no-sync", "-E", "UTF8", "--no-locale")
        with open(f"{self.data}/postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"listen_addresses = '{','.join(sorted({'127.0.0.1', network.address if network else '127.0.0.1'}))}'\n")
            conf.write(f"port = {self.port}\nunix_socket_directories = '{self.folder}'\n")
        self.reached = network.reach(self.port) if network else ("127.0.0.1", self.port)
        if network:
            with open(f"{self.data}/pg_hba.conf", "a", encoding="utf-8") as rules:
                rules.write(f"host all app {network.here}/32 trust\n")
        self.start()
        case.addCleanup(self.stop, "immediate")

    @property
    def data(self):
        return f"{self.folder}/data"

    def url(self, database):
        address, port = self.reached
        return f"postgresql://app@{address}:{port}/{database}"

    def create(self, database):
        self.sql("postgres", f"CREATE DATABASE {database} TEMPLATE template0")
        return self.url(database)

    def sql(self, database, text):
        done = self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "app", "-d", database, "-Atc", text)
        return done.stdout.strip()

    def start(self):
        """After a kill, too: what the killed one left running holds its memory for a moment."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._run(
                    "pg_ctl", "-D", self.data, "-l", f"{self.folder}/log", "-w", "-t", str(START_SECONDS), "start", output=None)
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def stop(self, mode="fast"):
        subprocess.run(
            [*self.prefix, f"{self.bin}/pg_ctl", "-D", self.data, "-m", mode, "-w", "stop"], cwd="/", env=self.environment,
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        """SIGKILL to the server; its processes end when they notice."""
        with open(f"{self.data}/postmaster.pid", encoding="ascii") as file:
            os.kill(int(file.readline()), signal.SIGKILL)

    def _run(self, name, *arguments, output=subprocess.PIPE):
        # pg_ctl's server would keep a pipe open.
        output = subprocess.DEVNULL if output is None else output
        return subprocess.run(
            [*self.prefix, f"{self.bin}/{name}", *arguments], cwd="/", env=self.environment, check=True,
            text=True, timeout=120, stdout=output, stderr=subprocess.DEVNULL)
