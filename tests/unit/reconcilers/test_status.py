from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.reconcilers.status import (
    invalid_status,
    make_report,
)
from pinecone_token_operator.reconcilers.status_writer import status_patch
from pinecone_token_operator.targets.target import read_target
from tests.support.builders import (
    NOON,
    UID,
    after,
    failed,
    make_known,
    make_outcome,
    make_resource,
    make_secret,
    make_token,
    make_wanted,
    stored_secret,
)
from tests.support.examples import (
    INCOMPLETE,
    KEY,
    MERGE,
    NO_CREDENTIALS,
    REFUSED,
    SUSPENDED,
    TOO_LARGE,
    UNREADABLE,
    with_target,
)
from tests.support.merge_patch import merge

# As other controllers put them there.
SYNCED = {
    "type": "Synced",
    "status": "True",
    "reason": "Applied",
    "message": "",
    "lastTransitionTime": "2026-11-25T11:00:00Z",
}


def compute(
    known: Known,
    now: datetime,
    previous: dict[str, Any] | None = None,
    resource: PineconeAccessToken | None = None,
    rival: str | None = None,
) -> dict[str, Any]:
    outcome = make_outcome(known, now, resource, rival)
    return make_report(outcome, make_wanted(resource), now).status(previous or {})


def with_trouble(known: Known, failures: int = 2, problem: Problem = UNREADABLE) -> Known:
    """Return the same after requests to the API server failed; the retry is in a minute."""
    return replace(known, trouble=Attempts(failures, after(26), problem))


def drifted(count: int, last_at: datetime) -> Known:
    """Return what is known when another writer removed our label that many times."""
    fields = [{"manager": "argocd", "time": "2026-11-25T12:10:00Z"}]
    patch = {"metadata": {"labels": None, "managedFields": fields}}
    known = make_known(secret=merge(make_secret(), patch))
    return with_target(known, damping=Damping(count, last_at))


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    (one,) = (one for one in status["conditions"] if one["type"] == kind)
    found: dict[str, Any] = one
    return found


def test_status_of_a_fresh_token_is_complete() -> None:
    assert compute(make_known(), after(1)) == {
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
                "message": "the token in Secret shop/search is valid until 2026-11-25T12:30:00Z",
            },
            {
                "type": "Refreshed",
                "status": "True",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-11-25T12:01:00Z",
                "reason": "Succeeded",
                "message": "the token was issued at 2026-11-25T12:00:00Z",
            },
        ],
    }


VALID, GOOD = ("True", "TokenValid"), ("True", "Succeeded")
EXPIRED, MISSING = ("False", "TokenExpired"), ("False", "TokenMissing")
FAILING = ("False", "Unavailable")
API_ERROR = ("False", "APIServerError")


