from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import REFRESH_REQUESTED_AT, PineconeAccessToken
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.chain import decide, is_outdated, wake_at
from pinecone_token_operator.policies.decision import Action
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.targets import target as found
from pinecone_token_operator.targets.secret import desire, owner_reference, secret_patch
from pinecone_token_operator.targets.target import format_time, read_target
from tests.support.builders import (
    NOON,
    after,
    encode,
    failed,
    make_observed,
    make_resource,
    make_secret,
    make_target,
    make_times,
    make_token,
    merge,
    stored_secret,
)

REST, EXCHANGE, WRITE = Action.REST, Action.EXCHANGE, Action.WRITE
NO_CREDENTIALS = Problem(Reason.CREDENTIALS_NOT_FOUND, "the Secret account does not exist")

FOREIGN = read_target(stored_secret({}))
OPEN = read_target(stored_secret({"metadata": {"annotations": {found.ALLOW_MERGE: "true"}}}))
MERGE = make_resource(target={"creationPolicy": "Merge"})
SUSPENDED = make_resource(suspend=True)
# All is well and the data is not kept in memory.
UNREAD = replace(make_observed(), stored=None, target=make_target(make_resource()).without_data())


def requested(at: datetime) -> PineconeAccessToken:
    return make_resource({"annotations": {REFRESH_REQUESTED_AT: format_time(at)}})


def damaged(patch: dict[str, Any], resource: PineconeAccessToken | None = None) -> Observed:
    """Return what is observed after somebody patched the target that the operator had made."""
    resource = resource or make_resource()
    return make_observed(resource, merge(make_secret(resource), patch))


def test_a_fresh_token_is_left_alone() -> None:
    decision = decide(make_observed(), after(10))
    assert decision.action is REST
    assert decision.not_ready is None
    assert decision.not_refreshed is None


@pytest.mark.parametrize(
    ("observed", "reason", "words"),
    [
        pytest.param(
            make_observed(conflict="elder"),
            Reason.TARGET_CONFLICT,
            "elder",
            id="an older resource has the same target",
        ),
        pytest.param(
            make_observed(target=FOREIGN),
            Reason.TARGET_NOT_OWNED,
            "left alone",
            id="the Secret is somebody else's",
        ),
        pytest.param(
            make_observed(target=OPEN),
            Reason.TARGET_NOT_OWNED,
            "left alone",
            id="a Secret that allows a merge is not an Owner's",
        ),
        pytest.param(
            make_observed(MERGE, target=None),
            Reason.TOKEN_MISSING,
            "does not exist",
            id="there is nothing to merge into",
        ),
        pytest.param(
            make_observed(MERGE, target=FOREIGN),
            Reason.TARGET_NOT_OWNED,
            "allow-merge",
            id="the Secret does not allow a merge",
        ),
        pytest.param(
            make_observed(MERGE),
            Reason.TARGET_NOT_OWNED,
            "allow-merge",
            id="the Secret no longer allows a merge",
        ),
    ],
)
def test_a_target_that_is_not_ours_is_not_touched(
    observed: Observed, reason: Reason, words: str
) -> None:
    # Neither a token in hand nor an expired one changes that.
    for one in (observed, replace(observed, in_hand=make_token(), times=None, stored=None)):
        decision = decide(one, after(25))
        assert decision.action is REST
        assert decision.not_ready is not None
        assert decision.not_ready.reason is reason
        assert words in decision.not_ready.message
        assert wake_at(one, decision, after(25)) is None


def test_a_target_that_allows_it_is_merged_into() -> None:
    assert decide(make_observed(MERGE, target=OPEN), NOON).action is EXCHANGE


