"""A PostgreSQL of the test's own, in a folder of its own on a free port; as root, the account `postgres` runs it."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile


class Postgres:
    def __init__(self, case):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        self.bin = found[-1] if found else ""
        self.folder = tempfile.mkdtemp(prefix="passerelle-pg-")
        case.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.prefix:
            shutil.chown(self.folder, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "-D", self.data, "-U", "app", "--auth=trust", "--no-sync", "-E", "UTF8", "--no-locale")
        with open(f"{self.data}/postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.folder}'\n")
        self.start()
        case.addCleanup(self.stop, "immediate")

    @property
    def data(self):
        return f"{self.folder}/data"

    def url(self, database):
        return f"postgresql://app@127.0.0.1:{self.port}/{database}"

    def create(self, database):
        self.sql("postgres", f"CREATE DATABASE {database} TEMPLATE template0")
        return self.url(database)

    def sql(self, database, text):
        done = self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "app", "-d", database, "-Atc", text)
        return done.stdout.strip()

    def start(self):
        self._run("pg_ctl", "-D", self.data, "-l", f"{self.folder}/log", "-w", "-t", "60", "start", output=None)

    def stop(self, mode="fast"):
        subprocess.run(
            [*self.prefix, f"{self.bin}/pg_ctl", "-D", self.data, "-m", mode, "-w", "stop"], cwd="/", check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _run(self, name, *arguments, output=subprocess.PIPE):
        # pg_ctl's server would keep a pipe open.
        output = subprocess.DEVNULL if output is None else output
        return subprocess.run(
            [*self.prefix, f"{self.bin}/{name}", *arguments], cwd="/", check=True, text=True, timeout=120,
            stdout=output, stderr=subprocess.DEVNULL)
