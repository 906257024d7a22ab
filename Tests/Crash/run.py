#!/usr/bin/env python3
"""Crash tests of the store and the log: kill, power cut, failing disk; then compare with what was acknowledged.

    Tests/Crash/run.py [--writer .build/debug/CrashWriter] [--rounds 50] [--cuts 50] [--only kill,power,faults,full]
                       [--seed N] [--folder DIR]

    kill     a writer with concurrent callers is killed (SIGKILL) at random moments, again and again on the same folder
    power    a writer runs under SyncWatch; every acknowledgement must come after its sync, and at `--cuts` moments a disk is
             made up on which unsynced writes are missing or torn
    faults   syncs and writes fail for a while: nothing is acknowledged then, work resumes without a restart, and the checks of
             `power` hold all the same; writes that are interrupted or done by half are no fault at all
    full     the kernel lets no file grow (a limit of size, as on a full disk) for a while: the same;
             and a second process on the folder is refused

Ends with status 1 and the seed when anything acknowledged is lost, doubled or unsynced.
"""

import argparse
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from ledger import Acknowledged, Report, compare
from synctrace import Trace
from victim import Victim, report_lines, write_command

HERE = os.path.dirname(os.path.abspath(__file__))
# Rounds on one folder before the next begins with an empty one: a report grows with what is stored.
ROUNDS_PER_FOLDER = 20
CALLERS = 16
TRACED_WRITES = 1500
FAULT_SECONDS = 0.3
# Less than the write-ahead log takes after a moment of work.
FULL_BYTES = 256 << 10


