"""Reads resources and Secrets as the documentation describes them, without the operator's code.

Defaults are those of the CRD. Annotations are those that the documentation names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.support import documented
from tests.support.conditions import conditions
from tests.support.encoding import text

_UNITS: Final = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Resource:
    """A PineconeAccessToken.

    Attributes:
        namespace: where it, its credentials and its target are.
        name: of the resource.
        uid: of the resource.
        created: when it was created.
        deleting: whether it is being deleted.
        request: the value by which a refresh is requested; empty if it is not.
        account: the name of the credentials Secret.
        id_key: of the client id in it.
        secret_key: of the client secret in it.
        target: the name of the target Secret.
        merges: whether it merges into a Secret of someone else's.
        deletes: whether the target, or what was merged into it, is deleted with the resource.
        type: of the target.
        labels: of the target.
        annotations: of the target.
        template: further keys of the target.
        refresh_before: how long before its expiry a token is refreshed; None means the default.
        suspended: whether no tokens are fetched.
        status: as it is.
    """

    namespace: str
    name: str
    uid: str
    created: datetime
    deleting: bool
    request: str
    account: str
    id_key: str
    secret_key: str
    target: str
    merges: bool
    deletes: bool
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    template: Mapping[str, str]
    refresh_before: timedelta | None
    suspended: bool
    status: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def conditions(self) -> dict[str, Mapping[str, Any]]:
        """Return its conditions by type."""
        return conditions({"status": self.status})

    def latest_refresh(self, at: datetime, expires_at: datetime) -> datetime:
        """Return when a token must be refreshed at the latest: by default after two thirds.

        `refreshBefore` is never more than half of the token's lifetime.
        """
        lifetime = expires_at - at
        wanted = lifetime / 3 if self.refresh_before is None else self.refresh_before
        return expires_at - min(wanted, lifetime / 2) // _SECOND * _SECOND


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret.

    Attributes:
        uid: of the Secret.
        type: of the Secret.
        labels: of the Secret.
        annotations: of the Secret.
        owners: its owner references.
        immutable: whether its data cannot be changed.
        data: as text.
    """

    uid: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owners: tuple[Mapping[str, Any], ...]
    immutable: bool
    data: Mapping[str, str] = field(repr=False)

    @property
    def token(self) -> str:
        """Return the token; empty if there is none."""
        return self.data.get("access_token", "")

    @property
    def allows_merge(self) -> bool:
        """Return whether its owner lets the operator merge into it."""
        return self.annotations.get(documented.ALLOW_MERGE) == "true"

    def time(self, annotation: str) -> datetime | None:
        """Return what an annotation says; None if it is missing or is not a time."""
        return parse_time(self.annotations.get(annotation, ""))


def read_resource(obj: Mapping[str, Any]) -> Resource:
    """Read a resource as the API server returns it."""
    metadata, spec = obj["metadata"], obj["spec"]
    target = spec.get("target") or {}
    template = target.get("template") or {}
    shaped = template.get("metadata") or {}
    reference = spec["credentialsSecretRef"]
    created = parse_time(metadata["creationTimestamp"])
    assert created is not None
    return Resource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        created=created,
        deleting="deletionTimestamp" in metadata,
        request=(metadata.get("annotations") or {}).get(documented.REFRESH_REQUESTED_AT, ""),
        account=reference["name"],
        id_key=reference.get("clientIDKey", "client_id"),
        secret_key=reference.get("clientSecretKey", "client_secret"),
        target=target.get("name") or metadata["name"],
        merges=target.get("creationPolicy", "Owner") == "Merge",
        deletes=target.get("deletionPolicy", "Delete") == "Delete",
        type=template.get("type", "Opaque"),
        labels=shaped.get("labels") or {},
        annotations=shaped.get("annotations") or {},
        template=template.get("data") or {},
        refresh_before=_duration(spec["refreshBefore"]) if "refreshBefore" in spec else None,
        suspended=spec.get("suspend", False),
        status=obj.get("status") or {},
    )


def read_secret(obj: Mapping[str, Any]) -> Secret:
    """Read a Secret as the API server returns it."""
    metadata = obj["metadata"]
    data = obj.get("data") or {}
    return Secret(
        uid=metadata["uid"],
        type=obj["type"],
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        owners=tuple(metadata.get("ownerReferences") or ()),
        immutable=obj.get("immutable", False),
        data={key: text(data, key) for key in data},
    )


def parse_time(written: str) -> datetime | None:
    """Return a time in RFC 3339; None if it is not one."""
    try:
        return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template's text: `${name}` is a value and `$$` is a dollar sign."""
    return re.sub(
        r"\$(?:\$|\{(\w+)\})",
        lambda found: values[found[1]] if found[1] else "$",
        template,
    )


def _duration(written: str) -> timedelta:
    parts = re.findall(r"(\d+)([hms])", written)
    return sum((int(number) * _UNITS[unit] for number, unit in parts), timedelta())
