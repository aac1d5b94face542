"""The target Secret as it was read: its owner and its token. No I/O.

The metadata of a token is written as annotations in the same request, with a checksum that detects
accidental changes of both.
"""

import base64
import hmac
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pinecone_token_operator.api.group import PREFIX
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.stored_token import (
    MAX_LIFETIME,
    StoredToken,
    TokenTimes,
    checksum,
    read_times,
)

FIELD_MANAGER: Final = "pinecone-token-operator"
"""What the API server calls our writes, by our User-Agent."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The resource that a target belongs to.

    Attributes:
        kind: its kind.
        name: its name.
        uid: its UID.
    """

    kind: str
    name: str
    uid: str

    def was(self, reference: Mapping[str, Any]) -> bool:
        """Return whether an owner reference names an earlier resource of this kind and name."""
        return (
            reference.get("kind") == self.kind
            and str(reference.get("apiVersion")).startswith(PREFIX)
            and reference.get("name") == self.name
            and reference.get("uid") != self.uid
        )


class SecretMetadata(NamedTuple):
    """What an object's metadata says besides its identity, as in the API."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_references: Sequence[Mapping[str, Any]]

    def read(self) -> "SecretMetadata":
        """Return it."""
        return self


class KeptMetadata:
    """The same as JSON text; parsed, it takes more than twice the memory.

    Args:
        metadata: what to keep.
    """

    __slots__ = ("_text",)

    def __init__(self, metadata: SecretMetadata) -> None:
        self._text = json.dumps(metadata, separators=(",", ":"))

    def read(self) -> SecretMetadata:
        """Return it, parsed."""
        return _parse(self._text)


# A decision about a target asks for its metadata about ten times.
@lru_cache(maxsize=8)
def _parse(text: str) -> SecretMetadata:
    return SecretMetadata(*json.loads(text))


@dataclass(frozen=True, slots=True)
class Target:
    """A target Secret. `data` is base64 as in the API; None if only the metadata is kept.

    Attributes:
        metadata: its labels, annotations and owner references.
        keys: the names in the data, which are kept without it: a merge must not overwrite.
        writer: the field manager that changed the Secret last; empty if unknown.
        is_legacy: whether version 0.1.0 wrote it.
        is_copy: whether it is a copy of a target, with our annotations, made by another writer.
        owner_uid: the UID of the resource that it says it belongs to; None if it names none.
    """

    key: SecretKey
    uid: str
    resource_version: str
    type: str
    metadata: SecretMetadata | KeptMetadata
    immutable: bool
    data: Mapping[str, str] | None = field(repr=False)
    keys: frozenset[str] = frozenset()
    writer: str = ""
    is_legacy: bool = False
    is_copy: bool = False
    owner_uid: str | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """Return its labels."""
        return self.metadata.read().labels

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return its annotations."""
        return self.metadata.read().annotations

    @property
    def owner_references(self) -> Sequence[Mapping[str, Any]]:
        """Return its owner references, as in the API."""
        return self.metadata.read().owner_references

    @property
    def times(self) -> TokenTimes | None:
        """Return what the annotations say, or None if one is missing or unusable."""
        return read_times(self.annotations, None if self.is_legacy else "")

    @property
    def credentials_source(self) -> str:
        """Return what `fingerprint_source` says of its fingerprint; empty if that is unknown."""
        return self.annotations.get(names.CREDENTIALS_SOURCE, "")

    @property
    def access_token(self) -> str | None:
        """Return what is stored as the token, intact or not; None without the data."""
        return _text((self.data or {}).get("access_token"))

    @property
    def managed(self) -> dict[str, list[str]]:
        """Return the names that we wrote: of `data`, `labels` and `annotations`."""
        try:
            found = json.loads(self.annotations.get(names.MANAGED, "{}"))
            return {
                part: [str(name) for name in listed]
                for part, listed in found.items()
                if isinstance(listed, list)  # a text would list its characters
            }
        except (ValueError, TypeError, AttributeError, RecursionError):
            return {}

    @property
    def allows_merge(self) -> bool:
        """Return whether its owner lets us write to it."""
        return self.annotations.get(names.ALLOW_MERGE) == "true"

    @property
    def is_merged(self) -> bool:
        """Return whether our keys were merged into a Secret that is not managed by the operator."""
        return names.DELETION_POLICY in self.annotations

    def without_data(self) -> "Target":
        """Return what may be kept in memory: everything but the data."""
        return replace(self, metadata=KeptMetadata(self.metadata.read()), data=None)

    def stale(self) -> "Target":
        """Return what is known of the Secret where it has to be read again before its next use."""
        return replace(self.without_data(), resource_version="")


