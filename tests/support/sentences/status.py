"""Conditions and Events in many situations, rendered by the operator's functions."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pinecone_token_operator.api.access_token import PineconeAccessToken, parse_resource
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.errors import ResourceInvalid
from pinecone_token_operator.policies.contention import Cause, Damping
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.reconcilers.cluster_status import compute_cluster_status
from pinecone_token_operator.reconcilers.copies import Copies
from pinecone_token_operator.reconcilers.events import find_transitions
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.reconcilers.status import invalid_status, make_report
from pinecone_token_operator.targets import names
from tests.support.builders import (
    NOON,
    after,
    failed,
    make_known,
    make_outcome,
    make_resource,
    make_secret,
    make_wanted,
    stored_secret,
)
from tests.support.examples import MERGE, SUSPENDED, TOO_LARGE, with_target
from tests.support.merge_patch import merge

_WIDE: Final = make_resource(refreshBefore="20m")
_TLS: Final = make_resource(target={"template": {"type": "example.com/token"}})
_FIELDS: Final = [{"manager": "argocd", "time": "2026-11-25T12:10:00Z"}]
_OPEN: Final = stored_secret(
    {
        "metadata": {"annotations": {names.ALLOW_MERGE: "true"}},
        "data": {"access_token": "eA==", "token_type": "eA=="},
    }
)
_COPY: Final = merge(make_secret(), {"metadata": {"annotations": {names.TARGET: "prod/search"}}})
# The messages of these are examples in other sections.
_NO_CREDENTIALS: Final = Problem(Reason.CREDENTIALS_NOT_FOUND, "(why)")
_REFUSED: Final = Problem(Reason.TARGET_NOT_WRITABLE, "(why)")
_INCOMPLETE: Final = Problem(Reason.TARGET_INCOMPLETE, "(what)")

_Situation = tuple[str, Known, PineconeAccessToken | None, datetime, str | None]


def _drifted(writer: str) -> Known:
    fields = [{"manager": writer, "time": "2026-11-25T12:10:00Z"}] if writer else []
    patch = {"metadata": {"labels": None, "managedFields": fields}}
    known = make_known(secret=merge(make_secret(), patch))
    return with_target(known, damping=Damping(6, after(5)))


def _fought() -> Known:
    cause = Cause("Secret shop/search was repaired", "argocd")
    return with_target(make_known(), damping=Damping(9, after(5), cause))


def _requested_too_often() -> Known:
    known = make_known(secret=merge(make_secret(), {"metadata": {"managedFields": _FIELDS}}))
    return replace(
        known, credentials="0ther", credentials_writer="argocd", damping=Damping(6, after(5))
    )


def _situations() -> Iterator[_Situation]:
    none = make_known(target=None)
    theirs = make_known(secret=stored_secret({}))
    yield "valid token", make_known(), None, after(1), None
    yield "refreshBefore is too long", make_known(_WIDE), _WIDE, after(1), None
    yield "type cannot be changed", make_known(_TLS, make_secret()), _TLS, after(1), None
    yield "no token yet", none, None, NOON, None
    yield "failing endpoint, valid token", failed(make_known(), after(26)), None, after(25), None
    yield "failing endpoint, expired token", failed(make_known(), after(31)), None, after(30), None
    yield "failing endpoint, no token", failed(none, after(1)), None, NOON, None
    yield "suspended, valid token", make_known(SUSPENDED), SUSPENDED, after(1), None
    yield "suspended, expired token", make_known(SUSPENDED), SUSPENDED, after(31), None
    yield "no credentials, no token", replace(none, credentials=_NO_CREDENTIALS), None, NOON, None
    yield (
        "delivery refused",
        with_target(make_known(), attempts=Attempts(2, after(9), _REFUSED)),
        None,
        NOON,
        None,
    )
    yield (
        "labels refused",
        with_target(make_known(), repairs=Attempts(2, after(9), _INCOMPLETE)),
        None,
        NOON,
        None,
    )
    yield "template too large", make_known(TOO_LARGE, make_secret()), TOO_LARGE, after(1), None
    yield "contested by a field manager", _drifted("argocd"), None, after(5), None
    yield "contested by another operator", _drifted("pinecone-token-operator"), None, after(5), None
    yield "contested by an unknown writer", _drifted(""), None, after(5), None
    yield "contested credentials", _requested_too_often(), None, after(5), None
    yield "contested until lately", _fought(), None, after(6), None
    yield "owned by another resource", make_known(), None, after(1), "elder"
    yield "not managed by this resource", theirs, None, after(1), None
    yield "copy of another target", make_known(secret=_COPY), None, after(1), None
    yield "nothing to merge into", make_known(MERGE, target=None), MERGE, after(1), None
    yield "merge not allowed", make_known(MERGE, stored_secret({})), MERGE, after(1), None
    yield "merge would overwrite", make_known(MERGE, _OPEN), MERGE, after(1), None


def status_sentences() -> Iterator[str]:
    """Yield the conditions and Events of each situation."""
    for title, known, resource, now, rival in _situations():
        outcome = make_outcome(known, now, resource, rival)
        yield from _rendered(title, make_report(outcome, make_wanted(resource), now).status({}), {})
    for title, obj in _invalid_resources():
        try:
            parse_resource(obj)
        except ResourceInvalid as error:
            problem = Problem(Reason.RESOURCE_INVALID, str(error))
            yield from _rendered(title, invalid_status(problem, 3, {}, NOON), {})
    before = make_report(
        make_outcome(failed(make_known(), after(26)), after(25)), make_wanted(), NOON
    ).status({})
    recovered = make_report(make_outcome(make_known(), after(26)), make_wanted(), NOON).status(
        before
    )
    yield from _rendered("recovery", recovered, before)
    for title, copies in _copies():
        outcome = make_outcome(make_known(), after(1))
        status = compute_cluster_status(outcome, copies, make_wanted(), {}, after(1))
        yield from _rendered(f"cluster-scoped: {title}", status, {})


def _copies() -> Iterator[tuple[str, Copies]]:
    yield "all copied", Copies(matched=12, ready=12, failed={})
    yield "no namespace selected", Copies(matched=0, ready=0, failed={})
    yield "one failed", Copies(matched=12, ready=11, failed={"team-a": _REFUSED})


def _invalid_resources() -> Iterator[tuple[str, dict[str, Any]]]:
    metadata = {
        "namespace": "shop",
        "name": "search",
        "uid": "0b1f",
        "creationTimestamp": "2026-11-25T11:00:00Z",
    }
    spec: dict[str, Any] = {"credentialsSecretRef": {"name": "account"}}
    template = {"data": {"a": "${unknown}"}}
    yield "field missing", {"metadata": metadata, "spec": {}}
    yield "not a duration", {"metadata": metadata, "spec": {**spec, "refreshBefore": "soon"}}
    yield "duration too long", {"metadata": metadata, "spec": {**spec, "refreshBefore": "90h"}}
    yield "number as a duration", {"metadata": metadata, "spec": {**spec, "refreshBefore": 5}}
    yield (
        "unknown placeholder",
        {"metadata": metadata, "spec": {**spec, "target": {"template": template}}},
    )


def _rendered(title: str, status: Mapping[str, Any], previous: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{title}]"
    for one in status["conditions"]:
        yield f"{one['type']}={one['status']} {one['reason']}: {one['message']}"
    for event in find_transitions(status, previous):
        yield f"{event.type} Event {event.reason}: {event.message}"
