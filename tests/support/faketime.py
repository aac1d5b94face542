"""A wall clock that tests can set, for one process: libfaketime's.

https://github.com/wolfcw/libfaketime
"""

from datetime import timedelta
from pathlib import Path

# Where Debian and Fedora put it.
_PLACES = ("lib/*/faketime/libfaketimeMT.so.1", "lib*/faketime/libfaketimeMT.so.1")

LIBRARY = next((str(found) for place in _PLACES for found in Path("/usr").glob(place)), None)
MISSING = "libfaketime is not installed (Debian: apt-get install faketime)"


class WallClock:
    """What to start a process with, so that its wall clock can be set; not its monotonic one."""

    def __init__(self, directory: Path, ahead: timedelta = timedelta()) -> None:
        if LIBRARY is None:
            raise RuntimeError(MISSING)
        self._file = directory / "wall-clock"
        self.set(ahead)
        self.environ = {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: timedelta) -> None:
        """Set the clock this far ahead of the real time; a negative step sets it back."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead.total_seconds():+.0f}s", "utf-8")
        new.replace(self._file)  # never read half-written
