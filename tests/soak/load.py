"""Keeps the machine busy, so that tests meet the delays of a slow one."""

import os
import subprocess
import sys
import threading
from statistics import fmean
from types import TracebackType
from typing import Final, Self

from tests.support.cluster import DIE_WITH_PARENT

# The load average of a minute shows what a new loop adds no sooner.
_CHECK_SECONDS: Final = 60.0
_MOST_PER_CORE: Final = 8
_LOOP: Final = (sys.executable, "-I", "-S", "-c", "while True: pass")


class Load:
    """Busy loops: two for each core at first, and more while the load is too low.

    Args:
        target: the load that they keep up: how many processes run or wait for a processor.
        check_seconds: time between two readings of the load.

    Attributes:
        seen: the load of the last minute, at each reading.
    """

    def __init__(self, target: float, check_seconds: float = _CHECK_SECONDS) -> None:
        self._target = target
        self._check_seconds = check_seconds
        self._cores = os.cpu_count() or 1
        self._loops: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._keep_up, name="load", daemon=True)
        self.seen: list[float] = []

    def __enter__(self) -> Self:
        for _ in range(2 * self._cores):
            self._add()
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._watch.join()
        for loop in self._loops:
            loop.kill()
            loop.wait()

    @property
    def processes(self) -> list[int]:
        """The process ids of the busy loops."""
        return [loop.pid for loop in self._loops]

    def take(self) -> tuple[float, float]:
        """Return the lowest and the mean load since the last call."""
        seen, self.seen = self.seen or [os.getloadavg()[0]], []
        return min(seen), fmean(seen)

    def _keep_up(self) -> None:
        while not self._ended.wait(self._check_seconds):
            load = os.getloadavg()[0]
            self.seen.append(load)
            if load < self._target and len(self._loops) < _MOST_PER_CORE * self._cores:
                self._add()

    def _add(self) -> None:
        command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, *_LOOP]
        self._loops.append(subprocess.Popen(command, start_new_session=True))
