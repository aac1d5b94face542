from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import UNKNOWN_BASIS, Attempts, TokenInput
from pinecone_token_operator.policies.token_chain import plan_token
from pinecone_token_operator.targets.stored_token import StoredToken
from tests.support.builders import (
    NOON,
    after,
    make_resource,
    make_token,
    make_token_input,
    make_wanted,
)
from tests.support.documented import REFRESH_REQUESTED_AT

UNAVAILABLE = Problem(Reason.UNAVAILABLE, "the token endpoint answered 503")
NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "Secret shop/account does not exist")
SUSPENDED = make_resource(suspend=True)


def requesting(value: str) -> PineconeAccessToken:
    """Return a resource whose annotation requests a refresh."""
    return make_resource({"annotations": {REFRESH_REQUESTED_AT: value}})


def wanting(value: str, **changes: Any) -> TokenInput:
    return make_token_input(requesting(value), **changes)


def missing(**changes: Any) -> TokenInput:
    return make_token_input(**{"times": None, "had_token": False} | changes)


def failing(
    one: TokenInput, retry_at: datetime | None, problem: Problem = UNAVAILABLE
) -> TokenInput:
    """Return the same after a token request, made with just that, failed."""
    return replace(one, attempts=Attempts(1, retry_at, problem, one.basis))


def damped(one: TokenInput, last_at: datetime = NOON) -> TokenInput:
    """Return the same after five contested requests; the next waits for two seconds."""
    return replace(one, damping=Damping(5, last_at), writer="argocd", credentials_writer="argocd")


def with_times(**changes: Any) -> TokenInput:
    return make_token_input(times=make_token(**changes).times)


def test_fresh_token_is_left_alone() -> None:
    plan = plan_token(make_token_input(), after(10))
    assert not plan.why
    assert plan.deliver is None
    assert plan.problem is None
    assert plan.wake_at == after(19)


TO_REQUEST = [
    pytest.param(missing(), after(1), "no intact token", id="first token"),
    pytest.param(missing(had_token=True), after(1), "lost", id="target lost its token"),
    pytest.param(make_token_input(), after(30), "expired", id="expires this second"),
    pytest.param(make_token_input(), after(300), "expired", id="expired long ago"),
    pytest.param(make_token_input(), after(-1), "future", id="written by a clock that was ahead"),
    pytest.param(
        make_token_input(credentials="new"), after(1), "credentials", id="credentials changed"
    ),
    pytest.param(wanting("now"), after(1), "requested", id="refresh requested"),
    pytest.param(make_token_input(), after(19), "due", id="refresh due"),
    pytest.param(
        with_times(refresh_at=after(29)), after(20), "due", id="refresh time changed to a later one"
    ),
    pytest.param(
        with_times(refresh_at=after(2)), after(17), "due", id="refresh time changed to an earlier"
    ),
]


@pytest.mark.parametrize(("one", "now", "why"), TO_REQUEST)
def test_token_is_requested(one: TokenInput, now: datetime, why: str) -> None:
    plan = plan_token(one, now)
    assert why in plan.why
    assert plan.problem is None
    assert plan.deliver is None


@pytest.mark.parametrize(("one", "now", "why"), TO_REQUEST)
def test_failed_request_is_retried_after_its_delay(
    one: TokenInput, now: datetime, why: str
) -> None:
    retry_at = now + timedelta(seconds=8)
    del why
    tried = failing(one, retry_at)
    plan = plan_token(tried, now)
    assert not plan.why
    assert plan.wake_at is not None
    assert plan.wake_at <= retry_at
    assert plan_token(tried, retry_at).why


@pytest.mark.parametrize("one", [pytest.param(row.values[0], id=str(row.id)) for row in TO_REQUEST])
def test_token_is_not_requested_when_not_deliverable(one: TokenInput) -> None:
    for now in (after(5), after(25), after(35)):
        plan = plan_token(replace(one, deliverable=False), now)
        assert not plan.why
        assert plan.wake_at is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"credentials": "new"}, id="other credentials"),
        pytest.param({"times": None}, id="target deleted"),
        pytest.param({"wanted": make_wanted(make_resource({"generation": 4}))}, id="spec changed"),
        pytest.param({"wanted": make_wanted(requesting("now"))}, id="refresh requested"),
    ],
)
def test_backoff_ends_when_a_request_would_be_another(change: dict[str, Any]) -> None:
    tried = failing(make_token_input(), after(25))
    assert not plan_token(tried, after(20)).why
    assert plan_token(replace(tried, **change), after(20)).why


