"""When to refresh a token and when to try again: pure functions in whole seconds.

A `fraction` is a random number in [0, 1), drawn by the caller.
"""

from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)
_LONGEST_BACK_OFF = timedelta(minutes=5)
_REJECTED_FIRST = timedelta(minutes=1)
_REJECTED_LONGEST = timedelta(minutes=10)
_SOON = timedelta(seconds=5)
_DOUBLINGS = 16  # far beyond both limits, and small enough for timedelta


def margin(lifetime: timedelta, refresh_before: timedelta | None) -> timedelta:
    """Return how long before its expiry a token is refreshed, before jitter.

    A third of the lifetime by default, because a kubelet takes up to a minute and a half to bring
    a changed Secret into a file, and the rest must hold all retries. Never more than half.
    """
    wanted = lifetime / 3 if refresh_before is None else refresh_before
    return _whole(min(wanted, lifetime / 2))


def refresh_window(
    refreshed_at: datetime, expires_at: datetime, refresh_before: timedelta | None
) -> tuple[datetime, datetime]:
    """Return the earliest and the latest moment that `refresh_at` may give."""
    lifetime = expires_at - refreshed_at
    latest = expires_at - margin(lifetime, refresh_before)
    return latest - _whole(lifetime / 10), latest


def refresh_at(
    refreshed_at: datetime,
    expires_at: datetime,
    refresh_before: timedelta | None,
    fraction: float,
) -> datetime:
    """Return when to refresh, spread over a tenth of the lifetime so that tokens drift apart."""
    earliest, latest = refresh_window(refreshed_at, expires_at, refresh_before)
    return latest - _whole((latest - earliest) * fraction)


def back_off(failures: int, life_left: timedelta, fraction: float) -> timedelta:
    """Return how long to wait after that many failures in a row.

    Full jitter on 2ⁿ seconds up to 5 minutes, but never more than a quarter of the life that is
    left, so that attempts get denser as expiry nears. No life left means no such limit.
    """
    ceiling = min(_SECOND * 2.0 ** min(failures, _DOUBLINGS), _LONGEST_BACK_OFF)
    return _within_life(ceiling * fraction, life_left)


def back_off_rejected(failures: int, life_left: timedelta, fraction: float) -> timedelta:
    """Return how long to wait after the credentials were rejected: from 1 to 10 minutes."""
    ceiling = min(_REJECTED_FIRST * 2.0 ** min(failures, _DOUBLINGS), _REJECTED_LONGEST)
    return _within_life(_REJECTED_FIRST + (ceiling - _REJECTED_FIRST) * fraction, life_left)


def back_off_throttled(asked: timedelta, fraction: float) -> timedelta:
    """Return the wait that the endpoint asked for, and up to a tenth more to spread the return."""
    wait = -(-asked // _SECOND) * _SECOND
    return wait + _whole(max(asked / 10, _SECOND) * fraction)


def look_again(unusable_for: timedelta, life_left: timedelta) -> timedelta:
    """Return how long to believe that credentials are unusable, should no event tell otherwise.

    As long as they have been so already, from 5 seconds to 5 minutes, and never more than a quarter
    of the life that is left. No life left means no such limit.
    """
    wait = min(unusable_for, _LONGEST_BACK_OFF)
    if life_left > timedelta():
        wait = min(wait, life_left / 4)
    return max(_whole(wait), _SOON)


def _within_life(wait: timedelta, life_left: timedelta) -> timedelta:
    if life_left > timedelta():
        wait = min(wait, life_left / 4)
    return max(_whole(wait), _SECOND)


def _whole(duration: timedelta) -> timedelta:
    return duration - timedelta(microseconds=duration.microseconds)