@pytest.mark.parametrize(
    ("known", "resource", "now", "expected"),
    [
        pytest.param(
            make_known(), None, after(29, 59), {"Ready": VALID, "Refreshed": GOOD}, id="valid"
        ),
        pytest.param(
            failed(make_known(), after(26)),
            None,
            after(25),
            {"Ready": VALID, "Refreshed": FAILING},
            id="failing endpoint, valid token",
        ),
        pytest.param(
            failed(make_known(), after(31)),
            None,
            after(30),
            {"Ready": EXPIRED, "Refreshed": FAILING},
            id="failing endpoint, token expires this second",
        ),
        pytest.param(
            failed(make_known(target=None), after(1)),
            None,
            NOON,
            {"Ready": MISSING, "Refreshed": FAILING},
            id="failing endpoint, no token",
        ),
        pytest.param(
            make_known(target=None), None, NOON, {"Ready": MISSING}, id="before the first request"
        ),
        pytest.param(
            make_known(SUSPENDED),
            SUSPENDED,
            after(5),
            {"Ready": VALID, "Refreshed": ("False", "Suspended")},
            id="suspended, valid token",
        ),
        pytest.param(
            make_known(SUSPENDED),
            SUSPENDED,
            after(35),
            {"Ready": EXPIRED, "Refreshed": ("False", "Suspended")},
            id="suspended, expired token",
        ),
        pytest.param(
            make_known(SUSPENDED, target=None),
            SUSPENDED,
            after(5),
            {"Ready": MISSING, "Refreshed": ("False", "Suspended")},
            id="suspended, no token",
        ),
        pytest.param(
            make_known(credentials=NO_CREDENTIALS),
            None,
            after(5),
            {"Ready": VALID, "Refreshed": ("False", "CredentialsNotFound")},
            id="no credentials, valid token",
        ),
        pytest.param(
            make_known(credentials=NO_CREDENTIALS),
            None,
            after(35),
            {"Ready": EXPIRED, "Refreshed": ("False", "CredentialsNotFound")},
            id="no credentials, expired token",
        ),
        pytest.param(
            make_known(credentials=NO_CREDENTIALS, target=None),
            None,
            after(5),
            {
                "Ready": ("False", "CredentialsNotFound"),
                "Refreshed": ("False", "CredentialsNotFound"),
            },
            id="no credentials, no token",
        ),
        pytest.param(
            make_known(MERGE, target=None),
            MERGE,
            after(5),
            {"Ready": MISSING},
            id="nothing to merge into",
        ),
        pytest.param(
            make_known(TOO_LARGE, target=None),
            TOO_LARGE,
            after(5),
            {"Ready": MISSING, "Refreshed": ("False", "TemplateTooLarge")},
            id="template too large, no token",
        ),
        pytest.param(
            make_known(TOO_LARGE, make_secret()),
            TOO_LARGE,
            after(5),
            {"Ready": VALID, "Refreshed": ("False", "TemplateTooLarge")},
            id="template too large, valid token",
        ),
        pytest.param(
            with_trouble(make_known()),
            None,
            after(25),
            {"Ready": VALID, "Refreshed": API_ERROR},
            id="API server failing, valid token",
        ),
        pytest.param(
            with_trouble(make_known()),
            None,
            after(30),
            {"Ready": EXPIRED, "Refreshed": API_ERROR},
            id="API server failing, expired token",
        ),
        pytest.param(
            with_trouble(with_target(make_known(), target=None, unreadable=UNREADABLE)),
            None,
            after(30),
            {"Ready": EXPIRED, "Refreshed": API_ERROR},
            id="target unreadable, expired token",
        ),
        pytest.param(
            with_trouble(make_known(MERGE, target=None)).with_targets(
                {KEY: KnownTarget(unreadable=UNREADABLE)}
            ),
            MERGE,
            NOON,
            {"Ready": MISSING, "Refreshed": API_ERROR},
            id="merge target unreadable",
        ),
        pytest.param(
            with_trouble(
                failed(make_known(), after(26)), problem=Problem(Reason.INTERNAL_ERROR, "a bug")
            ),
            None,
            after(25),
            {"Ready": VALID, "Refreshed": ("False", "InternalError")},
            id="unexpected error after a failing endpoint",
        ),
        pytest.param(
            with_target(make_known(), attempts=Attempts(2, after(26), REFUSED)),
            None,
            after(25),
            {"Ready": VALID, "Refreshed": ("False", "TargetNotWritable")},
            id="delivery refused",
        ),
        pytest.param(
            with_target(make_known(), repairs=Attempts(2, after(26), INCOMPLETE)),
            None,
            after(5),
            {"Ready": VALID, "Refreshed": ("True", "TargetIncomplete")},
            id="labels refused",
        ),
        pytest.param(
            drifted(5, after(5)),
            None,
            after(5),
            {"Ready": VALID, "Refreshed": ("False", "TargetContested")},
            id="repair held",
        ),
    ],
)
def test_conditions_say_whether_and_why(
    known: Known,
    resource: PineconeAccessToken | None,
    now: datetime,
    expected: dict[str, tuple[str, str]],
) -> None:
    assert conditions(compute(known, now, resource=resource)) == expected


def test_conditions_report_a_rival() -> None:
    status = compute(make_known(), after(5), rival="elder")
    assert conditions(status) == {
        "Ready": ("False", "TargetConflict"),
        "Stalled": ("True", "TargetConflict"),
    }
    assert "elder" in condition(status, "Ready")["message"]


