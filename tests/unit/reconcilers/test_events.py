from dataclasses import replace
from typing import Any

import pytest

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.chain import decide
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.reconcilers.events import find_news
from pinecone_token_operator.reconcilers.status import compute_status
from tests.support.builders import (
    after,
    failed,
    make_observed,
    make_resource,
    make_secret,
    make_token,
)

NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "the Secret account does not exist")
MERGE = make_resource(target={"creationPolicy": "Merge"})

NOTHING = make_observed(target=None, times=None)
FRESH = make_observed()
REFRESHED = make_observed(
    secret=make_secret(
        make_resource(),
        make_token(refreshed_at=after(20), expires_at=after(50), refresh_at=after(39)),
    )
)
FAILING = failed(FRESH, after(25))
FAILING_AGAIN = failed(FRESH, after(26), failures=5)
FAILING_OTHERWISE = failed(FRESH, after(25), reason=Reason.THROTTLED)
NEVER_WORKED = failed(NOTHING, after(25))
EXPIRED = failed(FRESH, after(45))
SUSPENDED = make_observed(make_resource(suspend=True), make_secret(make_resource()))
CONFLICT = make_observed(conflict="elder")
NO_TARGET_TO_MERGE_INTO = replace(NOTHING, resource=MERGE)
WITHOUT_CREDENTIALS = replace(NOTHING, credentials=NO_CREDENTIALS)


def status_of(observed: Observed | None, minutes: float) -> dict[str, Any]:
    if observed is None:
        return {}
    now = after(minutes)
    return compute_status(observed, decide(observed, now), {}, now)


@pytest.mark.parametrize(
    ("before", "then", "reasons"),
    [
        pytest.param(None, FRESH, ["Issued"], id="a first token"),
        pytest.param(FRESH, FRESH, [], id="the same again"),
        pytest.param(FRESH, REFRESHED, [], id="a refresh is routine"),
        pytest.param(FRESH, FAILING, ["Unavailable"], id="a failure"),
        pytest.param(FAILING, FAILING_AGAIN, [], id="the same failure"),
        pytest.param(FAILING, FAILING_OTHERWISE, ["Throttled"], id="another failure"),
        pytest.param(FAILING, REFRESHED, ["Recovered"], id="a recovery"),
        pytest.param(None, NEVER_WORKED, ["Unavailable"], id="a failure from the beginning"),
        pytest.param(NEVER_WORKED, FRESH, ["Issued"], id="a first token after failures"),
        pytest.param(None, WITHOUT_CREDENTIALS, ["CredentialsNotFound"], id="no credentials"),
        pytest.param(FRESH, SUSPENDED, [], id="whoever suspends knows it"),
        pytest.param(SUSPENDED, FRESH, [], id="and whoever ends that too"),
        pytest.param(FRESH, CONFLICT, ["TargetConflict"], id="a conflict"),
        pytest.param(CONFLICT, FRESH, ["Issued"], id="the end of a conflict"),
        pytest.param(None, NO_TARGET_TO_MERGE_INTO, ["TokenMissing"], id="nothing to merge into"),
    ],
)
def test_people_hear(before: Observed | None, then: Observed, reasons: list[str]) -> None:
    news = find_news(status_of(then, 21), status_of(before, 20))
    assert [one.reason for one in news] == reasons
    good = ("Issued", "Recovered")
    assert all(one.type == ("Normal" if one.reason in good else "Warning") for one in news)
    assert all(one.message for one in news)


def test_people_hear_of_an_expiry() -> None:
    news = find_news(status_of(EXPIRED, 31), status_of(EXPIRED, 29))
    assert [one.reason for one in news] == ["TokenExpired"]


def test_people_hear_of_the_end_of_an_expiry_once() -> None:
    good = replace(REFRESHED, attempts=Attempts())
    news = find_news(status_of(good, 35), status_of(EXPIRED, 31))
    assert [one.reason for one in news] == ["Recovered"]
