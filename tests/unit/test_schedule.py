from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator import schedule

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)

lifetimes = st.integers(1, 400_000).map(lambda seconds: timedelta(seconds=seconds))
wishes = st.none() | st.integers(1, 86_400).map(lambda seconds: timedelta(seconds=seconds))
fractions = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("lifetime", "refresh_before", "expected"),
    [
        pytest.param(1800, None, 600, id="a third of the life by default"),
        pytest.param(1800, 300, 300, id="what was asked for"),
        pytest.param(1800, 1200, 900, id="never more than half of the life"),
        pytest.param(100, None, 33, id="whole seconds"),
        pytest.param(1, None, 0, id="nothing of a life of one second"),
    ],
)
def test_the_margin_is(lifetime: int, refresh_before: int | None, expected: int) -> None:
    wish = None if refresh_before is None else timedelta(seconds=refresh_before)
    assert schedule.margin(timedelta(seconds=lifetime), wish) == timedelta(seconds=expected)


@given(lifetimes, wishes, fractions)
def test_a_plan_lies_in_its_window_after_two_fifths_of_the_life_and_never_after_the_expiry(
    lifetime: timedelta, wish: timedelta | None, fraction: float
) -> None:
    expires_at = NOW + lifetime
    planned = schedule.refresh_at(NOW, expires_at, wish, fraction)
    earliest, latest = schedule.refresh_window(NOW, expires_at, wish)
    assert earliest <= planned <= latest <= expires_at
    assert planned >= NOW + lifetime * 0.4
    assert planned >= NOW + SECOND
    assert planned.microsecond == 0


@given(st.integers(1, 10_000), st.integers(-100, 100_000), fractions)
def test_a_back_off_is_a_whole_second_at_least_and_a_quarter_of_the_life_left_at_most(
    failures: int, left: int, fraction: float
) -> None:
    life_left = timedelta(seconds=left)
    for back_off in (schedule.back_off, schedule.back_off_rejected):
        wait = back_off(failures, life_left, fraction)
        assert wait >= SECOND
        assert wait.microseconds == 0
        if left > 4:
            assert wait <= life_left / 4
        assert wait <= timedelta(minutes=10)


@pytest.mark.parametrize(
    ("failures", "fraction", "expected"),
    [
        pytest.param(1, 0.99, 1, id="a second after the first"),
        pytest.param(3, 0.999, 7, id="up to 8 s after the third"),
        pytest.param(3, 0.5, 4, id="half of that in the middle"),
        pytest.param(9, 0.999, 299, id="up to 5 min after the ninth"),
        pytest.param(1000, 0.999, 299, id="and not more after the thousandth"),
    ],
)
def test_a_back_off_grows(failures: int, fraction: float, expected: int) -> None:
    wait = schedule.back_off(failures, timedelta(), fraction)
    assert wait == timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("failures", "fraction", "expected"),
    [
        pytest.param(1, 0.0, 60, id="a minute at the least"),
        pytest.param(1, 0.5, 90, id="up to 2 min after the first"),
        pytest.param(50, 0.9999, 599, id="up to 10 min at last"),
    ],
)
def test_rejected_credentials_wait(failures: int, fraction: float, expected: int) -> None:
    wait = schedule.back_off_rejected(failures, timedelta(), fraction)
    assert wait == timedelta(seconds=expected)


@given(st.integers(1, 900), fractions)
def test_a_throttled_client_never_comes_back_too_early(seconds: int, fraction: float) -> None:
    asked = timedelta(seconds=seconds)
    assert asked <= schedule.back_off_throttled(asked, fraction) <= asked * 1.1 + SECOND
