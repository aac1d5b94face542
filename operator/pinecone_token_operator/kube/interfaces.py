"""What is needed of the API server; `kube.Api` gives all of it, and a test may give a part."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""An object, or the operations of a JSON patch."""


class Requests(Protocol):
    """Single requests."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Return the reply's object, or raise `ApiError`."""
        ...


class Lists(Protocol):
    """Lists of whatever length."""

    def pages(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "application/json",
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the pages of a list, or raise `ApiError`."""
        ...


class Watches(Protocol):
    """Watches."""

    def watch(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]],
        accept: str = "application/json",
        inactivity: timedelta,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield watch events until the server closes, or raise `ApiError`."""
        ...


class RequestsAndLists(Requests, Lists, Protocol):
    """Both."""


class ListsAndWatches(Lists, Watches, Protocol):
    """Both."""
