"""What the writer acknowledged, what a folder holds, and whether the second follows from the first."""

from collections import defaultdict


class Acknowledged:
    """The acknowledgements of one folder, over all processes that wrote to it."""

    def __init__(self):
        self.tokens = {}  # (caller, seq) -> token
        self.last = defaultdict(int)  # caller -> highest acknowledged number
        self.held = defaultdict(int)  # caller -> highest number that a report has shown
        self.refused = 0
        self.problems = []

    def line(self, text):
        """Takes one line of the writer's output."""
        kind, _, rest = text.partition(" ")
        if kind == "ack":
            caller, seq, token = rest.split()
            self.tokens[int(caller), int(seq)] = token
            self.last[int(caller)] = max(self.last[int(caller)], int(seq))
        elif kind == "refused":
            self.refused += 1
        elif kind in ("wrong", "failed"):
            self.problems.append("writer: " + text)

    def newest_allowed(self, caller):
        """A caller waits for each acknowledgement, so at most one write more than was ever seen may have been committed."""
        return max(self.last[caller], self.held[caller]) + 1


class Report:
    """The lines of `CrashWriter report`."""

    def __init__(self, lines):
        self.entries = defaultdict(list)  # (caller, seq) -> tokens
        self.counters = {}
        self.total = None
        self.effects = defaultdict(list)  # (caller, seq) -> times
        self.events = defaultdict(list)  # partition -> [(offset, caller, seq, token)]
        self.leaves = []  # [(offset, id)]
        self.problems = []
        self.is_whole = False
        for line in lines:
            self._take(line.split())

    def _take(self, words):
        kind, rest = words[0], words[1:]
        if kind == "entry":
            self.entries[int(rest[0]), int(rest[1])].append(rest[2])
        elif kind == "counter":
            self.counters[int(rest[0])] = int(rest[1])
        elif kind == "total":
            self.total = int(rest[0])
        elif kind == "effect":
            self.effects[int(rest[0]), int(rest[1])].append(int(rest[2]))
        elif kind == "event":
            self.events[int(rest[0])].append((int(rest[1]), int(rest[2]), int(rest[3]), rest[4]))
        elif kind == "leaf":
            self.leaves.append((int(rest[0]), rest[1]))
        elif kind == "end":
            self.is_whole = True
        else:
            self.problems.append("report: " + " ".join(words))


TOTAL = 1600  # 16 accounts of 100


def compare(acknowledged, report):
    """Everything that is wrong, as sentences; none when all is well."""
    problems = list(report.problems)
    if not report.is_whole:
        problems.append("the report ends early")
        return problems
    problems += _acknowledged_is_there(acknowledged, report)
    problems += _nothing_else_is_there(acknowledged, report)
    problems += _parts_agree(report)
    problems += _log_is_gapless(report)
    for caller, seq in report.entries:
        acknowledged.held[caller] = max(acknowledged.held[caller], seq)
    return problems


def _acknowledged_is_there(acknowledged, report):
    for at, token in acknowledged.tokens.items():
        found = report.entries.get(at)
        if not found:
            yield "lost: caller %d number %d was acknowledged" % at
        elif found[0] != token:
            yield "changed: caller %d number %d" % at


def _nothing_else_is_there(acknowledged, report):
    numbers = defaultdict(list)
    for (caller, seq), tokens in report.entries.items():
        numbers[caller].append(seq)
        if len(tokens) != 1:
            yield f"duplicated: caller {caller} number {seq}, {len(tokens)} times"
        if seq < 1:
            yield f"a refused transaction left caller {caller} number {seq}"
    for caller, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"caller {caller} has gaps"
        if max(found) > acknowledged.newest_allowed(caller):
            yield f"caller {caller} is at {max(found)}, acknowledged were {acknowledged.last[caller]}"


def _parts_agree(report):
    """What one transaction wrote is there together or not at all."""
    done = defaultdict(int)
    for caller, _ in report.entries:
        done[caller] += 1
    if dict(done) != report.counters:
        yield "counters and entries differ"
    if report.total != TOTAL:
        yield f"the accounts hold {report.total}, not {TOTAL}"
    tokens = {at: found[0] for at, found in report.entries.items()}
    events = defaultdict(list)
    for found in report.events.values():
        for _, caller, seq, token in found:
            events[caller, seq].append(token)
    if dict(events) != {at: [token] for at, token in tokens.items()}:
        yield "events and entries differ"
    leaves = sorted(identity for _, identity in report.leaves)
    if leaves != sorted("%d/%d/%s" % (*at, token) for at, token in tokens.items()):
        yield "audit entries and entries differ"
    if dict(report.effects) != {at: [1] for at in tokens}:
        twice = [at for at, times in report.effects.items() if times != [1]]
        yield f"effects and entries differ; more than once: {twice[:5]}"


def _log_is_gapless(report):
    if [offset for offset, _ in report.leaves] != list(range(len(report.leaves))):
        yield "the audit log has gaps"
    for partition, found in report.events.items():
        if [offset for offset, *_ in found] != list(range(len(found))):
            yield f"partition {partition} has gaps"
        newest = defaultdict(int)
        for _, caller, seq, _ in found:
            if seq < newest[caller]:
                yield f"partition {partition}: caller {caller} number {seq} comes after {newest[caller]}"
            newest[caller] = seq
