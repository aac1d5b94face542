"""What the target Secret should hold, and what to write so that it does. No I/O."""

import base64
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from pinecone_token_operator.api.common import DeletionPolicy, Template
from pinecone_token_operator.api.group import API_VERSION, GROUP
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.stored_token import (
    TOKEN_KEYS,
    StoredToken,
    render,
    token_annotations,
)
from pinecone_token_operator.targets.target import Owner, Target

Patch = dict[str, Any]
"""A JSON merge patch (RFC 7396)."""

# What not every token has: it must not stay from an earlier one.
_OPTIONAL: Final = (names.REFRESH_REQUEST, names.CREDENTIALS_SOURCE)


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Where a resource wants its token stored, and how.

    Attributes:
        key: the Secret's namespace and name.
        ref: the resource.
        owner: the resource, as owner references name it.
        merges: whether the token is merged into a Secret that another writer created.
        deletion_policy: what happens to the token when the resource is deleted.
        template: what else to store.
    """

    key: SecretKey
    ref: ObjectRef
    owner: Owner
    merges: bool
    deletion_policy: DeletionPolicy
    template: Template

    @property
    def owner_reference(self) -> dict[str, Any] | None:
        """Return the owner reference that the Secret should have, if any."""
        if self.merges or self.deletion_policy is DeletionPolicy.RETAIN:
            return None
        return reference_to(self.owner)


def reference_to(owner: Owner) -> dict[str, Any]:
    """Return the owner reference by which Kubernetes deletes a Secret after its resource."""
    return {
        "apiVersion": API_VERSION,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
    }


@dataclass(frozen=True, slots=True)
class Desired:
    """Our part of the target Secret; everything else in it is kept.

    Attributes:
        data: base64 by key.
        labels: by name.
        annotations: by name.
        defaults: annotations that are written along where the Secret has none of that name. They
            are not managed: another writer's value stays, and a missing one is no drift.
    """

    data: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    defaults: Mapping[str, str] = field(default_factory=dict)


class Part(Enum):
    """A part of a target that may be refused without holding up the token."""

    IDENTITY = auto()
    """The label by which the resource's Secrets are found."""
    LABELS = auto()
    """The template's labels."""
    ANNOTATIONS = auto()
    """The template's annotations."""
    KEYS = auto()
    """The template's data."""


def desire(spec: TargetSpec, token: StoredToken) -> Desired:
    """Return our part of the Secret for a token."""
    metadata = spec.template.metadata
    data = {
        key: base64.b64encode(text.encode()).decode()
        for key, text in render(token, spec.template.data).items()
    }
    managed = {
        "data": sorted(data),
        "labels": sorted(metadata.labels),
        "annotations": sorted(metadata.annotations),
    }
    annotations = {
        **metadata.annotations,
        **_token_annotations(spec, token),
        names.MANAGED: json.dumps(managed, separators=(",", ":")),
    }
    if spec.merges:
        annotations[names.DELETION_POLICY] = str(spec.deletion_policy)
    return Desired(
        data=data,
        labels={**metadata.labels, names.RESOURCE_UID: spec.owner.uid},
        annotations=annotations,
        # Consumers read the token before each use: a restart per refresh would only harm them.
        defaults={} if spec.merges else {names.RELOADER_IGNORE: "true"},
    )


def essential(
    spec: TargetSpec,
    token: StoredToken,
    target: Target | None,
    parts: Collection[Part] = (),
) -> Desired:
    """Return the least that delivers a token: no label and no part of the template.

    Where admission refuses the rest, the token is still delivered.

    Args:
        spec: what the resource wants.
        token: the token.
        target: the Secret as it is, if it exists.
        parts: what to write besides.
    """
    full, metadata = desire(spec, token), spec.template.metadata
    labels = {**metadata.labels} if Part.LABELS in parts else {}
    annotations = {**metadata.annotations} if Part.ANNOTATIONS in parts else {}
    keys = full.data if Part.KEYS in parts else TOKEN_KEYS
    managed = {**(target.managed if target else {"labels": [], "annotations": []})}
    for name, written in (("data", keys), ("labels", labels), ("annotations", annotations)):
        managed[name] = sorted({*managed.get(name, ()), *written})
    annotations |= _token_annotations(spec, token)
    annotations[names.MANAGED] = json.dumps(managed, separators=(",", ":"))
    if spec.merges:
        annotations[names.DELETION_POLICY] = str(spec.deletion_policy)
    if Part.IDENTITY in parts:
        labels[names.RESOURCE_UID] = spec.owner.uid
    return Desired(
        data={key: full.data[key] for key in keys}, labels=labels, annotations=annotations
    )


def contents(spec: TargetSpec, part: Part) -> str:
    """Return what a part consists of, for people, such as `label app, label team`."""
    metadata = spec.template.metadata
    word, found = {
        Part.IDENTITY: ("label", {names.RESOURCE_UID}),
        Part.LABELS: ("label", metadata.labels.keys()),
        Part.ANNOTATIONS: ("annotation", metadata.annotations.keys()),
        Part.KEYS: ("key", spec.template.data.keys()),
    }[part]
    return ", ".join(f"{word} {name}" for name in sorted(found))


def secret_to_create(
    spec: TargetSpec, desired: Desired, *, with_owner: bool = True
) -> dict[str, Any]:
    """Return a whole new Secret."""
    namespace, name = spec.key
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": dict(desired.labels),
        "annotations": {**desired.defaults, **desired.annotations},
    }
    if with_owner and spec.owner_reference:
        metadata["ownerReferences"] = [spec.owner_reference]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": spec.template.type,
        "metadata": metadata,
        "data": dict(desired.data),
    }