def read_target(secret: Mapping[str, Any]) -> Target:
    """Read a Secret as the API server sends it."""
    metadata = secret["metadata"]
    key = sys.intern(metadata["namespace"]), metadata["name"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    references = metadata.get("ownerReferences") or ()
    is_copy = annotations.get(names.TARGET, "/".join(key)) != "/".join(key)
    target = Target(
        key=key,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        type=sys.intern(secret.get("type") or "Opaque"),
        metadata=SecretMetadata(labels, annotations, references),
        immutable=bool(secret.get("immutable")),
        data=secret.get("data") or {},
        keys=_shared_keys(frozenset(secret.get("data") or ())),
        writer=last_writer(metadata.get("managedFields") or ()),
        is_legacy=names.CHECKSUM not in annotations and names.LEGACY_CHECKSUM in annotations,
        is_copy=is_copy,
        owner_uid=None if is_copy else _owner_uid(labels, annotations, references),
    )
    if target.writer == FIELD_MANAGER and not _is_whole(target):
        return replace(target, writer="")
    return target


def stored_token(target: Target, uid: str) -> StoredToken | None:
    """Return the token in a Secret if the checksum says that it and its times are intact.

    A lifetime that no endpoint issues is rejected, even with a matching checksum.
    """
    times = target.times
    if times is None or target.data is None:
        return None
    if not timedelta() < times.expires_at - times.refreshed_at <= MAX_LIFETIME:
        return None
    access_token = target.access_token
    if access_token is None:
        return None
    token = StoredToken(
        access_token=access_token,
        # The only type there is: a changed key is repaired, not trusted.
        token_type="Bearer",  # noqa: S106 - the type's name, not a token
        refreshed_at=times.refreshed_at,
        expires_at=times.expires_at,
        refresh_at=times.refresh_at,
        credentials=times.credentials,
        request=times.request,
        source=target.credentials_source,
    )
    name = names.LEGACY_CHECKSUM if target.is_legacy else names.CHECKSUM
    written = target.annotations.get(name, "").encode()
    return token if hmac.compare_digest(checksum(token, uid).encode(), written) else None


def _owner_uid(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    references: Sequence[Mapping[str, Any]],
) -> str | None:
    for reference in references:
        if str(reference.get("apiVersion")).startswith(PREFIX):
            return sys.intern(str(reference.get("uid")))
    return annotations.get(names.RESOURCE_UID) or labels.get(names.RESOURCE_UID)


def _is_whole(target: Target) -> bool:
    """Return whether everything is there that we wrote, whatever its value.

    If not, the last writer removed something, which leaves no field manager: no instance of this
    operator leaves out what it says it manages.
    """
    managed = target.managed
    return (
        {"access_token", *managed.get("data", ())} <= (target.data or {}).keys()
        and {names.RESOURCE_UID, *managed.get("labels", ())} <= target.labels.keys()
        and {names.MANAGED, *managed.get("annotations", ())} <= target.annotations.keys()
        and target.times is not None
    )


def last_writer(managed_fields: Sequence[Mapping[str, Any]]) -> str:
    """Return the manager of the latest entry; of one second, anybody but ourselves.

    A writer that only removed fields has no entry.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
    """
    entries = [
        (str(entry["time"]), str(entry.get("manager") or ""))
        for entry in managed_fields
        if isinstance(entry.get("time"), str)
    ]
    _, manager = max(entries, key=lambda one: (one[0], one[1] != FIELD_MANAGER), default=("", ""))
    return manager


@lru_cache(maxsize=128)
def _shared_keys(keys: frozenset[str]) -> frozenset[str]:
    """Return one object for equal key names, because each parsed reply has its own."""
    return keys


def _text(encoded: str | None) -> str | None:
    try:
        return base64.b64decode(encoded or "", validate=True).decode("ascii") or None
    except ValueError:
        return None
