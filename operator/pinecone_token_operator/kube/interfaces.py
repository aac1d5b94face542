"""What the rest of the operator needs of the API server.

`client.Api` provides all of it. Others depend on the part they use, so that the write guard can
stand in front of the API server and a test can provide a part.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypedDict, Unpack

Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""An object or a merge patch, or the operations of a JSON patch."""

Query = Sequence[tuple[str, str]]
"""Query parameters, unescaped."""


class RequestOptions(TypedDict, total=False):
    """What a request may carry besides its method and path.

    Attributes:
        body: sent as JSON.
        query: query parameters.
        content_type: the media type of the body; see `media_types`.
        accept: the media type of the reply.
        timeout: for the whole request.
    """

    body: Body | None
    query: Query
    content_type: str
    accept: str
    timeout: timedelta


class Requests(Protocol):
    """Single requests."""

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        """Return the reply's object, or raise `ApiError`."""
        ...


class Lists(Protocol):
    """Lists of any length."""

    def pages(
        self,
        path: str,
        *,
        query: Query = (),
        accept: str = ...,
        received: Callable[[], object] = ...,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the pages of a list, or raise `ApiError`.

        `received` is called whenever a part of a page arrives.
        """
        ...


class Watches(Protocol):
    """Watches."""

    def watch(
        self,
        path: str,
        *,
        query: Query,
        accept: str = ...,
        inactivity: timedelta,
        received: Callable[[], object] = ...,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield watch events until the server closes the watch, or raise `ApiError`.

        `received` is called once the watch is established, and whenever something arrives.
        """
        ...


class RequestsAndLists(Requests, Lists, Protocol):
    """Single requests and lists."""


class RequestsAndWatches(Requests, Watches, Protocol):
    """Single requests and watches."""


class ApiServer(Requests, Lists, Watches, Protocol):
    """All of them."""
