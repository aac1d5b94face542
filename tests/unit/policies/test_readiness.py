from datetime import datetime
from typing import Any

import pytest

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.input import TargetInput
from pinecone_token_operator.policies.readiness import find_unready
from pinecone_token_operator.reconcilers.outcome import ready_until
from tests.support.builders import NOON, after, make_resource, make_target_input, make_token

MERGE = make_resource(target={"creationPolicy": "Merge"})
UNAVAILABLE = Problem(Reason.UNAVAILABLE, "the token endpoint answered 503")
NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "Secret shop/account does not exist")
SUSPENDED = Problem(Reason.SUSPENDED, "spec.suspend is true")
UNREADABLE = Problem(Reason.API_SERVER_ERROR, "the API server failed to return it")
MISSING = make_target_input(target=None)


@pytest.mark.parametrize("not_refreshed", [None, UNAVAILABLE, NO_CREDENTIALS, SUSPENDED])
@pytest.mark.parametrize("now", [NOON, after(29, 59)])
def test_target_is_ready_until_its_token_expires(
    now: datetime, not_refreshed: Problem | None
) -> None:
    given = make_target_input()
    assert find_unready(given, not_refreshed, now) is None
    assert ready_until(given, now) == after(30)


@pytest.mark.parametrize("now", [after(30), after(300)])
def test_target_is_not_ready_when_its_token_has_expired(now: datetime) -> None:
    given = make_target_input()
    problem = find_unready(given, UNAVAILABLE, now)
    assert problem is not None
    assert problem.reason is Reason.TOKEN_EXPIRED
    assert "expired at 2026-11-25T12:30:00Z: the token endpoint answered 503" in problem.message
    assert ready_until(given, now) is None


@pytest.mark.parametrize(
    ("not_refreshed", "expected"),
    [
        pytest.param(None, Problem(Reason.TOKEN_MISSING, "Secret shop/search holds no token")),
        pytest.param(
            UNAVAILABLE,
            Problem(
                Reason.TOKEN_MISSING,
                "Secret shop/search holds no token: the token endpoint answered 503",
            ),
        ),
        pytest.param(NO_CREDENTIALS, NO_CREDENTIALS),
    ],
)
def test_missing_token_is_explained(not_refreshed: Problem | None, expected: Problem) -> None:
    assert find_unready(MISSING, not_refreshed, NOON) == expected
    assert ready_until(MISSING, NOON) is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(make_target_input(rival="elder"), Reason.TARGET_CONFLICT, id="rival"),
        pytest.param(make_target_input(MERGE), Reason.TARGET_NOT_OWNED, id="merge not allowed"),
        pytest.param(
            make_target_input(MERGE, target=None), Reason.TOKEN_MISSING, id="nothing to merge into"
        ),
    ],
)
def test_token_in_a_target_with_an_obstacle_does_not_count(
    given: TargetInput, reason: Reason
) -> None:
    problem = find_unready(given, UNAVAILABLE, NOON)
    assert problem is not None
    assert problem.reason is reason
    assert given.provided is None
    assert ready_until(given, NOON) is None


@pytest.mark.parametrize("changes", [{}, {"unreadable": UNREADABLE}])
def test_unread_target_is_ready_as_long_as_it_was(changes: dict[str, Any]) -> None:
    given = make_target_input(target=None, times=make_token().times, **changes)
    assert find_unready(given, UNREADABLE, after(29)) is None
    problem = find_unready(given, UNREADABLE, after(30))
    assert problem is not None
    assert problem.reason is Reason.TOKEN_EXPIRED
