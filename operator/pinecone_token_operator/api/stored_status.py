"""The status that the API server has of a resource, as it is kept in memory. No I/O."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf


class StoredStatus:
    """A status as JSON text; parsed, it takes more memory than all else of a resource.

    Args:
        status: the status.
    """

    __slots__ = ("_text",)

    def __init__(self, status: Mapping[str, Any]) -> None:
        self.write(status)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredStatus) and self.read() == other.read()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def read(self) -> dict[str, Any]:
        """Return the status, parsed."""
        status: dict[str, Any] = json.loads(self._text)
        return status

    def write(self, status: Mapping[str, Any]) -> None:
        """Replace the status."""
        self._text = json.dumps(status, separators=(",", ":"))


def _store(status: object) -> StoredStatus:
    if isinstance(status, StoredStatus):
        return status
    if not isinstance(status, Mapping):
        raise ValueError("should be an object")  # noqa: TRY004 - pydantic's protocol
    return StoredStatus(status)


StatusField = Annotated[InstanceOf[StoredStatus], BeforeValidator(_store)]
"""A field of a model that holds a status."""
