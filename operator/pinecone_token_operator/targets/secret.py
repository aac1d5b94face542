"""What the target Secret should hold, and what to write so that it does. No I/O."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from pinecone_token_operator.api.access_token import (
    GROUP,
    KIND,
    VERSION,
    CreationPolicy,
    DeletionPolicy,
    PineconeAccessToken,
)
from pinecone_token_operator.targets import target as found
from pinecone_token_operator.targets.target import StoredToken, Target, format_time


@dataclass(frozen=True, slots=True)
class Desired:
    """Our part of the target Secret; whatever else it holds is kept."""

    data: Mapping[str, str] = field(repr=False)  # base64
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: Mapping[str, Any] | None


def desire(resource: PineconeAccessToken, token: StoredToken) -> Desired:
    """Return our part of the Secret for a token."""
    template = resource.spec.target.template
    data = _data(resource, token)
    merge = resource.spec.target.creation_policy is CreationPolicy.MERGE
    managed = {
        "data": sorted(data),
        "labels": sorted(template.metadata.labels),
        "annotations": sorted(template.metadata.annotations),
    }
    annotations = {
        **template.metadata.annotations,
        found.RESOURCE: resource.metadata.name,
        found.EXPIRES_AT: format_time(token.expires_at),
        found.REFRESH_AT: format_time(token.refresh_at),
        found.REFRESHED_AT: format_time(token.refreshed_at),
        found.CREDENTIALS: token.credentials,
        found.SEAL: found.seal(token, resource.metadata.uid),
        found.MANAGED: json.dumps(managed, separators=(",", ":")),
    }
    if merge:
        annotations[found.DELETION_POLICY] = str(resource.spec.target.deletion_policy)
    owned = not merge and resource.spec.target.deletion_policy is DeletionPolicy.DELETE
    return Desired(
        data=data,
        labels={**template.metadata.labels, found.RESOURCE_UID: resource.metadata.uid},
        annotations=annotations,
        owner=owner_reference(resource) if owned else None,
    )


def owner_reference(resource: PineconeAccessToken) -> dict[str, Any]:
    """Return the reference by which Kubernetes deletes the Secret after its resource."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": resource.metadata.name,
        "uid": resource.metadata.uid,
        "controller": True,
    }


def secret_to_create(resource: PineconeAccessToken, desired: Desired) -> dict[str, Any]:
    """Return a whole new Secret."""
    metadata: dict[str, Any] = {
        "name": resource.target_name,
        "namespace": resource.metadata.namespace,
        "labels": dict(desired.labels),
        "annotations": dict(desired.annotations),
    }
    if desired.owner:
        metadata["ownerReferences"] = [dict(desired.owner)]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": resource.spec.target.template.type,
        "metadata": metadata,
        "data": dict(desired.data),
    }


def secret_patch(target: Target, desired: Desired, uid: str) -> dict[str, Any] | None:
    """Return the JSON merge patch (RFC 7396) that makes the target hold what it should.

    It carries the resourceVersion that was read, so that a change by somebody else in between is a
    conflict and not lost. None means that there is nothing to change.
    """
    managed = target.managed
    data = _changes(target.data, desired.data, managed.get("data", ()))
    labels = _changes(target.labels, desired.labels, managed.get("labels", ()))
    annotations = _changes(target.annotations, desired.annotations, managed.get("annotations", ()))
    owners = _owners(target, desired, uid)
    if not data and not labels and not annotations and owners is None:
        return None
    metadata: dict[str, Any] = {"resourceVersion": target.resource_version, "uid": target.uid}
    metadata |= {"labels": labels} if labels else {}
    metadata |= {"annotations": annotations} if annotations else {}
    metadata |= {"ownerReferences": owners} if owners is not None else {}
    return {"metadata": metadata} | ({"data": data} if data else {})


def removal_patch(target: Target) -> dict[str, Any]:
    """Return the merge patch that takes everything of ours out of a Secret of somebody else's."""
    managed = target.managed
    ours = (
        *managed.get("annotations", ()),
        *(name for name in target.annotations if name.startswith(f"{GROUP}/")),
    )
    return {
        "metadata": {
            "resourceVersion": target.resource_version,
            "uid": target.uid,
            "labels": dict.fromkeys((*managed.get("labels", ()), found.RESOURCE_UID)),
            # What the Secret's owner wrote stays, also where it is about us.
            "annotations": {name: None for name in ours if name != found.ALLOW_MERGE},
        },
        "data": dict.fromkeys(managed.get("data", ())),
    }


def _data(resource: PineconeAccessToken, token: StoredToken) -> dict[str, str]:
    values = {
        "access_token": token.access_token,
        "token_type": token.token_type,
        "expires_at": format_time(token.expires_at),
    }
    known = {**values, "expires_at_unix": str(int(token.expires_at.timestamp()))}
    for key, text in resource.spec.target.template.data.items():
        # The models have checked that every placeholder is a known one.
        values[key] = Template(text).substitute(known)
    return {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}


def _changes(
    before: Mapping[str, str] | None, after: Mapping[str, str], ours: Iterable[str]
) -> dict[str, str | None]:
    known = before or {}
    changes: dict[str, str | None] = {
        name: value for name, value in after.items() if known.get(name) != value
    }
    gone = (name for name in ours if name not in after and (before is None or name in known))
    return changes | dict.fromkeys(gone)


def _owners(target: Target, desired: Desired, uid: str) -> list[Mapping[str, Any]] | None:
    """Return all owner references as they should be, or None if they are."""
    name = desired.annotations[found.RESOURCE]
    ours = [reference for reference in target.owner_references if reference.get("uid") == uid]
    others = [
        reference
        for reference in target.owner_references
        if reference not in ours and not found.is_predecessor(reference, name, uid)
    ]
    matching = [
        reference
        for reference in ours
        if desired.owner and desired.owner.items() <= dict(reference).items()
    ]
    if len(others) + len(matching) == len(target.owner_references) and (
        matching or not desired.owner
    ):
        return None
    return [*others, desired.owner] if desired.owner else others