def test_what_a_resource_of_the_same_name_left_behind_is_taken_over() -> None:
    left = make_secret(make_resource({"uid": "old"}, target={"deletionPolicy": "Retain"}))
    decision = decide(make_observed(make_resource(), left), after(5))
    assert decision.action is EXCHANGE  # its seal is another resource's
    assert decision.not_ready is None


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        pytest.param(make_observed(SUSPENDED), Reason.SUSPENDED, id="suspended"),
        pytest.param(
            make_observed(SUSPENDED, target=None), Reason.SUSPENDED, id="suspended without a token"
        ),
        pytest.param(
            make_observed(SUSPENDED, in_hand=make_token()),
            Reason.SUSPENDED,
            id="suspended with a token in hand",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS),
            Reason.CREDENTIALS_NOT_FOUND,
            id="no credentials",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS, target=None),
            Reason.CREDENTIALS_NOT_FOUND,
            id="no credentials and no token",
        ),
    ],
)
def test_no_attempt_is_made(observed: Observed, reason: Reason) -> None:
    for now in (after(5), after(25), after(35)):
        decision = decide(observed, now)
        assert decision.action is REST
        assert decision.not_ready is None
        assert decision.not_refreshed is not None
        assert decision.not_refreshed.reason is reason


# From the first check to the last: each row breaks one more thing than the row below it.
IN_ORDER: dict[Reason, dict[str, Any]] = {
    Reason.TARGET_CONFLICT: {"conflict": "elder"},
    Reason.TARGET_NOT_OWNED: {"target": FOREIGN},
    Reason.SUSPENDED: {"resource": SUSPENDED},
    Reason.CREDENTIALS_NOT_FOUND: {"credentials": NO_CREDENTIALS},
}


@pytest.mark.parametrize("first", IN_ORDER)
def test_the_first_problem_is_told(first: Reason) -> None:
    reasons = list(IN_ORDER)
    broken: dict[str, Any] = {}
    for reason in reasons[reasons.index(first) :]:
        broken |= IN_ORDER[reason]
    decision = decide(make_observed(**broken), after(35))
    problem = decision.not_ready or decision.not_refreshed
    assert problem is not None
    assert problem.reason is first


def test_a_token_in_hand_is_written_before_another_is_fetched() -> None:
    token = make_token(access_token="new")
    for target in (None, make_target(make_resource())):
        decision = decide(make_observed(target=target, in_hand=token), after(25))
        assert (decision.action, decision.token) == (WRITE, token)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(make_token(credentials="old"), id="of other credentials"),
        pytest.param(make_token(expires_at=after(25)), id="that has expired"),
    ],
)
def test_a_useless_token_in_hand_is_not_written(token: found.StoredToken) -> None:
    decision = decide(make_observed(target=None, in_hand=token), after(25))
    assert decision.action is EXCHANGE


LOST = [
    pytest.param(make_observed(target=None), id="the target is gone"),
    pytest.param(damaged({"data": {"access_token": None}}), id="the token is gone"),
    pytest.param(damaged({"metadata": {"annotations": None}}), id="nothing vouches for it"),
]


@pytest.mark.parametrize("observed", LOST)
def test_a_token_that_the_target_lost_is_put_back_if_it_is_kept(observed: Observed) -> None:
    decision = decide(replace(observed, kept=make_token()), after(18))
    assert (decision.action, decision.token) == (WRITE, make_token())


@pytest.mark.parametrize(
    ("resource", "kept"),
    [
        pytest.param(make_resource(), make_token(credentials="old"), id="is of other credentials"),
        pytest.param(make_resource(), make_token(refresh_at=after(18)), id="is due"),
        pytest.param(requested(after(17)), make_token(), id="is older than somebody wants it"),
    ],
)
def test_a_kept_token_is_not_put_back_if_it(
    resource: PineconeAccessToken, kept: found.StoredToken
) -> None:
    decision = decide(make_observed(resource, target=None, kept=kept), after(18))
    assert decision.action is EXCHANGE


def test_a_kept_token_is_not_written_over_one_that_is_right() -> None:
    observed = make_observed(kept=make_token(access_token="other"))
    assert decide(observed, after(18)).action is REST


