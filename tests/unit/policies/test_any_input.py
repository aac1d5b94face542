"""Whatever the API server may hold: no crash, no secret told, and one write is enough."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import (
    REFRESH_REQUESTED_AT,
    PineconeAccessToken,
    parse_resource,
)
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.policies.chain import decide, wake_at
from pinecone_token_operator.policies.decision import Action
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.policies.schedule import refresh_at
from pinecone_token_operator.reconcilers.events import find_news
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.reconcilers.status import compute_status, status_patch
from pinecone_token_operator.targets import target as found
from pinecone_token_operator.targets.secret import desire, secret_patch, secret_to_create
from pinecone_token_operator.targets.target import (
    StoredToken,
    read_target,
    seal,
    stored_token,
    times_of,
)
from pinecone_token_operator.targets.write_errors import explain_refusal
from tests.support.builders import UID, after, encode, make_token, merge, stored_secret
from tests.support.crd_strategies import SPEC, STATUS, TIMES, valid
from tests.support.leaks import find_leaks

CANARY = "t0ken-c4n4ry-0123456789"
OURS = (
    *(found.EXPIRES_AT, found.REFRESH_AT, found.REFRESHED_AT, found.CREDENTIALS, found.SEAL),
    *(found.MANAGED, found.RESOURCE, found.ALLOW_MERGE, found.DELETION_POLICY),
)

quick = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
moments = st.integers(-3600, 7200).map(lambda seconds: after(seconds=seconds))
texts = TIMES | st.sampled_from(["true", "Delete", "{}", '{"data": ["a"]}', "[[", "search"])
tokens = st.builds(
    lambda fetched, life, plan: make_token(
        access_token=CANARY,
        refreshed_at=fetched,
        expires_at=fetched + timedelta(seconds=life),
        refresh_at=(fetched + timedelta(seconds=life) * plan).replace(microsecond=0),
    ),
    moments,
    st.integers(1, 7200),
    st.sampled_from([0, 0.5, 0.6, 0.7, 2]),
)
resources = st.builds(
    lambda spec, status, requested: parse_resource(
        {
            "metadata": {
                "namespace": "shop",
                "name": "search",
                "uid": UID,
                "generation": 3,
                "creationTimestamp": "2026-11-25T11:00:00Z",
                "annotations": {REFRESH_REQUESTED_AT: requested},
            },
            "spec": spec,
            "status": status,
        }
    ),
    valid(SPEC),
    valid(STATUS),
    TIMES | moments.map(found.format_time) | st.text(),
)
damages = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(
            st.sampled_from(["access_token", "token_type", "a"]),
            st.none() | st.sampled_from([encode("other"), encode("\ud7ff"), ""]),
        ),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(st.just(found.RESOURCE_UID), st.none() | texts),
                "annotations": st.dictionaries(st.sampled_from(OURS), st.none() | texts),
                "ownerReferences": st.sampled_from([[], [{"uid": "a11", "kind": "Pod"}]]),
            },
        ),
    },
)


def sealed(secret: dict[str, Any]) -> dict[str, Any]:
    """Return the Secret as if the operator had written what its annotations say."""
    target = read_target(secret)
    if target.times is None or not secret.get("data", {}).get("access_token"):
        return secret
    times = target.times
    token = StoredToken(
        CANARY, "Bearer", times.refreshed_at, times.expires_at, times.refresh_at, times.credentials
    )
    patch = {"metadata": {"annotations": {found.SEAL: seal(token, UID)}}}
    changed: dict[str, Any] = merge(secret, {**patch, "data": {"access_token": encode(CANARY)}})
    return changed


def planned(token: StoredToken, resource: PineconeAccessToken) -> StoredToken:
    """Return a token as it is fetched for a resource."""
    before = resource.spec.refresh_before
    plan = refresh_at(token.refreshed_at, token.expires_at, before, 0.5)
    return replace(token, refresh_at=plan)


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    resource: PineconeAccessToken = draw(resources)
    secret = stored_secret(secret_to_create(resource, desire(resource, draw(tokens))))
    secret = draw(
        st.sampled_from([None, stored_secret({}), secret])
        | damages.map(lambda damage: merge(secret, damage))
        | damages.map(lambda damage: sealed(merge(secret, damage)))
    )
    target = read_target(secret) if secret else None
    stored = stored_token(target, UID) if target else None
    unusable = Problem(Reason.CREDENTIALS_INVALID, "it is blank")
    credentials = draw(st.sampled_from(["c0ffee", "new"]) | st.just(unusable))
    observed = Observed(
        resource=resource,
        conflict=draw(st.sampled_from([None, None, None, "elder"])),
        target=target,
        stored=stored,
        times=times_of(stored) if stored else None,
        credentials=credentials,
        in_hand=draw(st.none() | st.none() | tokens.map(lambda one: planned(one, resource))),
        attempts=Memory.of(resource).attempts,
        fraction=draw(st.sampled_from([0, 0.5, 0.999])),
    )
    retry_at = draw(st.none() | moments)
    if retry_at is not None:
        reason = draw(st.sampled_from([Reason.UNAVAILABLE, Reason.TARGET_NOT_WRITABLE]))
        attempts = Attempts(2, retry_at, Problem(reason, "it failed"), observed.basis)
        observed = replace(observed, attempts=attempts)
    return observed


@quick
@given(valid(SPEC), valid(STATUS))
def test_whatever_the_crd_takes_is_taken(spec: dict[str, Any], status: dict[str, Any]) -> None:
    metadata = {"namespace": "shop", "name": "search", "uid": UID}
    resource = parse_resource(
        {
            "metadata": {**metadata, "creationTimestamp": "2026-11-25T11:00:00Z"},
            "spec": spec,
            "status": status,
        }
    )
    Memory.of(resource)
    index = Index()
    index.put(resource)
    assert index.older_claimant(resource) is None


@quick
@given(observations(), moments)
def test_whatever_is_observed_is_told_without_a_secret(observed: Observed, now: datetime) -> None:
    previous = observed.resource.status
    decision = decide(observed, now)
    status = compute_status(observed, decision, previous, now)
    patch = status_patch(status, previous, UID)
    told = {
        "decision": repr(decision),
        "observed": repr(observed),
        "status": json.dumps(status),
        "patch": json.dumps(patch),
        "news": repr(find_news(status, previous)),
    }
    assert not find_leaks(told, [CANARY])
    assert status_patch(status, status, UID) is None
    assert find_news(status, status) == []
    woken = wake_at(observed, decision, now)
    # Only what has been written can be due already.
    assert woken is None or woken > now or (decision.action is Action.WRITE and woken == now)


@quick
@given(observations(), moments)
def test_one_write_is_enough(observed: Observed, now: datetime) -> None:
    observed = replace(observed, attempts=Attempts())
    decision = decide(observed, now)
    if decision.action is Action.WRITE:
        assert decision.token is not None
        observed = written(observed, decision.token)
        woken = wake_at(observed, decision, now)
        decision = decide(observed, now)
        assert decision.action is not Action.WRITE
        # And what is to be done then is not put off.
        assert (decision.action is Action.EXCHANGE) == (woken == now)
    if decision.action is Action.EXCHANGE:
        token = make_token(
            access_token=CANARY,
            refreshed_at=now,
            expires_at=now + timedelta(minutes=30),
            credentials=observed.credentials,
        )
        decision = decide(written(observed, planned(token, observed.resource)), now)
    assert decision.action is Action.REST


def written(observed: Observed, token: StoredToken) -> Observed:
    """Return what is observed once a token has been written, by one request."""
    resource, target = observed.resource, observed.target
    desired = desire(resource, token)
    if target is None:
        body: dict[str, Any] | None = secret_to_create(resource, desired)
    else:
        body = secret_patch(target, desired, UID)
    assert body is not None
    before = {} if target is None else as_object(target)
    after_ = read_target(stored_secret(merge(before, body)))
    assert secret_patch(after_, desired, UID) is None
    stored = stored_token(after_, UID)
    assert stored == token
    return replace(observed, target=after_, stored=stored, times=times_of(token), in_hand=None)


def as_object(target: found.Target) -> dict[str, Any]:
    """Return a Secret as the API server would send it."""
    return {
        "type": target.type,
        "metadata": {
            "uid": target.uid,
            "resourceVersion": target.resource_version,
            "labels": dict(target.labels),
            "annotations": dict(target.annotations),
            "ownerReferences": list(target.owner_references),
        },
        "data": dict(target.data or {}),
    }


@quick
@given(st.text(), st.text(max_size=20), st.sampled_from([400, 403, 413, 422]))
def test_what_refuses_a_write_is_told_in_our_own_words(
    message: str, reason: str, status: int
) -> None:
    words = f"{message} {CANARY} exceeded quota: few, {message}"
    told = explain_refusal(ApiError(status, reason, words), "search", None)
    assert CANARY not in told
    assert "ResourceQuota" in told
