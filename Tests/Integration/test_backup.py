"""Backup and restore of the real platform: under load, incremental, encrypted, killed half-way, damaged; and the audit log after it."""

import glob
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import unittest

from processes import Platform, Settings, eventually, folder, run, spawn
from rest import Rest, document

SECRET = "correct horse battery staple"


class Load(threading.Thread):
    """Makes applications until told to stop, and notes what was acknowledged when."""

    def __init__(self, platform, token):
        super().__init__(daemon=True)
        self.url, self.token = platform.control_plane, token
        self.made = []
        self.isStopping = threading.Event()

    def run(self):
        with Rest(self.url, self.token) as rest:
            number = 0
            while not self.isStopping.is_set():
                number += 1
                name = f"load-{number}"
                rest.create("/v1/tenants/acme/applications", {"name": name})
                self.made.append(name)

    def stop(self):
        self.isStopping.set()
        self.join(60)


class BackupTests(unittest.TestCase):
    def setUp(self):
        self.place = folder(self)
        self.key = f"{self.place}/backup.key"
        with open(self.key, "w", encoding="ascii") as file:
            file.write(SECRET + "\n")
        self.repository = f"{self.place}/backups"
        self.from_ = ("--from", self.repository, "--key-file", self.key)

    def platform(self, name="data", **options):
        return Platform(
            self, f"{self.place}/{name}",
            arguments=("--backup-folder", self.repository, "--backup-key-file", self.key), **options)

    def done(self, *arguments, code=0, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, code, f"{arguments}: {result.stdout}{result.stderr}")
        return result

    def back_up(self, rest, **body):
        made = rest.expect(202, "POST", "/v1/backups", body).json
        return eventually(lambda: self.ended(rest, made["id"]), seconds=60)

    def ended(self, rest, identity):
        run_ = rest.get(f"/v1/backups/{identity}")
        return run_ if run_["state"] != "running" else None

    def test_a_backup_under_load_restores_to_one_moment(self):
        platform = self.platform().start()
        rest = platform.sign_in("acme")
        rest.create("/v1/tenants/acme/apis", {"name": "orders", "document": document(), "upstream": "http://127.0.0.1:9"})
        checkpoint = self.checkpoint(rest)
        load = Load(platform, rest.token)
        load.start()
        eventually(lambda: len(load.made) > 20)
        before = list(load.made)
        first = self.back_up(rest)
        then = len(load.made)
        eventually(lambda: len(load.made) > then + 5)
        second = self.back_up(rest)
        later = len(load.made)
        load.stop()
        for made in (first, second):
            self.assertEqual(made["state"], "done", made)
        third = self.back_up(rest)["result"]
        self.assertLess(third["bytes_added"], third["bytes"], "what did not change is not written again")
        self.assertEqual([one["id"] for one in rest.all("/v1/backups")][-1], first["id"])

        def audited(event):
            return [entry["event_type"] for entry in rest.all("/v1/audit/entries")].count(event)

        # The tree follows the log at its own pace.
        eventually(lambda: audited("backup.done") == 3)
        self.assertEqual(audited("backup.requested"), 3)
        master = f"{platform.data}/master.key"
        self.assertNothingReadable(master, b"load-1", b"acme", rest.token.encode())
        self.done("backup", "verify", "--all", *self.from_)
        platform.stop()
        # All of the moment of the first backup, nothing of a later one, served as it was.
        restored = f"{self.place}/restored"
        self.done("restore", *self.from_, "--data", restored, "--backup", first["result"]["id"], "--master-key", master)
        again = Platform(self, restored, base=platform.base).start()
        with Rest(again.control_plane) as other:
            other.sign_in("admin", platform.password)
            names = {one["name"] for one in other.all("/v1/tenants/acme/applications")}
        self.assertTrue(set(before) <= names)
        self.assertLess(len(names), later)
        again.stop()
        # A checkpoint seen before the backup fits; one seen after it shows that the tail is gone.
        self.done("audit", "verify", "--data", restored, "--checkpoint", checkpoint)
        end = f"{self.place}/end"
        self.done("restore", *self.from_, "--data", end)
        self.assertEqual(self.done("audit", "verify", "--data", end, "--checkpoint", checkpoint).returncode, 0)

    def test_who_was_erased_stays_erased_after_a_restore(self):
        planted = "planted.hopper@example.com"
        platform = self.platform().start()
        rest = platform.sign_in("acme")
        user = rest.create("/v1/users", {"name": planted, "password": "correct horse battery", "grants": []})
        with Rest(rest.url) as person:
            person.sign_in(planted, "correct horse battery")
        self.back_up(rest)
        erased = rest.expect(200, "POST", f"/v1/audit/persons/{planted}/erasure", {"reason": "asked for"}).json
        self.assertGreaterEqual(erased["keys_destroyed"], 1)
        eventually(lambda: glob.glob(f"{self.repository}/erasures/*.erasure"))
        self.assertEqual(platform.stop(), 0)
        restored = f"{self.place}/restored"
        self.done("restore", *self.from_, "--data", restored, "--master-key", f"{platform.data}/master.key")
        self.assertTrue(os.path.exists(f"{restored}/erasures.pending"))
        again = self.platform("restored").start()
        self.assertFalse(os.path.exists(f"{restored}/erasures.pending"))
        with Rest(again.control_plane) as rest:
            rest.sign_in("admin", platform.password)
            self.assertEqual(rest.request("GET", f"/v1/audit/persons/{planted}").status, 404)
            found = eventually(lambda: rest.all("/v1/audit/entries?type=personal-data.erased"))
            self.assertEqual([(one["resource"]["id"], one["changes"]["reason"]) for one in found], [(user["id"], "repeated after a restore")])
            for one in rest.all(f"/v1/audit/entries?actor={user['id']}"):
                self.assertEqual(one["actor"]["ip"], {"erased": True})
        self.assertEqual(again.stop(), 0)
        for path, _, files in os.walk(restored):
            for name in files:
                with open(f"{path}/{name}", "rb") as file:
                    self.assertNotIn(planted.encode(), file.read(), name)
        self.done("audit", "verify", "--data", restored)

    def test_an_audit_checkpoint_of_later_shows_the_shorter_tail(self):
        platform = self.platform().start()
        rest = platform.sign_in("acme")
        made = self.back_up(rest)
        rest.create("/v1/tenants/acme/applications", {"name": "later"})
        checkpoint = self.checkpoint(rest, beyond=made["result"]["audit_entries"])
        platform.stop()
        restored = f"{self.place}/restored"
        self.done("restore", *self.from_, "--data", restored)
        said = self.done("audit", "verify", "--data", restored, "--checkpoint", checkpoint, code=1)
        self.assertIn("shortened", (said.stdout + said.stderr).lower())

    def checkpoint(self, rest, beyond=0):
        """The signed checkpoint, once the tree has more leaves than `beyond`."""
        def look():
            note = rest.request("GET", "/v1/audit/checkpoint").body
            return note if int(note.split(b"\n")[1]) > beyond else None
        path = f"{self.place}/checkpoint"
        with open(path, "wb") as file:
            file.write(eventually(look))
        return path

    def assertNothingReadable(self, master, *words):
        with open(master, "rb") as file:
            words += (file.read(),)
        for path in glob.glob(f"{self.repository}/**/*", recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                for word in words:
                    self.assertNotIn(word, content, path)

    def test_without_its_master_key_a_restored_folder_says_which_it_needs(self):
        platform = self.platform().start()
        rest = platform.sign_in()
        made = self.back_up(rest)
        platform.stop()
        restored = f"{self.place}/restored"
        said = self.done("restore", *self.from_, "--data", restored).stdout
        fingerprint = made["result"]["master_key"]
        self.assertIn(fingerprint, said)
        self.done("restore", *self.from_, "--data", restored, code=1)
        for key in (None, os.urandom(32)):
            if key:
                with open(f"{restored}/master.key", "wb") as file:
                    file.write(key)
            said = self.done("serve", "--data", restored, "--port-base", str(platform.base), code=1)
            self.assertIn(fingerprint, said.stderr)
        shutil.copy(f"{platform.data}/master.key", f"{restored}/master.key")
        again = Platform(self, restored, base=platform.base).start()
        with Rest(again.control_plane) as other:
            other.sign_in("admin", platform.password)
        self.assertFalse(os.path.exists(f"{restored}/master.key.needed"))
        again.stop()

    def test_a_stopped_folder_is_backed_up_by_the_command_and_a_running_one_is_refused(self):
        platform = self.platform().start()
        arguments = ("backup", "--data", platform.data, "--to", self.repository, "--key-file", self.key)
        self.assertIn(str(platform.process.pid), self.done(*arguments, code=1).stderr)
        platform.kill()
        self.done(*arguments)
        self.done("backup", "verify", *self.from_)
        with sqlite3.connect(f"{platform.data}/passerelle.db") as database:
            self.assertEqual(database.execute("PRAGMA quick_check").fetchone()[0], "ok")
        database.close()
        self.done("backup", "verify", "--from", self.repository, "--key-file", "-", code=1, input="wrong wrong wrong\n")
        self.done("backup", "verify", "--from", self.repository, environment={"PASSERELLE_BACKUP_KEY": SECRET})
        self.done("backup", "list", *self.from_, "--output", "json")

    def test_a_damaged_backup_names_the_piece_and_is_not_restored(self):
        platform = self.platform().start()
        platform.stop()
        self.done("backup", "--data", platform.data, "--to", self.repository, "--key-file", self.key)
        pack = glob.glob(f"{self.repository}/packs/*.pack")[0]
        with open(pack, "r+b") as file:
            file.seek(8 + 3 * (65536 + 28) + 1000)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        said = self.done("backup", "verify", *self.from_, code=1).stdout
        self.assertIn(pack, said)
        self.assertIn(f"byte {8 + 3 * (65536 + 28)}", said)
        self.assertIn("passerelle.db", said)
        restored = f"{self.place}/restored"
        self.done("restore", *self.from_, "--data", restored, code=1)
        self.assertEqual(glob.glob(f"{restored}*"), [])

    def test_killed_backups_and_restores_leave_nothing_half_done(self):
        platform = self.platform().start()
        platform.stop()
        arguments = ("backup", "--data", platform.data, "--to", self.repository, "--key-file", self.key)
        self.done(*arguments)
        restored = f"{self.place}/restored"
        for number in range(12):
            self.kill_after(0.1 + 0.04 * number, *arguments, "--full")
            self.done("backup", "verify", "--all", *self.from_)
            self.kill_after(0.1 + 0.04 * number, "restore", *self.from_, "--data", restored)
            if os.path.exists(restored):
                self.done("audit", "verify", "--data", restored)
                shutil.rmtree(restored)
        self.done(*arguments)
        self.done("restore", *self.from_, "--data", restored)
        self.done("audit", "verify", "--data", restored)
        self.assertEqual(glob.glob(f"{self.repository}/packs/*.partial"), [])
        self.assertFalse(os.path.exists(f"{restored}.restoring"))

    def kill_after(self, seconds, *arguments):
        process = spawn([Settings.binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()

    def test_who_may_not_and_what_is_not_configured_is_refused(self):
        platform = Platform(self, f"{self.place}/data").start()
        rest = platform.sign_in("acme")
        said = rest.expect(409, "POST", "/v1/backups", {}).json["detail"]
        self.assertIn("backup.folder", said)
        rest.create("/v1/users", {
            "name": "dana", "password": "a long password", "grants": [{"role": "cpi-tenant", "tenant": "acme"}]})
        with Rest(platform.control_plane) as other:
            other.sign_in("dana", "a long password")
            other.expect(403, "POST", "/v1/backups", {})
            other.expect(403, "GET", "/v1/backups")
        self.done(
            "serve", "--data", f"{self.place}/other", "--backup-folder", self.repository, "--port-base", str(platform.base),
            code=2)
