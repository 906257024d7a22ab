"""The audit log judged by a verifier that shares no code with it, and by `audit verify` after every kind of tampering at every position."""

import base64
import json
import os
import shutil
import sqlite3
import unittest

import c2sp
from processes import ClassScope, Platform, eventually, folder, run
from rest import Rest

PASSWORD = "correct horse battery"
# Changes made one by one: each is a batch of its own in the log.
CHANGES = 9
# Names that must not outlive an erasure.
PLANTED = "planted.lovelace@example.com"


def decoded(texts):
    return [base64.b64decode(text, validate=True) for text in texts]


class Log:
    """The audit log of a platform as an outsider gets it over REST."""

    def __init__(self, rest):
        self.rest = rest
        self.key = c2sp.Key.parse(rest.get("/v1/audit/keys")["items"][0]["key"])

    def note(self):
        return self.rest.expect(200, "GET", "/v1/audit/checkpoint").body

    def head(self):
        return c2sp.checkpoint(self.note(), self.key)

    def settled(self, beyond):
        """A checkpoint that covers more than `beyond` entries."""
        return eventually(lambda: (lambda note: note if c2sp.checkpoint(note, self.key).size > beyond else None)(self.note()))

    def proof(self, query):
        return self.rest.get(f"/v1/audit/proofs?{query}")

    def entries(self, size):
        """The stored bytes of the first entries."""
        found = {item["leaf"]: base64.b64decode(item["leaf_bytes"])
                 for item in self.rest.all("/v1/audit/entries?order=asc&bytes=true")}
        return [found[leaf] for leaf in range(size)]


def make(case):
    """A platform with some history, checkpoints kept along the way, and the entries as they are."""
    place = folder(case)
    platform = Platform(case, f"{place}/data").start()
    rest = platform.sign_in("acme")
    case.addCleanup(rest.close)
    log = Log(rest)
    notes = [log.settled(0)]
    for number in range(CHANGES):
        rest.expect(200, "PATCH", "/v1/tenants/acme", {"display_name": f"Acme {number}"})
        notes.append(log.settled(c2sp.checkpoint(notes[-1], log.key).size))
    return platform, rest, log, notes


class ProofTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.platform, cls.rest, cls.log, cls.notes = make(cls.scope)
        cls.heads = [c2sp.checkpoint(note, cls.log.key) for note in cls.notes]
        cls.head = cls.heads[-1]
        cls.entries = cls.log.entries(cls.head.size)

    def test_every_entry_is_proven_to_be_in_the_tree(self):
        self.assertEqual(c2sp.root([c2sp.leaf_hash(entry) for entry in self.entries]), self.head.root)
        for leaf, entry in enumerate(self.entries):
            for size in {self.head.size, leaf + 1}:
                shown = self.log.proof(f"leaf={leaf}&size={size}")
                root = c2sp.root([c2sp.leaf_hash(entry) for entry in self.entries[:size]])
                c2sp.check_inclusion(entry, leaf, size, decoded(shown["proof"]), root)

    def test_every_checkpoint_begins_with_every_earlier_one(self):
        for at, second in enumerate(self.heads):
            for first in self.heads[:at + 1]:
                shown = self.log.proof(f"from={first.size}&to={second.size}")
                c2sp.check_consistency(first, second, decoded(shown["proof"]))

    def test_the_tiles_lead_to_the_root(self):
        def fetch(path):
            answer = self.rest.expect(200, "GET", f"/v1/audit/{path}")
            self.assertEqual(answer.fields["Cache-Control"], "private, max-age=31536000, immutable")
            return answer.body

        hashes = c2sp.check_tiles(fetch, self.head)
        self.assertEqual(hashes, [c2sp.leaf_hash(entry) for entry in self.entries])
        self.assertEqual(c2sp.check_bundles(fetch, self.head), self.entries)

    def test_the_verifier_takes_nothing_else(self):
        """What proves the rest of these tests: every change of what is shown is refused."""
        note, key = self.notes[-1], self.log.key
        for at in range(0, len(note), 3):
            changed = bytearray(note)
            changed[at] ^= 1
            with self.subTest("note", at=at), self.assertRaises((c2sp.Refused, ValueError)):
                c2sp.checkpoint(bytes(changed), key)
        leaf, size = 3, self.head.size
        proof = decoded(self.log.proof(f"leaf={leaf}&size={size}")["proof"])
        wrong = [(leaf + 1, proof), (leaf, proof[:-1]), (leaf, proof + [bytes(32)]), (leaf, proof[1:] + proof[:1])]
        for at, (index, shown) in enumerate(wrong):
            with self.subTest("inclusion", at=at), self.assertRaises(c2sp.Refused):
                c2sp.check_inclusion(self.entries[leaf], index, size, shown, self.head.root)
        with self.assertRaises(c2sp.Refused):
            c2sp.check_inclusion(self.entries[leaf] + b" ", leaf, size, proof, self.head.root)
        first, second = self.heads[1], self.head
        proof = decoded(self.log.proof(f"from={first.size}&to={second.size}")["proof"])
        for shown in (proof[:-1], proof + [bytes(32)], [], proof[1:]):
            with self.subTest("consistency"), self.assertRaises(c2sp.Refused):
                c2sp.check_consistency(first, second, shown)
        forked = c2sp.Checkpoint(first.origin, first.size, bytes(32))
        with self.assertRaises(c2sp.Refused):
            c2sp.check_consistency(forked, second, proof)

    def test_an_export_verifies_alone_and_a_changed_one_does_not(self):
        lines = self.rest.expect(200, "GET", "/v1/audit/export").body.splitlines()
        entries = [base64.b64decode(json.loads(line)["entry"]) for line in lines[1:1 + self.head.size]]
        self.assertEqual(entries, self.entries)

        def root(changed):
            return c2sp.root([c2sp.leaf_hash(entry) for entry in changed])

        for at in range(self.head.size):
            edited = entries[:at] + [entries[at] + b" "] + entries[at + 1:]
            dropped = entries[:at] + entries[at + 1:]
            swapped = entries[:at] + entries[at:at + 2][::-1] + entries[at + 2:]
            added = entries[:at] + [b"{}"] + entries[at:]
            for name, changed in (("edited", edited), ("dropped", dropped), ("swapped", swapped), ("added", added)):
                if name == "swapped" and at == self.head.size - 1:
                    continue
                with self.subTest(name, at=at):
                    self.assertNotEqual(root(changed[:self.head.size]), self.head.root)

    def test_readable_exports_and_their_command(self):
        environment = {"PASSERELLE_TOKEN": self.rest.token}

        def export(*arguments):
            done = run("audit", "export", *arguments, "--url", self.rest.url, environment=environment)
            self.assertEqual(done.returncode, 0, done)
            return done.stdout.splitlines()

        rows = export("--format", "csv", "--type", "tenant.updated", "--tenant", "acme")
        self.assertEqual(len(rows), CHANGES + 1)
        self.assertTrue(rows[0].startswith("leaf,id,time,tenant,"))
        items = [json.loads(line) for line in export("--format", "jsonl", "--type", "tenant.updated")]
        self.assertEqual([item["changes"]["display_name"] for item in items], [f"Acme {number}" for number in range(CHANGES)])
        self.assertEqual({item["actor"]["ip"] for item in items}, {"127.0.0.1"})


