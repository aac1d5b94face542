"""Keeps a process that leads no more from writing."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import Body, RequestsAndLists


class Fence:
    """The API server for those who may write only while this process leads.

    A process that was stopped for longer than the Lease goes on, once it is woken, with the write
    that it was about to make: here it is refused.
    """

    def __init__(self, api: RequestsAndLists, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._may_write = may_write

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Return the reply's object.

        Raises:
            ApiError: the API server refused or did not answer, or this process must not write.
        """
        if method != "GET" and not self._may_write():
            raise ApiError(0, "NotLeading", f"{method} {path}: the Lease was not renewed in time")
        return await self._api.request(method, path, body=body, content_type=content_type)

    def pages(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "application/json",
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the pages of a list."""
        return self._api.pages(path, query=query, accept=accept)
