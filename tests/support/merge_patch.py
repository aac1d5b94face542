"""JSON merge patch (RFC 7396)."""

from collections.abc import Mapping
from typing import Any


def merge(document: Any, patch: Any) -> Any:
    """Apply a merge patch: the pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result
