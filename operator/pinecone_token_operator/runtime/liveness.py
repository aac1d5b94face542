"""Liveness: whether the process makes progress, not only whether it answers."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol

# Each watch handles its own silence sooner than this: one that has not is stuck.
STALE_AFTER: Final = timedelta(seconds=240)


class Watch(Protocol):
    """A watch, which handles its own failures."""

    @property
    def last_progress(self) -> float:
        """When the API server last sent something, or an error was handled."""
        ...


class Liveness:
    """Reasons for a kubelet to restart the process; an API server outage is not one.

    Args:
        watches: the watches; each should receive something regularly.
        queue_problems: returns why the work queue makes no progress; empty if it does.
        monotonic: the clock of the watches.
    """

    def __init__(
        self,
        watches: Sequence[Watch],
        queue_problems: Callable[[], list[str]],
        monotonic: Callable[[], float],
    ) -> None:
        self._watches = watches
        self._queue_problems = queue_problems
        self._monotonic = monotonic

    def problems(self) -> list[str]:
        """Return what makes no progress; empty if the process is alive."""
        oldest = self._monotonic() - STALE_AFTER.total_seconds()
        stale = sum(watch.last_progress < oldest for watch in self._watches)
        silent = [f"{stale} of {len(self._watches)} watches are silent"] if stale else []
        return self._queue_problems() + silent
