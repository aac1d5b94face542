"""JSON patch (RFC 6902), as far as the API server's clients need it."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from tests.life.refused import RefusedError


def apply_operations(document: Any, operations: Sequence[dict[str, Any]]) -> Any:
    """Apply the operations test, add, replace and remove.

    Raises:
        RefusedError: 422, as the API server answers a test that fails or a path that is missing.
    """
    for operation in operations:
        path = [_unescape(part) for part in operation["path"].split("/")[1:]]
        document = _applied(document, path, operation)
    return document


def _applied(node: Any, path: Sequence[str], operation: Mapping[str, Any]) -> Any:
    """Return a copy that shares everything that is not on the path."""
    part, *below = path
    result = copy(node)
    if below:
        result[_position(node, part)] = _applied(_child(node, part), below, operation)
    elif operation["op"] == "test":
        if _child(node, part) != operation["value"]:
            raise _refusal()
    elif operation["op"] == "remove":
        _child(node, part)
        del result[_position(node, part)]
    elif isinstance(node, list) and operation["op"] == "add":
        result.insert(len(node) if part == "-" else int(part), operation["value"])
    else:
        if operation["op"] == "replace":
            _child(node, part)
        result[_position(node, part)] = operation["value"]
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
