"""The target Secret as it is found: whose it is and which token it provably holds. No I/O.

The truth about a token is written beside it, as annotations in the same request. A seal over the
token and its times tells later whether both are still what was written.
"""

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from pinecone_token_operator.api.access_token import KIND, PREFIX, PineconeAccessToken

T = TypeVar("T")

ALLOW_MERGE = f"{PREFIX}allow-merge"
RESOURCE_UID = f"{PREFIX}resource-uid"
"""A label: whose the Secret is, or whose our keys in it are."""
RESOURCE = f"{PREFIX}resource"
EXPIRES_AT = f"{PREFIX}expires-at"
REFRESH_AT = f"{PREFIX}refresh-at"
REFRESHED_AT = f"{PREFIX}refreshed-at"
CREDENTIALS = f"{PREFIX}credentials"
SEAL = f"{PREFIX}data"
MANAGED = f"{PREFIX}managed"
"""An annotation: which keys, labels and annotations we wrote, so that we can take them out."""
DELETION_POLICY = f"{PREFIX}deletion-policy"
"""An annotation on a merged Secret: what becomes of our keys when the resource is deleted."""

_SEAL_DIGITS = 32


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token and the times that are written beside it, all in UTC and whole seconds."""

    access_token: str = field(repr=False)
    token_type: str
    refreshed_at: datetime
    expires_at: datetime
    refresh_at: datetime
    credentials: str  # fingerprint of what it was exchanged for


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """What a target says about its token once the token itself is not at hand."""

    refreshed_at: datetime
    expires_at: datetime
    refresh_at: datetime
    credentials: str


@dataclass(frozen=True, slots=True)
class Target:
    """A target Secret. `data` is base64 as in the API; None if only the metadata is kept."""

    uid: str
    resource_version: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_references: Sequence[Mapping[str, Any]]
    immutable: bool
    data: Mapping[str, str] | None = field(repr=False)

    @property
    def times(self) -> TokenTimes | None:
        """Return what the annotations say, or None if one is missing or damaged."""
        try:
            return TokenTimes(
                refreshed_at=_time(self.annotations[REFRESHED_AT]),
                expires_at=_time(self.annotations[EXPIRES_AT]),
                refresh_at=_time(self.annotations[REFRESH_AT]),
                credentials=self.annotations[CREDENTIALS],
            )
        except (KeyError, ValueError):
            return None

    @property
    def managed(self) -> dict[str, list[str]]:
        """Return the names that we wrote: of `data`, `labels` and `annotations`."""
        try:
            found = json.loads(self.annotations.get(MANAGED, "{}"))
            return {part: [str(name) for name in names] for part, names in found.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return {}

    @property
    def allows_merge(self) -> bool:
        """Return whether its owner lets us write into it."""
        return self.annotations.get(ALLOW_MERGE) == "true"

    def without_data(self) -> "Target":
        """Return what may be kept in memory: everything but the data."""
        return replace(
            self,
            labels=_with_shared_names(self.labels),
            annotations=_with_shared_names(self.annotations),
            owner_references=[_with_shared_names(each) for each in self.owner_references],
            data=None,
        )


def read_target(secret: Mapping[str, Any]) -> Target:
    """Read a Secret as the API server sends it."""
    metadata = secret["metadata"]
    return Target(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        type=secret.get("type") or "Opaque",
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        owner_references=metadata.get("ownerReferences") or (),
        immutable=bool(secret.get("immutable")),
        data=secret.get("data") or {},
    )


def is_owned_by(target: Target, resource: PineconeAccessToken) -> bool:
    """Return whether a Secret is the resource's own.

    Its owner reference or its label says so. What a resource of the same name left behind is taken
    over, unless it belongs to somebody by now or was only merged into: the garbage collector, which
    may be about to delete it, looks once more at whose it is.
    """
    uid, name = resource.metadata.uid, resource.metadata.name
    if any(reference.get("uid") == uid for reference in target.owner_references):
        return True
    owners = [each for each in target.owner_references if not is_predecessor(each, name, uid)]
    if owners or DELETION_POLICY in target.annotations:
        return False
    return (
        target.labels.get(RESOURCE_UID) == uid
        or target.annotations.get(RESOURCE) == name
        or bool(target.owner_references)
    )


def is_predecessor(reference: Mapping[str, Any], name: str, uid: str) -> bool:
    """Return whether an owner reference is of a resource of the same name that is no more."""
    return (
        reference.get("kind") == KIND
        and str(reference.get("apiVersion")).startswith(PREFIX)
        and reference.get("name") == name
        and reference.get("uid") != uid
    )


def stored_token(target: Target, uid: str) -> StoredToken | None:
    """Return the token in a Secret if the seal proves that nobody changed it or its times."""
    times = target.times
    if times is None or target.data is None:
        return None
    access_token = _text(target.data.get("access_token"))
    if access_token is None:
        return None
    token = StoredToken(
        access_token=access_token,
        # The one type there is: a changed key is repaired, not believed.
        token_type="Bearer",  # noqa: S106 - the type's name, not a token
        refreshed_at=times.refreshed_at,
        expires_at=times.expires_at,
        refresh_at=times.refresh_at,
        credentials=times.credentials,
    )
    sealed = target.annotations.get(SEAL, "").encode()
    return token if hmac.compare_digest(seal(token, uid).encode(), sealed) else None


def times_of(token: StoredToken) -> TokenTimes:
    """Return what may be kept of a token."""
    return TokenTimes(token.refreshed_at, token.expires_at, token.refresh_at, token.credentials)


def seal(token: StoredToken, uid: str) -> str:
    """Return 32 hex digits over the token, its life and its origin, keyed by the resource's UID."""
    parts = (
        token.access_token,
        format_time(token.refreshed_at),
        format_time(token.expires_at),
        token.credentials,
    )
    message = "\n".join(parts).encode()
    return hmac.new(uid.encode(), message, hashlib.sha256).hexdigest()[:_SEAL_DIGITS]


def _with_shared_names(mapping: Mapping[str, T]) -> dict[str, T]:
    """Return the same with names that all targets share, because each parsed reply has its own."""
    return {sys.intern(name): value for name, value in mapping.items()}


def format_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC and whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _text(encoded: str | None) -> str | None:
    try:
        return base64.b64decode(encoded or "", validate=True).decode("ascii") or None
    except ValueError:
        return None
