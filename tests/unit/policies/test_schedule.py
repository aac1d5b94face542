import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.policies import schedule
from tests.support.builders import NOON, after

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

fractions = st.floats(0, 1, exclude_max=True)
lifetimes = st.integers(10, 24 * 60 * 60).map(lambda seconds: timedelta(seconds=seconds))
margins = st.none() | st.integers(1, 24 * 60 * 60).map(lambda seconds: timedelta(seconds=seconds))
lives_left = st.integers(-3600, 24 * 60 * 60).map(lambda seconds: timedelta(seconds=seconds))
failures = st.integers(1, 10_000)


@pytest.mark.parametrize(
    ("lifetime", "refresh_before", "margin"),
    [
        pytest.param(30 * MINUTE, None, 10 * MINUTE, id="a third unless something is asked for"),
        pytest.param(30 * MINUTE, 5 * MINUTE, 5 * MINUTE, id="what is asked for"),
        pytest.param(30 * MINUTE, 15 * MINUTE, 15 * MINUTE, id="a half can be asked for"),
        pytest.param(30 * MINUTE, 16 * MINUTE, 15 * MINUTE, id="more than a half is cut"),
        pytest.param(61 * SECOND, 60 * SECOND, 30 * SECOND, id="a half is rounded down"),
        pytest.param(100 * SECOND, None, 33 * SECOND, id="a third is rounded down"),
        pytest.param(SECOND, None, timedelta(), id="nothing of a life of a second"),
    ],
)
def test_margin(lifetime: timedelta, refresh_before: timedelta | None, margin: timedelta) -> None:
    assert schedule.margin(lifetime, refresh_before) == margin


@pytest.mark.parametrize(
    ("refresh_before", "fraction", "minutes"),
    [
        pytest.param(None, 0.0, 20, id="without jitter at two thirds of the life"),
        pytest.param(None, 0.5, 18.5, id="jitter makes it earlier"),
        pytest.param(5 * MINUTE, 0.0, 25, id="as long before the expiry as asked for"),
        pytest.param(5 * MINUTE, 0.5, 23.5, id="jitter is a tenth of the life in any case"),
        pytest.param(20 * MINUTE, 0.0, 15, id="not before half of the life but for jitter"),
    ],
)
def test_refresh_of_a_token_of_half_an_hour(
    refresh_before: timedelta | None, fraction: float, minutes: float
) -> None:
    planned = schedule.refresh_at(NOON, after(30), refresh_before, fraction)
    assert planned == after(minutes)


@given(lifetimes, margins, fractions)
def test_a_refresh_comes_late_enough_and_before_the_expiry(
    lifetime: timedelta, refresh_before: timedelta | None, fraction: float
) -> None:
    planned = schedule.refresh_at(NOON, NOON + lifetime, refresh_before, fraction)
    assert NOON + 0.4 * lifetime <= planned < NOON + lifetime
    assert planned.microsecond == 0


@given(lifetimes, margins, fractions)
def test_a_plan_lies_in_its_window_of_a_tenth_of_the_life(
    lifetime: timedelta, refresh_before: timedelta | None, fraction: float
) -> None:
    expires_at = NOON + lifetime
    earliest, latest = schedule.refresh_window(NOON, expires_at, refresh_before)
    assert latest == expires_at - schedule.margin(lifetime, refresh_before)
    assert latest - earliest <= lifetime / 10
    assert earliest <= schedule.refresh_at(NOON, expires_at, refresh_before, fraction) <= latest


@given(lifetimes, margins, fractions, fractions)
def test_more_jitter_is_never_later(
    lifetime: timedelta, refresh_before: timedelta | None, one: float, other: float
) -> None:
    less, more = (
        schedule.refresh_at(NOON, NOON + lifetime, refresh_before, fraction)
        for fraction in sorted((one, other))
    )
    assert more <= less


@pytest.mark.parametrize(
    ("failures", "life_left", "fraction", "wait"),
    [
        pytest.param(1, 20 * MINUTE, 0.0, SECOND, id="never less than a second"),
        pytest.param(1, 20 * MINUTE, 0.999, SECOND, id="two seconds at first"),
        pytest.param(5, 20 * MINUTE, 0.5, 16 * SECOND, id="doubling"),
        pytest.param(5, 40 * SECOND, 0.999, 10 * SECOND, id="a quarter of the life left"),
        pytest.param(5, 3 * SECOND, 0.999, SECOND, id="a second though the end is near"),
        pytest.param(50, timedelta(), 0.5, 150 * SECOND, id="five minutes once it is expired"),
        pytest.param(50, -MINUTE, 0.5, 150 * SECOND, id="five minutes long after its expiry"),
    ],
)
def test_back_off(failures: int, life_left: timedelta, fraction: float, wait: timedelta) -> None:
    assert schedule.back_off(failures, life_left, fraction) == wait


@pytest.mark.parametrize(
    ("failures", "life_left", "fraction", "wait"),
    [
        pytest.param(1, timedelta(), 0.0, MINUTE, id="from a minute"),
        pytest.param(1, timedelta(), 0.5, 90 * SECOND, id="to two minutes at first"),
        pytest.param(50, timedelta(), 0.5, 5.5 * MINUTE, id="to ten minutes in the end"),
        pytest.param(50, 2 * MINUTE, 0.5, 30 * SECOND, id="a quarter of the life left"),
    ],
)
def test_back_off_when_rejected(
    failures: int, life_left: timedelta, fraction: float, wait: timedelta
) -> None:
    assert schedule.back_off_rejected(failures, life_left, fraction) == wait


@pytest.mark.parametrize(
    ("back_off", "longest"),
    [
        pytest.param(schedule.back_off, 5 * MINUTE, id="after a failure"),
        pytest.param(schedule.back_off_rejected, 10 * MINUTE, id="after a rejection"),
    ],
)
@given(failures=failures, life_left=lives_left, fraction=fractions)
def test_a_wait_is_bounded_and_whole(
    back_off: object, longest: timedelta, failures: int, life_left: timedelta, fraction: float
) -> None:
    assert callable(back_off)
    wait = back_off(failures, life_left, fraction)
    assert SECOND <= wait <= longest
    assert wait.microseconds == 0
    if life_left > timedelta():
        assert wait <= max(life_left / 4, SECOND)


@given(failures, fractions)
def test_a_wait_leaves_time_for_many_more_attempts(failures: int, fraction: float) -> None:
    now, expires_at, attempts = after(20), after(30), 0
    while now < expires_at:
        now += schedule.back_off(failures + attempts, expires_at - now, fraction)
        attempts += 1
    assert attempts >= 10


@given(st.timedeltas(timedelta(), timedelta(minutes=15)), fractions)
def test_the_endpoint_waits_at_least_as_long_as_it_asked(asked: timedelta, fraction: float) -> None:
    wait = schedule.back_off_throttled(asked, fraction)
    in_whole_seconds = SECOND * math.ceil(asked / SECOND)
    assert asked <= wait <= in_whole_seconds + max(asked / 10, SECOND)
    assert wait.microseconds == 0
