from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import UNKNOWN_BASIS, Attempts
from pinecone_token_operator.policies.readiness import find_unready
from pinecone_token_operator.reconcilers.outcome import Outcome, evaluate
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.reconcilers.status import find_not_refreshed
from pinecone_token_operator.targets import names
from tests.support.builders import (
    NOON,
    after,
    failed,
    make_assignment,
    make_known,
    make_outcome,
    make_secret,
    make_token,
    stored_secret,
)
from tests.support.examples import (
    INCOMPLETE,
    MERGE,
    NO_CREDENTIALS,
    REFUSED,
    SUSPENDED,
    TOO_LARGE,
    UNREADABLE,
    with_target,
)
from tests.support.merge_patch import merge

DAY = timedelta(days=1)
FAILED = Problem(Reason.UNAVAILABLE, "the token endpoint answered 503")


def refused(known: Known, retry_at: datetime, resource: PineconeAccessToken | None = None) -> Known:
    """Return the same after the delivery of a token was refused."""
    assignment = make_assignment(resource)
    basis = known.target_input(assignment.specs[0], assignment).basis
    return with_target(known, attempts=Attempts(1, retry_at, REFUSED, basis))


def troubled(known: Known, retry_at: datetime) -> Known:
    return replace(known, trouble=Attempts(1, retry_at, UNREADABLE))


@pytest.mark.parametrize(
    ("known", "resource", "now", "wake_at"),
    [
        pytest.param(make_known(), None, after(5), after(19), id="refresh"),
        pytest.param(make_known(), None, after(20), after(20), id="refresh is due: now"),
        pytest.param(failed(make_known(), after(25)), None, after(20), after(25), id="retry"),
        pytest.param(
            failed(make_known(), after(45)), None, after(25), after(30), id="expiry before a retry"
        ),
        pytest.param(make_known(SUSPENDED), SUSPENDED, after(5), after(30), id="suspended: expiry"),
        pytest.param(make_known(SUSPENDED), SUSPENDED, after(35), None, id="suspended and expired"),
        pytest.param(
            make_known(credentials=NO_CREDENTIALS, unusable_since=after(4)),
            None,
            after(6),
            after(8),
            id="credentials are read again",
        ),
        pytest.param(
            refused(make_known(target=None, pending=make_token()), after(25)),
            None,
            after(20),
            after(25),
            id="delivery is retried",
        ),
        pytest.param(
            refused(make_known(target=None, pending=make_token()), after(45)),
            None,
            after(20),
            after(30),
            id="pending token expires before the retry",
        ),
        pytest.param(
            troubled(make_known(), after(6)), None, after(5), after(6), id="API server failed"
        ),
        pytest.param(
            troubled(make_known(), after(45)), None, after(25), after(30), id="expiry before that"
        ),
        pytest.param(
            make_known(MERGE, target=None), MERGE, after(5), None, id="time ends no obstacle"
        ),
        pytest.param(
            make_known(TOO_LARGE, target=None), TOO_LARGE, after(5), None, id="template too large"
        ),
    ],
)
def test_wake_up_is_when_time_alone_changes_the_outcome(
    known: Known, resource: PineconeAccessToken | None, now: datetime, wake_at: datetime | None
) -> None:
    assert make_outcome(known, now, resource).wake_at == wake_at


def test_rival_leaves_nothing_to_wake_up_for() -> None:
    assert make_outcome(make_known(), after(5), rival="elder").wake_at is None


def test_cached_token_wakes_when_it_is_to_be_dropped() -> None:
    keep = timedelta(minutes=2)
    outcome = evaluate(
        make_assignment(), make_known(cached=make_token()), after(1), fraction=0.0, keep=keep
    )
    assert outcome.wake_at == after(2)


@pytest.mark.parametrize(
    ("known", "now"),
    [
        pytest.param(
            make_known(secret=make_secret(token=make_token(request="1")), handled_request="1"),
            after(19),
            id="pending token was written when its refresh was due",
        ),
        pytest.param(
            make_known(secret=make_secret(token=make_token(refresh_at=after(29)))),
            after(20),
            id="refresh time was later than allowed",
        ),
    ],
)
def test_work_due_after_a_write_is_done_at_once(known: Known, now: datetime) -> None:
    outcome = make_outcome(known, now)
    assert outcome.token_plan.why
    assert outcome.wake_at == now


Case = tuple[Known, PineconeAccessToken | None, str | None]
"""What is known, the resource, and another resource that owns the target."""