def test_ready_says_why_there_is_no_token() -> None:
    status = compute(failed(make_known(target=None), after(1), failures=4), NOON)
    assert status["failedAttempts"] == 4
    assert "answered 503" in condition(status, "Ready")["message"]
    assert "answered 503" in condition(status, "Refreshed")["message"]


def test_failed_attempts_count_requests_and_deliveries() -> None:
    known = with_target(
        failed(make_known(), after(26), failures=4), attempts=Attempts(2, after(26), REFUSED)
    )
    assert compute(known, after(25))["failedAttempts"] == 6


def test_failed_attempts_do_not_count_repairs_or_api_trouble() -> None:
    known = with_target(make_known(), repairs=Attempts(7, after(26), INCOMPLETE))
    assert compute(with_trouble(known), after(5))["failedAttempts"] == 0


def test_incomplete_target_is_refreshed_and_says_what_is_not() -> None:
    known = with_target(make_known(), repairs=Attempts(2, after(26), INCOMPLETE))
    status = compute(known, after(5))
    refreshed = condition(status, "Refreshed")
    assert refreshed["message"] == (
        "the token was issued at 2026-11-25T12:00:00Z; the API server refused the labels"
    )
    # The token is refreshed as ever; when the repair is retried is of no interest to users.
    assert status["refreshAt"] == "2026-11-25T12:19:00Z"


def test_contested_target_names_the_writer_and_the_next_repair() -> None:
    status = compute(drifted(6, after(11)), after(11))
    assert "field manager argocd" in condition(status, "Refreshed")["message"]
    assert status["refreshAt"] == "2026-11-25T12:11:04Z"


def test_contested_credentials_name_the_next_request() -> None:
    known = make_known(credentials="new", damping=Damping(6, after(11)))
    status = compute(known, after(11))
    assert conditions(status)["Refreshed"] == ("False", "TargetContested")
    assert status["refreshAt"] == "2026-11-25T12:11:04Z"


ALL = {"secretName", "expiresAt", "refreshAt", "lastRefreshAt"}


@pytest.mark.parametrize(
    ("known", "resource", "rival", "fields"),
    [
        pytest.param(make_known(), None, None, ALL, id="valid token"),
        pytest.param(
            make_known(SUSPENDED), SUSPENDED, None, ALL - {"refreshAt"}, id="suspended: no refresh"
        ),
        pytest.param(
            make_known(credentials=NO_CREDENTIALS),
            None,
            None,
            ALL - {"refreshAt"},
            id="no credentials: no refresh",
        ),
        pytest.param(
            with_trouble(make_known()), None, None, ALL - {"refreshAt"}, id="API trouble: no time"
        ),
        pytest.param(make_known(target=None), None, None, set(), id="no token"),
        pytest.param(
            failed(make_known(target=None), after(26)), None, None, {"refreshAt"}, id="next attempt"
        ),
        pytest.param(make_known(), None, "elder", set(), id="target of another resource"),
        pytest.param(
            make_known(handled_request="now"),
            None,
            None,
            ALL | {"lastHandledRefreshRequest"},
            id="refresh request served",
        ),
    ],
)
def test_fields_are_left_out_when_they_do_not_apply(
    known: Known, resource: PineconeAccessToken | None, rival: str | None, fields: set[str]
) -> None:
    status = compute(known, after(15), resource=resource, rival=rival)
    assert status.keys() == fields | {"observedGeneration", "failedAttempts", "conditions"}


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(failed(make_known(), after(26)), id="token request"),
        pytest.param(
            with_target(make_known(), attempts=Attempts(2, after(26), REFUSED)), id="delivery"
        ),
    ],
)
def test_refresh_at_is_the_retry_time_when_an_attempt_failed(known: Known) -> None:
    assert compute(known, after(25))["refreshAt"] == "2026-11-25T12:26:00Z"


def test_served_request_is_recorded() -> None:
    status = compute(make_known(handled_request="1764072000"), after(1))
    assert status["lastHandledRefreshRequest"] == "1764072000"