class Adversary:
    """Somebody with the data folder of a stopped platform, and a good knowledge of it."""

    def __init__(self, data, copy):
        shutil.copytree(data, copy)
        self.data = copy
        self.database = sqlite3.connect(f"{copy}/passerelle.db")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.database.close()

    def done(self):
        self.database.commit()
        self.database.close()

    def batches(self):
        return self.database.execute(
            "SELECT base_offset, record_count, batch FROM log_batches WHERE topic = 'audit-log' ORDER BY base_offset").fetchall()

    def batch_of(self, leaf):
        return next(row for row in self.batches() if row[0] <= leaf < row[0] + row[1])

    def put(self, offset, batch):
        """Stores a batch at a place, its checksum right again (the base offset is not under it)."""
        batch = offset.to_bytes(8, "big") + batch[8:17] + crc32c(batch[21:]).to_bytes(4, "big") + batch[21:]
        self.database.execute("UPDATE log_batches SET batch = ? WHERE topic = 'audit-log' AND base_offset = ?", (batch, offset))

    def edit(self, leaf, entry):
        """Another text of the same length in the place of some of an entry, and wherever it is repeated beside it."""
        offset, _, batch = self.batch_of(leaf)
        assert batch.count(entry) == 1
        identity = json.loads(entry)["id"].encode()
        changed = edited(identity)
        self.put(offset, batch.replace(identity, changed))
        return entry.replace(identity, changed)

    def drop(self, leaf):
        offset = self.batch_of(leaf)[0]
        self.database.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset = ?", (offset,))
        return offset

    def swap(self, leaf):
        """Exchanges two neighbours that are batches of their own."""
        first, second = self.batch_of(leaf), self.batch_of(leaf + 1)
        self.put(first[0], second[2])
        self.put(second[0], first[2])

    def cut(self, size):
        """Ends the log there. Whole batches only."""
        self.database.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset >= ?", (size,))
        self.database.execute("UPDATE log_partitions SET next_offset = ? WHERE topic = 'audit-log'", (size,))

    def behead(self, first):
        """Begins the log there, as retention does. Whole batches only."""
        self.database.execute("DELETE FROM log_batches WHERE topic = 'audit-log' AND base_offset < ?", (first,))
        self.database.execute("UPDATE log_partitions SET first_offset = ? WHERE topic = 'audit-log'", (first,))

    def rebuild(self, entries):
        """Makes the tree anew and forgets every checkpoint inside: nothing in the folder tells any more."""
        hashes = [c2sp.leaf_hash(entry) for entry in entries]
        for table in ("audit_tiles", "audit_tree", "audit_checkpoints"):
            self.database.execute(f"DELETE FROM {table}")
        self.database.execute("DELETE FROM audit_entries WHERE leaf >= ?", (len(entries),))
        levels = [hashes]
        while len(levels[-1]) >= c2sp.TILE_WIDTH:
            below = levels[-1]
            full = len(below) // c2sp.TILE_WIDTH
            levels.append([c2sp.root(below[at * c2sp.TILE_WIDTH:(at + 1) * c2sp.TILE_WIDTH]) for at in range(full)])
        for level, index, width in c2sp.tiles(len(hashes)):
            start = index * c2sp.TILE_WIDTH
            self.database.execute(
                "INSERT INTO audit_tiles (level, tile_index, hashes) VALUES (?, ?, ?)",
                (level, index, b"".join(levels[level][start:start + width])))
        self.database.execute("INSERT INTO audit_tree (id, size, root) VALUES (1, ?, ?)", (len(hashes), c2sp.root(hashes)))


def edited(identity):
    """Another id of the same length: nobody would notice."""
    return identity[:4] + bytes([48 + (identity[4] - 48 + 1) % 10]) + identity[5:]


_CRC = []
for _value in range(256):
    for _ in range(8):
        _value = _value >> 1 ^ (0x82F63B78 if _value & 1 else 0)
    _CRC.append(_value)


def crc32c(data):
    state = 0xFFFFFFFF
    for byte in data:
        state = state >> 8 ^ _CRC[(state ^ byte) & 255]
    return state ^ 0xFFFFFFFF


class AdversaryTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = ClassScope(cls)
        cls.platform, rest, cls.log, cls.notes = make(cls.scope)
        cls.key = cls.log.key
        cls.heads = [c2sp.checkpoint(note, cls.key) for note in cls.notes]
        cls.size = cls.heads[-1].size
        # The readings of the entries are entries as well.
        cls.entries = cls.log.entries(cls.size)
        if cls.platform.stop() != 0:
            raise AssertionError("the platform did not stop well")
        cls.place = os.path.dirname(cls.platform.data)
        cls.files = []
        for number, note in enumerate(cls.notes):
            cls.files.append(f"{cls.place}/checkpoint-{number}")
            with open(cls.files[-1], "wb") as file:
                file.write(note)
        with sqlite3.connect(f"{cls.platform.data}/passerelle.db") as database:
            rows = database.execute(
                "SELECT base_offset, record_count FROM log_batches WHERE topic = 'audit-log' ORDER BY base_offset").fetchall()
            (cls.total,) = database.execute("SELECT size FROM audit_tree").fetchone()
        database.close()
        # What is written while the platform stops enters the tree at its next start: nothing commits to it yet.
        cls.starts = [start for start, _ in rows if start < cls.total]
        cls.alone = {start for start, count in rows if count == 1}

    def adversary(self):
        copy = f"{self.place}/copy"
        shutil.rmtree(copy, ignore_errors=True)
        return Adversary(self.platform.data, copy)

    def verify(self, checkpoint=None):
        arguments = ["--checkpoint", checkpoint] if checkpoint else []
        done = run("audit", "verify", "--data", f"{self.place}/copy", "--output", "json", *arguments)
        said = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if said["sound"] else 1, done)
        return said["findings"]

    def test_an_untouched_copy_is_sound(self):
        with self.adversary() as adversary:
            adversary.done()
        for file in (None, self.files[0], self.files[-1]):
            self.assertEqual(self.verify(file), [])

    def test_an_edited_entry_is_named_at_every_position(self):
        for leaf in range(self.size):
            with self.subTest(leaf=leaf), self.adversary() as adversary:
                adversary.edit(leaf, self.entries[leaf])
                adversary.done()
                self.assertEqual(self.verify(), [f"entry {leaf} was altered: it does not have the hash the tree was built from"])

    def test_a_dropped_entry_is_named_at_every_position(self):
        # The first batch: what is missing at the beginning could be age, were it not for the tombstones.
        for start in self.starts:
            with self.subTest(start=start), self.adversary() as adversary:
                adversary.drop(start)
                adversary.done()
                found = self.verify()
                self.assertTrue(found, "nothing was found")
                if start + 1 < self.total - 1:
                    self.assertTrue(found[0].startswith(f"entry {start} is missing"), found)

    def test_entries_taken_from_the_front_are_no_retention(self):
        for start in self.starts[1:]:
            with self.subTest(start=start), self.adversary() as adversary:
                adversary.behead(start)
                adversary.done()
                self.assertIn(
                    f"entries 0 to {start - 1} are gone, and no entry says that retention removed them", self.verify())

    def test_two_entries_that_changed_places_are_named_at_every_position(self):
        pairs = [leaf for leaf in range(self.size - 1) if leaf in self.alone and leaf + 1 in self.alone]
        self.assertGreater(len(pairs), CHANGES - 2)
        for leaf in pairs:
            with self.subTest(leaf=leaf), self.adversary() as adversary:
                adversary.swap(leaf)
                adversary.done()
                self.assertTrue(self.verify()[0].startswith(f"entry {leaf} was altered"))

    def test_a_rewritten_history_is_a_fork_at_every_position(self):
        for leaf in range(self.size):
            with self.subTest(leaf=leaf), self.adversary() as adversary:
                adversary.cut(self.size)
                changed = adversary.edit(leaf, self.entries[leaf])
                adversary.rebuild(self.entries[:leaf] + [changed] + self.entries[leaf + 1:])
                adversary.done()
                if leaf % 5 == 0:
                    self.assertEqual(self.verify(), [], "nothing inside tells")
                found = self.verify(self.files[-1])
                self.assertTrue(found and found[0].startswith(f"fork: the first {self.size} entries are not those"), found)

    def test_a_cut_off_end_is_told_by_every_checkpoint_beyond_it(self):
        for at, kept in enumerate(self.heads[:-1]):
            with self.subTest(size=kept.size), self.adversary() as adversary:
                adversary.cut(kept.size)
                adversary.rebuild(self.entries[:kept.size])
                adversary.done()
                self.assertEqual(self.verify(self.files[at]), [], "that checkpoint has no more")
                for later in (at + 1, len(self.heads) - 1):
                    self.assertEqual(self.verify(self.files[later]), [
                        f"the tail is shortened: the checkpoint commits to {self.heads[later].size} entries, {kept.size} are there"])

    def test_a_platform_that_serves_a_rewritten_history_meets_its_witness(self):
        """It has the key and signs what it serves; who kept a checkpoint asks for the consistency proof, which there is not."""
        with self.adversary() as adversary:
            adversary.cut(self.size)
            changed = adversary.edit(4, self.entries[4])
            adversary.rebuild(self.entries[:4] + [changed] + self.entries[5:])
            adversary.done()
        # A folder out of the adversary's reach has one of the platform's own.
        witness = f"{self.place}/witness"
        os.makedirs(witness)
        shutil.copy(self.files[-1], f"{witness}/{self.heads[-1].size:016}.checkpoint")
        with open(f"{self.place}/passerelle.yaml", "w", encoding="utf-8") as file:
            file.write(f"audit: {{anchors: [{{folder: {witness}}}], anchor_every: 1m}}\n")
        platform = Platform(self, f"{self.place}/copy", arguments=["--config", f"{self.place}/passerelle.yaml"]).start()
        with Rest(platform.control_plane) as rest:
            rest.sign_in("admin", self.platform.password)
            eventually(lambda: "history was rewritten" in (rest.get("/v1/audit/anchors")["items"][0]["failure"] or ""))
            listed = run("audit", "anchors", "--url", rest.url, environment={"PASSERELLE_TOKEN": rest.token})
            self.assertIn(f"folder {witness}", listed.stdout)
            self.assertEqual(len(os.listdir(witness)), 1, "nothing is added beside it")
            served = Log(rest)
            self.assertEqual(served.key, self.key)
            head = eventually(lambda: (lambda found: found if found.size > self.size else None)(served.head()))
            for kept in self.heads:
                shown = decoded(served.proof(f"from={kept.size}&to={head.size}")["proof"])
                if kept.size <= 4:
                    c2sp.check_consistency(kept, head, shown)
                else:
                    with self.assertRaises(c2sp.Refused):
                        c2sp.check_consistency(kept, head, shown)