TO_EXCHANGE = [
    pytest.param(make_observed(target=None), after(1), "not exist", id="there is no target"),
    pytest.param(
        damaged({"data": {"access_token": encode("0ther")}}),
        after(1),
        "vouched",
        id="the token was changed",
    ),
    pytest.param(
        damaged({"data": {"access_token": None}}), after(1), "vouched", id="the token is gone"
    ),
    pytest.param(
        damaged({"metadata": {"annotations": {found.EXPIRES_AT: "2026-11-25T13:30:00Z"}}}),
        after(1),
        "vouched",
        id="its expiry was changed",
    ),
    pytest.param(make_observed(), after(30), "expired", id="it expires this second"),
    pytest.param(make_observed(), after(300), "expired", id="it expired long ago"),
    pytest.param(make_observed(), after(-1), "future", id="a clock that was ahead wrote it"),
    pytest.param(
        make_observed(credentials="new"), after(1), "credentials", id="the credentials changed"
    ),
    pytest.param(
        make_observed(requested(after(1))), after(1), "requested", id="a refresh was asked for"
    ),
    pytest.param(make_observed(), after(19), "due", id="its time has come"),
    pytest.param(
        UNREAD,
        after(19),
        "due",
        id="its time has come and the data was not read again",
    ),
    pytest.param(
        make_observed(
            secret=make_secret(make_resource(), make_token(refresh_at=after(29))),
        ),
        after(20),
        "due",
        id="the plan was damaged to a later time than the schedule allows",
    ),
]


@pytest.mark.parametrize(("observed", "now", "why"), TO_EXCHANGE)
def test_a_token_is_fetched(observed: Observed, now: datetime, why: str) -> None:
    decision = decide(observed, now)
    assert decision.action is EXCHANGE
    assert why in decision.why
    assert decision.not_ready is None
    assert decision.not_refreshed is None


@pytest.mark.parametrize(("observed", "now", "why"), TO_EXCHANGE)
def test_after_a_failure_it_waits_and_then_tries_again(
    observed: Observed, now: datetime, why: str
) -> None:
    del why
    retry_at = now + timedelta(seconds=8)
    tried = failed(observed, retry_at)
    decision = decide(tried, now)
    assert decision.action is not EXCHANGE
    woken = wake_at(tried, decision, now)
    assert woken is not None
    assert woken <= retry_at
    assert decide(tried, retry_at).action is EXCHANGE


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"credentials": "new"}, id="other credentials"),
        pytest.param({"target": None, "stored": None, "times": None}, id="the target was deleted"),
        pytest.param({"resource": make_resource({"generation": 4})}, id="the resource was changed"),
        pytest.param({"resource": requested(after(20))}, id="a refresh was asked for"),
    ],
)
def test_waiting_ends_when_the_attempt_would_be_another(change: dict[str, Any]) -> None:
    tried = failed(make_observed(), after(25))
    assert decide(tried, after(20)).action is REST
    assert decide(replace(tried, **change), after(20)).action is EXCHANGE


def test_a_failure_of_what_was_undone_says_nothing_any_more() -> None:
    wrong = failed(make_observed(credentials="wrong"), after(25), reason=Reason.REJECTED)
    restored = replace(wrong, credentials=make_observed().credentials)
    absent = replace(wrong, credentials=Problem(Reason.CREDENTIALS_NOT_FOUND, "it is gone"))

    for observed, outdated in ((wrong, False), (absent, False), (restored, True)):
        decision = decide(observed, after(10))
        assert decision.action is REST
        assert is_outdated(observed, decision) is outdated


def test_without_a_time_to_wait_for_it_tries_at_once() -> None:
    assert decide(failed(make_observed(target=None), None), NOON).action is EXCHANGE


