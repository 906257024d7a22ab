"""The process under test: started, listened to, killed; and a report of what it left behind."""

import os
import signal
import subprocess
import threading

REPORT_SECONDS = 120
START_SECONDS = 60


class Victim:
    """One running writer. Its lines go to `take` as they come; `ready` is set by the line `ready`."""

    def __init__(self, command, take, environment=None):
        self.ready = threading.Event()
        self.acks = 0
        self._take = take
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **(environment or {})})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            # The last line of a killed process may be cut; only whole ones were written by one call.
            if line.endswith(b"\n"):
                text = line.decode().rstrip("\n")
                self._take(text)
                if text == "ready":
                    self.ready.set()
                elif text.startswith("ack "):
                    self.acks += 1
        self.ready.set()

    def kill(self):
        """SIGKILL; returns when all it had said has been taken."""
        self.process.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self):
        self.process.wait(REPORT_SECONDS)
        self._reader.join(REPORT_SECONDS)

    def wait_until_ready(self):
        if not self.ready.wait(START_SECONDS):
            self.kill()
            raise RuntimeError("the writer did not start")


def write_command(binary, folder, callers, stop_after=None):
    command = [binary, "write", "--data", folder, "--callers", str(callers)]
    return command + (["--stop-after", str(stop_after)] if stop_after else [])


def report_lines(binary, folder):
    """Opens the folder again and returns what it holds, line by line."""
    done = subprocess.run(
        [binary, "report", "--data", folder], stdout=subprocess.PIPE, timeout=REPORT_SECONDS, check=False)
    lines = done.stdout.decode().splitlines()
    if done.returncode != 0:
        lines.append(f"wrong the report ended with status {done.returncode}")
    return [line for line in lines if line]
