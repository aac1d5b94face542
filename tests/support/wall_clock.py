"""A wall clock that tests can set for one process while it runs.

libfaketime can do that too, but it intercepts each of Python's waits for its own lock: an idle
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
    """Return whether a wall clock can be set on this machine."""
    return shutil.which("cc") is not None


class WallClock:
    """Lets a process's wall clock be set, but not its monotonic clock.

    Args:
        directory: for its files.
        ahead: the initial setting; see `set`.

    Attributes:
        environ: variables to start the process with.
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
        """Set the clock ahead of real time; a negative value sets it behind."""
        seconds = struct.pack("=q", round(ahead.total_seconds()))
        # In place, because the process has the file mapped.
        with self._file.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), seconds, 0)
