"""The platform under SyncWatch (Tests/Crash), which makes calls on the data folder fail and records what reaches the disk when."""

import os
import shutil
import subprocess
import sys
import unittest

from processes import Platform, folder, run
from rest import Rest, document

CRASH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Crash")
sys.path.insert(0, CRASH)


class WatchedTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = folder(type("Scope", (), {"addCleanup": cls.addClassCleanup}))
        cls.library = f"{cls.place}/syncwatch.so"
        compiler = shutil.which("cc") or shutil.which("clang")
        subprocess.run(
            [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", cls.library,
             os.path.join(CRASH, "SyncWatch", "SyncWatch.c"), "-ldl"], check=True)

    def watch(self, data):
        """The environment of a process whose calls on the folder are watched from now on."""
        self.trace, self.fail_file = f"{data}.trace", f"{data}.fail"
        return {
            "LD_PRELOAD": self.library, "SYNCWATCH_FOLDER": data, "SYNCWATCH_TRACE": self.trace,
            "SYNCWATCH_FAIL": self.fail_file}

    def begin(self, name):
        """A platform that was served once and stopped; then again, watched."""
        data = f"{self.place}/{name}"
        self.platform = Platform(self, data).start()
        with self.platform.sign_in("acme") as rest:
            rest.create("/v1/tenants/acme/apis", {
                "name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
        self.assertEqual(self.platform.stop(), 0)
        self.before = self.contents(data)
        self.platform.environment = self.watch(data)
        self.platform.start()
        rest = Rest(self.platform.control_plane)
        self.addCleanup(rest.close)
        rest.sign_in("admin", self.platform.password)
        self.token = rest.token
        return rest

    @staticmethod
    def contents(data):
        found = {}
        for root, _, files in os.walk(data):
            for file in files:
                with open(os.path.join(root, file), "rb") as content:
                    found[os.path.join(root, file)] = content.read()
        return found

    def let_fail(self, what):
        """`what`: a letter, and the number of the call if it shall be only one; see SyncWatch.c."""
        with open(f"{self.fail_file}.new", "w", encoding="ascii") as file:
            file.write(what)
        os.rename(f"{self.fail_file}.new", self.fail_file)

    def heal(self):
        os.unlink(self.fail_file)

    def sound(self, data, checkpoint=None):
        arguments = ["audit", "verify", "--data", data]
        if checkpoint:
            with open(f"{self.place}/checkpoint", "wb") as file:
                file.write(checkpoint)
            arguments += ["--checkpoint", f"{self.place}/checkpoint"]
        done = run(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def works_after_first_start(self, platform, shown):
        """A platform that was cut off in its first start starts again, lets the administrator in, and deploys."""
        platform.password = None
        platform.start()
        with Rest(platform.control_plane) as rest:
            # The password is shown before its hash is written: when that was lost, another one is shown.
            rest.sign_in("admin", platform.password or shown)
            rest.create("/v1/tenants", {"name": "acme"})
            rest.create("/v1/tenants/acme/apis", {
                "name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
            self.assertEqual(rest.deploy("acme", "orders")["state"], "success")
        self.assertEqual(platform.stop(), 0)
        self.sound(platform.data)
