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


@pytest.mark.parametrize(
    ("lifetime", "refresh_before", "margin"),
    [
        pytest.param(30 * MINUTE, None, 10 * MINUTE, id="a third by default"),
        pytest.param(30 * MINUTE, 5 * MINUTE, 5 * MINUTE, id="as asked for"),
        pytest.param(30 * MINUTE, 15 * MINUTE, 15 * MINUTE, id="up to a half"),
        pytest.param(30 * MINUTE, 16 * MINUTE, 15 * MINUTE, id="more than a half is capped"),
        pytest.param(61 * SECOND, 60 * SECOND, 30 * SECOND, id="a half is rounded down"),
        pytest.param(100 * SECOND, None, 33 * SECOND, id="a third is rounded down"),
        pytest.param(SECOND, None, timedelta(), id="none of a second"),
    ],
)
def test_margin_is_at_most_half_of_the_lifetime(
    lifetime: timedelta, refresh_before: timedelta | None, margin: timedelta
) -> None:
    assert schedule.margin(lifetime, refresh_before) == margin


@pytest.mark.parametrize(
    ("refresh_before", "fraction", "minutes"),
    [
        pytest.param(None, 0.0, 20, id="two thirds without jitter"),
        pytest.param(None, 0.5, 18.5, id="earlier with jitter"),
        pytest.param(5 * MINUTE, 0.0, 25, id="margin as asked for"),
        pytest.param(5 * MINUTE, 0.5, 23.5, id="jitter of a tenth of the lifetime"),
        pytest.param(20 * MINUTE, 0.0, 15, id="half of the lifetime at the earliest"),
    ],
)
def test_half_hour_token_is_refreshed_after_two_thirds(
    refresh_before: timedelta | None, fraction: float, minutes: float
) -> None:
    scheduled = schedule.refresh_at(NOON, after(30), refresh_before, fraction)
    assert scheduled == after(minutes)


@given(lifetimes, margins, fractions)
def test_refresh_is_in_the_later_part_and_before_expiry(
    lifetime: timedelta, refresh_before: timedelta | None, fraction: float
) -> None:
    scheduled = schedule.refresh_at(NOON, NOON + lifetime, refresh_before, fraction)
    assert NOON + 0.4 * lifetime <= scheduled < NOON + lifetime
    assert scheduled.microsecond == 0


@given(lifetimes, margins, fractions)
def test_refresh_is_within_its_window_of_a_tenth(
    lifetime: timedelta, refresh_before: timedelta | None, fraction: float
) -> None:
    expires_at = NOON + lifetime
    earliest, latest = schedule.refresh_window(NOON, expires_at, refresh_before)
    assert latest == expires_at - schedule.margin(lifetime, refresh_before)
    assert latest - earliest <= lifetime / 10
    assert earliest <= schedule.refresh_at(NOON, expires_at, refresh_before, fraction) <= latest


@given(lifetimes, margins, fractions, fractions)
def test_refresh_is_never_later_when_jitter_is_more(
    lifetime: timedelta, refresh_before: timedelta | None, one: float, other: float
) -> None:
    less, more = (
        schedule.refresh_at(NOON, NOON + lifetime, refresh_before, fraction)
        for fraction in sorted((one, other))
    )
    assert more <= less
