from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.api.stored_status import StoredStatus
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.policies.ownership import find_obstacle
from pinecone_token_operator.policies.token_chain import plan_token
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from pinecone_token_operator.reconcilers.state import Known, State
from pinecone_token_operator.reconcilers.status import make_report
from pinecone_token_operator.targets import names
from tests.support.builders import (
    NOON,
    after,
    encode,
    failed,
    make_assignment,
    make_known,
    make_outcome,
    make_resource,
    make_secret,
    make_token,
    make_wanted,
    stored_secret,
)
from tests.support.leaks import find_leaks

KEY = ("shop", "search")
GENERATION = 3
CANARY = "t0ken-c4n4ry-0123456789"
REFUSED = Problem(Reason.TARGET_NOT_WRITABLE, "the API server refused to write Secret shop/search")
NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "Secret shop/account does not exist")
MERGE = make_resource(target={"creationPolicy": "Merge"})


def with_target(known: Known, **changes: Any) -> Known:
    return known.with_targets({KEY: replace(known.targets[KEY], **changes)})


def restart(known: Known, now: datetime, generation: int = GENERATION) -> Known:
    """Return what a new process knows of a resource: what the status says."""
    status = make_report(make_outcome(known, now), make_wanted(), now).status({})
    return State.of(StoredStatus(status), generation).known


def resumes_at(known: Known, restarted: Known, now: datetime) -> datetime:
    """Return when the new process, having read everything, requests a token."""
    known = replace(known, attempts=restarted.attempts, handled_request=restarted.handled_request)
    plan = plan_token(known.token_input(make_assignment()), now)
    if plan.why:
        return now
    assert plan.wake_at is not None
    return plan.wake_at


@pytest.mark.parametrize(
    ("reason", "failures"),
    [
        (Reason.UNAVAILABLE, 4),
        (Reason.RESPONSE_INVALID, 4),
        (Reason.THROTTLED, 4),
        # Held back by another resource's 429: no attempt failed.
        (Reason.THROTTLED, 0),
    ],
)
def test_restart_keeps_the_retry_time(reason: Reason, failures: int) -> None:
    known = failed(make_known(target=None), after(8), failures, reason)
    restarted = restart(known, after(5))
    assert restarted.attempts.failures == failures
    assert resumes_at(known, restarted, after(5)) == after(8)


def test_restart_keeps_the_retry_time_of_a_delivery() -> None:
    known = with_target(make_known(), attempts=Attempts(2, after(23), REFUSED))
    restarted = restart(known, after(20))
    assert restarted.attempts.failures == 2
    assert resumes_at(known, restarted, after(20)) == after(23)


def test_restart_retries_at_once_when_credentials_were_rejected() -> None:
    known = failed(make_known(target=None), after(8), 4, Reason.REJECTED)
    restarted = restart(known, after(5))
    assert restarted.attempts.failures == 4
    assert resumes_at(known, restarted, after(5)) == after(5)


def test_restart_retries_at_once_when_the_spec_has_changed() -> None:
    known = failed(make_known(target=None), after(8))
    restarted = restart(known, after(5), GENERATION + 1)
    assert resumes_at(known, restarted, after(5)) == after(5)


def test_restart_does_not_wait_when_all_was_well() -> None:
    restarted = restart(make_known(), after(5))
    assert restarted.attempts == Attempts()
    assert resumes_at(make_known(), restarted, after(5)) == after(19)


def test_restart_remembers_the_served_request() -> None:
    assert restart(make_known(handled_request="now"), after(5)).handled_request == "now"


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="empty"),
        pytest.param({"failedAttempts": 2}, id="no conditions"),
        pytest.param({"failedAttempts": 2, "refreshAt": "0000-01-01T00:00:00Z"}, id="year 0"),
        pytest.param(
            {
                "failedAttempts": 2,
                "refreshAt": "0000-01-01T00:00:00Z",
                "observedGeneration": GENERATION,
                "conditions": [
                    {"type": "Refreshed", "status": "False", "reason": "Throttled", "message": ""}
                ],
            },
            id="time out of range",
        ),
        pytest.param(
            {
                "failedAttempts": 2,
                "observedGeneration": GENERATION,
                "conditions": [
                    {"type": "Refreshed", "status": "False", "reason": "New", "message": ""}
                ],
            },
            id="unknown reason",
        ),
    ],
)
def test_restart_waits_for_nothing_when_the_status_is_unusable(status: dict[str, Any]) -> None:
    assert State.of(StoredStatus(status), GENERATION).known.attempts.retry_at is None