@pytest.mark.parametrize(
    ("refresh_before", "note"),
    [
        pytest.param("10m", None, id="less than half"),
        pytest.param("15m", None, id="half"),
        pytest.param("15m1s", "refreshed 900s before expiry", id="more than half"),
        pytest.param("24h", "half of its lifetime of 1800s", id="much more than half"),
    ],
)
def test_ready_notes_a_margin_that_the_lifetime_is_too_short_for(
    refresh_before: str, note: str | None
) -> None:
    resource = make_resource(refreshBefore=refresh_before)
    status = compute(make_known(resource), after(1), resource=resource)
    message = condition(status, "Ready")["message"]
    assert ("refreshBefore" in message) == (note is not None)
    assert (note or "") in message


def test_ready_notes_a_type_that_cannot_be_changed() -> None:
    resource = make_resource(target={"template": {"type": "example.com/token"}})
    status = compute(make_known(resource, make_secret()), after(1), resource=resource)
    assert conditions(status)["Ready"] == VALID
    assert "delete the Secret" in condition(status, "Ready")["message"]
    status = compute(make_known(resource), after(1), resource=resource)
    assert "delete the Secret" not in condition(status, "Ready")["message"]


def test_transition_time_moves_with_the_status_not_the_reason() -> None:
    fresh = compute(make_known(), after(1))
    failing = compute(failed(make_known(), after(21)), after(20), fresh)
    assert condition(failing, "Ready")["lastTransitionTime"] == "2026-11-25T12:01:00Z"
    assert condition(failing, "Refreshed")["lastTransitionTime"] == "2026-11-25T12:20:00Z"

    other = make_known(credentials=NO_CREDENTIALS)
    missing = compute(other, after(22), failing)
    assert condition(missing, "Refreshed")["reason"] == "CredentialsNotFound"
    assert condition(missing, "Refreshed")["lastTransitionTime"] == "2026-11-25T12:20:00Z"

    expired = compute(other, after(30), missing)
    assert condition(expired, "Ready")["lastTransitionTime"] == "2026-11-25T12:30:00Z"
    assert condition(expired, "Refreshed")["lastTransitionTime"] == "2026-11-25T12:20:00Z"

    token = make_token(refreshed_at=after(31), expires_at=after(61), refresh_at=after(50))
    again = compute(make_known(secret=make_secret(token=token)), after(31), expired)
    for kind in ("Ready", "Refreshed"):
        assert condition(again, kind)["lastTransitionTime"] == "2026-11-25T12:31:00Z"


def test_conditions_of_other_controllers_are_kept() -> None:
    first = compute(make_known(), after(1), {"conditions": [SYNCED]})
    second = compute(failed(make_known(), after(21)), after(20), first)
    invalid = invalid_status(Problem(Reason.RESOURCE_INVALID, "x"), 4, second, after(21))
    for status in (first, second, invalid):
        assert condition(status, "Synced") == SYNCED
    assert conditions(invalid) == {
        "Ready": ("False", "ResourceInvalid"),
        "Stalled": ("True", "ResourceInvalid"),
        "Synced": ("True", "Applied"),
    }


@pytest.mark.parametrize(
    ("reason", "stalled"),
    [
        pytest.param(Reason.REJECTED, True, id="rejected credentials"),
        pytest.param(Reason.UNAVAILABLE, False, id="an outage"),
        pytest.param(Reason.THROTTLED, False, id="a rate limit"),
    ],
)
def test_stalled_is_present_only_when_waiting_does_not_help(reason: Reason, stalled: bool) -> None:
    status = compute(failed(make_known(), after(25), reason=reason), after(20))
    assert conditions(status).get("Stalled") == (("True", str(reason)) if stalled else None)
    recovered = compute(make_known(), after(21), status)
    assert "Stalled" not in conditions(recovered)


def test_invalid_resource_keeps_its_fields_but_refresh_at() -> None:
    problem = Problem(Reason.RESOURCE_INVALID, "spec.refreshBefore: is not a duration")
    status = invalid_status(problem, 4, compute(make_known(), after(1)), after(2))
    assert status["observedGeneration"] == 4
    assert status["expiresAt"] == "2026-11-25T12:30:00Z"
    assert "refreshAt" not in status
    assert condition(status, "Ready")["message"] == problem.message


