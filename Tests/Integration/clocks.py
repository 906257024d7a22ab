"""A wall clock that processes see moved, and that can be set while they run."""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class ShiftedClock:
    """One clock; `environment` is for those that go by it. Others in the same place share the library."""

    def __init__(self, place, name="shift"):
        library = f"{place}/shifted_clock.so"
        if not os.path.exists(library):
            compiler = shutil.which("cc") or shutil.which("clang")
            subprocess.run(
                [compiler, "-O1", "-shared", "-fPIC", "-o", library, f"{HERE}/shifted_clock.c", "-ldl"], check=True)
        self._path = f"{place}/{name}.clock"
        self.set(0)
        self.environment = {"LD_PRELOAD": library, "SHIFT_FILE": self._path}

    def set(self, seconds):
        """In place, as the processes have the file open."""
        with open(self._path, "r+" if os.path.exists(self._path) else "w", encoding="ascii") as file:
            file.write(f"{seconds}".ljust(24))
        # For processes that give up root's rights, too.
        os.chmod(self._path, 0o644)
