import math
import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.backoff import (
    backoff,
    recheck_delay,
    rejected_delay,
    requested_delay,
    retry_delay,
    whole_seconds,
)
from tests.support.builders import after

FIRST, LONGEST = timedelta(seconds=1), timedelta(seconds=30)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

fractions = st.floats(0, 1, exclude_max=True)
lifetimes = st.integers(-3600, 24 * 60 * 60).map(lambda seconds: timedelta(seconds=seconds))
failures = st.integers(1, 10_000)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30), (10_000, 30)]
)
def test_backoff_doubles_up_to_the_cap(failures: int, seconds: float) -> None:
    rng = random.Random(1)
    delays = [backoff(failures, first=FIRST, longest=LONGEST, rng=rng) for _ in range(200)]
    assert max(delays) == pytest.approx(timedelta(seconds=seconds), rel=0.02)
    assert min(delays) == pytest.approx(timedelta(seconds=seconds / 2), rel=0.02)


@given(st.integers(0, 10_000), st.integers(0, 2**32))
def test_backoff_is_never_below_half_nor_above_the_cap(failures: int, seed: int) -> None:
    delay = backoff(failures, first=FIRST, longest=LONGEST, rng=random.Random(seed))
    assert FIRST / 2 <= delay <= LONGEST


@pytest.mark.parametrize(
    ("failures", "remaining", "fraction", "delay"),
    [
        pytest.param(1, 20 * MINUTE, 0.0, SECOND, id="at least a second"),
        pytest.param(1, 20 * MINUTE, 0.999, SECOND, id="up to two seconds at first"),
        pytest.param(5, 20 * MINUTE, 0.5, 16 * SECOND, id="doubles"),
        pytest.param(50, 24 * 60 * MINUTE, 0.5, 150 * SECOND, id="up to 5 min"),
        pytest.param(5, 40 * SECOND, 0.999, 10 * SECOND, id="a quarter of the remaining lifetime"),
        pytest.param(5, 3 * SECOND, 0.999, SECOND, id="at least a second near expiry"),
        pytest.param(50, timedelta(), 0.5, 15 * SECOND, id="up to 30 s when expired"),
        pytest.param(50, -60 * MINUTE, 0.5, 15 * SECOND, id="up to 30 s long after expiry"),
        pytest.param(4, timedelta(), 0.5, 8 * SECOND, id="doubles when expired"),
    ],
)
def test_retry_delay_doubles_and_gets_shorter_near_expiry(
    failures: int, remaining: timedelta, fraction: float, delay: timedelta
) -> None:
    assert retry_delay(failures, remaining, fraction) == delay


@pytest.mark.parametrize(
    ("failures", "remaining", "fraction", "delay"),
    [
        pytest.param(1, timedelta(), 0.0, MINUTE, id="at least 1 min"),
        pytest.param(1, timedelta(), 0.5, 90 * SECOND, id="up to 2 min at first"),
        pytest.param(50, timedelta(), 0.0, MINUTE, id="at least 1 min in the end"),
        pytest.param(50, timedelta(), 0.5, 5.5 * MINUTE, id="up to 10 min in the end"),
        pytest.param(50, 24 * 60 * MINUTE, 0.5, 5.5 * MINUTE, id="up to 10 min with a token"),
        pytest.param(50, 2 * MINUTE, 0.5, 30 * SECOND, id="a quarter of the remaining lifetime"),
    ],
)
def test_rejected_delay_is_one_to_ten_minutes(
    failures: int, remaining: timedelta, fraction: float, delay: timedelta
) -> None:
    assert rejected_delay(failures, remaining, fraction) == delay


@pytest.mark.parametrize(
    ("delay_of", "shortest", "longest", "longest_without_token"),
    [
        pytest.param(retry_delay, SECOND, 5 * MINUTE, 30 * SECOND, id="retry"),
        pytest.param(rejected_delay, MINUTE, 10 * MINUTE, 10 * MINUTE, id="rejected"),
    ],
)
@given(failures=failures, remaining=lifetimes, fraction=fractions)
def test_delay_is_bounded_and_in_whole_seconds(
    delay_of: Callable[[int, timedelta, float], timedelta],
    shortest: timedelta,
    longest: timedelta,
    longest_without_token: timedelta,
    failures: int,
    remaining: timedelta,
    fraction: float,
) -> None:
    delay = delay_of(failures, remaining, fraction)
    assert delay == whole_seconds(delay)
    if remaining > timedelta():
        assert SECOND <= delay <= min(longest, max(remaining / 4, SECOND))
    else:
        assert shortest <= delay <= longest_without_token


@given(failures, fractions)
def test_retry_delay_leaves_time_for_many_more_attempts(failures: int, fraction: float) -> None:
    now, expires_at, attempts = after(20), after(30), 0
    while now < expires_at:
        now += retry_delay(failures + attempts, expires_at - now, fraction)
        attempts += 1
    assert attempts >= 10


@given(st.timedeltas(timedelta(), timedelta(minutes=15)), fractions)
def test_requested_delay_is_at_least_what_was_asked(asked: timedelta, fraction: float) -> None:
    delay = requested_delay(asked, fraction)
    in_whole_seconds = SECOND * math.ceil(asked / SECOND)
    assert asked <= delay <= in_whole_seconds + max(asked / 10, SECOND)
    assert delay == whole_seconds(delay)


@pytest.mark.parametrize(
    ("unusable_for", "remaining", "delay"),
    [
        pytest.param(timedelta(), timedelta(), 5 * SECOND, id="at least 5 s"),
        pytest.param(2 * MINUTE, timedelta(), 2 * MINUTE, id="as long again"),
        pytest.param(60 * MINUTE, timedelta(), 5 * MINUTE, id="up to 5 min"),
        pytest.param(2 * MINUTE, MINUTE, 15 * SECOND, id="a quarter of the remaining lifetime"),
        pytest.param(2 * MINUTE, SECOND, 5 * SECOND, id="at least 5 s near expiry"),
    ],
)
def test_recheck_delay_is_as_long_as_the_trouble_has_lasted(
    unusable_for: timedelta, remaining: timedelta, delay: timedelta
) -> None:
    assert recheck_delay(unusable_for, remaining) == delay
