from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import Attempts, TargetInput, Wanted
from pinecone_token_operator.policies.target_chain import TargetPlan, is_deliverable, plan_target
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.secret import differs
from pinecone_token_operator.targets.stored_token import StoredToken
from tests.support.builders import (
    NOON,
    after,
    encode,
    make_resource,
    make_secret,
    make_target,
    make_target_input,
    make_token,
    make_wanted,
    stored_secret,
)
from tests.support.merge_patch import merge

MERGE = make_resource(target={"creationPolicy": "Merge"})
OPEN = stored_secret({"metadata": {"annotations": {names.ALLOW_MERGE: "true"}}})
REFUSED = Problem(Reason.TARGET_NOT_WRITABLE, "the API server refused to write it")
INCOMPLETE = Problem(Reason.TARGET_INCOMPLETE, "the API server refused its labels")
UNREADABLE = Problem(Reason.API_SERVER_ERROR, "the API server failed to return it")
NEW = make_token(
    access_token="new", refreshed_at=after(20), expires_at=after(50), refresh_at=after(39)
)
WANTED = make_wanted()
SUSPENDED = replace(WANTED, suspend=True)


def plan(
    one: TargetInput,
    now: datetime,
    token: StoredToken | None = None,
    wanted: Wanted = WANTED,
    fraction: float = 0.0,
) -> TargetPlan:
    return plan_target(one, wanted, token, now, fraction)


def drifted(patch: dict[str, Any], resource: PineconeAccessToken | None = None) -> TargetInput:
    """Return the target that the operator made after another writer patched it."""
    return make_target_input(resource, merge(make_secret(resource), patch))


def failing(one: TargetInput, retry_at: datetime) -> TargetInput:
    """Return the same after the delivery of a token failed."""
    return replace(one, attempts=Attempts(1, retry_at, REFUSED, one.basis))


def repair_failing(one: TargetInput, retry_at: datetime) -> TargetInput:
    """Return the same after a repair failed."""
    return replace(one, repairs=Attempts(1, retry_at, INCOMPLETE, one.basis))


def damped(one: TargetInput, last_at: datetime) -> TargetInput:
    """Return the same after five repairs by another writer's fault; the next is held for 2 s."""
    return replace(one, damping=Damping(5, last_at))


def by_writer(one: TargetInput, writer: str) -> TargetInput:
    assert one.target is not None
    return replace(one, target=replace(one.target, writer=writer))


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(make_target_input(), id="as it should be"),
        pytest.param(
            make_target_input(stored=None, target=make_target().without_data()), id="data not read"
        ),
        pytest.param(make_target_input(target=None), id="not there, and no token to deliver"),
        pytest.param(
            drifted({"metadata": {"annotations": {"example.com/note": "x"}}}), id="more annotations"
        ),
        pytest.param(drifted({"data": {"other": "eA=="}}), id="more keys"),
    ],
)
def test_target_is_left_alone(one: TargetInput) -> None:
    assert plan(one, after(5)) == TargetPlan()


def test_additional_owner_is_not_drift() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
    ours = make_target_input().spec.owner_reference
    one = drifted({"metadata": {"ownerReferences": [ours, pod]}})
    assert plan(one, after(5)) == TargetPlan()


# Obstacles

OBSTACLES = [
    pytest.param(make_target_input(rival="elder"), Reason.TARGET_CONFLICT, id="rival"),
    pytest.param(
        make_target_input(secret=stored_secret({})), Reason.TARGET_NOT_OWNED, id="someone else's"
    ),
    pytest.param(make_target_input(MERGE, target=None), Reason.TOKEN_MISSING, id="no merge target"),
    pytest.param(make_target_input(MERGE), Reason.TARGET_NOT_OWNED, id="merge not allowed"),
    pytest.param(
        make_target_input(unreadable=UNREADABLE), Reason.API_SERVER_ERROR, id="unreadable"
    ),
    pytest.param(
        make_target_input(make_resource(target={"template": {"data": {"a": "x" * 900_001}}})),
        Reason.TEMPLATE_TOO_LARGE,
        id="template too large",
    ),
]


