"""A wall clock that tests step, for one process and while it runs.

libfaketime does that too, but it intercepts Python's waits for its own lock as well, with which an
idle asyncio program used forty times the processor time.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("stepped_clock.c")


def has_compiler() -> bool:
    """Return whether a C compiler is here."""
    return shutil.which("cc") is not None


def build_library(directory: Path) -> Path | None:
    """Return the library to preload; None where there is no C compiler for it."""
    if not has_compiler():
        return None
    library = directory / "stepped_clock.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*command, str(_SOURCE), "-ldl"], check=True, capture_output=True)
    return library


class SteppedClock:
    """The clock of a process that is started with `environ`.

    Args:
        library: of `build_library`; None leaves the clock as it is.
        file: where the step is kept, for restarts too.
    """

    def __init__(self, library: Path | None, file: Path) -> None:
        self._file = file
        file.write_bytes(bytes(8))
        self.environ: dict[str, str] = {}
        if library is not None:
            self.environ = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(file)}

    def step(self, seconds: int) -> None:
        """Set how far the process's wall clock is ahead of the machine's."""
        # In place: the process has the file mapped.
        with self._file.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), struct.pack("=q", seconds), 0)
