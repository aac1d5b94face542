"""What is decided, in which order, and what the status then says."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pinecone_token_operator.models import REFRESH_REQUESTED_AT
from pinecone_token_operator.policies import (
    Action,
    Attempts,
    Observed,
    Problem,
    decide,
    wake_at,
)
from pinecone_token_operator.reasons import Reason
from pinecone_token_operator.status import compute_status, status_patch
from pinecone_token_operator.target import read_target
from tests.unit.core import (
    LIFETIME,
    NOW,
    merge_patched,
    observed,
    resource,
    secret,
    target,
    times,
    token,
)

MINUTE = timedelta(minutes=1)
NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "create it")
FAILURE = Problem(Reason.UNAVAILABLE, "no answer")
FOREIGN = read_target({"metadata": {"uid": "x", "resourceVersion": "1"}})
ALLOWING = read_target(
    {
        "metadata": {
            "uid": "x",
            "resourceVersion": "1",
            "annotations": {"pinecone.token-operator.dev/allow-merge": "true"},
        }
    }
)
MERGE = {"creationPolicy": "Merge"}
NOTHING: dict[str, Any] = {"target": None, "stored": None, "times": None}


def asked_at(moment: str) -> Observed:
    return observed(resource(annotations={REFRESH_REQUESTED_AT: moment}))


def damaged(damage: dict[str, Any]) -> Observed:
    found = read_target(merge_patched(secret(resource(), token()), damage))
    return replace(observed(), target=found)


def waiting(**changes: Any) -> Observed:
    found = observed(**changes)
    attempts = Attempts(3, NOW + MINUTE, FAILURE, found.basis)
    return replace(found, attempts=attempts)


@pytest.mark.parametrize(
    ("found", "later", "action", "why"),
    [
        pytest.param(observed(), 0, Action.REST, "fresh", id="a fresh token is left alone"),
        pytest.param(observed(**NOTHING), 0, Action.EXCHANGE, "exist", id="no target"),
        pytest.param(
            observed(stored=None, times=None), 0, Action.EXCHANGE, "vouched", id="a damaged token"
        ),
        pytest.param(observed(), 19 * 60 - 1, Action.REST, "fresh", id="just before it is due"),
        pytest.param(observed(), 19 * 60, Action.EXCHANGE, "due", id="when it is due"),
        pytest.param(
            observed(times=times(token(refresh_at=NOW + 5 * LIFETIME))),
            20 * 60,
            Action.EXCHANGE,
            "due",
            id="when it is due, whatever a damaged plan says",
        ),
        pytest.param(observed(), 1800, Action.EXCHANGE, "expired", id="an expired token"),
        pytest.param(
            observed(credentials="other"), 0, Action.EXCHANGE, "changed", id="other credentials"
        ),
        pytest.param(
            asked_at("2026-11-25T12:00:00Z"), 60, Action.REST, "fresh", id="a refresh asked before"
        ),
        pytest.param(
            asked_at("2026-11-25T12:01:00Z"), 60, Action.EXCHANGE, "requested", id="a refresh asked"
        ),
        pytest.param(
            asked_at("2026-11-25T12:01:00Z"), 59, Action.REST, "fresh", id="one asked for later"
        ),
        pytest.param(asked_at("soon"), 60, Action.REST, "fresh", id="asked for at no time"),
        pytest.param(
            observed(resource(suspend=True), **NOTHING), 0, Action.REST, "suspended", id="suspended"
        ),
        pytest.param(
            observed(credentials=NO_CREDENTIALS), 1500, Action.REST, "credentials", id="without any"
        ),
        pytest.param(
            observed(in_hand=token(access_token="newer")), 0, Action.WRITE, "waits", id="in hand"
        ),
        pytest.param(
            observed(in_hand=token(credentials="old"), **NOTHING),
            0,
            Action.EXCHANGE,
            "exist",
            id="one in hand of other credentials",
        ),
        pytest.param(
            observed(in_hand=token(expires_at=NOW), **NOTHING),
            0,
            Action.EXCHANGE,
            "exist",
            id="an expired one in hand",
        ),
        pytest.param(
            damaged({"metadata": {"labels": None}}), 0, Action.WRITE, "should", id="labels gone"
        ),
        pytest.param(
            damaged({"metadata": {"ownerReferences": None}}),
            0,
            Action.WRITE,
            "should",
            id="owner reference gone",
        ),
        pytest.param(
            damaged({"data": {"token_type": "YQ=="}}), 0, Action.WRITE, "should", id="a key changed"
        ),
        pytest.param(
            replace(observed(), resource=resource(refreshBefore="2m")),
            0,
            Action.WRITE,
            "should",
            id="another margin",
        ),
        pytest.param(waiting(**NOTHING), 0, Action.REST, "lately", id="it waits after a failure"),
        pytest.param(waiting(**NOTHING), 60, Action.EXCHANGE, "exist", id="and then tries again"),
        pytest.param(
            replace(waiting(**NOTHING), credentials="new"),
            0,
            Action.EXCHANGE,
            "exist",
            id="or at once with new credentials",
        ),
        pytest.param(waiting(), 1500, Action.EXCHANGE, "due", id="a wait that is over"),
    ],
)
def test_decides(found: Observed, later: int, action: Action, why: str) -> None:
    decision = decide(found, NOW + timedelta(seconds=later))
    assert decision.action is action
    assert why in decision.why
    assert decision.not_ready is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param(observed(conflict="older"), Reason.TARGET_CONFLICT, id="an older resource"),
        pytest.param(observed(target=FOREIGN), Reason.TARGET_NOT_OWNED, id="a foreign Secret"),
        pytest.param(
            observed(resource(target=MERGE), **NOTHING), Reason.TOKEN_MISSING, id="nothing to merge"
        ),
        pytest.param(
            observed(resource(target=MERGE), target=FOREIGN),
            Reason.TARGET_NOT_OWNED,
            id="no leave to merge",
        ),
        pytest.param(
            observed(resource(suspend=True), target=FOREIGN),
            Reason.TARGET_NOT_OWNED,
            id="a foreign Secret, also while suspended",
        ),
    ],
)
def test_leaves_alone(found: Observed, reason: Reason) -> None:
    decision = decide(found, NOW + timedelta(minutes=25))
    assert decision.action is Action.REST
    assert decision.not_ready is not None
    assert decision.not_ready.reason is reason
    assert wake_at(found, decision, NOW) is None
    (ready,) = compute_status(found, decision, {}, NOW)["conditions"][:1]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", str(reason))


def test_a_secret_that_allows_it_is_merged_into() -> None:
    found = observed(resource(target=MERGE), target=ALLOWING, stored=None, times=None)
    assert decide(found, NOW).action is Action.EXCHANGE


def test_a_new_plan_follows_another_margin() -> None:
    found = replace(observed(), resource=resource(refreshBefore="2m"))
    written = decide(found, NOW).token
    assert written is not None
    assert timedelta(minutes=2) <= written.expires_at - written.refresh_at <= 5 * MINUTE


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(observed(), 19 * MINUTE, id="when the token is due"),
        pytest.param(
            asked_at("2026-11-25T12:05:00Z"), 5 * MINUTE, id="when a refresh is asked for"
        ),
        pytest.param(waiting(**NOTHING), MINUTE, id="when it may be tried again"),
        pytest.param(observed(resource(suspend=True)), LIFETIME, id="when the token expires"),
        pytest.param(observed(credentials=NO_CREDENTIALS), LIFETIME, id="also without credentials"),
        pytest.param(observed(credentials=NO_CREDENTIALS, **NOTHING), None, id="never"),
    ],
)
def test_wakes(found: Observed, expected: timedelta | None) -> None:
    moment = wake_at(found, decide(found, NOW), NOW)
    assert moment == (None if expected is None else NOW + expected)


@pytest.mark.parametrize(
    ("found", "later", "ready", "refreshed"),
    [
        pytest.param(observed(), 0, "TokenValid", "Succeeded", id="a fresh token"),
        pytest.param(observed(**NOTHING), 0, "TokenMissing", None, id="none yet"),
        pytest.param(waiting(), 0, "TokenValid", "Unavailable", id="valid, and failing"),
        pytest.param(waiting(), 1800, "TokenExpired", "Unavailable", id="expired"),
        pytest.param(
            observed(credentials=NO_CREDENTIALS, **NOTHING),
            0,
            "CredentialsNotFound",
            "CredentialsNotFound",
            id="neither credentials nor token",
        ),
        pytest.param(
            observed(resource(suspend=True)), 0, "TokenValid", "Suspended", id="suspended"
        ),
        pytest.param(
            observed(resource(suspend=True)), 1800, "TokenExpired", "Suspended", id="for too long"
        ),
    ],
)
def test_status_tells(found: Observed, later: int, ready: str, refreshed: str | None) -> None:
    now = NOW + timedelta(seconds=later)
    status = compute_status(found, decide(found, now), {}, now)
    reasons = {each["type"]: each["reason"] for each in status["conditions"]}
    assert reasons == {"Ready": ready} | ({"Refreshed": refreshed} if refreshed else {})


def test_a_transition_time_moves_only_with_the_status() -> None:
    fresh = compute_status(observed(), decide(observed(), NOW), {}, NOW)
    failing = waiting()
    later = compute_status(failing, decide(failing, NOW + MINUTE), fresh, NOW + MINUTE)
    moments = [each["lastTransitionTime"] for each in later["conditions"]]
    assert moments == ["2026-11-25T12:00:00Z", "2026-11-25T12:01:00Z"]


def test_an_unchanged_status_is_not_written() -> None:
    status = compute_status(observed(), decide(observed(), NOW), {}, NOW)
    again = compute_status(observed(), decide(observed(), NOW + MINUTE), status, NOW + MINUTE)
    assert status_patch(again, status) is None


def test_what_no_longer_applies_is_removed_from_the_status() -> None:
    before = compute_status(observed(), decide(observed(), NOW), {}, NOW)
    found = observed(**NOTHING)
    after = compute_status(found, decide(found, NOW), before, NOW)
    patch = status_patch(after, before)
    assert merge_patched({"status": before}, patch) == {"status": after}
    assert "expiresAt" not in after


def test_a_margin_cut_to_half_of_the_life_is_told() -> None:
    found = observed(resource(refreshBefore="20m"))
    message = compute_status(found, decide(found, NOW), {}, NOW)["conditions"][0]["message"]
    assert "refreshed 900s before its expiry" in message


def test_a_type_that_cannot_be_changed_is_told() -> None:
    asked = resource(target={"template": {"type": "example.com/new"}})
    found = observed(asked, target=target(resource(), token()), times=times(token()))
    message = compute_status(found, decide(found, NOW), {}, NOW)["conditions"][0]["message"]
    assert "delete the Secret" in message
