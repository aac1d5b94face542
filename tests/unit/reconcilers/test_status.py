from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.chain import decide
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.reconcilers.status import compute_status, status_patch
from tests.support.builders import (
    NOON,
    UID,
    after,
    failed,
    make_observed,
    make_resource,
    make_secret,
    make_token,
)

NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "the Secret account does not exist")
SUSPENDED = make_resource(suspend=True)


def tell(
    observed: Observed, now: datetime, previous: dict[str, Any] | None = None
) -> dict[str, Any]:
    return compute_status(observed, decide(observed, now), previous or {}, now)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    (one,) = (one for one in status["conditions"] if one["type"] == kind)
    found: dict[str, Any] = one
    return found


def test_a_fresh_token_is_told_in_full() -> None:
    assert tell(make_observed(), after(1)) == {
        "observedGeneration": 3,
        "secretName": "search",
        "expiresAt": "2026-11-25T12:30:00Z",
        "refreshAt": "2026-11-25T12:19:00Z",
        "lastRefreshAt": "2026-11-25T12:00:00Z",
        "failedAttempts": 0,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-11-25T12:01:00Z",
                "reason": "TokenValid",
                "message": ("the token in the Secret search is valid until 2026-11-25T12:30:00Z"),
            },
            {
                "type": "Refreshed",
                "status": "True",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-11-25T12:01:00Z",
                "reason": "Succeeded",
                "message": "the token was fetched at 2026-11-25T12:00:00Z",
            },
        ],
    }


VALID, GOOD = ("True", "TokenValid"), ("True", "Succeeded")
EXPIRED, MISSING = ("False", "TokenExpired"), ("False", "TokenMissing")
FAILING = ("False", "Unavailable")


@pytest.mark.parametrize(
    ("observed", "now", "expected"),
    [
        pytest.param(
            make_observed(), after(29, 59), {"Ready": VALID, "Refreshed": GOOD}, id="valid"
        ),
        pytest.param(
            failed(make_observed(), after(26)),
            after(25),
            {"Ready": VALID, "Refreshed": FAILING},
            id="a failing endpoint and a token that has not expired",
        ),
        pytest.param(
            failed(make_observed(), after(31)),
            after(30),
            {"Ready": EXPIRED, "Refreshed": FAILING},
            id="a failing endpoint and the second of the expiry",
        ),
        pytest.param(
            failed(make_observed(target=None), after(1)),
            NOON,
            {"Ready": MISSING, "Refreshed": FAILING},
            id="a failing endpoint from the beginning",
        ),
        pytest.param(
            make_observed(target=None), NOON, {"Ready": MISSING}, id="nothing was tried yet"
        ),
        pytest.param(
            make_observed(SUSPENDED),
            after(5),
            {"Ready": VALID, "Refreshed": ("False", "Suspended")},
            id="suspended with a valid token",
        ),
        pytest.param(
            make_observed(SUSPENDED),
            after(35),
            {"Ready": EXPIRED, "Refreshed": ("False", "Suspended")},
            id="suspended with an expired token",
        ),
        pytest.param(
            make_observed(SUSPENDED, target=None),
            after(5),
            {"Ready": MISSING, "Refreshed": ("False", "Suspended")},
            id="suspended without a token",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS),
            after(5),
            {"Ready": VALID, "Refreshed": ("False", "CredentialsNotFound")},
            id="no credentials with a valid token",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS),
            after(35),
            {"Ready": EXPIRED, "Refreshed": ("False", "CredentialsNotFound")},
            id="no credentials with an expired token",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS, target=None),
            after(5),
            {
                "Ready": ("False", "CredentialsNotFound"),
                "Refreshed": ("False", "CredentialsNotFound"),
            },
            id="no credentials and no token",
        ),
        pytest.param(
            make_observed(conflict="elder"),
            after(5),
            {"Ready": ("False", "TargetConflict")},
            id="the target is another's",
        ),
        pytest.param(
            make_observed(make_resource(target={"creationPolicy": "Merge"}), target=None),
            after(5),
            {"Ready": MISSING},
            id="nothing to merge into",
        ),
    ],
)
def test_conditions(
    observed: Observed, now: datetime, expected: dict[str, tuple[str, str]]
) -> None:
    assert conditions(tell(observed, now)) == expected


def test_why_there_is_no_token_is_told_in_ready_too() -> None:
    status = tell(failed(make_observed(target=None), after(1), failures=4), NOON)
    assert status["failedAttempts"] == 4
    assert "answered 503" in condition(status, "Ready")["message"]
    assert "answered 503" in condition(status, "Refreshed")["message"]


@pytest.mark.parametrize(
    ("observed", "fields"),
    [
        pytest.param(
            make_observed(),
            {"secretName", "expiresAt", "refreshAt", "lastRefreshAt"},
            id="all of a token",
        ),
        pytest.param(
            make_observed(SUSPENDED),
            {"secretName", "expiresAt", "lastRefreshAt"},
            id="suspended tells the coming expiry and no refresh",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS),
            {"secretName", "expiresAt", "lastRefreshAt"},
            id="without credentials no refresh is coming",
        ),
        pytest.param(make_observed(target=None), set(), id="nothing of no token"),
        pytest.param(
            failed(make_observed(target=None), after(26)), {"refreshAt"}, id="the next attempt"
        ),
        pytest.param(
            make_observed(conflict="elder"), set(), id="nothing of a target that is another's"
        ),
    ],
)
def test_fields_that_do_not_apply_are_left_out(observed: Observed, fields: set[str]) -> None:
    status = tell(observed, after(25))
    assert status.keys() == fields | {"observedGeneration", "failedAttempts", "conditions"}