def content_patch(target: Target, desired: Desired, *, prune: bool = True) -> Patch | None:
    """Return the patch that makes the target hold what it should, but for its owner references.

    It carries the resourceVersion that was read, so that a concurrent change by another
    writer is a conflict and not lost. None means that nothing is to be changed.

    Args:
        target: the Secret as it was read.
        desired: what it should hold.
        prune: whether to remove what we wrote earlier and is no longer desired.
    """
    before = target.metadata.read()
    managed = target.managed if prune else {}
    data = _changes(target.data, desired.data, managed.get("data", ()))
    labels = _changes(before.labels, desired.labels, managed.get("labels", ()))
    ours = (*managed.get("annotations", ()), *(_OPTIONAL if prune else ()))
    annotations = _changes(before.annotations, desired.annotations, ours)
    if target.is_legacy:
        # Not yet written by this version: no reason to write it before its time.
        new = {names.CHECKSUM, names.TARGET, names.RESOURCE_UID, names.REFRESH_REQUEST}
        intact = before.annotations[names.LEGACY_CHECKSUM] == desired.annotations[names.CHECKSUM]
        if intact and not data and not labels and annotations.keys() <= new:
            return None
        annotations[names.LEGACY_CHECKSUM] = None
    if not data and not labels and annotations.keys() <= {names.CREDENTIALS_SOURCE}:
        return None
    for name, value in desired.defaults.items():
        if annotations.get(name, before.annotations.get(name)) is None:
            annotations[name] = value
    metadata = _preconditions(target)
    metadata |= {"labels": labels} if labels else {}
    metadata |= {"annotations": annotations} if annotations else {}
    return {"metadata": metadata} | ({"data": data} if data else {})


def ownership_patch(target: Target, spec: TargetSpec) -> Patch | None:
    """Return the patch that sets who deletes the token with its resource, or None.

    That is the owner reference under `Owner`, and an annotation under `Merge`. It is apart from the
    token, because OpenShift refuses to change owner references without permission to delete.
    """
    before = target.metadata.read()
    metadata: dict[str, Any] = {}
    if (references := _references(before.owner_references, spec)) is not None:
        metadata["ownerReferences"] = references
    policy = str(spec.deletion_policy)
    if before.annotations.get(names.DELETION_POLICY, policy) != policy:
        metadata["annotations"] = {names.DELETION_POLICY: policy}
    return {"metadata": _preconditions(target) | metadata} if metadata else None


def differs(target: Target, spec: TargetSpec, token: StoredToken) -> bool:
    """Return whether a target is not what it should be for a token, but for its ownership."""
    return content_patch(target, desire(spec, token)) is not None


def ownership_differs(target: Target, spec: TargetSpec) -> bool:
    """Return whether who deletes the token is not what it should be."""
    return ownership_patch(target, spec) is not None


def removal_patch(target: Target) -> Patch:
    """Return the patch that removes everything of ours from a Secret that is not managed by us."""
    managed = target.managed
    ours = (
        *managed.get("annotations", ()),
        *(name for name in target.annotations if name.startswith(f"{GROUP}/")),
    )
    return {
        "metadata": {
            **_preconditions(target),
            "labels": dict.fromkeys((*managed.get("labels", ()), names.RESOURCE_UID)),
            # What the Secret's owner wrote stays, also where it is about us.
            "annotations": {name: None for name in ours if name != names.ALLOW_MERGE},
        },
        "data": dict.fromkeys(managed.get("data", ())),
    }


def overwritten(target: Target, spec: TargetSpec) -> list[str]:
    """Return what a merge would overwrite that is not ours, in words such as `label app`."""
    managed = target.managed
    if target.owner_uid == spec.owner.uid:
        # Also where the list of what we wrote is gone.
        managed["data"] = [*managed.get("data", ()), *TOKEN_KEYS]
    metadata = spec.template.metadata
    wanted = (
        ("key", "data", target.keys, (*TOKEN_KEYS, *spec.template.data)),
        ("label", "labels", target.labels, metadata.labels),
        ("annotation", "annotations", target.annotations, metadata.annotations),
    )
    return [
        f"{word} {name}"
        for word, part, existing, desired in wanted
        for name in desired
        if name in existing and name not in managed.get(part, ())
    ]


def _token_annotations(spec: TargetSpec, token: StoredToken) -> dict[str, str]:
    return {
        names.RESOURCE: spec.owner.name,
        names.RESOURCE_UID: spec.owner.uid,
        names.TARGET: "/".join(spec.key),
        **token_annotations(token, spec.owner.uid),
    }


def _preconditions(target: Target) -> dict[str, Any]:
    return {"resourceVersion": target.resource_version, "uid": target.uid}


def _changes(
    before: Mapping[str, str] | None, after: Mapping[str, str], ours: Iterable[str]
) -> dict[str, str | None]:
    known = before or {}
    changes: dict[str, str | None] = {
        name: value for name, value in after.items() if known.get(name) != value
    }
    gone = (name for name in ours if name not in after and (before is None or name in known))
    return changes | dict.fromkeys(gone)


def _references(
    before: Sequence[Mapping[str, Any]], spec: TargetSpec
) -> list[Mapping[str, Any]] | None:
    """Return all owner references as they should be, or None if they are."""
    desired = spec.owner_reference
    ours = [each for each in before if each.get("uid") == spec.owner.uid]
    others = [each for each in before if each not in ours and not spec.owner.was(each)]
    matching = [each for each in ours if desired and desired.items() <= dict(each).items()]
    if len(others) + len(matching) == len(before) and (matching or not desired):
        return None
    return [*others, desired] if desired else others