@pytest.mark.parametrize("wanted", [WANTED, SUSPENDED])
@pytest.mark.parametrize(("one", "reason"), OBSTACLES)
def test_target_with_an_obstacle_is_not_touched(
    one: TargetInput, reason: Reason, wanted: Wanted
) -> None:
    for token in (None, NEW):
        found = plan(one, after(25), token, wanted)
        assert not found.why
        assert found.write is None
        assert not found.set_ownership
        assert found.problem is not None
        assert found.problem.reason is reason
        assert found.wake_at is None
    assert not is_deliverable(one)


def test_target_that_allows_a_merge_is_delivered_to() -> None:
    one = make_target_input(MERGE, OPEN)
    assert is_deliverable(one)
    assert plan(one, NOON, make_token()).write == make_token()


def repeating(count: int, text: str) -> PineconeAccessToken:
    return make_resource(target={"template": {"data": {"a": text * count}}})


def test_template_is_refused_before_any_token_is_issued() -> None:
    # 900 kB hold 878 tokens of 1024 characters.
    assert is_deliverable(make_target_input(repeating(860, "$access_token"), target=None))
    one = make_target_input(repeating(880, "$access_token"), target=None)
    assert not is_deliverable(one)
    problem = plan(one, NOON).problem
    assert problem is not None
    assert problem.reason is Reason.TEMPLATE_TOO_LARGE
    assert "900 kB" in problem.message
    assert "shorten it" in problem.message


def test_template_is_refused_whether_or_not_the_token_was_read() -> None:
    one = make_target_input(repeating(880, "$access_token"), make_secret())
    assert one.stored is not None
    assert one.target is not None
    for unread in (one, replace(one, stored=None, target=one.target.without_data())):
        assert not is_deliverable(unread)


def test_template_is_refused_when_the_token_is_very_long() -> None:
    one = make_target_input(repeating(400, "${access_token}"), make_secret())
    assert plan(one, after(20), NEW).write == NEW
    found = plan(one, after(20), replace(NEW, access_token="x" * 4000))
    assert found.problem is not None
    assert found.problem.reason is Reason.TEMPLATE_TOO_LARGE
    assert found.write is None


# Delivery


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(make_target_input(target=None, had_token=False), id="first token"),
        pytest.param(make_target_input(), id="refreshed token"),
        pytest.param(
            make_target_input(stored=None, target=make_target().without_data()),
            id="refreshed token, data not read",
        ),
        pytest.param(drifted({"data": {"access_token": None}}), id="lost token"),
    ],
)
def test_token_is_delivered(one: TargetInput) -> None:
    found = plan(one, after(21), NEW)
    assert found.why
    assert (found.write, found.problem) == (NEW, None)
    assert found.contested is (one.times is None and one.had_token)


def test_delivered_token_is_not_written_again() -> None:
    one = make_target_input(secret=make_secret(token=NEW))
    assert plan(one, after(21), NEW) == TargetPlan()


def test_expired_token_is_not_delivered() -> None:
    assert plan(make_target_input(target=None), after(50), NEW) == TargetPlan()


def test_failed_delivery_is_retried_after_its_delay() -> None:
    one = failing(make_target_input(), after(22))
    found = plan(one, after(21), NEW)
    assert (found.why, found.wake_at) == ("", after(22))
    assert plan(one, after(22), NEW).write == NEW


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"target": None}, id="target deleted"),
        pytest.param({"target": replace(make_target(), uid="new")}, id="target recreated"),
        pytest.param(
            {"spec": make_target_input(make_resource(target={"deletionPolicy": "Retain"})).spec},
            id="spec changed",
        ),
    ],
)
def test_delivery_backoff_ends_when_the_write_would_be_another(change: dict[str, Any]) -> None:
    one = failing(make_target_input(), after(25))
    assert not plan(one, after(21), NEW).why
    assert plan(replace(one, **change), after(21), NEW).write == NEW


@pytest.mark.parametrize("age", [timedelta(), timedelta(seconds=1)])
def test_failed_repairs_do_not_hold_up_a_delivery(age: timedelta) -> None:
    now = after(21)
    one = damped(repair_failing(make_target_input(), after(60)), now - age)
    assert plan(one, now, NEW).write == NEW


# Repairs

