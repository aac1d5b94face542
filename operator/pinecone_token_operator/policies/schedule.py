"""When to refresh a token: pure functions in whole seconds."""

from datetime import datetime, timedelta
from typing import Final

_SECOND: Final = timedelta(seconds=1)


def margin(lifetime: timedelta, refresh_before: timedelta | None) -> timedelta:
    """Return how long before its expiry a token is refreshed, before jitter.

    A third of the lifetime by default, because a kubelet takes up to a minute and a half to bring
    a changed Secret into a file, and the rest must hold all retries. Never more than half.
    """
    wanted = lifetime / 3 if refresh_before is None else refresh_before
    return _whole_seconds(min(wanted, lifetime / 2))


def refresh_window(
    refreshed_at: datetime, expires_at: datetime, refresh_before: timedelta | None
) -> tuple[datetime, datetime]:
    """Return the earliest and the latest time that `refresh_at` may return."""
    lifetime = expires_at - refreshed_at
    latest = expires_at - margin(lifetime, refresh_before)
    return latest - _whole_seconds(lifetime / 10), latest


def refresh_at(
    refreshed_at: datetime,
    expires_at: datetime,
    refresh_before: timedelta | None,
    fraction: float,
) -> datetime:
    """Return when to refresh, with jitter of a tenth of the lifetime so that tokens drift apart.

    Args:
        refreshed_at: when the token was requested.
        expires_at: when it expires.
        refresh_before: the requested margin; None means the default.
        fraction: a random number in [0, 1).
    """
    earliest, latest = refresh_window(refreshed_at, expires_at, refresh_before)
    return latest - _whole_seconds((latest - earliest) * fraction)


def _whole_seconds(duration: timedelta) -> timedelta:
    return duration // _SECOND * _SECOND
