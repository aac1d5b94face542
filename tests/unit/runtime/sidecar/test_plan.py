"""When the sidecar requests a token: one table, and what holds for any input."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.schedule import refresh_window
from pinecone_token_operator.runtime.sidecar.plan import AT_ONCE, Failures, Given, next_request
from pinecone_token_operator.targets.stored_token import TokenTimes
from tests.support.builders import NOON, after

FRESH = TokenTimes(NOON, after(30), after(19), "ours")


@pytest.mark.parametrize(
    ("given", "now", "at", "why"),
    [
        pytest.param(Given(None, "ours"), NOON, AT_ONCE, "there is no token yet", id="first"),
        pytest.param(Given(FRESH, "ours"), NOON, after(19), "the refresh is due", id="fresh"),
        pytest.param(Given(FRESH, "ours"), after(19), after(19), "the refresh is due", id="due"),
        pytest.param(
            Given(FRESH, "new"), after(1), AT_ONCE, "the credentials changed", id="rotated"
        ),
        pytest.param(
            Given(FRESH, "ours"), after(31), AT_ONCE, "the token has expired", id="expired"
        ),
        pytest.param(
            Given(FRESH, "ours"), after(-2), AT_ONCE, "the token's issue time is in the future",
            id="clock was ahead",
        ),
        pytest.param(
            Given(FRESH, "ours", refresh_before=timedelta(hours=1)), NOON, after(15),
            "the refresh is due", id="a margin of more than half",
        ),
        pytest.param(
            Given(replace(FRESH, refresh_at=after(-60)), "ours"), NOON, after(17),
            "the refresh is due", id="a refresh time that no schedule makes",
        ),
        pytest.param(
            Given(None, "ours", failures=Failures(1, after(1), "ours")), NOON, after(1),
            "there is no token yet", id="waiting after a failure",
        ),
        pytest.param(
            Given(None, "new", failures=Failures(1, after(1), "ours")), NOON, AT_ONCE,
            "there is no token yet", id="corrected credentials do not wait",
        ),
        pytest.param(
            Given(FRESH, "new", damping=Damping(9, NOON)), NOON, after(seconds=32),
            "the credentials changed", id="credentials that keep changing",
        ),
    ],
)  # fmt: skip
def test_next_request_is(given: Given, now: datetime, at: datetime, why: str) -> None:
    request = next_request(given, now)
    assert (request.at, request.why) == (at, why)


@given(
    lifetime=st.integers(1, 86_400),
    age=st.integers(-100, 90_000),
    refresh=st.integers(-100_000, 100_000),
    changed=st.booleans(),
    failed=st.none() | st.integers(0, 600),
    damped=st.integers(0, 30),
)
def test_request_is_never_later_than_schedule_and_backoff_allow(
    lifetime: int, age: int, refresh: int, changed: bool, failed: int | None, damped: int
) -> None:
    now = NOON + timedelta(seconds=age)
    times = TokenTimes(
        NOON, NOON + timedelta(seconds=lifetime), NOON + timedelta(seconds=refresh), "ours"
    )
    credentials = "new" if changed else "ours"
    failures = Failures()
    if failed is not None:
        failures = Failures(1, now + timedelta(seconds=failed), credentials)
    request = next_request(
        Given(times, credentials, failures=failures, damping=Damping(damped, now)), now
    )
    _, latest = refresh_window(times.refreshed_at, times.expires_at, None)

    assert request.at <= max(latest, failures.retry_at)
    if request.scheduled:
        assert request.at >= NOON
