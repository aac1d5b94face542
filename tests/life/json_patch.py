"""JSON patch (RFC 6902), as far as the API server's clients need it."""

from collections.abc import Sequence
from typing import Any

from tests.life.json_copy import json_copy
from tests.life.refused import RefusedError


def apply_operations(document: Any, operations: Sequence[dict[str, Any]]) -> Any:
    """Apply the operations test, add, replace and remove.

    Raises:
        RefusedError: 422, as the API server answers a test that fails or a path that is missing.
    """
    result = json_copy(document)
    for operation in operations:
        *above, last = [_unescape(part) for part in operation["path"].split("/")[1:]]
        parent = result
        for part in above:
            parent = _child(parent, part)
        if operation["op"] == "test":
            if _child(parent, last) != operation["value"]:
                raise _refusal()
        elif operation["op"] == "remove":
            _child(parent, last)
            del parent[_position(parent, last)]
        elif isinstance(parent, list) and operation["op"] == "add":
            position = len(parent) if last == "-" else int(last)
            parent.insert(position, json_copy(operation["value"]))
        else:
            if operation["op"] == "replace":
                _child(parent, last)
            parent[_position(parent, last)] = json_copy(operation["value"])
    return result


def _child(parent: Any, part: str) -> Any:
    try:
        return parent[_position(parent, part)]
    except (KeyError, IndexError, ValueError, TypeError):
        raise _refusal() from None


def _position(parent: Any, part: str) -> int | str:
    return int(part) if isinstance(parent, list) else part


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _refusal() -> RefusedError:
    return RefusedError(422, "Invalid", "the server rejected our request due to an error in it")
