"""What the disk takes to sync while something else is measured: it is in every durable change."""

import os
import statistics
import threading
import time


class DiskWatch(threading.Thread):
    """Syncs a file of its own now and then, other users of the disk included."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.path, self.took, self.ended = os.path.join(folder, "watch"), [], threading.Event()

    def run(self):
        file = os.open(self.path, os.O_RDWR | os.O_CREAT)
        while not self.ended.wait(0.05):
            os.pwrite(file, b"x" * 16384, 0)
            began = time.monotonic()
            os.fdatasync(file)
            self.took.append((time.monotonic() - began) * 1000)
        os.close(file)

    def end(self):
        """Median, the hundredth that takes longest, and the longest."""
        self.ended.set()
        self.join()
        took = sorted(self.took)
        return f"{statistics.median(took):.1f}, {took[min(len(took) - 1, len(took) * 99 // 100)]:.1f}, {took[-1]:.0f} ms"
