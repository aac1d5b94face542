"""The clock for all times of tokens: the API server's time."""

import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

# How fast a small lead over the API server's clock is given up: 0.5 ms per second.
_SLEW: Final = 0.0005
# What a `Date` header may differ by for no other reason than whole seconds and a slow reply.
_TOLERANCE: Final = 2.0
# A difference of more than this is a step, which takes a majority of the latest replies; what is
# less is given up by slewing.
_STEP: Final = 10.0
# The replies that count: the latest nine of two minutes, and at least three.
_REPLIES: Final = 9
_LEAST_REPLIES: Final = 3
_MAX_AGE: Final = 120.0
# A difference from this machine's clock that is worth a warning, and a change of it that is.
_WORTH_A_WARNING: Final = 5.0

logger = logging.getLogger(__name__)


class Clock:
    """The API server's time, advanced by a clock that nobody sets.

    What is written into a Secret is read by other replicas and by the next process, on machines
    whose clocks may differ; the API server's is the one that all of them share. Setting this
    machine's clock changes nothing.

    One reply does not move the clock: one of several API servers, or a load balancer before them,
    may have a wrong clock. A step forward or back takes a majority of the latest replies. Apart
    from such a step the clock never goes back, because a token would look younger than it is.

    Args:
        monotonic: seconds of a clock that never goes back, and that counts while the machine is
            suspended.
        wall: the time to use until the first reply; aware.
    """

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], datetime]) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._offset: float | None = None  # the API server's time minus `monotonic`
        self._updated_at = 0.0
        self._latest = float("-inf")
        self._date = ""
        # When a reply came, and the offset that it stands for.
        self._replies: deque[tuple[float, float]] = deque(maxlen=_REPLIES)
        self._warned_of = 0.0

    def now(self) -> datetime:
        """Return the time, in UTC."""
        if self._offset is None:
            return self._wall()
        # Slewing is applied at a reply; after a while without any it would show as going back.
        self._latest = max(self._latest, self._offset + self._monotonic())
        return datetime.fromtimestamp(self._latest, UTC)

    def skew(self) -> timedelta:
        """Return how far the API server's clock is ahead of this machine's."""
        return self.now() - self._wall()

    def observe(self, date: str) -> None:
        """Take the `Date` header of a reply that has just come in; an invalid one is ignored.

        The header has whole seconds and the reply took a while, so the time is not earlier than it
        says.
        """
        if date == self._date:
            return
        self._date = date
        now = self._monotonic()
        try:
            offset = parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        self._replies.append((now, offset))
        self._update(now)
        self._warn()

    def _update(self, now: float) -> None:
        if self._offset is None:
            self._offset, self._updated_at = self._replies[-1][1], now
            return
        recent = [
            offset
            for place, (at, offset) in enumerate(reversed(self._replies))
            if place < _LEAST_REPLIES or now - at <= _MAX_AGE
        ]
        agreed = _agreed(recent, self._offset)
        if abs(agreed - self._offset) > _STEP:
            self._offset = agreed
            self._latest = float("-inf")
        else:
            slewed = self._offset - _SLEW * (now - self._updated_at)
            self._offset = max(agreed, slewed)
        self._updated_at = now

    def _warn(self) -> None:
        skew = self.skew().total_seconds()
        if abs(skew - self._warned_of) <= _WORTH_A_WARNING:
            return
        if abs(skew) > _WORTH_A_WARNING:
            logger.warning(
                "The API server's clock is %+d s off this machine's; token times follow the API"
                " server's clock",
                skew,
            )
        else:
            logger.info("The API server's clock agrees with this machine's again")
        self._warned_of = skew


def _agreed(offsets: list[float], current: float) -> float:
    """Return the offset that most replies stand for; the current one if there is no majority."""
    for candidate in sorted(offsets, reverse=True):
        support = sum(abs(offset - candidate) <= _TOLERANCE for offset in offsets)
        if 2 * support > len(offsets):
            # Of those that agree the latest is nearest to the truth.
            return candidate
    return current
