"""Anything the API server may hold: no crash, no leaked secret, and one write is enough."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken, parse_resource
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.policies.schedule import refresh_at
from pinecone_token_operator.reconcilers.events import find_transitions
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from pinecone_token_operator.reconcilers.outcome import Outcome, evaluate
from pinecone_token_operator.reconcilers.state import Known, State
from pinecone_token_operator.reconcilers.status import make_report
from pinecone_token_operator.reconcilers.status_writer import status_patch
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.secret import (
    content_patch,
    desire,
    ownership_patch,
    secret_to_create,
)
from pinecone_token_operator.targets.stored_token import StoredToken, checksum, format_time
from pinecone_token_operator.targets.target import Target, read_target, stored_token
from pinecone_token_operator.targets.write_errors import explain_refusal
from tests.support.builders import (
    UID,
    after,
    encode,
    make_assignment,
    make_spec,
    make_token,
    make_wanted,
    raw_resource,
    stored_secret,
)
from tests.support.crd_strategies import SPEC, STATUS, TIMES, valid
from tests.support.documented import REFRESH_REQUESTED_AT
from tests.support.leaks import find_leaks
from tests.support.merge_patch import merge

CANARY = "t0ken-c4n4ry-0123456789"
OURS = (
    *(names.EXPIRES_AT, names.REFRESH_AT, names.REFRESHED_AT, names.CREDENTIALS, names.CHECKSUM),
    *(names.MANAGED, names.RESOURCE, names.ALLOW_MERGE, names.DELETION_POLICY, names.TARGET),
    *(names.RESOURCE_UID, names.REFRESH_REQUEST, names.LEGACY_CHECKSUM),
)

quick = settings(
    max_examples=60,
    derandomize=True,
    database=None,
)
moments = st.integers(-3600, 7200).map(lambda seconds: after(seconds=seconds))
texts = TIMES | st.sampled_from(["true", "Delete", "{}", '{"data": ["a"]}', "[[", "search"])
tokens = st.builds(
    lambda issued, lifetime, part: make_token(
        access_token=CANARY,
        refreshed_at=issued,
        expires_at=issued + timedelta(seconds=lifetime),
        refresh_at=(issued + timedelta(seconds=lifetime) * part).replace(microsecond=0),
    ),
    moments,
    st.integers(1, 7200),
    st.sampled_from([0, 0.5, 0.6, 0.7, 2]),
)
resources = st.builds(
    lambda spec, status, requested: parse_resource(
        raw_resource({"annotations": {REFRESH_REQUESTED_AT: requested}}, status) | {"spec": spec}
    ),
    valid(SPEC),
    valid(STATUS),
    TIMES | moments.map(format_time) | st.text(),
)
drifts = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(
            st.sampled_from(["access_token", "token_type", "a"]),
            st.none() | st.sampled_from([encode("other"), encode("\ud7ff"), ""]),
        ),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(st.just(names.RESOURCE_UID), st.none() | texts),
                "annotations": st.dictionaries(st.sampled_from(OURS), st.none() | texts),
                "ownerReferences": st.sampled_from([[], [{"uid": "a11", "kind": "Pod"}]]),
            },
        ),
    },
)


dampings = st.just(Damping()) | st.builds(Damping, st.integers(1, 60), moments)


class Case(NamedTuple):
    """What is known of a resource, and another resource that owns its target."""

    known: Known
    resource: PineconeAccessToken
    rival: str | None

    def evaluate(self, now: datetime) -> Outcome:
        assignment = make_assignment(self.resource, self.rival)
        return evaluate(assignment, self.known, now, fraction=0.5, keep=timedelta(days=1))


def with_checksum(secret: dict[str, Any]) -> dict[str, Any]:
    """Return the Secret as if the operator had written what its annotations say."""
    times = read_target(secret).times
    if times is None or not secret.get("data", {}).get("access_token"):
        return secret
    token = StoredToken(
        CANARY, "Bearer", times.refreshed_at, times.expires_at, times.refresh_at, times.credentials
    )
    patch = {"metadata": {"annotations": {names.CHECKSUM: checksum(token, UID)}}}
    changed: dict[str, Any] = merge(secret, {**patch, "data": {"access_token": encode(CANARY)}})
    return changed


def scheduled(token: StoredToken, resource: PineconeAccessToken) -> StoredToken:
    """Return a token as it is issued for a resource."""
    before = resource.spec.refresh_before
    at = refresh_at(token.refreshed_at, token.expires_at, before, 0.5)
    return replace(token, refresh_at=at, request=resource.metadata.refresh_request)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    resource: PineconeAccessToken = draw(resources)
    rival = draw(st.sampled_from([None, None, None, "elder"]))
    assignment = make_assignment(resource, rival)
    (spec,) = assignment.specs
    secret = secret_in(resource, secret_to_create(spec, desire(spec, draw(tokens))))
    secret = draw(
        st.sampled_from([None, secret_in(resource, {}), secret])
        | drifts.map(lambda drift: merge(secret, drift))
        | drifts.map(lambda drift: with_checksum(merge(secret, drift)))
    )
    target = read_target(secret) if secret else None
    stored = stored_token(target, UID) if target else None
    unusable = Problem(Reason.CREDENTIALS_INVALID, "it is blank")
    restored = State.of(resource.stored_status, resource.metadata.generation).known
    known_target = KnownTarget(
        target=target,
        stored=stored,
        times=stored.times if stored else None,
        had_token=stored is not None or draw(st.booleans()),
        damping=draw(dampings),
    )
    known = replace(
        restored,
        generation=resource.metadata.generation,
        credentials=draw(st.sampled_from(["c0ffee", "new"]) | st.just(unusable)),
        pending=draw(st.none() | st.none() | tokens.map(lambda one: scheduled(one, resource))),
        damping=draw(dampings),
        targets={resource.target_key: known_target},
    )
    if (retry_at := draw(st.none() | moments)) is not None:
        problem = Problem(Reason.UNAVAILABLE, "it failed")
        basis = known.token_input(assignment).basis
        known = replace(known, attempts=Attempts(2, retry_at, problem, basis))
    if (retry_at := draw(st.none() | moments)) is not None:
        problem = Problem(Reason.TARGET_NOT_WRITABLE, "it failed")
        basis = known.target_input(spec, assignment).basis
        attempts = Attempts(2, retry_at, problem, basis)
        known = known.with_targets({resource.target_key: replace(known_target, attempts=attempts)})
    return Case(known, resource, rival)


def secret_in(resource: PineconeAccessToken, body: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret as the API server answers it, at the key of a resource's target."""
    namespace, name = resource.target_key
    return stored_secret(merge(body, {"metadata": {"namespace": namespace, "name": name}}))


