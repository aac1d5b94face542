"""Resources, tokens and targets for tests of the pure core; what matters is said by keyword."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pinecone_token_operator.api.access_token import PineconeAccessToken, parse_resource
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.input import Attempts, TargetInput, TokenInput, Wanted
from pinecone_token_operator.reconcilers.access_token import assign
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from pinecone_token_operator.reconcilers.outcome import Outcome, evaluate
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.targets.secret import TargetSpec, desire, secret_to_create
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Target, read_target, stored_token

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
UID = "0b1f"


def after(minutes: float = 0, seconds: float = 0) -> datetime:
    """Return a moment that long after noon, when tokens are fetched unless said otherwise."""
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode(data: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def make_resource(
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: object,
) -> PineconeAccessToken:
    """Return a resource `search` in `shop`; `spec` in the API's own names."""
    return parse_resource(raw_resource(metadata, status, **spec))


def raw_resource(
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: object,
) -> dict[str, Any]:
    """Return the same resource as the API server sends it."""
    return {
        "metadata": {
            "namespace": "shop",
            "name": "search",
            "uid": UID,
            "generation": 3,
            "creationTimestamp": "2026-11-25T11:00:00Z",
            **(metadata or {}),
        },
        "spec": {"credentialsSecretRef": {"name": "account"}, **spec},
        "status": status or {},
    }


def make_token(**changes: Any) -> StoredToken:
    """Return a token of half an hour, planned to be refreshed after 19 minutes."""
    values: dict[str, Any] = {
        "access_token": "t0ken",
        "token_type": "Bearer",
        "refreshed_at": NOON,
        "expires_at": after(30),
        "refresh_at": after(19),
        "credentials": "c0ffee",
    }
    return StoredToken(**values | changes)


def stored_secret(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Secret `search` in `shop` as the API server answers it."""
    metadata = {
        "namespace": "shop",
        "name": "search",
        "uid": "5ec",
        "resourceVersion": "7",
        **body.get("metadata", {}),
    }
    return {"type": "Opaque", **body, "metadata": metadata}


def make_assignment(
    resource: PineconeAccessToken | None = None, rival: str | None = None
) -> Assignment:
    """Return what a resource asks for; `rival` owns its target."""
    return assign(
        resource or make_resource(), lambda _key, _uid: rival and f"PineconeAccessToken {rival}"
    )


def make_spec(resource: PineconeAccessToken | None = None) -> TargetSpec:
    """Return where a resource wants its token stored, and how."""
    (spec,) = make_assignment(resource).specs
    return spec


def make_wanted(resource: PineconeAccessToken | None = None) -> Wanted:
    return make_assignment(resource).wanted


def make_secret(
    resource: PineconeAccessToken | None = None, token: StoredToken | None = None
) -> dict[str, Any]:
    """Return the Secret that the operator would have created, as the API server answers it."""
    spec = make_spec(resource)
    return stored_secret(secret_to_create(spec, desire(spec, token or make_token())))


def make_target(
    resource: PineconeAccessToken | None = None, token: StoredToken | None = None
) -> Target:
    return read_target(make_secret(resource, token))


def make_token_input(resource: PineconeAccessToken | None = None, **changes: Any) -> TokenInput:
    """Return what the token chain gets when all is well, but for what is said otherwise."""
    values: dict[str, Any] = {
        "wanted": make_wanted(resource),
        "credentials": "c0ffee",
        "times": make_token().times,
        "had_token": True,
    }
    return TokenInput(**values | changes)


def make_target_input(
    resource: PineconeAccessToken | None = None,
    secret: Mapping[str, Any] | None = None,
    **changes: Any,
) -> TargetInput:
    """Return what the target chain gets when all is well, but for what is said otherwise.

    The target is the Secret as the API server answers it: by default the one that the operator
    would have created. `target=None` means that there is none.
    """
    resource = resource or make_resource()
    target = read_target(secret or make_secret(resource))
    if "target" in changes:
        target = changes["target"]
    stored = stored_token(target, resource.metadata.uid) if target else None
    values: dict[str, Any] = {
        "spec": make_spec(resource),
        "target": target,
        "stored": stored,
        "times": stored.times if stored else None,
        "had_token": True,
    }
    return TargetInput(**values | changes)


def make_known(
    resource: PineconeAccessToken | None = None,
    secret: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Known:
    """Return what is known when all is well, but for what is said otherwise.

    `target=None` means that there is no target; other changes are fields of `Known`.
    """
    resource = resource or make_resource()
    target = read_target(secret or make_secret(resource))
    if "target" in changes:
        target = changes.pop("target")
    stored = stored_token(target, resource.metadata.uid) if target else None
    known = KnownTarget(
        target=target,
        stored=stored,
        times=stored.times if stored else None,
        had_token=stored is not None,
    )
    values: dict[str, Any] = {
        "generation": resource.metadata.generation,
        "credentials": "c0ffee",
        "credentials_version": "3",
        "targets": {resource.target_key: known},
    }
    return Known(**values | changes)


def make_outcome(
    known: Known | None = None,
    now: datetime = NOON,
    resource: PineconeAccessToken | None = None,
    rival: str | None = None,
) -> Outcome:
    """Return what follows from what is known."""
    assignment = make_assignment(resource, rival)
    return evaluate(assignment, known or make_known(resource), now, fraction=0.0, keep=timedelta())


def failed(
    known: Known,
    retry_at: datetime | None,
    failures: int = 1,
    reason: Reason = Reason.UNAVAILABLE,
    resource: PineconeAccessToken | None = None,
) -> Known:
    """Return the same after token requests, made with what is known, failed."""
    problem = Problem(reason, "the token endpoint answered 503")
    basis = known.token_input(make_assignment(resource)).basis
    return replace(known, attempts=Attempts(failures, retry_at, problem, basis))
