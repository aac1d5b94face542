"""The lines of a watch, as kopf reads them, without those that would end it."""

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.responses import error_from_event, parse_object

# How the API server's lines begin; a proxy's page does not.
EVENT: Final = b'{"type":"'
ERROR: Final = b'{"type":"ERROR"'


class EventStream:
    """Passes on whole lines until one is not an event, or says that the watch failed.

    An ERROR event with 410 is passed on: kopf lists again.

    Args:
        content: what the API server sends.
        progress: called whenever something arrives.
        failed: called with the error that ends the stream.
    """

    def __init__(
        self,
        content: aiohttp.StreamReader,
        *,
        progress: Callable[[], object],
        failed: Callable[[ApiError], object],
    ) -> None:
        self._content = content
        self._progress = progress
        self._failed = failed

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
            lines = b"".join((*pieces, whole, newline))
            pieces = [rest]
            good, error = _check(lines)
            if good:
                yield good
            if error:
                self._failed(error)
                return


def _check(lines: bytes) -> tuple[bytes, ApiError | None]:
    """Return the lines that can be passed on, and the error of the next one."""
    start = 0
    while start < len(lines):
        end = lines.index(b"\n", start)
        if end > start:
            error = _error_in(lines[start:end])
            if error:
                return lines[:start], error
        start = end + 1
    return lines, None


def _error_in(line: bytes) -> ApiError | None:
    if line.startswith(EVENT) and not line.startswith(ERROR):
        return None
    try:
        event = parse_object(HTTPStatus.OK, line)
    except ApiError as malformed:
        return malformed
    if event.get("type") != "ERROR":
        return None
    error = error_from_event(event.get("object"))
    return None if error.gone else error