# The patch


def test_status_is_not_written_when_only_time_has_passed() -> None:
    first = compute(make_known(), after(1))
    assert status_patch(compute(make_known(), after(18), first), first, UID) is None


@pytest.mark.parametrize("before", [{}, {"expiresAt": "2026-11-25T12:30:00Z"}])
def test_status_is_written_whole_and_to_this_resource_only(before: dict[str, Any]) -> None:
    status = compute(make_known(target=None), after(1), before)
    assert status_patch(status, before, UID) == [
        {"op": "test", "path": "/metadata/uid", "value": UID},
        {"op": "add", "path": "/status", "value": status},
    ]


def test_status_patch_is_refused_when_conditions_have_changed() -> None:
    before = compute(make_known(), after(1), {"conditions": [SYNCED]})
    status = compute(failed(make_known(), after(21)), after(20), before)
    assert status_patch(status, before, UID) == [
        {"op": "test", "path": "/metadata/uid", "value": UID},
        {"op": "test", "path": "/status/conditions", "value": before["conditions"]},
        {"op": "add", "path": "/status", "value": status},
    ]


# Properties

cases = st.sampled_from(
    [
        (make_known(), None),
        (make_known(), make_resource({"generation": 4}, refreshBefore="1h")),
        (make_known(target=None), None),
        (make_known(SUSPENDED), SUSPENDED),
        (make_known(credentials=NO_CREDENTIALS), None),
        (make_known(TOO_LARGE, make_secret()), TOO_LARGE),
        (make_known(MERGE, stored_secret({})), MERGE),
        (failed(make_known(), after(26)), None),
        (failed(make_known(target=None), after(26), failures=7), None),
        (with_trouble(make_known()), None),
        (with_target(make_known(), repairs=Attempts(2, after(26), INCOMPLETE)), None),
        (with_target(make_known(), target=None, attempts=Attempts(2, after(6), REFUSED)), None),
        (drifted(6, after(8)), None),
    ]
)
rivals = st.sampled_from([None, None, None, "elder"])


@given(st.lists(st.tuples(cases, rivals, st.integers(1, 40)), min_size=1))
def test_patches_lead_from_any_status_to_the_next(
    steps: list[tuple[tuple[Known, PineconeAccessToken | None], str | None, int]],
) -> None:
    written: dict[str, Any] = {"other": 1, "conditions": [SYNCED]}
    now = NOON
    for (known, resource), rival, minutes in steps:
        previous = written
        status = compute(known, now, previous, resource, rival)
        patch = status_patch(status, previous, UID)
        written = patch[-1]["value"] if patch else previous
        assert written == status
        assert status_patch(status, written, UID) is None
        assert condition(written, "Synced") == SYNCED
        before = {one["type"]: one for one in previous["conditions"]}
        for one in status["conditions"][:-1]:
            old = before.get(one["type"], {"status": None})
            same = one["status"] == old["status"]
            expected = old["lastTransitionTime"] if same else now.strftime("%Y-%m-%dT%H:%M:%SZ")
            assert one["lastTransitionTime"] == expected
        now = after((now - NOON).total_seconds() / 60 + minutes)


@given(cases, rivals, st.integers(0, 40).map(after))
def test_ready_is_whether_there_is_a_valid_token_of_ours(
    case: tuple[Known, PineconeAccessToken | None], rival: str | None, now: datetime
) -> None:
    known, resource = case
    times = None if rival else known.times
    ready = times is not None and times.expires_at > now
    status = compute(known, now, resource=resource, rival=rival)
    assert conditions(status)["Ready"][0] == str(ready)
    assert all(one["message"] for one in status["conditions"])


def test_target_read_without_data_is_reported_the_same() -> None:
    known = make_known()
    target = read_target(make_secret()).without_data()
    settled = with_target(known, target=target, stored=None)
    assert compute(settled, after(5)) == compute(known, after(5))