# The owner reference is set apart from the rest.
DRIFT = [
    pytest.param(drifted({"metadata": {"labels": None}}), id="label removed"),
    pytest.param(drifted({"data": {"token_type": encode("MAC")}}), id="key changed"),
    pytest.param(drifted({"data": {"expires_at": None}}), id="key removed"),
    pytest.param(
        drifted({"metadata": {"annotations": {names.MANAGED: None}}}), id="annotation removed"
    ),
    pytest.param(
        drifted({"metadata": {"annotations": {names.REFRESH_AT: "2026-11-25T12:29:00Z"}}}),
        id="refresh time later than allowed",
    ),
    pytest.param(
        drifted({"metadata": {"annotations": {names.REFRESH_AT: "2026-11-25T12:16:59Z"}}}),
        id="refresh time earlier than allowed",
    ),
    pytest.param(
        make_target_input(
            make_resource(target={"template": {"data": {"header": "Bearer ${access_token}"}}}),
            make_secret(),
        ),
        id="template changed",
    ),
]
OWNERSHIP = [
    pytest.param(drifted({"metadata": {"ownerReferences": []}}), id="owner reference removed"),
    pytest.param(
        make_target_input(make_resource(target={"deletionPolicy": "Retain"}), make_secret()),
        id="deletionPolicy changed",
    ),
]


@pytest.mark.parametrize("one", DRIFT)
def test_drift_is_repaired_with_the_stored_token(one: TargetInput) -> None:
    found = plan(one, after(5))
    assert found.why
    assert found.contested
    assert found.write is not None
    assert replace(found.write, refresh_at=after(19)) == make_token()
    # One write is enough.
    resource = make_resource(target={"template": {"data": dict(one.spec.template.data)}})
    repaired = make_target_input(resource, make_secret(resource, found.write))
    assert plan(repaired, after(5)) == TargetPlan()


@pytest.mark.parametrize("one", OWNERSHIP)
def test_ownership_is_set_without_writing_the_token(one: TargetInput) -> None:
    for wanted in (WANTED, SUSPENDED):
        for now in (after(5), after(35)):
            found = plan(one, now, wanted=wanted)
            assert found.why
            assert found.set_ownership
            assert found.contested
            assert found.write is None


def test_deletion_policy_of_a_merge_is_set_when_suspended() -> None:
    retain = make_resource(target={"creationPolicy": "Merge", "deletionPolicy": "Retain"})
    secret = merge(make_secret(MERGE), OPEN)
    found = plan(make_target_input(retain, secret), after(5), wanted=SUSPENDED)
    assert found.set_ownership
    assert found.write is None


@pytest.mark.parametrize("one", [*DRIFT, pytest.param(make_target_input(target=None), id="gone")])
def test_suspended_target_is_not_written(one: TargetInput) -> None:
    for token in (None, NEW):
        assert plan(one, after(21), token, SUSPENDED) == TargetPlan()


@pytest.mark.parametrize("one", DRIFT)
def test_expired_token_is_not_repaired(one: TargetInput) -> None:
    assert plan(one, after(30)) == TargetPlan()


@pytest.mark.parametrize("fail", [failing, repair_failing])
@pytest.mark.parametrize("one", [*DRIFT, *OWNERSHIP])
def test_failed_repair_is_retried_after_its_delay(one: TargetInput, fail: Any) -> None:
    tried = fail(one, after(6))
    found = plan(tried, after(5))
    assert (found.why, found.wake_at) == ("", after(6))
    assert plan(tried, after(6)).why


@pytest.mark.parametrize("one", [*DRIFT, *OWNERSHIP])
def test_repair_is_made_at_once_a_few_times(one: TargetInput) -> None:
    for count in range(5):
        assert plan(replace(one, damping=Damping(count, after(5))), after(5)).why


@pytest.mark.parametrize("one", [*DRIFT, *OWNERSHIP])
def test_contested_repair_is_held_and_names_the_writer(one: TargetInput) -> None:
    held = by_writer(damped(one, after(5)), "argocd-controller")
    found = plan(held, after(5))
    assert not found.why
    assert found.wake_at == after(5, 2)
    assert found.problem is not None
    assert found.problem.reason is Reason.TARGET_CONTESTED
    assert "Secret shop/search was repaired 5 times" in found.problem.message
    assert "argocd-controller" in found.problem.message
    assert plan(held, after(5, 2)).why


def test_contested_delivery_of_a_lost_token_is_held() -> None:
    lost = by_writer(damped(drifted({"data": {"access_token": None}}), after(21)), "kubectl-edit")
    found = plan(lost, after(21), NEW)
    assert (found.why, found.wake_at) == ("", after(21, 2))
    assert found.problem is not None
    assert found.problem.reason is Reason.TARGET_CONTESTED
    assert "kubectl-edit" in found.problem.message
    assert plan(lost, after(21, 2), NEW).write == NEW


