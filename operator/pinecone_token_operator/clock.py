"""The one clock that tokens' times are told by: the API server's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

# How fast it gives in when the API server's clock goes slower: half a second in a thousand.
_SLEW: Final = 0.0005


class Clock:
    """The API server's time, counted on by a clock that nobody sets.

    What is written into a Secret is read by other replicas and by the next process, on machines
    whose clocks may differ; the API server's is the one that all of them share. Whoever sets this
    machine's clock changes nothing. It never goes back, and never jumps back: a token would look
    younger than it is.

    Args:
        monotonic: seconds of a clock that never goes back.
        wall: what to go by until the API server has told the time; aware.
    """

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], datetime]) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._offset: float | None = None
        self._heard_at = self._latest = 0.0
        self._date = ""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        if self._offset is None:
            return self._wall()
        # What the clock gives in at once, after a while without a reply, must not be seen.
        self._latest = max(self._latest, self._offset + self._monotonic())
        return datetime.fromtimestamp(self._latest, UTC)

    def skew(self) -> timedelta:
        """Return how much later it is than by this machine's clock."""
        return self.now() - self._wall()

    def heard(self, date: str) -> None:
        """Take the `Date` header of a reply that has just come in; one that is no date is ignored.

        It has whole seconds and has been on the way, so the time is never earlier than it says.
        """
        if date == self._date:
            return
        self._date = date
        now = self._monotonic()
        try:
            offset = parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        if self._offset is not None:
            offset = max(offset, self._offset - _SLEW * (now - self._heard_at))
        self._offset, self._heard_at = offset, now
