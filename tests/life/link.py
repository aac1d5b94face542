"""The operator's way to the model of the API server, which may be cut, refused or overtaken."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Unpack

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import RequestOptions
from tests.life.small_api import SECRETS, SmallApi

_PAGE_OF_METADATA = "as=PartialObjectMetadataList"


class Link:
    """What `kube.Api` offers.

    Attributes:
        down: whether no request arrives.
        forbidden: whether writes of Secrets are refused.
        lost: how many replies to writes are still to be lost.
        raced: how many writes of Secrets somebody else is still to overtake.
        meanwhile: what others do before one of the next requests: how many come first, and what.
        asked: the requests for single objects: method and path.
    """

    def __init__(self, api: SmallApi) -> None:
        self._api = api
        self.down = False
        self.forbidden = False
        self.lost = 0
        self.raced = 0
        self.meanwhile: list[tuple[int, Callable[[], None]]] = []
        self.asked: list[tuple[str, str]] = []
        self._watches: list[_Watch] = []
        self._oldest = 0

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        body = options.get("body")
        if method == "PATCH":
            kind = "json" if isinstance(body, list) else "merge"
            assert options.get("content_type") == f"application/{kind}-patch+json"
        await self._arrive()
        self._let_others()
        self.asked.append((method, path))
        writes = method != "GET"
        if writes and path.startswith(SECRETS):
            if self.forbidden:
                raise ApiError(403, "Forbidden", "exceeded quota: few, requested: secrets=1")
            if self.raced and method == "PATCH":
                self.raced -= 1
                self._overtake(path)
        answer = self._api.call(method, path, body)
        if writes and self.lost:
            self.lost -= 1
            raise ApiError(0, "ConnectionFailed", "the reply was lost")
        await asyncio.sleep(0)
        return answer

    async def pages(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "application/json",
        received: Callable[[], object] = lambda: None,
    ) -> AsyncIterator[dict[str, Any]]:
        await self._arrive()
        received()
        items = self._api.items(path, dict(query).get("labelSelector"))
        if _PAGE_OF_METADATA in accept:
            items = [{"metadata": item["metadata"]} for item in items]
        yield {"metadata": {"resourceVersion": str(self._api.version)}, "items": items}

    async def watch(
        self, path: str, *, query: Sequence[tuple[str, str]], **_: object
    ) -> AsyncGenerator[dict[str, Any], None]:
        await self._arrive()
        position = int(dict(query)["resourceVersion"])
        watch = _Watch(path, position)
        self._watches.append(watch)
        try:
            while True:
                for event in self._since(watch):
                    yield event
                watch.news.clear()
                if watch.broken:
                    raise ApiError(0, "ConnectionFailed", "the watch broke")
                await watch.news.wait()
        finally:
            self._watches.remove(watch)

    # Trouble

    def tell(self) -> None:
        """Wake the watches, as there is a change."""
        for watch in self._watches:
            watch.news.set()

    def break_watches(self, *, compact: bool) -> None:
        """Cut all watches; if compacted, what they missed cannot be told any more."""
        if compact:
            self._oldest = self._api.version
        for watch in self._watches:
            watch.broken = True
            watch.news.set()

    @property
    def watching(self) -> bool:
        """Whether there is a watch and it has told all."""
        return any(watch.position >= self._last(watch.path) for watch in self._watches)

    def _last(self, path: str) -> int:
        return max(
            (one.version for one in self._api.changes if one.path.startswith(path)), default=0
        )

    def _since(self, watch: "_Watch") -> list[dict[str, Any]]:
        if watch.position < self._oldest:
            return [{"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}]
        events = []
        for change in self._api.changes:
            if change.version > watch.position and change.path.startswith(watch.path):
                watch.position = change.version
                events.append(
                    {"type": change.type, "object": {"metadata": change.object["metadata"]}}
                )
        return events

    async def _arrive(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise ApiError(0, "ConnectionFailed", "no connection")

    def _let_others(self) -> None:
        due = [act for count, act in self.meanwhile if count <= 0]
        self.meanwhile = [(count - 1, act) for count, act in self.meanwhile if count > 0]
        for act in due:
            act()

    def _overtake(self, path: str) -> None:
        found = self._api.find(path)
        count = int((found or {}).get("metadata", {}).get("annotations", {}).get("touched", "0"))
        if found:
            self._api.call(
                "PATCH", path, {"metadata": {"annotations": {"touched": f"{count + 1}"}}}
            )


class _Watch:
    def __init__(self, path: str, position: int) -> None:
        self.path = path
        self.position = position
        self.broken = False
        self.news = asyncio.Event()
