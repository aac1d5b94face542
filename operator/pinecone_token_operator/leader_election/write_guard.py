"""Fencing: keeps a process that is no longer the leader from writing."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Unpack

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import Query, RequestOptions, RequestsAndLists
from pinecone_token_operator.kube.media_types import JSON


class WriteGuard:
    """The API server for those who may write only while this process is the leader.

    A process that was suspended for longer than the Lease lasts resumes with the write that it was
    about to make, while another replica may lead. The guard refuses that write.

    Args:
        api: the API server.
        may_write: whether this process is the leader right now.
    """

    def __init__(self, api: RequestsAndLists, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._may_write = may_write

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        """Return the reply's object.

        Raises:
            ApiError: the API server refused or did not answer, or this process must not write; the
                reason of the latter is `NotLeading`.
        """
        if method != "GET" and not self._may_write():
            raise ApiError(0, "NotLeading", f"{method} {path}: the Lease was not renewed in time")
        return await self._api.request(method, path, **options)

    def pages(
        self,
        path: str,
        *,
        query: Query = (),
        accept: str = JSON,
        received: Callable[[], object] = lambda: None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the pages of a list."""
        return self._api.pages(path, query=query, accept=accept, received=received)