def test_backoff_of_an_earlier_process_is_kept() -> None:
    attempts = Attempts(3, after(25), UNAVAILABLE, UNKNOWN_BASIS)
    one = make_token_input(attempts=attempts)
    assert not plan_token(one, after(24)).why
    assert plan_token(one, after(25)).why


def test_request_is_made_at_once_when_no_retry_time_is_known() -> None:
    assert plan_token(failing(missing(), None), NOON).why


def test_failure_is_outdated_when_its_cause_was_reverted() -> None:
    wrong = failing(make_token_input(credentials="wrong"), after(25))
    reverted = replace(wrong, credentials="c0ffee")
    absent = replace(wrong, credentials=NO_CREDENTIALS)
    blocked = replace(reverted, deliverable=False)
    for one, outdated in ((wrong, False), (absent, False), (blocked, False), (reverted, True)):
        plan = plan_token(one, after(10))
        assert not plan.why
        assert plan.outdated is outdated


def test_lateness_is_reported_for_scheduled_refreshes_only() -> None:
    assert plan_token(make_token_input(), after(21)).scheduled_at == after(19)
    assert plan_token(make_token_input(), after(31)).scheduled_at is None
    assert plan_token(make_token_input(credentials="new"), after(21)).scheduled_at is None
    assert plan_token(missing(), after(21)).scheduled_at is None


# Suspended resources and unusable credentials


@pytest.mark.parametrize("now", [after(5), after(25), after(35)])
@pytest.mark.parametrize(
    ("one", "reason"),
    [
        pytest.param(make_token_input(SUSPENDED), Reason.SUSPENDED, id="suspended"),
        pytest.param(
            make_token_input(SUSPENDED, times=None), Reason.SUSPENDED, id="suspended, no token"
        ),
        pytest.param(
            make_token_input(SUSPENDED, times=None, pending=make_token(), cached=make_token()),
            Reason.SUSPENDED,
            id="suspended, tokens in memory",
        ),
        pytest.param(
            make_token_input(SUSPENDED, credentials=NO_CREDENTIALS),
            Reason.SUSPENDED,
            id="suspended, no credentials",
        ),
        pytest.param(
            make_token_input(credentials=NO_CREDENTIALS),
            Reason.CREDENTIALS_NOT_FOUND,
            id="no credentials",
        ),
        pytest.param(
            make_token_input(credentials=NO_CREDENTIALS, times=None),
            Reason.CREDENTIALS_NOT_FOUND,
            id="no credentials, no token",
        ),
        pytest.param(
            make_token_input(credentials=NO_CREDENTIALS, pending=make_token(), times=None),
            Reason.CREDENTIALS_NOT_FOUND,
            id="no credentials, pending token of former ones",
        ),
    ],
)
def test_no_token_is_requested_or_delivered(one: TokenInput, reason: Reason, now: datetime) -> None:
    plan = plan_token(one, now)
    assert not plan.why
    assert plan.deliver is None
    assert plan.problem is not None
    assert plan.problem.reason is reason


@pytest.mark.parametrize(
    ("since", "times", "now", "wake_at"),
    [
        pytest.param(None, make_token().times, after(6), after(6, 5), id="first after 5 s"),
        pytest.param(after(4), make_token().times, after(6), after(8), id="then after as long"),
        pytest.param(
            after(4), make_token().times, after(29), after(29, 15), id="sooner near expiry"
        ),
        pytest.param(after(-60), None, after(5), after(10), id="after 5 min at the latest"),
    ],
)
def test_unusable_credentials_are_read_again(
    since: datetime | None, times: Any, now: datetime, wake_at: datetime
) -> None:
    one = make_token_input(credentials=NO_CREDENTIALS, unusable_since=since, times=times)
    assert plan_token(one, now).wake_at == wake_at


# Tokens in memory


