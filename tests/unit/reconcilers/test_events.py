from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.reconcilers.events import Transition, find_transitions
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.reconcilers.status import invalid_status, make_report
from tests.support import examples
from tests.support.builders import (
    after,
    failed,
    make_known,
    make_outcome,
    make_secret,
    make_token,
    make_wanted,
)
from tests.support.examples import MERGE, NO_CREDENTIALS, with_target
from tests.support.merge_patch import merge


class Case(NamedTuple):
    """What a status is computed from."""

    known: Known
    resource: PineconeAccessToken | None = None
    rival: str | None = None


def incomplete(message: str) -> Case:
    problem = Problem(Reason.TARGET_INCOMPLETE, message)
    return Case(with_target(make_known(), repairs=Attempts(1, after(40), problem)))


def trouble(reason: Reason) -> Case:
    problem = Problem(reason, "the API server failed a request")
    return Case(replace(make_known(), trouble=Attempts(2, after(40), problem)))


# Its refresh is due long after the times that are used here.
NEXT_TOKEN = make_token(refreshed_at=after(20), expires_at=after(50), refresh_at=after(39))

FRESH = Case(make_known())
REFRESHED = Case(make_known(secret=make_secret(token=NEXT_TOKEN)))
FAILING = Case(failed(make_known(), after(25)))
FAILING_AGAIN = Case(failed(make_known(), after(26), failures=5))
RATE_LIMITED = Case(failed(make_known(), after(25), reason=Reason.THROTTLED))
NEVER_WORKED = Case(failed(make_known(target=None), after(25)))
EXPIRED = Case(failed(make_known(), after(45)))
SUSPENDED = Case(make_known(examples.SUSPENDED), examples.SUSPENDED)
CONFLICT = Case(make_known(), rival="elder")
NOTHING_TO_MERGE_INTO = Case(make_known(MERGE, target=None), MERGE)
WITHOUT_CREDENTIALS = Case(make_known(target=None, credentials=NO_CREDENTIALS))
TOO_LARGE = Case(make_known(examples.TOO_LARGE, make_secret()), examples.TOO_LARGE)
INCOMPLETE = incomplete("the API server refused the labels")
INCOMPLETE_OTHERWISE = incomplete("the API server refused the owner reference")
CONTESTED = Case(
    with_target(
        make_known(secret=merge(make_secret(), {"metadata": {"labels": None}})),
        damping=Damping(8, after(21)),
    )
)


def status_of(case: Case | None, minutes: float) -> dict[str, Any]:
    if case is None:
        return {}
    now = after(minutes)
    outcome = make_outcome(case.known, now, case.resource, case.rival)
    return make_report(outcome, make_wanted(case.resource), now).status({})


def reasons(found: list[Transition]) -> list[str]:
    return [one.reason for one in found]


@pytest.mark.parametrize(
    ("before", "then", "expected"),
    [
        pytest.param(None, FRESH, ["Issued"], id="first token"),
        pytest.param(FRESH, FRESH, [], id="no change"),
        pytest.param(FRESH, REFRESHED, [], id="routine refresh"),
        pytest.param(FRESH, FAILING, ["Unavailable"], id="failure"),
        pytest.param(FAILING, FAILING_AGAIN, [], id="same failure"),
        pytest.param(FAILING, RATE_LIMITED, ["Throttled"], id="another failure"),
        pytest.param(FAILING, REFRESHED, ["Recovered"], id="recovery"),
        pytest.param(None, NEVER_WORKED, ["Unavailable"], id="failure from the beginning"),
        pytest.param(NEVER_WORKED, FRESH, ["Issued"], id="first token after failures"),
        pytest.param(None, WITHOUT_CREDENTIALS, ["CredentialsNotFound"], id="no credentials"),
        pytest.param(FRESH, SUSPENDED, [], id="suspended"),
        pytest.param(SUSPENDED, FRESH, [], id="resumed"),
        pytest.param(FRESH, CONFLICT, ["TargetConflict"], id="conflict"),
        pytest.param(CONFLICT, FRESH, ["Issued"], id="end of a conflict"),
        pytest.param(None, NOTHING_TO_MERGE_INTO, ["TokenMissing"], id="nothing to merge into"),
        pytest.param(FRESH, TOO_LARGE, ["TemplateTooLarge"], id="template too large"),
        pytest.param(FRESH, CONTESTED, ["TargetContested"], id="contested"),
        pytest.param(CONTESTED, REFRESHED, ["Recovered"], id="no longer contested"),
        pytest.param(
            FRESH, trouble(Reason.API_SERVER_ERROR), ["APIServerError"], id="API server failing"
        ),
        pytest.param(FRESH, trouble(Reason.ACCESS_DENIED), ["AccessDenied"], id="access denied"),
        pytest.param(FRESH, INCOMPLETE, ["TargetIncomplete"], id="incomplete"),
        pytest.param(INCOMPLETE, INCOMPLETE_OTHERWISE, [], id="still incomplete"),
        pytest.param(INCOMPLETE, FRESH, [], id="no longer incomplete"),
        pytest.param(
            FAILING, INCOMPLETE, ["TargetIncomplete", "Recovered"], id="recovered but incomplete"
        ),
    ],
)
def test_transitions_are_recorded_once(
    before: Case | None, then: Case, expected: list[str]
) -> None:
    found = find_transitions(status_of(then, 21), status_of(before, 20))
    assert reasons(found) == expected
    good = ("Issued", "Recovered")
    assert all(one.type == ("Normal" if one.reason in good else "Warning") for one in found)
    assert all(one.message for one in found)


def test_expiry_is_recorded() -> None:
    found = find_transitions(status_of(EXPIRED, 31), status_of(EXPIRED, 29))
    assert reasons(found) == ["TokenExpired"]


def test_expiry_is_recorded_when_the_api_server_fails() -> None:
    case = trouble(Reason.API_SERVER_ERROR)
    found = find_transitions(status_of(case, 31), status_of(case, 29))
    assert reasons(found) == ["TokenExpired"]


def test_recovery_after_an_expiry_is_recorded_once() -> None:
    found = find_transitions(status_of(REFRESHED, 35), status_of(EXPIRED, 31))
    assert reasons(found) == ["Recovered"]


def test_invalid_resource_is_recorded_once() -> None:
    valid = status_of(FRESH, 20)
    problem = Problem(Reason.RESOURCE_INVALID, "spec.refreshBefore: is not a duration")
    invalid = invalid_status(problem, 4, valid, after(21))
    assert reasons(find_transitions(invalid, valid)) == ["ResourceInvalid"]
    assert find_transitions(invalid, invalid) == []
    assert reasons(find_transitions(status_of(FRESH, 22), invalid)) == ["Recovered"]
