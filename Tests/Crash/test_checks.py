#!/usr/bin/env python3
"""The checks themselves: each must find the fault it is there for. Run by `Tests/Crash/test_checks.py`."""

import os
import random
import tempfile
import unittest

from ledger import Acknowledged, Report, compare
from synctrace import HEAD, Trace

TOKEN = "0123456789abcdef"
COMMIT_HEADER = bytes(4) + b"\0\0\0\7" + bytes(16)
PAGE = b'{"token":"%s"}' % TOKEN.encode()
ACK = b"ack 1 1 %s\n" % TOKEN.encode()
LOG = 2


class Written:
    """A trace of the folder /data with its log, call by call."""

    def __init__(self):
        self.bytes = b""
        self.call("O", 1, data=b"/data").call("O", LOG, data=b"/data/passerelle.db-wal")
        self.call("C", LOG).call("S", 1).call("E", 1)

    def call(self, kind, file=0, offset=0, data=b"", thread=1):
        self.bytes += HEAD.pack(ord(kind), 0, file, thread, offset, len(data), 0) + data
        return self

    def commit(self):
        return self.call("W", LOG, 32, COMMIT_HEADER).call("W", LOG, 56, PAGE)

    def read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace")
            with open(path, "wb") as file:
                file.write(self.bytes)
            return Trace(path, "/data")


class SyncBeforeAcknowledgement(unittest.TestCase):
    def problems(self, written):
        checked, problems = written.read().unsynced_acknowledgements()
        self.assertEqual(checked, 1)
        return problems

    def test_a_synced_commit_may_be_acknowledged(self):
        self.assertEqual(self.problems(Written().commit().call("S", LOG).call("E", LOG).call("A", data=ACK)), [])

    def test_no_sync_is_found(self):
        self.assertEqual(len(self.problems(Written().commit().call("A", data=ACK))), 1)

    def test_a_sync_that_has_not_ended_is_found(self):
        self.assertEqual(len(self.problems(Written().commit().call("S", LOG).call("A", data=ACK).call("E", LOG))), 1)

    def test_a_sync_that_began_before_the_commit_is_found(self):
        written = Written().call("S", LOG, thread=2).commit().call("E", LOG, thread=2).call("A", data=ACK)
        self.assertEqual(len(self.problems(written)), 1)

    def test_a_failed_sync_is_found(self):
        self.assertEqual(len(self.problems(Written().commit().call("S", LOG).call("E", LOG, 5).call("A", data=ACK))), 1)

    def test_an_acknowledgement_of_nothing_is_found(self):
        self.assertEqual(len(self.problems(Written().call("A", data=ACK).commit().call("S", LOG).call("E", LOG))), 1)


