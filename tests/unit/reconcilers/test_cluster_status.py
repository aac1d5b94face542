"""What the status of a cluster-scoped resource says about its token and its copies."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.reconcilers.cluster_status import (
    blocked_status,
    compute_cluster_status,
)
from pinecone_token_operator.reconcilers.copies import count_copies
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from tests.support.builders import NOON, after
from tests.support.copies import (
    make_cluster_resource,
    make_copies_assignment,
    make_copies_known,
    make_copies_outcome,
)

AB = ["a", "b"]
MISSING = KnownTarget(missing=True)
NO_TOKEN = {"a": MISSING, "b": MISSING}
NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "Secret operators/account does not exist")
DOWN = Problem(Reason.UNAVAILABLE, "the token endpoint answered 503")
BUG = Problem(Reason.INTERNAL_ERROR, "the operator failed unexpectedly (KeyError)")
UNLISTED = Problem(Reason.API_SERVER_ERROR, "the namespaces cannot be listed (403); retrying")
SUSPENDED = make_cluster_resource(suspend=True)


def status_of(
    namespaces: list[str],
    changed: Mapping[str, KnownTarget] | None = None,
    *,
    now: datetime = NOON,
    rivals: Mapping[str, str] | None = None,
    suspended: bool = False,
    previous: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    resource = SUSPENDED if suspended else make_cluster_resource()
    assignment = make_copies_assignment(namespaces, resource, rivals)
    known = make_copies_known(assignment, changed, **fields)
    outcome = make_copies_outcome(assignment, known, now)
    copies = count_copies(outcome, {}, now)
    return compute_cluster_status(outcome, copies, assignment.wanted, previous or {}, now)


def summary(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the status and reason of each condition."""
    return {one["type"]: f"{one['status']} {one['reason']}" for one in status["conditions"]}


def message(status: Mapping[str, Any], type_: str) -> str:
    return next(str(one["message"]) for one in status["conditions"] if one["type"] == type_)