@pytest.mark.parametrize(
    ("observed", "now"),
    [
        pytest.param(make_observed(), after(18, 59), id="a second before its time"),
        pytest.param(make_observed(requested(NOON)), after(1), id="a request that was served"),
        pytest.param(make_observed(requested(after(-5))), after(1), id="an old request"),
        pytest.param(make_observed(requested(after(5))), after(4), id="a request for later"),
        pytest.param(
            make_observed(make_resource({"annotations": {REFRESH_REQUESTED_AT: "soon"}})),
            after(1),
            id="a request for no time",
        ),
        pytest.param(
            UNREAD,
            after(10),
            id="the data was not read again",
        ),
    ],
)
def test_no_token_is_fetched(observed: Observed, now: datetime) -> None:
    assert decide(observed, now).action is REST


def test_a_request_within_the_second_of_the_last_refresh_counts_as_served() -> None:
    at = {"annotations": {REFRESH_REQUESTED_AT: "2026-11-25T12:00:00.9Z"}}
    assert decide(make_observed(make_resource(at)), after(1)).action is REST


def test_how_late_an_exchange_is_is_told_only_if_the_schedule_wanted_it() -> None:
    assert decide(make_observed(), after(21)).planned_at == after(19)
    assert decide(make_observed(), after(31)).planned_at is None
    assert decide(make_observed(credentials="new"), after(21)).planned_at is None


TO_REPAIR = [
    pytest.param(damaged({"metadata": {"labels": None}}), id="the label is gone"),
    pytest.param(damaged({"data": {"token_type": encode("MAC")}}), id="a key changed"),
    pytest.param(damaged({"data": {"expires_at": None}}), id="a key is gone"),
    pytest.param(damaged({"metadata": {"ownerReferences": []}}), id="the owner reference is gone"),
    pytest.param(
        damaged({"metadata": {"annotations": {found.MANAGED: None}}}), id="an annotation is gone"
    ),
    pytest.param(
        damaged({"metadata": {"annotations": {found.REFRESH_AT: "2026-11-25T12:29:00Z"}}}),
        id="the plan is later than the schedule allows",
    ),
    pytest.param(
        damaged({"metadata": {"annotations": {found.REFRESH_AT: "2026-11-25T12:16:59Z"}}}),
        id="the plan is earlier than the schedule allows",
    ),
    pytest.param(
        make_observed(make_resource(refreshBefore="2m"), make_secret(make_resource())),
        id="refreshBefore changed",
    ),
    pytest.param(
        make_observed(
            make_resource(target={"template": {"data": {"header": "Bearer ${access_token}"}}}),
            make_secret(make_resource()),
        ),
        id="the template changed",
    ),
    pytest.param(
        make_observed(
            make_resource(target={"deletionPolicy": "Retain"}), make_secret(make_resource())
        ),
        id="deletionPolicy changed",
    ),
]


@pytest.mark.parametrize("observed", TO_REPAIR)
def test_damage_is_repaired_with_the_token_that_is_there(observed: Observed) -> None:
    now = after(5)
    decision = decide(observed, now)
    assert decision.action is WRITE
    assert decision.token is not None
    assert replace(decision.token, refresh_at=after(19)) == make_token()
    # One write is enough.
    resource, secret = observed.resource, make_secret(observed.resource, decision.token)
    assert decide(make_observed(resource, secret), now).action is REST


@pytest.mark.parametrize("observed", TO_REPAIR)
def test_damage_is_repaired_while_an_exchange_has_to_wait(observed: Observed) -> None:
    assert decide(failed(observed, after(6)), after(5)).action is WRITE


@pytest.mark.parametrize("observed", TO_REPAIR)
def test_damage_is_repaired_without_credentials_which_is_told_all_the_same(
    observed: Observed,
) -> None:
    decision = decide(replace(observed, credentials=NO_CREDENTIALS), after(5))
    assert decision.action is WRITE
    assert decision.not_refreshed is NO_CREDENTIALS


@pytest.mark.parametrize("observed", TO_REPAIR)
def test_a_token_that_has_expired_is_not_repaired(observed: Observed) -> None:
    assert decide(failed(observed, after(40)), after(35)).action is REST


