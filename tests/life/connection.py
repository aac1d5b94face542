"""The operator's connection to the model of the API server: it can fail in many ways."""

import asyncio
import bisect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tests.life.json_copy import json_copy
from tests.life.managed_fields import OPERATOR
from tests.life.paths import SECRETS
from tests.life.refused import RefusedError
from tests.life.small_api import Body, SmallApi


@dataclass(frozen=True, slots=True)
class ListFault:
    """How one list goes wrong.

    Attributes:
        status: the HTTP status that it ends with; 200 ends it as if there were nothing more.
        pages: how many pages are sent before.
    """

    status: int
    pages: int = 0


class Connection:
    """Passes the operator's requests on.

    Args:
        api: the model of the API server.
        received: called at each request for a single object.

    Attributes:
        down: whether no request arrives.
        forbidden: whether writes of Secrets are refused.
        lost_replies: how many replies to the next writes are lost.
        overtaken: how many of the next writes of Secrets are overtaken by someone else's write.
        interleaved: what happens before one of the next requests: how many requests come first,
            and the action.
        requests: the requests for single objects so far: method and path.
        list_faults: what goes wrong with the next lists, by path.
        page_size: how many objects a page of a list has at most.
        page_delay: how many seconds pass before each page after the first.
        listing: the paths of lists that were started.
    """

    def __init__(self, api: SmallApi, received: Callable[[], object]) -> None:
        self._api = api
        self._received = received
        self.down = False
        self.forbidden = False
        self.lost_replies = 0
        self.overtaken = 0
        self.interleaved: list[tuple[int, Callable[[], None]]] = []
        self.requests: list[tuple[str, str]] = []
        self.list_faults: dict[str, list[ListFault]] = {}
        self.page_size = 500
        self.page_delay = 0.0
        self.listing: list[str] = []
        self._watches: list[_Watch] = []
        self._oldest = 0

    async def request(self, method: str, path: str, body: Body | None) -> dict[str, Any]:
        """Return an object.

        Raises:
            RefusedError: the API server refused; status 0 means that no reply arrived.
        """
        await self._arrive()
        self._interleave()
        self.requests.append((method, path))
        self._received()
        writes = method != "GET"
        if writes and path.startswith(SECRETS):
            if self.forbidden:
                raise RefusedError(403, "Forbidden", "exceeded quota: few, requested: secrets=1")
            if self.overtaken and method == "PATCH":
                self.overtaken -= 1
                self._overtake(path)
        answer = self._api.call(method, path, body, by=OPERATOR)
        if writes and self.lost_replies:
            self.lost_replies -= 1
            raise RefusedError(0, "ConnectionFailed", "the reply was lost")
        await asyncio.sleep(0)
        return json_copy(dict(answer))

    async def pages(
        self, path: str, label: str | None, *, metadata_only: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the pages of a list; all of them are of the moment of the first one."""
        await self._arrive()
        self._api.rights.check("list", path)
        self.listing.append(path)
        faults = self.list_faults.get(path)
        fault = faults.pop(0) if faults else None
        version = str(self._api.version)
        items = self._api.items(path, label)
        if metadata_only:
            items = [{"metadata": item["metadata"]} for item in items]
        # An empty list has one page, too.
        for number, first in enumerate(range(0, max(len(items), 1), self.page_size)):
            if number:
                await asyncio.sleep(self.page_delay)
            page = json_copy(items[first : first + self.page_size])
            if fault and number == fault.pages:
                if fault.status != 200:
                    raise RefusedError(fault.status, "", "simulated")
                page = []
            yield {"metadata": {"resourceVersion": version}, "items": page}
            if fault and number == fault.pages:
                return

    async def watch(self, path: str, version: int) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of a collection since a resourceVersion, metadata only."""
        await self._arrive()
        self._api.rights.check("watch", path)
        if version > self._api.version:
            raise RefusedError(504, "Timeout", f"Too large resource version: {version}")
        watch = _Watch(path, version)
        self._watches.append(watch)
        try:
            while True:
                for event in self._since(watch):
                    yield event
                watch.changed.clear()
                if watch.broken:
                    raise RefusedError(0, "ConnectionFailed", "the watch broke")
                await watch.changed.wait()
        finally:
            self._watches.remove(watch)

    # For the simulation

    def notify(self) -> None:
        """Wake the watches because of a change."""
        for watch in self._watches:
            watch.changed.set()

    def break_watches(self, *, compact: bool) -> None:
        """Break all watches; if compacted, they cannot be resumed without a new list."""
        if compact:
            self._oldest = self._api.version
        for watch in self._watches:
            watch.broken = True
            watch.changed.set()

    @property
    def watching(self) -> bool:
        """Return whether there is a watch and it has delivered everything."""
        return any(watch.position >= self._last(watch.path) for watch in self._watches)

    def _last(self, path: str) -> int:
        changes = self._api.changes[path]
        return changes[-1].version if changes else 0

    def _since(self, watch: "_Watch") -> list[dict[str, Any]]:
        if watch.position < self._oldest:
            return [{"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}]
        changes = self._api.changes[watch.path]
        unseen = changes[bisect.bisect(changes, watch.position, key=lambda one: one.version) :]
        if unseen:
            watch.position = unseen[-1].version
        return [
            {"type": change.type, "object": {"metadata": change.object["metadata"]}}
            for change in unseen
        ]

    async def _arrive(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise RefusedError(0, "ConnectionFailed", "no connection")

    def _interleave(self) -> None:
        due = [act for count, act in self.interleaved if count <= 0]
        self.interleaved = [(count - 1, act) for count, act in self.interleaved if count > 0]
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
        self.changed = asyncio.Event()
