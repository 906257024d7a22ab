"""Reads the trace of SyncWatch: was every acknowledgement preceded by its sync, and what would a power cut leave?"""

import bisect
import os
import random
import re
import struct
from collections import defaultdict, namedtuple

HEAD = struct.Struct("<BBHIQII")
SECTOR = 512
FRAME_HEADER = 24  # of a frame in SQLite's write-ahead log; bytes 4 to 7 are not zero in the frame that commits
TOKEN = re.compile(rb"[0-9a-f]{16}")

Call = namedtuple("Call", "kind file thread offset data")


class Trace:
    def __init__(self, path, folder):
        self.folder = folder
        self.calls = []
        self.paths = {}
        with open(path, "rb") as file:
            data = file.read()
        at = 0
        # A killed process may leave half a record at the end.
        while at + HEAD.size <= len(data):
            kind, _, number, thread, offset, length, _ = HEAD.unpack_from(data, at)
            if at + HEAD.size + length > len(data):
                break
            call = Call(chr(kind), number, thread, offset, data[at + HEAD.size : at + HEAD.size + length])
            at += HEAD.size + length
            if call.kind == "O":
                self.paths[number] = call.data.decode()
            self.calls.append(call)

    def acknowledgements(self, until=None):
        """Lines of standard output with the place of their call, of the calls before `until`."""
        for at, call in enumerate(self.calls[:until]):
            if call.kind == "A":
                for line in call.data.decode().splitlines():
                    yield at, line

    # Acknowledged means synced

    def unsynced_acknowledgements(self):
        """(checked, problems): each acknowledged token must have been written to the log, with its commit, and a sync of the
        log must have begun after that and ended well before the acknowledgement."""
        log = next(number for number, path in self.paths.items() if path.endswith("-wal"))
        commits = self._commits(log)
        syncs = self._syncs(log)
        first = self._first_writes(log)
        checked, problems = 0, []
        for at, line in self.acknowledgements():
            if not line.startswith("ack "):
                continue
            checked += 1
            written = first.get(line.split()[3].encode())
            if written is None or written > at:
                problems.append(f"{line}: acknowledged without having been written")
                continue
            commit = commits[min(bisect.bisect_left(commits, written), len(commits) - 1)]
            # The first sync that began after the commit was written; any later one ends later.
            place = bisect.bisect_right([begin for begin, _ in syncs], commit)
            if commit < written or place == len(syncs) or min(end for _, end in syncs[place:]) > at:
                problems.append(f"{line}: acknowledged at call {at} before its commit at {commit} was synced")
        return checked, problems

    def _commits(self, log):
        """Where the page of each committing frame was written."""
        commits, is_commit = [], False
        for at, call in enumerate(self.calls):
            if call.kind != "W" or call.file != log:
                continue
            if len(call.data) == FRAME_HEADER:
                is_commit = call.data[4:8] != b"\0\0\0\0"
            elif is_commit:
                commits.append(at)
                is_commit = False
        return commits

    def _syncs(self, log):
        """(begin, end) of the completed syncs of a file, by their begin."""
        begun, syncs = {}, []
        for at, call in enumerate(self.calls):
            if call.file != log:
                continue
            if call.kind == "S":
                begun[call.thread] = at
            elif call.kind == "E" and call.offset == 0:
                syncs.append((begun[call.thread], at))
        return sorted(syncs)

    def _first_writes(self, log):
        wanted = {line.split()[3].encode() for _, line in self.acknowledgements() if line.startswith("ack ")}
        first = {}
        for at, call in enumerate(self.calls):
            if call.kind != "W" or call.file != log:
                continue
            # In the event and the audit entry quotes and slashes stand around a token, so it is never part of a longer run.
            for token in TOKEN.findall(call.data):
                if token in wanted:
                    first.setdefault(token, at)
        return first

    # Power cuts

    def cuts(self, count, rng):
        """Moments to cut the power: half anywhere, half right after an acknowledgement."""
        answers = [at + 1 for at, _ in self.acknowledgements()]
        anywhere = [rng.randrange(1, len(self.calls) + 1) for _ in range(count - count // 2)]
        return sorted(anywhere + [rng.choice(answers) for _ in range(count // 2)])

    def images(self, cuts, before=None):
        """Yields (cut, Disk) for each moment, in order: what is on the disk for certain, and what may be.

        before: {path: content} of files that were there when the trace began.
        """
        disk, done = Disk(self.paths), 0
        for number, path in self.paths.items():
            if path in (before or {}):
                disk.put(number, before[path])
        folders = {os.path.dirname(path) for path in self.paths.values()} | {self.folder}
        for cut in cuts:
            for at in range(done, cut):
                disk.take(at, self.calls[at], self.paths.get(self.calls[at].file) in folders)
            done = cut
            yield cut, disk

    def write_image(self, disk, target, rng):
        """Writes what a power cut left into the folder `target`."""
        for number, content in disk.image(rng).items():
            path = self.paths[number]
            place = os.path.join(target, os.path.relpath(path, self.folder))
            if path != self.folder and not os.path.isdir(place):
                os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
                with open(place, "wb") as file:
                    file.write(content)


class Disk:
    """Files as a disk keeps them: what was synced stays; what was written since may be there, not, or in part, in any order.

    A name leads to a content; a file that is made anew is another content, and a renamed one takes its content along.
    """

    def __init__(self, paths):
        self.paths = paths
        self.content = {}  # file -> the content that its open descriptors write to
        self.count = 0
        self.durable = defaultdict(bytearray)  # by content
        self.pending = defaultdict(list)  # content -> [(place in the trace, call)]
        self.begun = {}  # (thread, file) -> place
        self.named = {}  # names that are on the disk: file -> content
        self.names = []  # [(place, call, content)]: names made, moved and removed since the folder was synced

    def put(self, number, content):
        """A file that was there before."""
        self.durable[self._content(number)] = bytearray(content)
        self.named[number] = self._content(number)

    def _content(self, number, is_new=False):
        if is_new or number not in self.content:
            self.count += 1
            self.content[number] = self.count
        return self.content[number]

    def take(self, at, call, is_folder):
        if call.kind in "WT":
            self.pending[self._content(call.file)].append((at, call))
        elif call.kind in "CUR":
            content = self._content(call.file, call.kind == "C")
            if call.kind == "R":
                self.content[call.offset] = content
            self.names.append((at, call, content))
        elif call.kind == "S":
            self.begun[call.thread, call.file] = at
        elif call.kind == "E" and call.offset == 0:
            begin = self.begun[call.thread, call.file]
            if is_folder:
                self._sync_names(begin, self.paths[call.file])
            else:
                self._sync(self._content(call.file), begin)
        elif call.kind == "E":
            self._give_up(self._content(call.file), self.begun[call.thread, call.file])

    def image(self, rng):
        """file -> content, with luck deciding about all that was not synced."""
        named = dict(self.named)
        for _, call, content in self.names:
            if rng.random() < 0.5:
                self._name(named, call, content)
        image = {}
        for number, content in named.items():
            found = bytearray(self.durable[content])
            for _, call in self.pending[content]:
                self._perhaps(found, call, rng)
            image[number] = found
        return image

    @staticmethod
    def _name(named, call, content):
        if call.kind == "C":
            named[call.file] = content
            return
        named.pop(call.file, None)
        if call.kind == "R":
            named[call.offset] = content

    def _sync(self, content, begin):
        waiting = self.pending[content]
        for at, call in waiting:
            if at < begin:
                self._apply(self.durable[content], call)
        self.pending[content] = [(at, call) for at, call in waiting if at >= begin]

    def _give_up(self, content, begin):
        """A failed sync: the system believes the pages clean from now on, so no later sync writes what this one did not."""
        rng = random.Random(begin)
        waiting = self.pending[content]
        for at, call in waiting:
            if at < begin:
                self._perhaps(self.durable[content], call, rng)
        self.pending[content] = [(at, call) for at, call in waiting if at >= begin]

    def _sync_names(self, begin, folder):
        waiting = []
        for at, call, content in self.names:
            if at >= begin or os.path.dirname(self.paths[call.file]) != folder:
                waiting.append((at, call, content))
            else:
                self._name(self.named, call, content)
        self.names = waiting

    def _perhaps(self, content, call, rng):
        luck = rng.random()
        if luck < 0.4:
            self._apply(content, call)
        elif luck < 0.7 and call.kind == "W":
            for start in range(0, len(call.data), SECTOR):
                if rng.random() < 0.5:
                    part = call.data[start : start + SECTOR]
                    self._apply(content, call._replace(offset=call.offset + start, data=part))

    @staticmethod
    def _apply(content, call):
        if call.kind == "T":
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        else:
            content.extend(bytes(max(0, call.offset - len(content))))
            content[call.offset : call.offset + len(call.data)] = call.data