@pytest.mark.parametrize("observed", TO_REPAIR)
def test_a_repair_that_failed_waits_and_is_tried_again(observed: Observed) -> None:
    tried = failed(observed, after(6), reason=Reason.TARGET_NOT_WRITABLE)
    decision = decide(tried, after(5))
    assert decision.action is REST
    assert wake_at(tried, decision, after(5)) == after(6)
    assert decide(tried, after(6)).action is WRITE


@pytest.mark.parametrize(
    ("refresh_before", "fraction", "refresh_at"),
    [
        pytest.param("2m", 0.0, after(28), id="a shorter margin"),
        pytest.param("2m", 0.5, after(26, 30), id="a shorter margin with jitter"),
        pytest.param("14m", 0.0, after(16), id="a longer margin"),
        pytest.param("11m", 0.9, after(19), id="a margin that the plan fits stays as it is"),
    ],
)
def test_a_new_margin_makes_a_new_plan(
    refresh_before: str, fraction: float, refresh_at: datetime
) -> None:
    resource = make_resource(refreshBefore=refresh_before)
    observed = make_observed(resource, make_secret(make_resource()), fraction=fraction)
    decision = decide(observed, after(5))
    planned = decision.token or observed.stored
    assert planned is not None
    assert planned.refresh_at == refresh_at


def test_another_owner_beside_ours_is_no_damage() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
    ours = owner_reference(make_resource())
    observed = damaged({"metadata": {"ownerReferences": [ours, pod]}})
    assert decide(observed, after(5)).action is REST


@pytest.mark.parametrize(
    ("observed", "now", "moment"),
    [
        pytest.param(make_observed(), after(5), after(19), id="the refresh"),
        pytest.param(make_observed(requested(after(7))), after(5), after(7), id="a request"),
        pytest.param(
            failed(make_observed(), after(25)), after(20), after(25), id="the next attempt"
        ),
        pytest.param(
            failed(make_observed(), after(45)), after(25), after(30), id="the expiry before that"
        ),
        pytest.param(make_observed(SUSPENDED), after(5), after(30), id="only the expiry"),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS),
            after(6),
            after(6, seconds=5),
            id="a look at credentials that could not be used",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS, unusable_since=after(4)),
            after(6),
            after(8),
            id="a look at them after as long as they could not be used",
        ),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS, unusable_since=after(4)),
            after(29),
            after(29, 15),
            id="the sooner, the nearer the expiry",
        ),
        pytest.param(make_observed(SUSPENDED), after(35), None, id="nothing after the expiry"),
        pytest.param(
            make_observed(credentials=NO_CREDENTIALS, target=None, unusable_since=after(-60)),
            after(5),
            after(10),
            id="a look at them after five minutes at most",
        ),
        pytest.param(make_observed(conflict="elder"), after(5), None, id="no time ends a conflict"),
    ],
)
def test_what_time_alone_changes(
    observed: Observed, now: datetime, moment: datetime | None
) -> None:
    assert wake_at(observed, decide(observed, now), now) == moment


@pytest.mark.parametrize(
    ("observed", "now"),
    [
        pytest.param(
            make_observed(in_hand=make_token(access_token="new"), target=None),
            after(25),
            id="a token that could be written only when its refresh was due",
        ),
        pytest.param(
            make_observed(
                secret=make_secret(make_resource(), make_token(refresh_at=after(29))),
                fraction=0.9,
            ),
            after(19),
            id="a damaged plan, for which an earlier time was drawn than it is",
        ),
        pytest.param(
            make_observed(requested(after(2)), in_hand=make_token(access_token="new"), target=None),
            after(5),
            id="a token in hand that is older than the one that was asked for",
        ),
    ],
)
def test_what_is_due_as_soon_as_it_is_written_is_not_slept_over(
    observed: Observed, now: datetime
) -> None:
    decision = decide(observed, now)
    assert decision.action is WRITE
    assert decision.token is not None
    observed = written(observed, decision.token)
    assert wake_at(observed, decision, now) == now
    assert decide(observed, now).action is EXCHANGE


