"""Executes a page of the documentation as a reader would: its files are written, its commands run in one shell, and what they
print is held against what the page says they print.

What counts on a page:
    a block `sh`                    runs in the page's shell; it must succeed
    a block `output` behind it      its lines appear in what was printed, in this order; `…` stands for anything
    a block behind "Save as `F`:"   is the content of the file F
    a line `**CLI**` or `**REST**`  in front of a block: for readers who take that way; each way is a run of its own
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import time

BLOCK_SECONDS = 90
# A change reaches the gateways within moments: a call that comes sooner is tried again for so long.
CALL_SECONDS = 5


class Block:
    def __init__(self, line, language, way, file):
        self.line = line
        self.language = language
        self.way = way
        self.file = file
        self.text = ""
        self.output = None


def blocks(path):
    """The blocks that count, in order; an output belongs to the block in front of it."""
    found, current, before = [], None, ""
    with open(path, encoding="utf-8") as page:
        for number, line in enumerate(page, 1):
            if current is not None:
                if line.startswith("```"):
                    _add(found, current)
                    current, before = None, ""
                else:
                    current.text += line
            elif line.startswith("```"):
                way = re.fullmatch(r"\*\*(CLI|REST)\*\*", before)
                file = re.search(r"Save as `([^`]+)`:$", before)
                current = Block(number, line[3:].strip(), way and way[1], file and file[1])
            elif line.strip():
                before = line.strip()
    return found


def _add(found, block):
    if block.language == "output":
        found[-1].output = block.text
    elif block.language == "sh" or block.file:
        found.append(block)


def missing_line(expected, printed):
    """The first line of `expected` that does not follow in `printed`; None when all do."""
    rest = iter(printed.replace("\r", "").splitlines())
    for line in expected.splitlines():
        if line.strip() in ("", "…"):
            continue
        pattern = ".*".join(re.escape(part) for part in line.rstrip().split("…"))
        if not any(re.fullmatch(pattern, candidate.rstrip()) for candidate in rest):
            return line
    return None


class GuideRun:
    """One way through a page, in a folder of its own."""

    def __init__(self, binary, folder, replacements):
        self.folder = folder
        self.replacements = replacements
        tools = os.path.join(folder, ".tools")
        os.mkdir(tools)
        os.symlink(os.path.abspath(binary), os.path.join(tools, "passerelle"))
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PASSERELLE_HOME": f"{folder}/.home"}
        # A session of its own: whatever the page starts ends with it.
        self.shell = subprocess.Popen(
            ["bash", "-o", "pipefail"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.count = 0

    def close(self):
        try:
            os.killpg(self.shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.shell.wait()
        self.shell.stdin.close()
        self.shell.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def replaced(self, text):
        for old, new in self.replacements.items():
            text = re.sub(rf"\b{old}\b", new, text)
        return text

    def execute(self, block):
        """Returns what is wrong with the block; None when all is as the page says."""
        text = self.replaced(block.text)
        if block.file:
            with open(os.path.join(self.folder, block.file), "w", encoding="utf-8") as file:
                file.write(text)
            return None
        expected = self.replaced(block.output or "")
        deadline = time.monotonic() + (CALL_SECONDS if text.startswith("curl ") else 0)
        while True:
            problem = self._try(text, expected)
            if problem is None or time.monotonic() >= deadline or self.shell.poll() is not None:
                return problem
            time.sleep(0.1)

    def _try(self, text, expected):
        status, printed = self._run(text)
        if status != 0:
            return f"ended with {status}:\n{printed}"
        line = missing_line(expected, printed)
        return None if line is None else f"expected {line!r} in:\n{printed}"

    def _run(self, text):
        """One block in the shell, all of it or up to the first command that fails."""
        self.count += 1
        script = os.path.join(self.folder, ".tools", f"{self.count}.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write(text)
        mark = f"--- block {self.count} ended with "
        self.shell.stdin.write(f"set -e; . {script} < /dev/null; set +e; printf '\\n{mark}%s\\n' $?\n".encode())
        self.shell.stdin.flush()
        return self._read(mark.encode())

    def _read(self, mark):
        printed, deadline = b"", time.monotonic() + BLOCK_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.shell.stdout, selectors.EVENT_READ)
            while mark not in printed or not printed.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0:
                    return "no end", printed.decode(errors="replace")
                # The shell ends where a command fails; what it started may hold the pipe open.
                if not selector.select(min(left, 0.2)):
                    if self.shell.poll() is not None:
                        return self.shell.returncode, printed.decode(errors="replace")
                    continue
                chunk = os.read(self.shell.stdout.fileno(), 65536)
                if not chunk:
                    return self.shell.wait(), printed.decode(errors="replace")
                printed += chunk
        text, rest = printed.split(b"\n" + mark, 1)
        # The shell may say afterwards that a program it started was killed.
        return int(rest.split(b"\n")[0]), text.decode(errors="replace")
