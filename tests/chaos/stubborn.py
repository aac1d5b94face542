"""Things done to a cluster that may be away: they are tried until they work."""

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


def stubbornly(do: Callable[[], T], done: tuple[int, ...] = ()) -> T | None:
    """Return what it returns once it works; None once it is refused with a status that is as good.

    Raises:
        ChaosError: it did not work in time.
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
        time.sleep(_POLL_SECONDS)


def eventually_true(check: Callable[[], bool], what: str) -> None:
    """Wait until the check is true, over any failure to ask.

    Raises:
        ChaosError: it did not become true in time.
    """
    deadline = time.monotonic() + _SECONDS
    while not stubbornly(check):
        if time.monotonic() > deadline:
            raise ChaosError(f"The harness waited in vain: {what}")
        time.sleep(_POLL_SECONDS)
