"""Who wrote which field, as the API server records it in `metadata.managedFields`.

Only updates are modelled: whoever changes a field's value manages it from then on, and a field that
is removed is managed by nobody. https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

OPERATOR: Final = "pinecone-token-operator"
"""The name by which the API server knows the operator; others have other names."""
USER: Final = "kubectl-edit"

Field = tuple[str, ...]
"""Where a field is, such as ("data", "access_token")."""

# What nobody manages.
_SERVER_OWNED: Final = frozenset(
    {
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"),
        *("managedFields", "name", "namespace", "resourceVersion", "selfLink", "uid"),
    }
)
# Whoever created one of these manages the map itself too, which says nothing about its entries.
_MAPS: Final = ("annotations", "data", "labels", "ownerReferences")


def updated(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], by: str, now: datetime
) -> list[dict[str, Any]]:
    """Return the managed fields of an object after somebody changed it."""
    changed, removed = _difference(before or {}, after)
    trees = {entry["manager"]: entry["fieldsV1"] for entry in _entries(before or {})}
    times = {entry["manager"]: entry["time"] for entry in _entries(before or {})}
    for manager in {*trees, by}:
        tree = trees.get(manager, {})
        own = changed if manager == by else set()
        gained = {field for field in own if not _has(tree, field)}
        lost = {field for field in (changed | removed) - own if _has(tree, field)}
        if gained or lost:
            trees[manager] = _nested(set(_flat(tree)) - lost | gained)
        if own or (lost and manager == by):
            times[by] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": after.get("apiVersion", "v1"),
            "time": times[manager],
            "fieldsType": "FieldsV1",
            "fieldsV1": tree,
        }
        for manager, tree in sorted(trees.items())
        if tree
    ]


def managers(obj: Mapping[str, Any]) -> dict[str, set[Field]]:
    """Return the fields of an object by who manages them."""
    found: dict[str, set[Field]] = {}
    for entry in _entries(obj):
        found.setdefault(entry["manager"], set()).update(_flat(entry.get("fieldsV1") or {}))
    return found


def _entries(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = obj.get("metadata", {}).get("managedFields") or []
    return entries


def _difference(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[set[Field], set[Field]]:
    """Return the fields that were added or changed, and those that were removed."""
    old, new = _parts(before), _parts(after)
    old_leaves: dict[Field, Any] = {}
    new_leaves: dict[Field, Any] = {}
    for part in old | new:
        for field, earlier, later in _differing(part, old.get(part), new.get(part)):
            old_leaves.update(_leaves(field, earlier))
            new_leaves.update(_leaves(field, later))
    changed = {field for field, value in new_leaves.items() if old_leaves.get(field) != value}
    return changed, old_leaves.keys() - new_leaves.keys()


def _differing(field: Field, before: Any, after: Any) -> Iterator[tuple[Field, Any, Any]]:
    """Yield the smallest parts that differ; a part that is missing is None."""
    if before == after:
        return
    if before and after and isinstance(before, dict) and isinstance(after, dict):
        for name in before | after:
            yield from _differing((*field, name), before.get(name), after.get(name))
    else:
        yield field, before, after


def _parts(obj: Mapping[str, Any]) -> dict[Field, Any]:
    """Return the parts of an object that somebody may manage."""
    return {
        (name,): value
        for name, value in obj.items()
        if name not in ("apiVersion", "kind", "metadata")
    } | {
        ("metadata", name): value
        for name, value in obj.get("metadata", {}).items()
        if name not in _SERVER_OWNED
    }


def _leaves(field: Field, value: Any) -> Iterator[tuple[Field, Any]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves((*field, name), each)
    elif field == ("metadata", "ownerReferences"):
        for each in value or ():
            yield (*field, f"k:{json.dumps({'uid': each['uid']}, separators=(',', ':'))}"), each
    elif value is not None:
        yield field, value


def _nested(fields: set[Field]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for field in sorted(fields):
        node = tree
        for name in field:
            node = node.setdefault(_key(name), {})
    return tree


def _has(tree: Mapping[str, Any], field: Field) -> bool:
    for name in field:
        if _key(name) not in tree:
            return False
        tree = tree[_key(name)]
    return not tree


def _key(name: str) -> str:
    return name if name.startswith("k:") else f"f:{name}"


def _flat(tree: Mapping[str, Any], above: Field = ()) -> Iterator[Field]:
    for name, inner in tree.items():
        if name == ".":
            continue
        field = (*above, name.removeprefix("f:"))
        if inner:
            yield from _flat(inner, field)
        elif field[-1] not in _MAPS:
            yield field