@pytest.mark.parametrize("one", [*DRIFT, *OWNERSHIP])
def test_scheduled_refresh_is_delivered_to_a_contested_target(one: TargetInput) -> None:
    assert plan(damped(one, after(21)), after(21), NEW).write == NEW


def test_first_token_is_delivered_although_repairs_are_held() -> None:
    one = damped(make_target_input(target=None, had_token=False), after(21))
    assert plan(one, after(21), NEW).write == NEW


@pytest.mark.parametrize(
    ("refresh_before", "fraction", "refresh_at"),
    [
        pytest.param("2m", 0.0, after(28), id="shorter margin"),
        pytest.param("2m", 0.5, after(26, 30), id="shorter margin with jitter"),
        pytest.param("14m", 0.0, after(16), id="longer margin"),
        pytest.param("11m", 0.9, None, id="margin that fits"),
    ],
)
def test_changed_margin_reschedules_the_refresh(
    refresh_before: str, fraction: float, refresh_at: datetime | None
) -> None:
    resource = make_resource(refreshBefore=refresh_before)
    one = make_target_input(resource, make_secret())
    found = plan(one, after(5), wanted=make_wanted(resource), fraction=fraction)
    assert (found.write.refresh_at if found.write else None) == refresh_at


# Properties

moments = st.integers(-2, 60).map(after)
SAMPLES: list[Any] = [
    *(row.values[0] for row in (*DRIFT, *OWNERSHIP, *OBSTACLES)),
    make_target_input(),
    make_target_input(target=None),
    make_target_input(target=None, had_token=False),
    make_target_input(MERGE, OPEN),
    drifted({"data": {"access_token": None}}),
]


@st.composite
def inputs(draw: st.DrawFn) -> TargetInput:
    one: TargetInput = draw(st.sampled_from(SAMPLES))
    for fail in (failing, repair_failing):
        retry_at = draw(st.none() | moments)
        one = one if retry_at is None else fail(one, retry_at)
    damping = draw(st.just(Damping()) | st.builds(Damping, st.integers(1, 60), moments))
    return replace(one, damping=damping)


suspensions = st.sampled_from([WANTED, WANTED, SUSPENDED])
tokens = st.none() | st.just(NEW)


@given(inputs(), suspensions, tokens, moments, st.floats(0, 1, exclude_max=True))
def test_plan_stays_the_same_until_it_wakes_or_a_token_expires(
    one: TargetInput, wanted: Wanted, token: StoredToken | None, now: datetime, part: float
) -> None:
    found = plan(one, now, token, wanted)
    assert found.wake_at is None or found.wake_at > now
    expiries = [each.expires_at for each in (token, one.stored) if each and each.expires_at > now]
    until = min([found.wake_at or now + timedelta(days=1), *expiries])
    later = now + part * (until - now)
    if later < until:  # the product is rounded to microseconds
        assert plan(one, later, token, wanted) == found


@given(inputs(), suspensions, tokens, moments)
def test_written_token_is_valid(
    one: TargetInput, wanted: Wanted, token: StoredToken | None, now: datetime
) -> None:
    found = plan(one, now, token, wanted)
    assert bool(found.why) is (found.write is not None or found.set_ownership)
    assert not (found.why and (found.problem or found.wake_at))
    if found.write is not None:
        assert found.write.expires_at > now
        assert found.write.times == (token.times if token else found.write.times)


@given(inputs(), moments)
def test_target_that_needs_nothing_is_as_it_should_be(one: TargetInput, now: datetime) -> None:
    calm = replace(one, attempts=Attempts(), repairs=Attempts(), damping=Damping())
    found = plan(calm, now)
    if found == TargetPlan() and one.target and one.stored and one.stored.expires_at > now:
        assert not differs(one.target, one.spec, one.stored)


@given(inputs(), tokens, moments)
def test_repair_trouble_never_changes_a_scheduled_delivery(
    one: TargetInput, token: StoredToken | None, now: datetime
) -> None:
    calm = replace(one, repairs=Attempts(), damping=Damping())
    expected = plan(calm, now, token)
    if expected.write is not None and expected.write == token and not expected.contested:
        assert plan(one, now, token) == expected
