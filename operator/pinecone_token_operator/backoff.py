"""Delays between the attempts of a loop that retries until it succeeds."""

import random
from datetime import timedelta


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
