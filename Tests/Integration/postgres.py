"""A PostgreSQL of the test's own, in a folder of its own on a free port; as root, the account `postgres` runs it."""

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from processes import free_base

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
        # Not one the kernel gives to outgoing connections: a client that asks while the server starts again would meet itself.
        self.port = free_base()
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

    def dump(self, database):
        """All of a database as SQL."""
        return self._run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", "app", database).stdout

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


class Session:
    """A session of somebody else on the server, which holds what it has locked until it is closed."""

    def __init__(self, case, server, database, text):
        self._process = subprocess.Popen(
            [*server.prefix, f"{server.bin}/psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "app", "-d", database, "-Atq"],
            cwd="/", text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        case.addCleanup(self.close)
        self._process.stdin.write(text + "\n\\echo done\n")
        self._process.stdin.flush()
        while (line := self._process.stdout.readline()) != "done\n":
            if not line:
                raise RuntimeError(f"psql ended in: {text}")

    def close(self):
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(30)
        self._process.stdout.close()


class SmallDisk:
    """A disk (tmpfs) on which a server's database can lie: mounted before the server starts, gone after its end. Skips the test where
    none can be mounted."""

    MEGABYTES = 64
    # What is left when it is full: less than a change of some size needs.
    LEFT_BYTES = 64 << 10

    def __init__(self, case):
        self._place = tempfile.mkdtemp(prefix="passerelle-disk-")
        case.addCleanup(shutil.rmtree, self._place, ignore_errors=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self.MEGABYTES}m", "tmpfs", self._place], check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if mounted.returncode:
            case.skipTest("no disk can be mounted here, which needs root")
        case.addCleanup(subprocess.run, ["umount", self._place], check=True)
        os.chmod(self._place, 0o755)

    def database(self, server, name):
        """A database on it; returns its address."""
        os.mkdir(f"{self._place}/space", 0o700)
        if os.getuid() == 0:
            shutil.chown(f"{self._place}/space", "postgres")
        server.sql("postgres", f"CREATE TABLESPACE small LOCATION '{self._place}/space'")
        server.sql("postgres", f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE small")
        return server.url(name)

    def fill(self):
        free = os.statvfs(self._place)
        with open(f"{self._place}/ballast", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - self.LEFT_BYTES)

    def empty(self):
        os.unlink(f"{self._place}/ballast")