@pytest.mark.parametrize("times", [None, make_token(refreshed_at=after(-1)).times])
def test_pending_token_is_delivered_before_another_is_requested(times: Any) -> None:
    token = make_token(access_token="new")
    plan = plan_token(make_token_input(times=times, pending=token), after(25))
    assert (plan.why, plan.deliver) == ("", token)
    # If it cannot be written until then, another is needed.
    assert plan.wake_at == token.expires_at


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"credentials": NO_CREDENTIALS, "unusable_since": NOON}, id="no credentials"),
        pytest.param({"credentials": "another"}, id="credentials that were refused"),
    ],
)
def test_token_of_one_target_is_for_all_whatever_the_credentials(changes: Any) -> None:
    token = make_token()
    one = failing(make_token_input(times=token.times, pending=token, **changes), after(29))
    assert plan_token(one, after(25)).deliver == token
    assert plan_token(one, after(30)).deliver is None


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(make_token(credentials="old"), id="of other credentials"),
        pytest.param(make_token(expires_at=after(25)), id="expired"),
    ],
)
def test_useless_pending_token_is_replaced(token: StoredToken) -> None:
    plan = plan_token(missing(pending=token), after(25))
    assert plan.deliver is None
    assert plan.why


def test_cached_token_is_restored_when_the_target_lost_it() -> None:
    plan = plan_token(missing(had_token=True, cached=make_token()), after(18))
    assert (plan.why, plan.deliver) == ("", make_token())
    assert plan.wake_at == after(19)


@pytest.mark.parametrize(
    ("value", "cached"),
    [
        pytest.param("", make_token(credentials="old"), id="of other credentials"),
        pytest.param("", make_token(refresh_at=after(18)), id="refresh due"),
        pytest.param("now", make_token(), id="refresh requested"),
    ],
)
def test_useless_cached_token_is_not_restored(value: str, cached: StoredToken) -> None:
    plan = plan_token(wanting(value, times=None, cached=cached), after(18))
    assert plan.deliver is None
    assert plan.why


def test_cached_token_is_not_delivered_over_an_intact_one() -> None:
    plan = plan_token(make_token_input(cached=make_token(access_token="other")), after(18))
    assert (plan.why, plan.deliver) == ("", None)


# Requested refreshes


@pytest.mark.parametrize(
    "value",
    ["1764072000", "now", "soon", "2026-11-25T11:00:00Z", "2030-01-01T00:00:00Z", "0", "\u2713"],
)
def test_any_new_value_requests_a_refresh(value: str) -> None:
    assert plan_token(wanting(value), after(1)).why == "a refresh was requested"


@pytest.mark.parametrize(
    "value", ["1764072000", "now", "2026-11-25T11:00:00Z", "2030-01-01T00:00:00Z"]
)
def test_served_request_is_not_repeated(value: str) -> None:
    by_status = wanting(value, handled_request=value)
    by_secret = wanting(value, times=make_token(request=value).times)
    for one in (by_status, by_secret):
        assert not plan_token(one, after(1)).why
        assert plan_token(one, after(19)).why == "the refresh is due"


def test_former_value_of_a_request_is_a_new_request() -> None:
    token = make_token(request="2").times
    assert plan_token(wanting("1", times=token, handled_request="2"), after(1)).why


def test_removed_request_requests_nothing() -> None:
    one = make_token_input(handled_request="1", times=make_token(request="1").times)
    assert not plan_token(one, after(1)).why


@given(st.text(min_size=1), st.text())
def test_request_is_repeated_only_when_its_value_changes(value: str, served: str) -> None:
    wanted = replace(make_wanted(), request=value)
    one = make_token_input(wanted=wanted, times=make_token(request=served).times)
    assert bool(plan_token(one, after(1)).why) is (value != served)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param("2026-11-25T12:00:00Z", "", id="same second"),
        pytest.param("2026-11-25T12:00:00.9Z", "", id="within that second"),
        pytest.param("2026-11-25T11:00:00Z", "", id="older"),
        pytest.param("2026-11-25t13:00:00+02:00", "", id="older, another zone"),
        pytest.param("2026-11-25T12:00:01Z", "a refresh was requested", id="newer"),
        pytest.param("1764072000", "a refresh was requested", id="epoch seconds"),
        pytest.param("now", "a refresh was requested", id="no time"),
        pytest.param("0001-01-01T00:00:00+14:00", "a refresh was requested", id="out of range"),
    ],
)
def test_token_of_0_1_0_has_served_the_requests_before_it(value: str, why: str) -> None:
    one = wanting(value, times=make_token(request=None).times)
    assert plan_token(one, after(1)).why == why


