"""The lines of a watch, as kopf reads them, without those that it need not or must not see."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.responses import error_from_event, parse_object

Predicate = Callable[[str | None, Mapping[str, Any]], bool]
"""Returns whether an event's type (ADDED, MODIFIED, DELETED) and object may matter."""

_CHANGES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})


class EventStream:
    """Passes on whole lines until one is not an event, or says that the watch failed.

    An ERROR event with 410 is passed on: kopf lists again. Events that do not matter are replaced
    by a bookmark of the last one, from which kopf resumes the watch. Each event costs kopf a task
    and, until the object is deleted, one kilobyte of memory, and most are our own status writes or
    belong to another shard.

    Args:
        content: what the API server sends.
        progress: called whenever something arrives.
        failed: called with the error that ends the stream.
        is_relevant: returns whether kopf needs an event.
    """

    def __init__(
        self,
        content: aiohttp.StreamReader,
        *,
        progress: Callable[[], object],
        failed: Callable[[ApiError], object],
        is_relevant: Predicate,
    ) -> None:
        self._content = content
        self._progress = progress
        self._failed = failed
        self._is_relevant = is_relevant

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it stands in for another object
        """Return what else the HTTP client needs of the content."""
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines, any number at a time."""
        pieces: list[bytes] = []
        async for chunk in self._content.iter_chunked(size):
            self._progress()
            whole, newline, rest = chunk.rpartition(b"\n")
            if not newline:
                pieces.append(chunk)
                continue
            lines = b"".join((*pieces, whole))
            pieces = [rest]
            good, error = self._filter(lines.split(b"\n"))
            if good:
                yield good
            if error:
                self._failed(error)
                return

    def _filter(self, lines: list[bytes]) -> tuple[bytes, ApiError | None]:
        """Return what can be passed on, and the error of the line after it."""
        passed: list[bytes] = []
        skipped: dict[str, Any] | None = None
        failure: ApiError | None = None
        for line in lines:
            if not line:
                continue
            try:
                event = _read(line)
            except ApiError as error:
                failure = error
                break
            if self._is_needed(event):
                passed.append(line)
                skipped = None
            else:
                skipped = event["object"]
        if skipped is not None:
            passed.append(_bookmark(skipped))
        return b"".join(line + b"\n" for line in passed), failure

    def _is_needed(self, event: Mapping[str, Any]) -> bool:
        kind, obj = event.get("type"), event.get("object")
        if kind not in _CHANGES or not isinstance(obj, dict):
            return True
        metadata = obj.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
            return True  # nothing could stand in for it
        try:
            return self._is_relevant(kind, obj)
        except Exception:  # noqa: BLE001 - one object must not end the watch; `feed` reports it
            return True


def _read(line: bytes) -> dict[str, Any]:
    """Return an event that kopf can handle.

    Raises:
        ApiError: kopf would end: the line is not an event, or says that the watch failed.
    """
    event = parse_object(HTTPStatus.OK, line)
    if event.get("type") == "ERROR":
        error = error_from_event(event.get("object"))
        if not error.gone:
            raise error
    return event


def _bookmark(obj: Mapping[str, Any]) -> bytes:
    """Return a bookmark of an object's version.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks
    """
    identity = {name: obj.get(name) for name in ("apiVersion", "kind")}
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return json.dumps({"type": "BOOKMARK", "object": {**identity, "metadata": metadata}}).encode()
