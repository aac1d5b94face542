"""What tests of the pure core start from: a resource, its token and its target."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pinecone_token_operator.desired import desire, secret_to_create
from pinecone_token_operator.models import PineconeAccessToken, parse_resource
from pinecone_token_operator.policies import Attempts, Observed
from pinecone_token_operator.target import StoredToken, Target, TokenTimes, read_target

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LIFETIME = timedelta(minutes=30)
UID = "uid-1"


def resource(
    *, target: dict[str, Any] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> PineconeAccessToken:
    return parse_resource(
        {
            "metadata": {
                "namespace": "team",
                "name": "search",
                "uid": UID,
                "generation": 1,
                "creationTimestamp": "2026-11-25T11:00:00Z",
                "annotations": annotations or {},
            },
            "spec": {"credentialsSecretRef": {"name": "account"}, "target": target or {}, **spec},
        }
    )


def token(**changes: Any) -> StoredToken:
    values: dict[str, Any] = {
        "access_token": "opaque",
        "token_type": "Bearer",
        "refreshed_at": NOW,
        "expires_at": NOW + LIFETIME,
        "refresh_at": NOW + timedelta(minutes=19),
        "credentials": "fingerprint",
    }
    return StoredToken(**{**values, **changes})


def secret(asked: PineconeAccessToken, held: StoredToken) -> dict[str, Any]:
    """The target Secret as the API server would give it back."""
    created = secret_to_create(asked, desire(asked, held))
    created["metadata"] |= {"uid": "secret-uid", "resourceVersion": "1"}
    return created


def target(asked: PineconeAccessToken, held: StoredToken) -> Target:
    return read_target(secret(asked, held))


def observed(asked: PineconeAccessToken | None = None, **changes: Any) -> Observed:
    """A resource whose target holds a fresh token, unless changed."""
    asked = asked or resource()
    held = token()
    values: dict[str, Any] = {
        "resource": asked,
        "conflict": None,
        "target": target(asked, held),
        "stored": held,
        "times": times(held),
        "credentials": "fingerprint",
        "in_hand": None,
        "attempts": Attempts(),
        "fraction": 0.5,
    }
    return Observed(**{**values, **changes})


def times(held: StoredToken) -> TokenTimes:
    return TokenTimes(held.refreshed_at, held.expires_at, held.refresh_at, held.credentials)


def merge_patched(document: Any, patch: Any) -> Any:
    """RFC 7396 section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result