@quick
@given(valid(SPEC), valid(STATUS))
def test_resource_is_accepted_when_the_crd_accepts_it(
    spec: dict[str, Any], status: dict[str, Any]
) -> None:
    metadata = {"namespace": "shop", "name": "search", "uid": UID}
    resource = parse_resource(
        {
            "metadata": {**metadata, "creationTimestamp": "2026-11-25T11:00:00Z"},
            "spec": spec,
            "status": status,
        }
    )
    State.of(resource.stored_status, resource.metadata.generation)
    index = Index()
    index.put(resource)
    assert index.rival(resource, resource.target_key, None) is None


@quick
@given(cases(), moments)
def test_anything_is_reported_without_a_secret(case: Case, now: datetime) -> None:
    previous = case.resource.status
    outcome = case.evaluate(now)
    status = make_report(outcome, make_wanted(case.resource), now).status(previous)
    patch = status_patch(status, previous, UID)
    reported = {
        "outcome": repr(outcome),
        "status": json.dumps(status),
        "patch": json.dumps(patch),
        "events": repr(find_transitions(status, previous)),
    }
    assert not find_leaks(reported, [CANARY])
    assert status_patch(status, status, UID) is None
    assert find_transitions(status, status) == []
    acts = bool(outcome.token_plan.why) or any(plan.why for _, plan in outcome.targets)
    assert outcome.wake_at is None or outcome.wake_at > now or acts


@quick
@given(cases(), moments)
def test_one_write_is_enough(case: Case, now: datetime) -> None:
    case = case._replace(known=without_waits(case.known))
    outcome = case.evaluate(now)
    ((_, plan),) = outcome.targets
    if plan.why:
        case = write(case, plan.write)
        outcome = case.evaluate(now)
        ((_, plan),) = outcome.targets
        assert not plan.why
        # And what is to be done then is not put off.
        assert bool(outcome.token_plan.why) == (outcome.wake_at == now)
    if outcome.token_plan.why:
        token = make_token(
            access_token=CANARY,
            refreshed_at=now,
            expires_at=now + timedelta(minutes=30),
            credentials=case.known.credentials,
        )
        case = write(case, scheduled(token, case.resource))
        outcome = case.evaluate(now)
        ((_, plan),) = outcome.targets
    assert not outcome.token_plan.why
    assert not plan.why


def without_waits(known: Known) -> Known:
    """Return the same with nothing that holds a request or a write up."""
    calm = {
        key: replace(one, attempts=Attempts(), damping=Damping())
        for key, one in known.targets.items()
    }
    return replace(known, attempts=Attempts(), damping=Damping(), targets=calm)


def write(case: Case, token: StoredToken | None) -> Case:
    """Return what is known once a token and the ownership have been written."""
    spec = make_spec(case.resource)
    before = case.known.targets[spec.key]
    target, stored = before.target, before.stored
    if token is not None:
        desired = desire(spec, token)
        if target is None:
            target = read_target(
                secret_in(case.resource, secret_to_create(spec, desired, with_owner=False))
            )
        else:
            target = patched(target, content_patch(target, desired))
        assert content_patch(target, desired) is None
        stored = stored_token(target, UID)
        assert stored == token
    assert target is not None
    target = patched(target, ownership_patch(target, spec))
    assert ownership_patch(target, spec) is None
    times = stored.times if stored else None
    after_ = replace(before, target=target, stored=stored, times=times, had_token=True)
    known = replace(case.known, targets={spec.key: after_})
    if token is not None:
        known = replace(known, pending=None, handled_request=token.request or "")
    return case._replace(known=known)


def patched(target: Target, patch: dict[str, Any] | None) -> Target:
    """Return a target after a merge patch, if there is one."""
    namespace, name = target.key
    before = {
        "type": target.type,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": target.uid,
            "resourceVersion": target.resource_version,
            "labels": dict(target.labels),
            "annotations": dict(target.annotations),
            "ownerReferences": list(target.owner_references),
        },
        "data": dict(target.data or {}),
    }
    return read_target(merge(before, patch or {}))


@quick
@given(st.text(), st.text(max_size=20), st.sampled_from([400, 403, 413, 422]))
def test_refusal_is_explained_in_our_own_words(message: str, reason: str, status: int) -> None:
    words = f"{message} {CANARY} exceeded quota: few, {message}"
    explanation = explain_refusal(ApiError(status, reason, words), make_spec(), None)
    assert CANARY not in explanation
    assert "ResourceQuota" in explanation
