"""Things done to a cluster that may be away: they are tried until they work."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from tests.support.api import KubeError

T = TypeVar("T")

_SECONDS = 90.0
_POLL_SECONDS = 0.2


class ChaosError(Exception):
    """The run cannot go on; the message is one line for the reader."""


class BrokenOff(Exception):  # noqa: N818 - no error: somebody pressed Ctrl-C
    """The run was broken off while something was tried."""


class Stubborn:
    """Tries until it works, or until the run is broken off.

    Args:
        stop: set when the run is broken off.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def insist(self, do: Callable[[], T], done: tuple[int, ...] = ()) -> T | None:
        """Return what it returns; None once it is refused with a status that is as good.

        Raises:
            ChaosError: it did not work in time.
            BrokenOff: the run was broken off.
        """
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                return do()
            except (KubeError, httpx.HTTPError) as error:
                if isinstance(error, KubeError) and error.status in done:
                    return None
                if time.monotonic() > deadline:
                    raise ChaosError(f"The harness could not do its part: {error!r}") from None
            self._pause()

    def wait_until(self, check: Callable[[], bool], what: str) -> None:
        """Return once the check is true, over any failure to ask.

        Raises:
            ChaosError: it did not become true in time.
            BrokenOff: the run was broken off.
        """
        deadline = time.monotonic() + _SECONDS
        while not self.insist(check):
            if time.monotonic() > deadline:
                raise ChaosError(f"The harness waited in vain: {what}")
            self._pause()

    def _pause(self) -> None:
        if self._stop.wait(_POLL_SECONDS):
            raise BrokenOff