ATTEMPTS = Attempts(2, after(25), DOWN)
CASES = [
    pytest.param(
        {"namespaces": AB},
        ("True TokenValid", "True Succeeded", "True AllCopied"),
        id="all is well",
    ),
    pytest.param(
        {"namespaces": []},
        ("True NoNamespaceSelected", "", "True NoNamespaceSelected"),
        id="no namespace is selected",
    ),
    pytest.param(
        {"namespaces": AB, "rivals": {"b": "PineconeAccessToken b/own"}},
        ("True TokenValid", "True Succeeded", "False CopiesFailed"),
        id="one copy fails",
    ),
    pytest.param(
        {"namespaces": AB, "attempts": ATTEMPTS, "now": after(20)},
        ("True TokenValid", "False Unavailable", "True AllCopied"),
        id="the refresh fails while the token is valid",
    ),
    pytest.param(
        {"namespaces": AB, "attempts": ATTEMPTS, "now": after(31)},
        ("False TokenExpired", "False Unavailable", "False CopiesFailed"),
        id="the token expired",
    ),
    pytest.param(
        {"namespaces": AB, "changed": NO_TOKEN, "credentials": NO_CREDENTIALS},
        ("False CredentialsNotFound", "False CredentialsNotFound", "False CopiesFailed"),
        id="no credentials and no token",
    ),
    pytest.param(
        {"namespaces": AB, "credentials": NO_CREDENTIALS, "unusable_since": NOON},
        ("True TokenValid", "False CredentialsNotFound", "True AllCopied"),
        id="no credentials and a valid token",
    ),
    pytest.param(
        {"namespaces": AB, "suspended": True},
        ("True TokenValid", "False Suspended", "True AllCopied"),
        id="suspended",
    ),
    pytest.param(
        {"namespaces": AB, "trouble": Attempts(2, after(1), BUG)},
        ("True TokenValid", "False InternalError", "True AllCopied"),
        id="a bug",
    ),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_conditions_separate_token_refresh_and_copies(
    given: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    found = summary(status_of(**given))
    types = ("Ready", "Refreshed", "TargetsReady")
    assert tuple(found.get(type_, "") for type_ in types) == expected


def test_bug_is_reported_before_what_it_kept_from_being_done() -> None:
    status = status_of(AB, trouble=Attempts(2, after(1), BUG), attempts=ATTEMPTS, now=after(20))
    assert summary(status)["Refreshed"] == "False InternalError"


def test_message_of_failed_copies_counts_and_gives_an_example() -> None:
    rivals = {"a": "PineconeAccessToken a/own", "b": "PineconeAccessToken b/own"}
    said = message(status_of(["a", "b", "c"], rivals=rivals), "TargetsReady")
    assert said.startswith("1 of 3 namespaces hold the current token; in namespace a: ")
    assert "PineconeAccessToken a/own" in said


def test_missing_token_is_explained_by_what_blocks_the_copies() -> None:
    rivals = {"a": "PineconeAccessToken a/own", "b": "PineconeAccessToken b/own"}
    said = message(status_of(AB, NO_TOKEN, rivals=rivals), "Ready")
    assert said.startswith("no namespace holds a token: Secret a/pinecone-access-token is also the")


def test_status_has_the_times_and_the_schedule() -> None:
    status = status_of(AB, handled_request="now")
    assert status["observedGeneration"] == 3
    assert status["expiresAt"] == "2026-11-25T12:30:00Z"
    assert status["refreshAt"] == "2026-11-25T12:19:00Z"
    assert status["lastRefreshAt"] == "2026-11-25T12:00:00Z"
    assert status["lastHandledRefreshRequest"] == "now"
    assert status["failedAttempts"] == 0


@pytest.mark.parametrize(
    ("given", "refresh_at"),
    [
        pytest.param({"attempts": ATTEMPTS, "now": after(20)}, "12:25:00", id="the retry"),
        pytest.param({"suspended": True}, None, id="none while suspended"),
        pytest.param({"credentials": NO_CREDENTIALS}, None, id="none without credentials"),
        pytest.param({"trouble": Attempts(2, after(1), UNLISTED)}, None, id="none in an outage"),
    ],
)
def test_refresh_time_is_when_the_next_attempt_is(
    given: dict[str, Any], refresh_at: str | None
) -> None:
    found = status_of(AB, **given).get("refreshAt")
    assert found == (refresh_at and f"2026-11-25T{refresh_at}Z")


def test_incomplete_copies_are_ready_and_named() -> None:
    assignment = make_copies_assignment(AB)
    known = make_copies_known(assignment)
    incomplete = Problem(Reason.TARGET_INCOMPLETE, "a policy refused the labels of Secret b/copy")
    key = assignment.specs[1].key
    basis = known.target_input(assignment.specs[1], assignment).basis
    repairs = Attempts(1, after(1), incomplete, basis)
    status = status_of(AB, {"b": replace(known.targets[key], repairs=repairs)})
    assert summary(status)["TargetsReady"] == "True TargetIncomplete"
    said = message(status, "TargetsReady")
    assert said == f"1 copy is incomplete: {incomplete.message}"


def test_conditions_of_others_stay() -> None:
    theirs = {"type": "Theirs", "status": "True", "reason": "X", "message": ""}
    assert theirs in status_of(AB, previous={"conditions": [theirs]})["conditions"]


def test_blocked_status_keeps_a_token_that_is_valid() -> None:
    before = status_of(AB)
    status = blocked_status(UNLISTED, 4, before, after(10))
    assert summary(status) == {
        "Ready": "True TokenValid",
        "Refreshed": "False APIServerError",
        "TargetsReady": "True AllCopied",
    }
    assert status["observedGeneration"] == 4
    assert status["targets"] == before["targets"]


@pytest.mark.parametrize(
    ("previous", "now"),
    [
        pytest.param({}, NOON, id="a new resource"),
        pytest.param(status_of(AB), after(30), id="an expired token"),
        pytest.param(status_of(AB, NO_TOKEN), NOON, id="it was not ready"),
    ],
)
def test_blocked_status_vouches_for_no_token(previous: dict[str, Any], now: datetime) -> None:
    status = blocked_status(UNLISTED, 4, previous, now)
    assert summary(status)["Ready"] == "False TokenMissing"
    assert UNLISTED.message in message(status, "Ready")