def test_the_next_attempt_is_when_it_is_tried_again() -> None:
    assert tell(failed(make_observed(), after(26)), after(25))["refreshAt"] == (
        "2026-11-25T12:26:00Z"
    )


@pytest.mark.parametrize(
    ("refresh_before", "note"),
    [
        pytest.param("10m", None, id="less than half of the life is no matter"),
        pytest.param("15m", None, id="half of the life is no matter"),
        pytest.param("15m1s", "refreshed 900s before its expiry", id="more is said"),
        pytest.param("24h", "half of its life of 1800s", id="much more is said"),
    ],
)
def test_a_margin_that_the_life_is_too_short_for(refresh_before: str, note: str | None) -> None:
    resource = make_resource(refreshBefore=refresh_before)
    message = condition(tell(make_observed(resource), after(1)), "Ready")["message"]
    assert ("refreshBefore" in message) == (note is not None)
    assert (note or "") in message


def test_a_type_that_a_secret_cannot_change_to_is_said() -> None:
    resource = make_resource(target={"template": {"type": "example.com/token"}})
    status = tell(make_observed(resource, make_secret(make_resource())), after(1))
    assert conditions(status)["Ready"] == VALID
    assert "delete the Secret" in condition(status, "Ready")["message"]
    status = tell(make_observed(resource), after(1))
    assert "delete the Secret" not in condition(status, "Ready")["message"]


def test_a_transition_is_when_the_status_moves_and_not_when_the_reason_does() -> None:
    fresh = tell(make_observed(), after(1))
    failing = tell(failed(make_observed(), after(21)), after(20), fresh)
    assert condition(failing, "Ready")["lastTransitionTime"] == "2026-11-25T12:01:00Z"
    assert condition(failing, "Refreshed")["lastTransitionTime"] == "2026-11-25T12:20:00Z"

    other = make_observed(credentials=NO_CREDENTIALS)
    missing = tell(other, after(22), failing)
    assert condition(missing, "Refreshed")["reason"] == "CredentialsNotFound"
    assert condition(missing, "Refreshed")["lastTransitionTime"] == "2026-11-25T12:20:00Z"

    expired = tell(other, after(30), missing)
    assert condition(expired, "Ready")["lastTransitionTime"] == "2026-11-25T12:30:00Z"
    assert condition(expired, "Refreshed")["lastTransitionTime"] == "2026-11-25T12:20:00Z"

    token = make_token(refreshed_at=after(31), expires_at=after(61), refresh_at=after(50))
    again = tell(make_observed(secret=make_secret(make_resource(), token)), after(31), expired)
    for kind in ("Ready", "Refreshed"):
        assert condition(again, kind)["lastTransitionTime"] == "2026-11-25T12:31:00Z"


def test_as_time_passes_and_nothing_else_nothing_is_written() -> None:
    first = tell(make_observed(), after(1))
    assert status_patch(tell(make_observed(), after(18), first), first, UID) is None


@pytest.mark.parametrize("before", [{}, {"expiresAt": "2026-11-25T12:30:00Z"}])
def test_a_status_is_written_in_full_and_to_this_resource_only(before: dict[str, Any]) -> None:
    status = tell(make_observed(target=None), after(1), before)
    assert status_patch(status, before, UID) == [
        {"op": "test", "path": "/metadata/uid", "value": UID},
        {"op": "add", "path": "/status", "value": status},
    ]


observations = st.sampled_from(
    [
        make_observed(),
        make_observed(make_resource({"generation": 4}, refreshBefore="1h")),
        make_observed(target=None),
        make_observed(SUSPENDED),
        make_observed(credentials=NO_CREDENTIALS),
        make_observed(conflict="elder"),
        failed(make_observed(), after(26)),
        failed(make_observed(target=None), after(26), failures=7),
    ]
)


@given(st.lists(st.tuples(observations, st.integers(1, 40)), min_size=1))
def test_patches_lead_from_any_status_to_the_next(steps: list[tuple[Observed, int]]) -> None:
    written: dict[str, Any] = {"foreign": 1}
    now = NOON
    for observed, minutes in steps:
        previous = written
        status = compute_status(observed, decide(observed, now), previous, now)
        patch = status_patch(status, previous, UID)
        written = patch[1]["value"] if patch else previous
        assert written == status
        assert status_patch(status, written, UID) is None
        before = {one["type"]: one for one in previous.get("conditions", [])}
        for one in status["conditions"]:
            old = before.get(one["type"], {"status": None})
            same = one["status"] == old["status"]
            told = old["lastTransitionTime"] if same else now.strftime("%Y-%m-%dT%H:%M:%SZ")
            assert one["lastTransitionTime"] == told
        now = after((now - NOON).total_seconds() / 60 + minutes)


@given(observations, st.integers(0, 40).map(after))
def test_ready_is_whether_there_is_a_token_that_has_not_expired(
    observed: Observed, now: datetime
) -> None:
    times = None if observed.conflict else observed.times
    ready = times is not None and times.expires_at > now
    assert conditions(tell(observed, now))["Ready"][0] == str(ready)


def test_a_wait_without_a_problem_is_none() -> None:
    observed = replace(make_observed(), attempts=Attempts())
    assert conditions(tell(observed, after(5)))["Refreshed"] == GOOD