def test_any_new_value_counts_once_a_request_was_served() -> None:
    times = make_token(request=None).times
    one = wanting("2026-11-25T11:00:00Z", times=times, handled_request="1")
    assert plan_token(one, after(1)).why


# Contention

CONTESTED = [
    pytest.param(missing(had_token=True), id="target keeps losing its token"),
    pytest.param(make_token_input(credentials="new"), id="credentials keep changing"),
    pytest.param(wanting("now"), id="refreshes keep being requested"),
]


@pytest.mark.parametrize("one", CONTESTED)
def test_contested_request_is_made_at_once_a_few_times(one: TokenInput) -> None:
    for count in range(5):
        plan = plan_token(replace(one, damping=Damping(count, NOON)), NOON)
        assert plan.why
        assert plan.contested


@pytest.mark.parametrize("one", CONTESTED)
def test_contested_request_is_held_and_names_the_writer(one: TokenInput) -> None:
    plan = plan_token(damped(one), NOON)
    assert not plan.why
    assert plan.problem is not None
    assert plan.problem.reason is Reason.TARGET_CONTESTED
    is_user = "a refresh was requested" in plan.problem.message
    assert ("argocd" in plan.problem.message) is not is_user
    assert plan.wake_at == after(seconds=2)
    assert plan_token(damped(one), after(seconds=2)).why


@pytest.mark.parametrize(
    ("one", "now"),
    [
        pytest.param(make_token_input(), after(19), id="refresh due"),
        pytest.param(make_token_input(), after(30), id="expired"),
        pytest.param(missing(), NOON, id="first token"),
        pytest.param(make_token_input(credentials="new"), after(19), id="due, credentials changed"),
    ],
)
def test_scheduled_request_is_made_although_others_are_held(one: TokenInput, now: datetime) -> None:
    plan = plan_token(damped(one, now), now)
    assert plan.why
    assert not plan.contested


def test_refresh_time_before_its_window_asks_for_no_token() -> None:
    # No checksum covers it: a writer that keeps setting it back must not cause token requests.
    one = with_times(refresh_at=after(-60))
    plan = plan_token(one, after(16))
    assert not plan.why
    assert plan.wake_at == after(17)


def test_held_request_that_failed_wakes_when_the_hold_ends() -> None:
    one = failing(damped(missing(had_token=True)), after(5))
    plan = plan_token(one, NOON)
    assert plan.wake_at == after(seconds=2)
    assert plan_token(one, after(seconds=2)).problem is None


# The next wake-up


@pytest.mark.parametrize(
    ("one", "now", "wake_at"),
    [
        pytest.param(make_token_input(), after(5), after(19), id="refresh"),
        pytest.param(failing(make_token_input(), after(25)), after(20), after(25), id="retry"),
        pytest.param(make_token_input(SUSPENDED), after(5), None, id="suspended: never"),
        pytest.param(make_token_input(deliverable=False), after(5), None, id="obstacle: never"),
        pytest.param(with_times(refresh_at=after(29)), after(5), after(20), id="latest allowed"),
    ],
)
def test_wake_up_is_when_time_alone_changes_the_plan(
    one: TokenInput, now: datetime, wake_at: datetime | None
) -> None:
    assert plan_token(one, now).wake_at == wake_at


moments = st.integers(-2, 40).map(after)
dampings = st.builds(Damping, st.integers(1, 60), moments) | st.just(Damping())


def build(
    refresh_minute: int | None,
    value: str,
    retry: datetime | None,
    *,
    suspend: bool,
    changed: bool,
    **changes: Any,
) -> TokenInput:
    wanted = replace(make_wanted(), request=value, suspend=suspend)
    times = None if refresh_minute is None else make_token(refresh_at=after(refresh_minute)).times
    one = make_token_input(wanted=wanted, times=times, **changes)
    basis: object = "another" if changed else one.basis
    attempts = Attempts(1, retry, UNAVAILABLE, basis) if retry else Attempts()
    return replace(one, attempts=attempts)