def written(observed: Observed, token: found.StoredToken) -> Observed:
    """Return what is observed once a token has been written."""
    target = make_target(observed.resource, token)
    return replace(observed, target=target, stored=token, times=make_times(token), in_hand=None)


moments = st.integers(-2, 40).map(after)
retries = st.none() | moments


def observe(
    plan: int,
    request: datetime | None,
    retry: datetime | None,
    credentials: str | Problem,
    read: str,
    in_hand: found.StoredToken | None,
    kept: found.StoredToken | None,
    *,
    suspend: bool,
) -> Observed:
    metadata = {"annotations": {REFRESH_REQUESTED_AT: format_time(request)}} if request else {}
    resource = make_resource(metadata, suspend=suspend)
    token = make_token(refresh_at=after(plan))
    target = make_target(resource, token)
    observed = make_observed(
        resource,
        target=None if read == "nothing" else target,
        stored=token if read == "all" else None,
        times=None if read == "nothing" else make_times(token),
        credentials=credentials,
        in_hand=in_hand,
        kept=kept,
    )
    return failed(observed, retry) if retry else observed


observations = st.builds(
    observe,
    st.integers(17, 20),
    retries,
    retries,
    st.sampled_from(["c0ffee", "new", NO_CREDENTIALS]),
    st.sampled_from(["all", "metadata", "nothing"]),
    st.none() | st.sampled_from([make_token(access_token="new"), make_token(credentials="new")]),
    st.none() | st.sampled_from([make_token(), make_token(credentials="new")]),
    suspend=st.booleans(),
)


@given(observations, moments, st.floats(0, 1, exclude_max=True))
def test_until_it_wakes_it_would_not_decide_otherwise(
    observed: Observed, now: datetime, part: float
) -> None:
    decision = decide(observed, now)
    if decision.action is EXCHANGE:
        plan = {
            "expires_at": now + timedelta(minutes=30),
            "refresh_at": now + timedelta(minutes=19),
        }
        fetched = make_token(refreshed_at=now, credentials=observed.credentials, **plan)
        observed = replace(written(observed, fetched), attempts=Attempts())
    elif decision.token is not None:
        observed = written(observed, decision.token)
    woken = wake_at(observed, decision, now)
    assert woken is None or woken > now or decide(observed, now).action is EXCHANGE
    later = now + part * ((woken or now + timedelta(days=1)) - now)
    if later == woken:  # the product is rounded to microseconds
        return
    between = decide(observed, later)
    assert between.action is REST
    assert between.not_ready == decision.not_ready
    assert between.not_refreshed == decision.not_refreshed


@given(observations, moments)
def test_without_a_reason_to_rest_an_expired_or_missing_token_is_never_rested_on(
    observed: Observed, now: datetime
) -> None:
    decision = decide(replace(observed, attempts=Attempts()), now)
    expired = observed.times is None or observed.times.expires_at <= now
    if expired and decision.not_refreshed is None:
        assert decision.action is not REST


@given(observations, moments)
def test_what_is_written_has_not_expired_and_is_of_these_credentials(
    observed: Observed, now: datetime
) -> None:
    decision = decide(observed, now)
    assert (decision.token is not None) == (decision.action is WRITE)
    if decision.token is not None:
        assert decision.token.expires_at > now
        assert decision.token.credentials == observed.credentials


@given(observations, moments)
def test_resting_on_a_token_that_was_read_means_that_the_target_is_right(
    observed: Observed, now: datetime
) -> None:
    decision = decide(replace(observed, attempts=Attempts()), now)
    token, target = observed.stored, observed.target
    if decision.action is REST and not decision.not_refreshed and token and target:
        assert secret_patch(target, desire(observed.resource, token), "0b1f") is None