# What is kept between reconciles


def test_settled_knowledge_holds_no_data() -> None:
    token = make_token(access_token=CANARY)
    settled = make_known(secret=make_secret(token=token)).settled(NOON)
    kept = settled.targets[KEY]
    assert kept.target is not None
    assert kept.target.data is None
    assert kept.stored is None
    assert kept.times == token.times
    assert not find_leaks({"settled": repr(settled.targets)}, [CANARY])


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(make_known(credentials=NO_CREDENTIALS), id="no credentials"),
        pytest.param(failed(make_known(), after(5)), id="failed request"),
        pytest.param(with_target(make_known(), attempts=Attempts(1, NOON, REFUSED)), id="refused"),
        pytest.param(with_target(make_known(), repairs=Attempts(1, NOON, REFUSED)), id="repair"),
        pytest.param(with_target(make_known(), damping=Damping(5, NOON)), id="held repair"),
        pytest.param(replace(make_known(), trouble=Attempts(1, NOON, REFUSED)), id="API trouble"),
    ],
)
def test_target_is_read_again_when_something_is_wrong(known: Known) -> None:
    settled = known.settled(NOON).targets[KEY]
    assert is_to_be_read(settled)
    assert settled.times == make_token().times


def test_merge_conflict_is_seen_without_the_data() -> None:
    theirs = stored_secret(
        {
            "metadata": {"annotations": {names.ALLOW_MERGE: "true"}},
            "data": {"access_token": encode("theirs")},
        }
    )
    known = make_known(MERGE, theirs)
    assignment = make_assignment(MERGE)
    assert find_obstacle(known.target_input(assignment.specs[0], assignment)) is not None
    settled = known.settled(NOON)
    target = settled.targets[KEY].target
    assert target is not None
    assert target.data is None
    # Their key would be overwritten otherwise.
    assert find_obstacle(settled.target_input(assignment.specs[0], assignment)) is not None


# How long a token is cached

KEEP = timedelta(minutes=2)


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        pytest.param({}, after(2), id="undisputed"),
        pytest.param({"damping": Damping(1, NOON)}, after(2), id="repaired once"),
        pytest.param({"damping": Damping(2, NOON)}, after(30), id="repaired repeatedly"),
        pytest.param({"repairs": Attempts(1, NOON, REFUSED)}, after(30), id="incomplete"),
    ],
)
def test_token_is_cached_longer_when_another_writer_interferes(
    changes: dict[str, Any], until: datetime
) -> None:
    known = with_target(make_known(cached=make_token()), **changes)
    assert known.cached_until(KEEP) == until


@given(st.lists(st.integers(1, 59), min_size=1, max_size=3))
def test_newest_token_counts_when_targets_differ(minutes: list[int]) -> None:
    known = make_known()
    for number, minute in enumerate(minutes):
        times = make_token(expires_at=after(minute)).times
        known = known.with_targets(
            {("shop", str(number)): replace(known.targets[KEY], times=times)}
        )
    expected = max(after(30), *(after(minute) for minute in minutes))
    assert known.times is not None
    assert known.times.expires_at == expected


def is_to_be_read(known: KnownTarget) -> bool:
    """Return whether no version in the API server is the one that is known."""
    return known.target is None or not known.target.resource_version


def test_failed_request_drops_only_a_token_that_no_target_holds() -> None:
    held, new = make_token(), make_token(refreshed_at=after(5), expires_at=after(35))
    assert make_known(pending=held).without_new_token().pending == held
    assert make_known(pending=new).without_new_token().pending is None
    assert make_known(target=None, pending=held).without_new_token().pending is None
