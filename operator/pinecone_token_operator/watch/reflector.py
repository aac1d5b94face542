"""Reflector: lists and watches the metadata of a kind, and passes on what it finds.

It differs from client-go's in that it requests `PartialObjectMetadata`, so it never receives data,
and leaves it to the store what to keep.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, NoReturn, Protocol

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import ApiServer
from pinecone_token_operator.kube.media_types import METADATA, METADATA_LIST
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.kube.responses import error_from_event, version_of_list
from pinecone_token_operator.kube.versions import is_newer
from pinecone_token_operator.watch.health import Namespace, WatchHealth

WATCH_SECONDS: Final = (270, 310)
# Bookmarks come about once a minute; silence beyond that is a connection that died unnoticed.
INACTIVITY: Final = timedelta(seconds=70)
# Events that were lost on the way, for example in a proxy, are found by then.
RELIST_EVERY: Final = timedelta(minutes=30)
# A watch that ends sooner than this counts as failed, even without an error.
SETTLED: Final = timedelta(seconds=10)
FIRST_DELAY: Final = timedelta(seconds=0.5)
MAX_DELAY: Final = timedelta(seconds=30)
# A server that closes a watch without an error works, so its events should not wait for long.
MAX_DELAY_AFTER_CLOSE: Final = timedelta(seconds=5)

logger = logging.getLogger(__name__)

Item = Mapping[str, Any]
"""An object without spec and data."""


class Store(Protocol):
    """What a reflector keeps up to date. Nothing here may block."""

    def begin_list(self) -> None:
        """Prepare for a list. One that fails ends with the next call of this."""
        ...

    def add(self, item: Item) -> None:
        """Take an object of the list."""
        ...

    def end_list(self, *, restored: bool) -> None:
        """Take the list as the truth.

        Args:
            restored: whether the API server's store was restored from a backup, so that its
                versions do not compare to former ones.
        """
        ...

    def change(self, event_type: str, item: Item) -> None:
        """Take an event: ADDED, MODIFIED or DELETED."""
        ...


class Reflector:
    """Keeps a store up to date.

    Args:
        api: the API server.
        resource: the kind.
        namespace: the namespace; None means all, or a cluster-scoped kind.
        store: what to keep up to date.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.
        health: the state of all watches; by default of this one only.
        field_selector: which objects to request; empty means all.
        inactivity: how long a watch may receive nothing before it counts as dead.
        scope: what the state of the watch is reported for, if not for the namespace.

    Attributes:
        last_progress: when the API server last sent something, or an error was handled, in seconds
            of `monotonic`: an API server outage must not restart the process.
        synced: set once a whole list has been read.
        begun: set once a whole list has been read, or has failed.
        is_current: whether the store is up to date, apart from events in flight.
    """

    def __init__(
        self,
        api: ApiServer,
        resource: ApiResource,
        namespace: Namespace,
        *,
        store: Store,
        monotonic: Callable[[], float],
        rng: random.Random,
        health: WatchHealth | None = None,
        field_selector: str = "",
        inactivity: timedelta = INACTIVITY,
        scope: Namespace = None,
    ) -> None:
        self._api = api
        self._path = resource.collection(namespace)
        self._what = resource.plural
        self._namespace = namespace or scope
        names = ("name", "uid", "resourceVersion")
        self._required = (*names, "namespace") if resource.namespaced else names
        self._store = store
        self._monotonic = monotonic
        self._rng = rng
        self._health = health or WatchHealth()
        self._selector = [("fieldSelector", field_selector)] if field_selector else []
        self._inactivity = inactivity
        self._position: str | None = None  # resourceVersion to watch from; None: list first
        self._relist_at = float("inf")
        self.last_progress = monotonic()
        self.synced = asyncio.Event()
        self.begun = asyncio.Event()
        self.is_current = False
        self._health.expect(self._what, self._namespace)

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        failures = 0
        while True:
            error: ApiError | None = None
            started = self._monotonic()
            try:
                if not await self._can_resume():
                    await self._list()
                started = self._monotonic()
                await self._watch()
            except ApiError as caught:
                error = caught
            self._progress()
            if self._monotonic() - started >= SETTLED.total_seconds():
                failures = 0
                if error is None:
                    continue
            if error:
                self._fail(error)
            longest = MAX_DELAY if error else MAX_DELAY_AFTER_CLOSE
            delay = backoff(failures, first=FIRST_DELAY, longest=longest, rng=self._rng)
            failures += 1
            reason = error or "the server closed it at once"
            logger.debug("The watch of %s ended (%s); retrying in %s", self._path, reason, delay)
            await asyncio.sleep(delay.total_seconds())

    def _fail(self, error: ApiError) -> None:
        self.begun.set()
        if not error.is_transient:
            self._position = None
        if not error.gone:
            self.is_current = False
            self._health.failed(self._what, self._namespace, error)

    async def _can_resume(self) -> bool:
        """Return whether to watch from the last position.

        After the API server's store was restored from a backup, its versions are older. A watch
        from a version that it has not reached yet stays open, but delivers nothing until then. A
        server that was away for a while may have been restored and have passed that version, too.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        if self._position is None or self._monotonic() >= self._relist_at:
            return False
        try:
            latest = await self._latest()
        except ApiError:
            self._relist_at = float("-inf")
            raise
        return not is_newer(self._position, latest)

    async def _latest(self) -> str:
        query = [*self._selector, ("limit", "1")]
        page = await self._api.request("GET", self._path, query=query, accept=METADATA_LIST)
        self._progress()
        return version_of_list(page)

    async def _list(self) -> None:
        """Read all pages, and note where to watch from."""
        self._store.begin_list()
        position = ""
        pages = self._api.pages(
            self._path, query=self._selector, accept=METADATA_LIST, received=self._progress
        )
        async for page in pages:
            position = version_of_list(page)
            for item in page.get("items") or ():
                if not self._is_whole(item):
                    raise _malformed("list")
                self._store.add(item)
        restored = self._position is not None and is_newer(self._position, position)
        self._store.end_list(restored=restored)
        self._position = position
        every = RELIST_EVERY.total_seconds() * self._rng.uniform(0.9, 1.1)
        self._relist_at = self._monotonic() + every
        self.synced.set()
        self.begun.set()

    async def _watch(self) -> None:
        query = [
            *self._selector,
            ("resourceVersion", self._position or ""),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(self._rng.randint(*WATCH_SECONDS))),
        ]
        events = self._api.watch(
            self._path,
            query=query,
            accept=METADATA,
            inactivity=self._inactivity,
            received=self._receive,
        )
        # On an exception, a generator would hold its connection until it is garbage collected.
        async with aclosing(events):
            async for event in events:
                self._take(event)

    def _receive(self) -> None:
        self._progress()
        if not self.is_current:
            self.is_current = True
            self._health.established(self._what, self._namespace)

    def _take(self, event: Mapping[str, Any]) -> None:
        event_type, item = event.get("type"), event.get("object")
        if event_type == "ERROR":
            raise error_from_event(item)
        if not isinstance(item, dict) or not (
            self._is_whole(item) or (event_type == "BOOKMARK" and _has(item, "resourceVersion"))
        ):
            raise _malformed("watch")
        self._position = item["metadata"]["resourceVersion"]
        if event_type in ("ADDED", "MODIFIED", "DELETED"):
            self._store.change(event_type, item)

    def _is_whole(self, item: object) -> bool:
        return isinstance(item, dict) and _has(item, *self._required)

    def _progress(self) -> None:
        self.last_progress = self._monotonic()


def _has(item: Item, *names: str) -> bool:
    metadata = item.get("metadata")
    return isinstance(metadata, dict) and all(isinstance(metadata.get(name), str) for name in names)


def _malformed(what: str) -> ApiError:
    return ApiError(HTTPStatus.OK, "InvalidReply", f"An object of the {what} is malformed")