class PersonTests(unittest.TestCase):
    def test_an_erased_person_is_nowhere_in_the_folder_and_every_proof_stays(self):
        platform, rest, log, notes = make(self)
        rest.create("/v1/users", {"name": PLANTED, "password": PASSWORD, "grants": [{"role": "auditor", "tenant": "acme"}]})
        with Rest(rest.url) as person:
            person.sign_in(PLANTED, PASSWORD)
            self.assertTrue(person.all("/v1/audit/entries?tenant=acme"))
        note = log.settled(c2sp.checkpoint(notes[-1], log.key).size + 2)

        def command(*arguments):
            done = run("audit", *arguments, "--url", rest.url, environment={"PASSERELLE_TOKEN": rest.token})
            self.assertEqual(done.returncode, 0, done)
            return done.stdout

        lines = [json.loads(line) for line in command("person", PLANTED).splitlines()]
        kinds = [line["kind"] for line in lines]
        self.assertEqual((kinds[0], kinds[1], kinds[-1]), ("personal-data", "user", "end"))
        self.assertTrue({"session", "audit-entry"} <= set(kinds))
        self.assertEqual(lines[1]["value"]["name"], PLANTED)
        own = [line["value"] for line in lines if line["kind"] == "audit-entry" and line["value"]["event_type"] == "audit.read"]
        self.assertEqual({entry["actor"]["ip"] for entry in own}, {"127.0.0.1"})
        erased = json.loads(command("erase", PLANTED, "--reason", "asked for", "--output", "json"))
        self.assertGreaterEqual(erased["keys_destroyed"], 1)
        items = [json.loads(line) for line in command("export", "--format", "jsonl", "--actor", erased["person"]).splitlines()]
        self.assertTrue(items)
        for item in items:
            self.assertEqual(item["actor"]["ip"], {"erased": True})
        self.assertEqual(rest.request("GET", f"/v1/audit/persons/{PLANTED}").status, 404)
        self.assertEqual(platform.stop(), 0)
        for path, _, files in os.walk(platform.data):
            for name in files:
                with open(f"{path}/{name}", "rb") as file:
                    self.assertNotIn(PLANTED.encode(), file.read(), name)
        with open(platform.log_path, "rb") as file:
            self.assertNotIn(PLANTED.encode(), file.read())
        kept = f"{os.path.dirname(platform.data)}/checkpoint"
        with open(kept, "wb") as file:
            file.write(note)
        done = run("audit", "verify", "--data", platform.data, "--checkpoint", kept)
        self.assertEqual(done.returncode, 0, done)
        into = f"{os.path.dirname(platform.data)}/replayed"
        done = run("events", "replay", "--data", platform.data, "--into", into)
        self.assertEqual(done.returncode, 0, done)
        with open(f"{into}/users/{erased['person']}.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file), {"id": erased["person"], "state": "disabled", "grants": []})
        for path, _, files in os.walk(into):
            for name in files:
                with open(f"{path}/{name}", "rb") as file:
                    self.assertNotIn(b"127.0.0.1", file.read().replace(b"http://127.0.0.1", b""), name)
