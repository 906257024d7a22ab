"""Starts that must be refused: the reason on standard error, nothing started, and an exit code that says whose fault it was."""

import os
import pwd
import signal
import socket
import sqlite3
import subprocess
import unittest

from processes import Platform, Settings, eventually, folder, free_base, run

FAILED, USAGE = 1, 2


class StartTests(unittest.TestCase):
    def refused(self, code, *arguments, says, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        for text in says if isinstance(says, (list, tuple)) else [says]:
            self.assertIn(text, done.stderr)
        return done

    # Ports

    def test_a_port_in_use_is_found_although_it_could_be_shared(self):
        """A gateway listens with SO_REUSEPORT: without a look first, two would share one port and get half of the calls each."""
        for name, offset in (("gateway", 0), ("control plane", 1), ("geolocation", 4)):
            with self.subTest(name), socket.socket() as other:
                base = free_base()
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                other.bind(("127.0.0.1", base + offset))
                other.listen()
                data = os.path.join(folder(self), "data")
                self.refused(
                    FAILED, "serve", "--data", data, "--port-base", str(base), says=[str(base + offset), "in use"])

    def test_a_start_that_serves_nothing_shows_no_password_and_the_next_one_does(self):
        for verb, offset in (("serve", 0), ("serve", 1), ("serve", 4), ("demo", 0)):
            with self.subTest(f"{verb} {offset}"):
                base = free_base()
                data = os.path.join(folder(self), "data")
                with socket.socket() as other:
                    other.bind(("127.0.0.1", base + offset))
                    other.listen()
                    done = self.refused(FAILED, verb, "--data", data, "--port-base", str(base), says="in use")
                self.assertNotIn("password", (done.stdout + done.stderr).lower())
                self.assertNotIn("demo.json", os.listdir(data))
                platform = Platform(self, data, base, verb=verb, arguments=["--output", "json"] if verb == "demo" else [])
                platform.start(ready=verb != "demo")
                if verb == "demo":
                    platform.password = platform.demo_lines()["admin"]["password"]
                platform.sign_in().close()
                platform.kill()

    def test_a_second_platform_on_the_same_ports_is_refused(self):
        place = folder(self)
        first = Platform(self, f"{place}/first").start()
        self.refused(
            FAILED, "serve", "--data", f"{place}/second", "--port-base", str(first.base), says="in use")
        self.assertIsNone(first.process.poll())
        first.wait_until_ready(5)

    def test_ports_are_free_again_at_once_after_a_stop_and_after_a_kill(self):
        platform = Platform(self, f"{folder(self)}/data").start()
        self.assertEqual(platform.stop(), 0)
        platform.start()
        platform.kill()
        platform.start()

    # The data folder

    def test_a_folder_in_use_by_another_process_is_refused(self):
        first = Platform(self, f"{folder(self)}/data").start()
        self.refused(
            FAILED, "serve", "--data", first.data, "--port-base", str(free_base()),
            says=[first.data, str(first.process.pid)])
        first.wait_until_ready(5)

    def test_a_file_in_place_of_the_folder_is_refused(self):
        path = f"{folder(self)}/data"
        with open(path, "w", encoding="utf-8") as file:
            file.write("here before")
        self.refused(FAILED, "serve", "--data", path, "--port-base", str(free_base()), says=path)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "here before")

    def test_a_folder_that_cannot_be_written_is_refused(self):
        place = folder(self)
        os.chmod(place, 0o755)
        data = f"{place}/data"
        os.mkdir(data, 0o555)
        self.refused(
            FAILED, "serve", "--data", data, "--port-base", str(free_base()), says=[data], **self.other_user(place))
        self.assertEqual(os.listdir(data), [])

    def other_user(self, place):
        """Root may write everywhere: it gives its rights away. The binary may lie where only root reads, so a copy is run."""
        if os.geteuid() != 0:
            return {}
        copy = f"{place}/passerelle"
        with open(Settings.binary, "rb") as source, open(copy, "wb") as target:
            target.write(source.read())
        os.chmod(copy, 0o755)
        binary = Settings.binary
        Settings.binary = copy
        self.addCleanup(setattr, Settings, "binary", binary)
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": place}

    def test_a_folder_of_a_newer_version_is_refused(self):
        platform = Platform(self, f"{folder(self)}/data").start()
        platform.stop()
        before = self.make_newer(platform.data)
        self.refused(
            FAILED, "serve", "--data", platform.data, "--port-base", str(platform.base), says="newer version")
        # Nor do commands read what they may not understand, or write it.
        for words in (["users", "reset-administrator"], ["audit", "verify"], ["events", "replay", "--into", f"{platform.data}-then"]):
            self.refused(FAILED, *words, "--data", platform.data, says="newer version")
        self.assertEqual(self.migrations(platform.data), before, "nothing was written")

    def test_commands_leave_a_folder_of_an_older_version_as_it_is(self):
        platform = Platform(self, f"{folder(self)}/data").start()
        platform.stop()
        with sqlite3.connect(f"{platform.data}/passerelle.db") as database:
            database.execute("DELETE FROM schema_migrations WHERE (service, number) IN "
                             "(SELECT service, max(number) FROM schema_migrations WHERE service IN ('identity', 'log') GROUP BY 1)")
        database.close()
        before = self.migrations(platform.data)
        # What only reads has all it needs.
        for words in (["audit", "verify"], ["events", "replay", "--into", f"{platform.data}-then"]):
            done = run(*words, "--data", platform.data)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for words in (["users", "reset-administrator"], ["store", "migrate", "--to", "postgresql://app@127.0.0.1:1/none"]):
            self.refused(FAILED, *words, "--data", platform.data, says=["older version", "start the platform"])
        self.assertEqual(self.migrations(platform.data), before, "nothing was written")

    def make_newer(self, data):
        with sqlite3.connect(f"{data}/passerelle.db") as database:
            table, columns = self.migration_table(database)
            number = next(name for name in columns if name in ("number", "version"))
            row = dict(zip(columns, database.execute(f"SELECT * FROM {table} WHERE service = 'log' LIMIT 1").fetchone()))
            row[number] = 9999
            marks = ",".join("?" * len(row))
            database.execute(f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", list(row.values()))
        database.close()
        return self.migrations(data)

    def migrations(self, data):
        with sqlite3.connect(f"{data}/passerelle.db") as database:
            rows = database.execute(f"SELECT * FROM {self.migration_table(database)[0]}").fetchall()
        database.close()
        return sorted(map(str, rows))

    def migration_table(self, database):
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = next(name for name in tables if "migration" in name)
        return table, [row[1] for row in database.execute(f"PRAGMA table_info({table})")]

    def test_a_folder_of_other_files_stays_as_it_is(self):
        data = f"{folder(self)}/data"
        os.mkdir(data)
        with open(f"{data}/passerelle.db", "wb") as file:
            file.write(b"this is no database, but something of the user's\n" * 100)
        self.refused(FAILED, "serve", "--data", data, "--port-base", str(free_base()), says="not a database")
        with open(f"{data}/passerelle.db", "rb") as file:
            self.assertTrue(file.read().startswith(b"this is no database"))

    # The command line

    def test_words_that_are_not_understood_are_usage_errors(self):
        rows = [
            (["srve"], "srve"),
            (["apis", "imprt"], "apis import"),
            (["serve", "--prot-base", "8000"], "--prot-base"),
            (["serve", "--port-base"], "--port-base"),
            (["serve", "--port-base", "80"], "1024"),
            (["serve", "--port-base", "many"], "many"),
            (["serve", "--port-base", "65533"], "65500"),
            (["serve", "--workers", "0"], "--workers"),
            (["serve", "--log-level", "loud"], "debug"),
            (["serve", "--services", "catalogue"], "catalogue"),
            (["serve", "--services", "gateway"], "--control-plane"),
            (["serve", "--services", "gateway", "--control-plane", "ftp//x"], "--control-plane"),
            (["serve", "--services", "catalog,identity"], "SQLite"),
            (["serve", "extra"], "extra"),
            (["deploy"], "API"),
            (["deploy", "orders", "--url", "http://127.0.0.1:1"], "--environment"),
            (["apis", "import", "--upstream", "http://127.0.0.1:1"], "FILE"),
            (["tenants", "list", "--output", "yaml"], "table or json"),
        ]
        for words, says in rows:
            with self.subTest(" ".join(words)):
                self.refused(USAGE, *words, says=says, cwd=folder(self))

    def test_a_variable_of_the_environment_is_named_in_its_error(self):
        self.refused(
            USAGE, "serve", says="PASSERELLE_PORT_BASE", environment={"PASSERELLE_PORT_BASE": "eighty"},
            cwd=folder(self))

    def test_who_signs_in_without_encryption_is_told(self):
        # Nothing listens at any of them.
        for address, is_told in (
                ("http://0.0.0.0:1", True), ("https://0.0.0.0:1", False), ("http://127.0.0.1:1", False),
                ("http://localhost:1", False)):
            with self.subTest(address):
                done = run("login", "--url", address, "--user", "dana", "--password-file", "-", input="a long password")
                self.assertEqual(done.returncode, 1, done)
                self.assertEqual("is not encrypted" in done.stderr, is_told, done.stderr)

    def test_every_command_explains_itself(self):
        overview = run("help")
        self.assertEqual(overview.returncode, 0)
        self.assertEqual(run().returncode, USAGE, "no command at all is not understood")
        lines = overview.stdout.split("\n\n")
        commands = [line[2:].split("  ")[0].strip() for part in lines for line in part.splitlines() if line.startswith("  ")]
        self.assertGreater(len(commands), 25)
        for command in commands:
            with self.subTest(command):
                done = run(*command.split(), "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("Example:", done.stdout)
                self.assertIn("--output", done.stdout)

    def test_help_names_a_command_in_either_order(self):
        for words in (("help", "deploy"), ("help", "audit", "verify")):
            self.assertEqual(run(*words).stdout, run(*words[1:], "--help").stdout)
        self.assertIn("apis import", self.refused(USAGE, "help", "apis", says="takes").stderr)
        self.refused(USAGE, "help", "nonsense", says="There is no command 'nonsense'")
        self.refused(USAGE, "tenant", "list", says="Did you mean 'tenants'?")
        self.assertEqual(run("--version").stdout, run("version").stdout)

    def test_a_command_without_a_control_plane_says_what_to_do(self):
        place = folder(self)
        home = {"PASSERELLE_HOME": place}
        self.refused(FAILED, "tenants", "list", says="passerelle login", environment=home)
        dead = f"http://127.0.0.1:{free_base()}"
        self.refused(FAILED, "tenants", "list", "--url", dead, says=[dead, "does not answer"], environment=home)

    # Files of settings

    def test_every_problem_of_a_settings_file_is_named_with_line_and_column(self):
        path = f"{folder(self)}/passerelle.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write("data: ./data\nport_base: 80\nservices: [gatway]\nlog:\n  levl: info\n")
        done = self.refused(
            FAILED, "config", "check", path,
            says=[f"{path}:2:12", "1024", f"{path}:3:12", f"{path}:5:3", "levl"])
        self.assertEqual(len([line for line in done.stderr.splitlines() if path in line]), 3, done.stderr)

    def test_a_settings_file_that_is_not_yaml_is_named_with_line_and_column(self):
        path = f"{folder(self)}/passerelle.yaml"
        for text, place in (("data: [1\n", ":2:"), ("data: a\ndata: b\n", ":2:1"), ("a: \t- b\n", ":1:")):
            with self.subTest(text):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.refused(FAILED, "config", "check", path, says=path + place)

    def test_a_good_settings_file_is_fine_and_used(self):
        place = folder(self)
        base = free_base()
        with open(f"{place}/passerelle.yaml", "w", encoding="utf-8") as file:
            file.write(f"data: {place}/data\nport_base: {base}\n")
        self.assertEqual(run("config", "check", f"{place}/passerelle.yaml").returncode, 0)
        platform = Platform(self, f"{place}/data", base)
        with open(f"{place}/log", "wb") as log:
            process = subprocess.Popen([Settings.binary, "serve"], cwd=place, stdout=log, stderr=log)
        self.addCleanup(process.kill)
        platform.process, platform.log_path, platform._mark = process, f"{place}/log", 0
        platform.wait_until_ready()
        self.assertEqual(platform.stop(), 0)

    def test_a_start_with_a_wrong_settings_file_is_refused(self):
        place = folder(self)
        with open(f"{place}/passerelle.yaml", "w", encoding="utf-8") as file:
            file.write("dta: here\n")
        self.refused(USAGE, "serve", says=["passerelle.yaml:1:1", "data"], cwd=place)

    # The end

    def test_ctrl_c_stops_as_sigterm_does(self):
        platform = Platform(self, f"{folder(self)}/data").start()
        platform.process.send_signal(signal.SIGINT)
        self.assertEqual(platform.wait(), 0)

    def test_a_gateway_apart_with_a_wrong_token_says_so_and_serves_nothing(self):
        place = folder(self)
        platform = Platform(self, f"{place}/data").start()
        with open(f"{place}/wrong.token", "w", encoding="utf-8") as file:
            file.write("pgw_" + "A" * 43 + "\n")
        apart = Platform(self, f"{place}/gw", arguments=[
            "--services", "gateway", "--control-plane", platform.control_plane,
            "--gateway-token-file", f"{place}/wrong.token"]).start()
        eventually(lambda: "401" in apart.log())
        self.refused(
            FAILED, "serve", "--services", "gateway", "--control-plane", platform.control_plane,
            "--gateway-token-file", f"{place}/none.token", "--data", f"{place}/gw2", "--port-base", str(free_base()),
            says="none.token")