class Harness:
    def __init__(self, options):
        self.writer = os.path.abspath(options.writer)
        self.rounds = options.rounds
        self.cuts = options.cuts
        self.rng = random.Random(options.seed)
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="passerelle-crash-", dir=options.folder))
        self.problems = []

    def check(self, what, acknowledged, folder):
        """Reports on `folder`, compares, and has SQLite look at the file."""
        found = compare(acknowledged, Report(report_lines(self.writer, folder))) + acknowledged.problems
        acknowledged.problems = []
        with sqlite3.connect(os.path.join(folder, "passerelle.db")) as database:
            state = database.execute("PRAGMA integrity_check").fetchone()[0]
        database.close()
        if state != "ok":
            found.append("integrity_check: " + state)
        self.problems += [f"{what}: {problem}" for problem in found]
        return not found

    # Kill

    def kill(self):
        written = 0
        for first in range(0, self.rounds, ROUNDS_PER_FOLDER):
            folder = os.path.join(self.folder, f"kill-{first}")
            acknowledged = Acknowledged()
            for number in range(first, min(first + ROUNDS_PER_FOLDER, self.rounds)):
                self.kill_once(folder, acknowledged)
                if not self.check(f"kill, round {number}", acknowledged, folder):
                    return
            written += len(acknowledged.tokens)
            shutil.rmtree(folder)
        print(f"kill: {self.rounds} rounds, {written} acknowledged writes, none lost, none doubled", flush=True)

    def kill_once(self, folder, acknowledged):
        victim = Victim(write_command(self.writer, folder, CALLERS), acknowledged.line)
        if self.rng.random() < 0.15:
            time.sleep(self.rng.uniform(0, 0.06))  # while it opens and recovers
        else:
            victim.wait_until_ready()
            time.sleep(self.rng.uniform(0, 0.4))
        victim.kill()

    # Power cuts

    def power(self):
        folder = os.path.join(self.folder, "power")
        acknowledged = Acknowledged()
        victim = self.traced(folder, acknowledged, TRACED_WRITES)
        victim.wait()
        if victim.process.returncode != 0:
            self.problems.append(f"power: the writer ended with status {victim.process.returncode}")
        self.check("power, after a clean end", acknowledged, folder)
        self.check_trace("power", folder)

    def traced(self, folder, acknowledged, stop_after=None):
        # Under SyncWatch the folder must exist, so that its path is the one that is opened.
        os.makedirs(folder, mode=0o700)
        environment = {
            "LD_PRELOAD": self.sync_watch(), "SYNCWATCH_FOLDER": folder, "SYNCWATCH_TRACE": folder + ".trace",
            "SYNCWATCH_FAIL": folder + ".fail"}
        return Victim(write_command(self.writer, folder, CALLERS, stop_after), acknowledged.line, environment)

    def sync_watch(self):
        library = os.path.join(self.folder, "syncwatch.so")
        if not os.path.exists(library):
            compiler = shutil.which("cc") or shutil.which("clang")
            source = os.path.join(HERE, "SyncWatch", "SyncWatch.c")
            subprocess.run(
                [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        return library

    def check_trace(self, what, folder):
        trace = Trace(folder + ".trace", folder)
        checked, unsynced = trace.unsynced_acknowledgements()
        self.problems += [f"{what}: {problem}" for problem in unsynced]
        if checked < 100:
            self.problems.append(f"{what}: only {checked} acknowledgements to check")
        print(f"{what}: {checked} acknowledgements, {len(unsynced)} before their sync", flush=True)
        for cut, disk in trace.images(trace.cuts(self.cuts, self.rng)):
            if not self.check_cut(f"{what}, cut at call {cut}", trace, cut, disk):
                return
        print(f"{what}: {self.cuts} power cuts, none lost, none doubled", flush=True)

    def check_cut(self, what, trace, cut, disk):
        target = os.path.join(self.folder, "cut")
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target, mode=0o700)
        trace.write_image(disk, target, self.rng)
        acknowledged = Acknowledged()
        for _, line in trace.acknowledgements(cut):
            acknowledged.line(line)
        return self.check(what, acknowledged, target)

    # A failing disk

    def faults(self):
        folder = os.path.join(self.folder, "faults")
        acknowledged = Acknowledged()
        victim = self.traced(folder, acknowledged)
        victim.wait_until_ready()
        for letter in self.rng.sample("snwf", 4):
            self.fault(
                victim, acknowledged, f"fault '{letter}'", lambda: self.fail(folder, letter),
                lambda: os.unlink(folder + ".fail"))
        victim.kill()
        self.check("faults, after a kill", acknowledged, folder)
        self.check_trace("faults", folder)
        self.halves()

    def halves(self):
        folder = os.path.join(self.folder, "halves")
        acknowledged = Acknowledged()
        victim = self.traced(folder, acknowledged)
        victim.wait_until_ready()
        self.nuisance(victim, acknowledged, folder, "i", "interrupted writes")
        self.nuisance(victim, acknowledged, folder, "h", "short writes")
        victim.kill()
        if self.check("halves, after a kill", acknowledged, folder):
            print(f"halves: {len(acknowledged.tokens)} acknowledged, none refused, none lost", flush=True)

    @staticmethod
    def fail(folder, letter):
        with open(folder + ".fail", "w", encoding="ascii") as file:
            file.write(letter)

    def fault(self, victim, acknowledged, what, begin, end):
        """Makes calls fail for a while: writes must be refused, and be acknowledged again afterwards."""
        time.sleep(self.rng.uniform(0.05, 0.2))
        refused = acknowledged.refused
        begin()
        time.sleep(FAULT_SECONDS)
        end()
        if acknowledged.refused == refused:
            self.problems.append(f"{what}: no write was refused")
        before, deadline = victim.acks, time.monotonic() + 20
        while victim.acks < before + CALLERS and time.monotonic() < deadline and victim.process.poll() is None:
            time.sleep(0.01)
        if victim.acks < before + CALLERS:
            self.problems.append(f"{what}: work did not resume")

    def nuisance(self, victim, acknowledged, folder, letter, what):
        """Calls that the system does by halves are simply gone on with: nothing is refused, and work goes on meanwhile."""
        refused, before = acknowledged.refused, victim.acks
        self.fail(folder, letter)
        deadline = time.monotonic() + 20
        while victim.acks < before + CALLERS and time.monotonic() < deadline and victim.process.poll() is None:
            time.sleep(0.01)
        os.unlink(folder + ".fail")
        if victim.acks < before + CALLERS:
            self.problems.append(f"{what}: work did not go on")
        if acknowledged.refused != refused:
            self.problems.append(f"{what}: {acknowledged.refused - refused} writes were refused")

    def full(self):
        folder = os.path.join(self.folder, "full")
        acknowledged = Acknowledged()
        victim = Victim(write_command(self.writer, folder, CALLERS), acknowledged.line)
        victim.wait_until_ready()
        pid = victim.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        small = (FULL_BYTES, limits[1])
        self.check_lock(folder, pid)
        self.fault(
            victim, acknowledged, "full disk", lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, small),
            lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, limits))
        victim.kill()
        if self.check("full disk, after a kill", acknowledged, folder):
            print(f"full disk: {acknowledged.refused} writes refused, then work resumed, none lost", flush=True)

    def check_lock(self, folder, pid):
        """A second process on the same folder is refused, and told who has it."""
        lines = report_lines(self.writer, folder)
        if f"failed the data folder '{folder}' is in use by process {pid}; stop it, or choose another folder" not in lines:
            self.problems.append(f"a second process was not refused: {lines[:3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writer", default=os.path.join(HERE, "../../.build/debug/CrashWriter"))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("CRASH_ROUNDS", "50")))
    parser.add_argument("--cuts", type=int, default=int(os.environ.get("CRASH_CUTS", "50")))
    parser.add_argument("--only", default="kill,power,faults,full")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--folder", help="where the data is written; default: the system's folder for temporary files")
    options = parser.parse_args()
    print(f"crash: seed {options.seed}", flush=True)
    harness = Harness(options)
    for name in options.only.split(","):
        getattr(harness, name)()
    if harness.problems:
        print(f"crash: FAILED with seed {options.seed}; the folder {harness.folder} was kept", file=sys.stderr)
        for problem in harness.problems[:20]:
            print("  " + problem, file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(harness.folder)


if __name__ == "__main__":
    main()