class PowerCut(unittest.TestCase):
    def contents(self, written):
        """Every content of the log that luck can give, None for no file."""
        trace, found = written.read(), set()
        for seed in range(200):
            for _, disk in trace.images([len(trace.calls)]):
                content = disk.image(random.Random(seed)).get(LOG)
                found.add(None if content is None else bytes(content))
        return found

    def test_what_a_failed_sync_left_is_not_in_the_next_one(self):
        found = set()
        for begin in range(40):
            # When it began decides about its luck.
            written = Written()
            for _ in range(begin):
                written.call("O", 3, data=b"/data/other")
            written.call("W", LOG, 0, b"ab").call("S", LOG).call("E", LOG, 5)
            found |= self.contents(written.call("S", LOG).call("E", LOG))
        self.assertEqual(found, {b"", b"ab"})
        again = Written().call("W", LOG, 0, b"ab").call("S", LOG).call("E", LOG, 5).call("W", LOG, 0, b"cd")
        self.assertEqual(self.contents(again.call("S", LOG).call("E", LOG)), {b"cd"}, "written anew it is synced")

    def test_what_was_synced_stays(self):
        self.assertEqual(self.contents(Written().call("W", LOG, 0, b"ab").call("S", LOG).call("E", LOG)), {b"ab"})

    def test_what_was_not_synced_may_be_there_or_not(self):
        self.assertEqual(self.contents(Written().call("W", LOG, 0, b"ab")), {b"", b"ab"})

    def test_later_writes_may_survive_earlier_ones(self):
        found = self.contents(Written().call("W", LOG, 0, b"a").call("W", LOG, 1, b"b"))
        self.assertEqual(found, {b"", b"a", b"ab", b"\0b"})

    def test_writes_may_be_torn_at_sectors(self):
        found = self.contents(Written().call("W", LOG, 0, b"a" * 512 + b"b" * 512))
        self.assertIn(b"a" * 512, found)
        self.assertIn(bytes(512) + b"b" * 512, found)

    def test_a_write_during_a_sync_is_not_covered(self):
        found = self.contents(Written().call("S", LOG).call("W", LOG, 0, b"ab", thread=2).call("E", LOG))
        self.assertEqual(found, {b"", b"ab"})

    def test_a_renamed_file_replaces_the_other_as_a_whole(self):
        written = Written().call("S", LOG).call("W", LOG, 0, b"old").call("S", LOG).call("E", LOG)
        written.call("O", 3, data=b"/data/new").call("C", 3).call("W", 3, 0, b"new").call("S", 3).call("E", 3)
        written.call("R", 3, LOG)
        self.assertEqual(self.contents(written), {b"old", b"new"})
        self.assertEqual(self.contents(written.call("S", 1).call("E", 1)), {b"new"})

    def test_a_renamed_file_that_was_not_synced_may_be_empty(self):
        written = Written().call("O", 3, data=b"/data/new").call("C", 3).call("W", 3, 0, b"new").call("R", 3, LOG)
        self.assertEqual(self.contents(written.call("S", 1).call("E", 1)), {b"", b"new"})

    def test_a_file_made_anew_has_nothing_of_the_one_before(self):
        written = Written().call("W", LOG, 0, b"old").call("S", LOG).call("E", LOG).call("U", LOG).call("C", LOG)
        self.assertEqual(self.contents(written.call("S", 1).call("E", 1)), {b""})

    def test_a_name_lasts_from_the_sync_of_its_folder(self):
        self.assertEqual(self.contents(Written().call("U", LOG)), {None, b""})
        self.assertEqual(self.contents(Written().call("U", LOG).call("S", 1).call("E", 1)), {None})


class Comparison(unittest.TestCase):
    LINES = [
        f"entry 1 1 {TOKEN}", "counter 1 1", "total 1600", f"event 0 0 1 1 {TOKEN}", f"leaf 0 1/1/{TOKEN}", "effect 1 1 1",
        "end"]

    def problems(self, lines, acks=(ACK.decode().strip(),)):
        acknowledged = Acknowledged()
        for ack in acks:
            acknowledged.line(ack)
        return compare(acknowledged, Report(lines))

    def changed(self, old, new):
        return [new if line == old else line for line in self.LINES if not (line == old and new is None)]

    def test_all_is_well(self):
        self.assertEqual(self.problems(self.LINES), [])

    def test_one_more_than_acknowledged_may_be_there(self):
        self.assertEqual(self.problems(self.LINES, []), [])

    def test_faults_are_found(self):
        faults = {
            f"entry 1 1 {TOKEN}": "entry 1 1 fedcba9876543210", "counter 1 1": "counter 1 2", "total 1600": "total 1599",
            f"event 0 0 1 1 {TOKEN}": f"event 0 1 1 1 {TOKEN}", f"leaf 0 1/1/{TOKEN}": None, "effect 1 1 1": "effect 1 1 2",
            "end": None}
        for old, new in faults.items():
            self.assertNotEqual(self.problems(self.changed(old, new)), [], f"{old} became {new}")

    def test_a_lost_write_is_found(self):
        lines = ["total 1600", "end"]
        self.assertEqual(self.problems(lines), ["lost: caller 1 number 1 was acknowledged"])

    def test_a_second_unacknowledged_write_is_found(self):
        second = "f" * 16
        lines = self.LINES[:-1] + [f"entry 1 2 {second}", f"event 0 1 1 2 {second}", f"leaf 1 1/2/{second}", "effect 1 2 1", "end"]
        lines = ["counter 1 2" if line == "counter 1 1" else line for line in lines]
        self.assertEqual(self.problems(lines), [])
        self.assertEqual(self.problems(lines, []), ["caller 1 is at 2, acknowledged were 0"])

    def test_what_the_writer_complains_of_is_kept(self):
        acknowledged = Acknowledged()
        acknowledged.line("wrong 1 1 failed")
        self.assertEqual(acknowledged.problems, ["writer: wrong 1 1 failed"])


if __name__ == "__main__":
    unittest.main()