moments = st.integers(-2, 40).map(after)
maybe = st.none() | moments
resources = st.sampled_from([None, None, None, SUSPENDED, MERGE, TOO_LARGE])
SHORT = make_token(expires_at=after(9), refresh_at=after(6))
tokens = st.none() | st.sampled_from(
    [make_token(access_token="new"), make_token(credentials="new"), SHORT]
)
OPEN = {"metadata": {"annotations": {names.ALLOW_MERGE: "true"}}}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    resource: PineconeAccessToken | None = draw(resources)
    token = make_token(refresh_at=after(draw(st.integers(10, 29))))
    drift: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"metadata": {"labels": None}},
                {"metadata": {"ownerReferences": []}},
                {"data": {"access_token": None}},
                OPEN,
            ]
        )
    )
    ours = merge(make_secret(resource, token), drift)
    secret = draw(st.sampled_from([ours, ours, ours, None, stored_secret(OPEN)]))
    changes: dict[str, Any] = {"target": None} if secret is None else {}
    known = make_known(
        resource,
        secret,
        **changes,
        credentials=draw(st.sampled_from(["c0ffee", "c0ffee", "new", NO_CREDENTIALS])),
        pending=draw(tokens),
        cached=draw(tokens),
        unusable_since=draw(maybe),
        damping=draw(st.just(Damping()) | st.builds(Damping, st.integers(1, 20), moments)),
    )
    known = with_target(
        known,
        had_token=draw(st.booleans()) or known.times is not None,
        damping=draw(st.just(Damping()) | st.builds(Damping, st.integers(1, 20), moments)),
    )
    assignment = make_assignment(resource)
    spec = assignment.specs[0]
    if (retry_at := draw(maybe)) is not None:
        basis = known.token_input(assignment).basis
        basis = draw(st.sampled_from([basis, UNKNOWN_BASIS, "another"]))
        known = replace(known, attempts=Attempts(2, retry_at, FAILED, basis))
    basis = known.target_input(spec, assignment).basis
    if (retry_at := draw(maybe)) is not None:
        known = with_target(known, attempts=Attempts(2, retry_at, REFUSED, basis))
    if (retry_at := draw(maybe)) is not None:
        known = with_target(known, repairs=Attempts(2, retry_at, INCOMPLETE, basis))
    return known, resource, draw(st.sampled_from([None, None, None, "elder"]))


def outcome_of(case: Case, now: datetime) -> Outcome:
    known, resource, rival = case
    if known.cached and known.cached_until(DAY) <= now:
        known = replace(known, cached=None)  # as each refresh does first
    return evaluate(make_assignment(resource, rival), known, now, fraction=0.0, keep=DAY)


def report(outcome: Outcome, now: datetime) -> tuple[object, ...]:
    """Return what is done and reported."""
    ((target, plan),) = outcome.targets
    not_refreshed = find_not_refreshed(outcome, target, plan)
    return (
        outcome.token_plan.why,
        outcome.token_plan.deliver,
        replace(plan, wake_at=None),
        not_refreshed,
        find_unready(target, not_refreshed, now),
    )


@given(cases(), moments, st.floats(0, 1, exclude_max=True))
def test_outcome_stays_the_same_until_it_wakes(case: Case, now: datetime, part: float) -> None:
    outcome = outcome_of(case, now)
    assert outcome.wake_at is None or outcome.wake_at >= now
    acts = bool(outcome.token_plan.why) or any(plan.why for _, plan in outcome.targets)
    assert (outcome.wake_at == now) is acts
    until = outcome.wake_at or now + DAY
    later = now + part * (until - now)
    if now < later < until:  # the product is rounded to microseconds
        between = outcome_of(case, later)
        assert report(between, later) == report(outcome, now)


@given(cases(), moments)
def test_missing_or_expired_token_has_a_reason_or_is_worked_on(case: Case, now: datetime) -> None:
    known, _, rival = case
    outcome = outcome_of(case, now)
    ((target, plan),) = outcome.targets
    not_refreshed = find_not_refreshed(outcome, target, plan)
    unready = find_unready(target, not_refreshed, now)
    valid = rival is None and known.times is not None and known.times.expires_at > now
    assert valid or unready is not None
    if unready and unready.reason in (Reason.TOKEN_MISSING, Reason.TOKEN_EXPIRED):
        obstacle = plan.problem is not None
        assert obstacle or not_refreshed is not None or outcome.wake_at == now


@given(cases(), moments)
def test_written_token_is_valid_and_of_these_credentials(case: Case, now: datetime) -> None:
    outcome = outcome_of(case, now)
    ((_, plan),) = outcome.targets
    if plan.write is not None:
        assert plan.write.expires_at > now
        assert outcome.token_plan.deliver is None or plan.write == outcome.token_plan.deliver


@given(cases())
def test_outcome_of_a_suspended_resource_writes_no_token(
    case: Case,
) -> None:
    known, _, rival = case
    for minutes in (-2, 15, 25, 40):
        outcome = outcome_of((known, SUSPENDED, rival), after(minutes))
        assert not outcome.token_plan.why
        assert all(plan.write is None for _, plan in outcome.targets)


def test_trouble_of_one_kind_does_not_hide_a_due_refresh() -> None:
    known = with_target(make_known(), repairs=Attempts(3, after(40), INCOMPLETE))
    assert make_outcome(known, after(19)).token_plan.why
    assert make_outcome(known, NOON).wake_at == after(19)
