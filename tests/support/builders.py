"""Resources, tokens and targets for tests of the pure core; what matters is said by keyword."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pinecone_token_operator.api.access_token import PineconeAccessToken, parse_resource
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.targets.secret import desire, secret_to_create
from pinecone_token_operator.targets.target import (
    StoredToken,
    Target,
    TokenTimes,
    read_target,
    stored_token,
)

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
    obj = {
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
    return parse_resource(obj)


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
    """Return a Secret as the API server answers it."""
    metadata = {"uid": "5ec", "resourceVersion": "7", **body.get("metadata", {})}
    return {"type": "Opaque", **body, "metadata": metadata}


def make_secret(resource: PineconeAccessToken, token: StoredToken | None = None) -> dict[str, Any]:
    """Return the Secret that the operator would have made, as the API server answers it."""
    return stored_secret(secret_to_create(resource, desire(resource, token or make_token())))


def make_target(resource: PineconeAccessToken, token: StoredToken | None = None) -> Target:
    return read_target(make_secret(resource, token))


def merge(document: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: the pseudo code of RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def make_observed(
    resource: PineconeAccessToken | None = None,
    secret: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Observed:
    """Return what is observed when all is well, but for what is said otherwise.

    The target is the Secret as the API server answers it: by default the one that the operator
    would have made. `target=None` means that there is none.
    """
    resource = resource or make_resource()
    target = read_target(secret or make_secret(resource))
    if "target" in changes:
        target = changes["target"]
    stored = stored_token(target, resource.metadata.uid) if target else None
    values: dict[str, Any] = {
        "resource": resource,
        "conflict": None,
        "target": target,
        "stored": stored,
        "times": make_times(stored) if stored else None,
        "credentials": "c0ffee",
        "in_hand": None,
        "attempts": Attempts(),
    }
    return Observed(**values | changes)


def make_times(token: StoredToken) -> TokenTimes:
    return TokenTimes(token.refreshed_at, token.expires_at, token.refresh_at, token.credentials)


def failed(
    observed: Observed,
    retry_at: datetime | None,
    failures: int = 1,
    reason: Reason = Reason.UNAVAILABLE,
) -> Observed:
    """Return the same after an attempt, made with what is observed, failed."""
    problem = Problem(reason, "the token endpoint answered 503")
    return replace(observed, attempts=Attempts(failures, retry_at, problem, observed.basis))
