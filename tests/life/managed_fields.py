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
    old, new = dict(_leaves(before or {})), dict(_leaves(after))
    changed = {field for field, value in new.items() if old.get(field) != value}
    found = managers(before or {})
    times = {entry["manager"]: entry["time"] for entry in _entries(before or {})}
    kept = {
        manager: {field for field in fields if field in new and field not in changed}
        for manager, fields in found.items()
    }
    kept[by] = kept.get(by, set()) | changed
    if changed or kept[by] != found.get(by, set()):
        times[by] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": after.get("apiVersion", "v1"),
            "time": times[manager],
            "fieldsType": "FieldsV1",
            "fieldsV1": _nested(fields),
        }
        for manager, fields in sorted(kept.items())
        if fields
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


def _leaves(obj: Mapping[str, Any]) -> Iterator[tuple[Field, Any]]:
    for name, value in obj.items():
        if name == "metadata":
            for key, each in value.items():
                if key not in _SERVER_OWNED:
                    yield from _leaves_of((name, key), each)
        elif name not in ("apiVersion", "kind"):
            yield from _leaves_of((name,), value)


def _leaves_of(field: Field, value: Any) -> Iterator[tuple[Field, Any]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves_of((*field, name), each)
    elif field == ("metadata", "ownerReferences"):
        for each in value:
            yield (*field, f"k:{json.dumps({'uid': each['uid']}, separators=(',', ':'))}"), each
    else:
        yield field, value


def _nested(fields: set[Field]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for field in sorted(fields):
        node = tree
        for name in field:
            node = node.setdefault(name if name.startswith("k:") else f"f:{name}", {})
    return tree


def _flat(tree: Mapping[str, Any], above: Field = ()) -> Iterator[Field]:
    for name, inner in tree.items():
        if name == ".":
            continue
        field = (*above, name.removeprefix("f:"))
        if inner:
            yield from _flat(inner, field)
        elif field[-1] not in _MAPS:
            yield field