tokens = st.sampled_from([make_token(access_token="new"), make_token(credentials="new")])
inputs = st.builds(
    build,
    st.none() | st.integers(10, 29),
    st.sampled_from(["", "", "now", "2026-11-25T12:07:00Z"]),
    st.none() | moments,
    credentials=st.sampled_from(["c0ffee", "new", NO_CREDENTIALS]),
    pending=st.none()
    | st.sampled_from([make_token(access_token="new"), make_token(credentials="new")]),
    cached=st.none() | st.sampled_from([make_token(), make_token(credentials="new")]),
    damping=dampings,
    deliverable=st.sampled_from([True, True, True, False]),
    had_token=st.booleans(),
    unusable_since=st.none() | moments,
    suspend=st.sampled_from([False, False, True]),
    changed=st.booleans(),
)


@example(
    build(
        19,
        "",
        None,
        pending=make_token(access_token="new"),
        deliverable=False,
        suspend=False,
        changed=False,
    ),
    after(0),
    0.5,
)
@given(inputs, moments, st.floats(0, 1, exclude_max=True))
def test_plan_stays_the_same_until_it_wakes(one: TokenInput, now: datetime, part: float) -> None:
    plan = plan_token(one, now)
    if plan.why:
        return
    assert plan.wake_at is None or plan.wake_at > now
    later = now + part * ((plan.wake_at or now + timedelta(days=1)) - now)
    if later == plan.wake_at:  # the product is rounded to microseconds
        return
    between = plan_token(one, later)
    assert (between.why, between.deliver) == ("", plan.deliver)
    assert between.problem == plan.problem


@given(inputs, moments)
def test_plan_has_a_reason_when_the_token_is_expired_or_missing(
    one: TokenInput, now: datetime
) -> None:
    if one.times is not None and one.times.expires_at > now:
        return
    plan = plan_token(one, now)
    acts = bool(plan.why) or plan.deliver is not None
    waits = one.attempts.problem is not None and plan.wake_at is not None
    assert acts or plan.problem is not None or waits or not one.deliverable


@example(
    build(
        19,
        "",
        None,
        credentials="new",
        pending=make_token(access_token="new"),
        deliverable=False,
        suspend=False,
        changed=False,
    ),
    after(0),
)
@given(inputs, moments)
def test_delivered_token_is_of_these_credentials_or_held(one: TokenInput, now: datetime) -> None:
    plan = plan_token(one, now)
    assert not (plan.why and plan.deliver)
    if plan.deliver is not None:
        assert plan.deliver.expires_at > now
        # A target is not worse off with a token that another target of the resource holds.
        assert plan.deliver.credentials == one.credentials or plan.deliver.times == one.times


@given(inputs, moments)
def test_contested_requests_alone_are_held_back(one: TokenInput, now: datetime) -> None:
    calm = plan_token(replace(one, damping=Damping()), now)
    plan = plan_token(one, now)
    if calm.why and not calm.contested:
        assert plan == calm
    if plan.contested:
        assert one.damping.held_until is None or one.damping.held_until <= now


@pytest.mark.parametrize("minutes", [5, 25])
def test_token_that_some_targets_hold_reaches_the_others(minutes: float) -> None:
    token = make_token()
    given = make_token_input(pending=token)
    due = minutes > 19
    plan = plan_token(given, after(minutes))
    assert (bool(plan.why), plan.deliver) == ((True, None) if due else (False, token))
    # While the token endpoint fails, too.
    problem = Problem(Reason.UNAVAILABLE, "the token endpoint answered 503")
    waiting = replace(given, attempts=Attempts(1, after(28), problem, given.basis))
    assert plan_token(waiting, after(minutes)).deliver == token


def test_token_in_some_targets_waits_for_no_damped_request() -> None:
    token = make_token()
    wanted = replace(make_wanted(), request="again")
    given = make_token_input(pending=token, wanted=wanted, damping=Damping(9, after(20)))
    plan = plan_token(given, after(5))
    assert (plan.why, plan.deliver) == ("", token)
    assert plan.wake_at == after(19)
