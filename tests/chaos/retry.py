"""Actions on a cluster that may be down: they are retried until they succeed."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from tests.support.api import KubeError
from tests.support.program import ProgramError

T = TypeVar("T")

_TIMEOUT_SECONDS = 90.0
_POLL_SECONDS = 0.2


class ChaosError(ProgramError):
    """The run cannot go on; the message is one line for the reader."""


class Interrupted(Exception):  # noqa: N818 - not an error: somebody pressed Ctrl-C
    """The run was interrupted while an action was retried."""


class Retrier:
    """Retries actions until they succeed or the run is interrupted.

    Args:
        stop: set when the run is interrupted.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def until_done(self, do: Callable[[], T], accept: tuple[int, ...] = ()) -> T | None:
        """Return what the action returns; None if it fails with a status that is accepted.

        Raises:
            ChaosError: it did not succeed in time.
            Interrupted: the run was interrupted.
        """
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            try:
                return do()
            except (KubeError, httpx.HTTPError) as error:
                if isinstance(error, KubeError) and error.status in accept:
                    return None
                if time.monotonic() > deadline:
                    raise ChaosError(f"The harness could not inject a fault: {error!r}") from None
            self._pause()

    def until_true(self, check: Callable[[], bool], what: str) -> None:
        """Return once the check is true; failures of the check itself are retried too.

        Raises:
            ChaosError: it did not become true in time.
            Interrupted: the run was interrupted.
        """
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not self.until_done(check):
            if time.monotonic() > deadline:
                raise ChaosError(f"The harness timed out waiting until {what}.")
            self._pause()

    def _pause(self) -> None:
        if self._stop.wait(_POLL_SECONDS):
            raise Interrupted
