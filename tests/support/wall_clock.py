"""A wall clock that tests can set, for one process and while it runs.

libfaketime does that too, but it takes part in each of Python's waits for its own lock: an idle
program with two threads used forty times the processor time.
"""

import os
import shutil
import struct
import subprocess
from datetime import timedelta
from pathlib import Path

MISSING = "there is no C compiler (cc) to build the settable clock"

_SOURCE = Path(__file__).with_name("wall_clock.c")


def can_be_set() -> bool:
    """Return whether there is what it takes."""
    return shutil.which("cc") is not None


class WallClock:
    """What to start a process with, so that its wall clock can be set; not its monotonic one.

    Args:
        directory: for its files.
        ahead: as of `set`, from the start.
    """

    def __init__(self, directory: Path, ahead: timedelta = timedelta()) -> None:
        library = directory / "wall_clock.so"
        command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library)]
        subprocess.run([*command, str(_SOURCE), "-ldl"], check=True, capture_output=True)
        self._file = directory / "wall-clock"
        self._file.write_bytes(bytes(8))
        self.environ = {"LD_PRELOAD": str(library), "WALL_CLOCK_STEP": str(self._file)}
        self.set(ahead)

    def set(self, ahead: timedelta) -> None:
        """Set the clock this far ahead of the real time; a negative step sets it back."""
        seconds = struct.pack("=q", round(ahead.total_seconds()))
        # In place: the process has the file mapped.
        with self._file.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), seconds, 0)
