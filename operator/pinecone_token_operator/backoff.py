"""Delays between attempts: of loops that retry until they succeed, and of refreshes."""

import random
from datetime import timedelta
from typing import Final

_SECOND: Final = timedelta(seconds=1)
_LONGEST: Final = timedelta(minutes=5)
_LONGEST_WITHOUT_TOKEN: Final = timedelta(seconds=30)
_REJECTED_FIRST: Final = timedelta(minutes=1)
_REJECTED_LONGEST: Final = timedelta(minutes=10)
_RECHECK_FIRST: Final = timedelta(seconds=5)
_DOUBLINGS: Final = 16  # far beyond every cap, and small enough for timedelta


def backoff(
    failures: int, *, first: timedelta, longest: timedelta, rng: random.Random
) -> timedelta:
    """Return how long to wait before the next attempt.

    Exponential, capped, and jittered: uniform between half of `first * 2**failures` and the whole
    of it. Half is fixed, because a watch that is closed at once must not be reopened at once.

    Args:
        failures: how many attempts in a row have failed before this one.
        first: the longest delay after the first failure, that is for `failures` 0.
        longest: the cap.
        rng: draws the jitter.
    """
    # Beyond 2**30 the cap applies to any delay in use, and a float would overflow at 2**1024.
    delay = min(first.total_seconds() * 2.0 ** min(failures, 30), longest.total_seconds())
    return timedelta(seconds=delay * rng.uniform(0.5, 1.0))


def retry_delay(failures: int, remaining: timedelta, fraction: float) -> timedelta:
    """Return how long to wait after that many failed attempts of one resource in a row.

    Full jitter on 2ⁿ seconds up to 5 minutes, and at most a quarter of the token's remaining
    lifetime, so that attempts get denser as expiry nears. Without a valid token applications are
    down, and the cap is 30 seconds.

    Args:
        failures: failed attempts in a row.
        remaining: the token's remaining lifetime; zero or less if there is no valid token.
        fraction: a random number in [0, 1).
    """
    cap = _LONGEST if remaining > timedelta() else _LONGEST_WITHOUT_TOKEN
    ceiling = min(_SECOND * 2.0 ** min(failures, _DOUBLINGS), cap)
    return _within(ceiling * fraction, remaining)


def rejected_delay(failures: int, remaining: timedelta, fraction: float) -> timedelta:
    """Return how long to wait after the credentials were rejected: from 1 to 10 minutes."""
    ceiling = min(_REJECTED_FIRST * 2.0 ** min(failures, _DOUBLINGS), _REJECTED_LONGEST)
    return _within(_REJECTED_FIRST + (ceiling - _REJECTED_FIRST) * fraction, remaining)


def requested_delay(asked: timedelta, fraction: float) -> timedelta:
    """Return the delay that the endpoint requested, plus up to a tenth to spread the callers.

    At least a second: clocks are not exact, and no time at all would be a busy loop.
    """
    whole = max(-(-asked // _SECOND) * _SECOND, _SECOND)
    return whole + whole_seconds(max(asked / 10, _SECOND) * fraction)


def recheck_delay(unusable_for: timedelta, remaining: timedelta) -> timedelta:
    """Return when to read unusable credentials again if no event reports a change.

    As long as they have been unusable already, from 5 seconds to 5 minutes, and at most a quarter
    of the token's remaining lifetime.
    """
    wait = min(unusable_for, _LONGEST)
    if remaining > timedelta():
        wait = min(wait, remaining / 4)
    return max(whole_seconds(wait), _RECHECK_FIRST)


def whole_seconds(duration: timedelta) -> timedelta:
    """Return a duration rounded down to whole seconds."""
    return duration - timedelta(microseconds=duration.microseconds)


def _within(wait: timedelta, remaining: timedelta) -> timedelta:
    if remaining > timedelta():
        wait = min(wait, remaining / 4)
    return max(whole_seconds(wait), _SECOND)
