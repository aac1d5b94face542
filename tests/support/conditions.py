"""The conditions in a resource's status."""

from collections.abc import Mapping
from typing import Any


def conditions(resource: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Return a resource's conditions by type; none if there is no resource or no status yet."""
    found = ((resource or {}).get("status") or {}).get("conditions") or ()
    return {condition["type"]: condition for condition in found}


def state(resource: Mapping[str, Any] | None, type_: str) -> tuple[str, str]:
    """Return the status and the reason of one condition; both empty if it is not there."""
    condition = conditions(resource).get(type_, {})
    return condition.get("status", ""), condition.get("reason", "")
