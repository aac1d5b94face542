"""Lets tests that need an empty cluster share one: to start one costs two seconds of processor."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx

from tests.support.api import Kube, KubeError

# First what could refuse the other deletions, last what the others are in.
_FIRST: Final = ("webhookconfigurations", "admissionpolicies", "admissionpolicybindings")
_LAST: Final = ("namespaces", "customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class _Kind:
    base: str
    plural: str

    def path(self, namespace: str = "", name: str = "") -> str:
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.base}{scope}/{self.plural}/{name}".rstrip("/")


@contextlib.contextmanager
def restored(kube: Kube) -> Iterator[None]:
    """Delete, at the end, all that was created meanwhile; changes of what was there stay.

    The cluster must have no controller manager, which would create objects meanwhile.
    """
    before = {uid for kind in _kinds(kube) for uid in _objects(kube, kind)}
    yield
    for kind in sorted(_kinds(kube), key=_order):
        for uid, (namespace, name) in _objects(kube, kind).items():
            if uid not in before:
                _delete(kube, kind, namespace, name)


def _order(kind: _Kind) -> tuple[bool, int]:
    last = _LAST.index(kind.plural) + 1 if kind.plural in _LAST else 0
    return not kind.plural.endswith(_FIRST), last


def _kinds(kube: Kube) -> list[_Kind]:
    """Return all kinds that can be listed and deleted."""
    groups = (kube.get("/apis") or {})["groups"]
    bases = ["/api/v1", *(f"/apis/{one['preferredVersion']['groupVersion']}" for one in groups)]
    return [
        _Kind(base, one["name"])
        for base in bases
        for one in (kube.get(base) or {"resources": []})["resources"]
        if "/" not in one["name"] and {"list", "delete"} <= {*one["verbs"]}
    ]


def _objects(kube: Kube, kind: _Kind) -> dict[str, tuple[str, str]]:
    """Return the namespace and the name of all objects of a kind, by UID."""
    found = kube.get(kind.path(), metadata_only=True) or {}
    listed = [one["metadata"] for one in found.get("items") or ()]
    return {one["uid"]: (one.get("namespace", ""), one["name"]) for one in listed}


def _delete(kube: Kube, kind: _Kind, namespace: str, name: str) -> None:
    if kind.plural == "namespaces":
        kube.remove_namespace(name)
        return
    path = kind.path(namespace, name)
    try:
        kube.delete(f"{path}?gracePeriodSeconds=0")
        kube.patch(path, {"metadata": {"finalizers": None}})
    except KubeError as error:
        # It is gone by now, as it should be, perhaps with another object.
        if error.status != httpx.codes.NOT_FOUND:
            raise
