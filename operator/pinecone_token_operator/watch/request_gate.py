"""Middleware around kopf's requests, so that one namespace that fails does not end kopf.

kopf ends, with all its watches, when the list or the watch of any namespace is answered with 403,
404 or 410, or with 5xx for longer than its retries, and when a watch carries an ERROR event or a
line that is not JSON. Here such a request waits and is retried instead, by itself and with backoff.
"""

import asyncio
import collections
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.media_types import JSON, METADATA_LIST
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.kube.responses import error_from_reply, parse_object, version_of_list
from pinecone_token_operator.kube.transport_errors import api_errors
from pinecone_token_operator.kube.versions import is_newer
from pinecone_token_operator.watch.event_stream import EventStream, Predicate
from pinecone_token_operator.watch.health import Namespace

REQUEST_TIMEOUT: Final = timedelta(seconds=30)
FIRST_DELAY: Final = timedelta(seconds=1)
MAX_DELAY: Final = timedelta(seconds=30)
# A watch that lasted this long works: the next failure is the first.
SETTLED: Final = timedelta(seconds=10)
# kopf opens a watch right after a list. Until then no store can have been restored.
RECENT: Final = timedelta(seconds=1)
# A watch that is open this long is established: one that only carries an error has ended by then.
ESTABLISHED: Final = timedelta(seconds=0.5)
# More requests than this in so short a time mean watches that close at once, which kopf reopens
# without a delay.
FLOOD: Final = 10
FLOOD_WITHIN: Final = timedelta(seconds=10)
FLOOD_PAUSE: Final = timedelta(seconds=1)
# No resource has this name: of kopf's list only the resourceVersion is needed.
NOTHING: Final = "metadata.name=-"


@dataclass(slots=True)
class _Collection:
    namespace: Namespace
    failures: int = 0
    failed: bool = False
    retry_at: float = float("-inf")
    listed_at: float | None = None  # until the first watch that follows the list
    opened_at: float = float("-inf")
    requests: collections.deque[float] = field(
        default_factory=lambda: collections.deque(maxlen=FLOOD)
    )
    establishing: asyncio.TimerHandle | None = None


class RequestGate:
    """Sends kopf's requests. Everything is called in kopf's thread, and must not block.

    Args:
        resource: the kind that kopf watches.
        namespaces: the namespaces that it watches; none means all, or a cluster-scoped kind.
        listed: called with a namespace when events may have been missed there, and whatever is
            listed from then on is kept up to date.
        established: called with a namespace whose watch works.
        failed: called with a namespace whose list or watch failed, and why.
        progress: called whenever the API server replies or sends something.
        is_relevant: returns whether kopf needs an event.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.

    Attributes:
        session: the session to which this is the middleware; set by its owner.
    """

    def __init__(
        self,
        resource: ApiResource,
        namespaces: tuple[str, ...],
        *,
        listed: Callable[[Namespace], object],
        established: Callable[[Namespace], object],
        failed: Callable[[Namespace, ApiError], object],
        progress: Callable[[], object],
        is_relevant: Predicate,
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._collections = {
            resource.collection(each): _Collection(each) for each in namespaces or (None,)
        }
        self._listed = listed
        self._established = established
        self._failed = failed
        self._progress = progress
        self._is_relevant = is_relevant
        self._monotonic = monotonic
        self._rng = rng
        self.session: aiohttp.ClientSession | None = None

    async def send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send one of kopf's requests, until the reply is one that kopf can handle."""
        collection = self._collections.get(request.url.path)
        if collection is None or request.headers.get("Accept") == METADATA_LIST:
            async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds()):
                response = await handler(request)
            self._progress()
            return response
        is_watch = "watch" in request.url.query
        if not is_watch:
            request.url = request.url.update_query(fieldSelector=NOTHING)
        while True:
            await self._wait(collection)
            try:
                if is_watch:
                    await self._correct_position(request, collection)
                response = await self._reply(request, handler, is_watch=is_watch)
            except ApiError as error:
                self._progress()
                if is_watch and error.gone:
                    await self._restart(request, collection)
                else:
                    self._fail(collection, error)
                continue
            if is_watch:
                self._open(collection, response)
            else:
                collection.listed_at = self._monotonic()
                self._listed(collection.namespace)
            return response

    async def _wait(self, collection: _Collection) -> None:
        """Wait for the backoff after a failure, and slow down requests that follow many others."""
        now = self._monotonic()
        pause = collection.retry_at - now
        requests = collection.requests
        if len(requests) == FLOOD and now - requests[0] < FLOOD_WITHIN.total_seconds():
            pause = max(pause, FLOOD_PAUSE.total_seconds())
        if pause > 0:
            await asyncio.sleep(pause)
        requests.append(self._monotonic())

    async def _reply(
        self,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
        *,
        is_watch: bool,
    ) -> aiohttp.ClientResponse:
        with api_errors(f"GET {request.url.path}"):
            async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds()):
                response = await handler(request)
                self._progress()
                if response.ok and is_watch:
                    return response
                content = await response.read()  # kopf reads the same
        if not response.ok:
            raise error_from_reply(response.status, content)
        version_of_list(parse_object(response.status, content))
        if response.content_type != JSON:
            raise ApiError(response.status, "InvalidReply", "The reply is not declared as JSON")
        return response

    def _open(self, collection: _Collection, response: aiohttp.ClientResponse) -> None:
        """Check the events of a watch, and report it as established once it has lasted a moment."""

        def established() -> None:
            if collection.failed:
                collection.failed = False
                # A list in this namespace may have failed too.
                self._listed(collection.namespace)
            self._established(collection.namespace)

        collection.opened_at = self._monotonic()
        collection.establishing = asyncio.get_running_loop().call_later(
            ESTABLISHED.total_seconds(), established
        )
        stream: Any = EventStream(
            response.content,
            progress=self._progress,
            failed=lambda error: self._fail(collection, error),
            is_relevant=self._is_relevant,
        )
        response.content = stream

    def _fail(self, collection: _Collection, error: ApiError) -> None:
        now = self._monotonic()
        if collection.establishing:
            collection.establishing.cancel()
            collection.establishing = None
        if now - collection.opened_at >= SETTLED.total_seconds():
            collection.failures = 0
        delay = backoff(collection.failures, first=FIRST_DELAY, longest=MAX_DELAY, rng=self._rng)
        collection.failures += 1
        collection.failed = True
        collection.retry_at = now + delay.total_seconds()
        self._failed(collection.namespace, error)

    async def _correct_position(
        self, request: aiohttp.ClientRequest, collection: _Collection
    ) -> None:
        """Restart a watch from now if its resourceVersion is newer than the store.

        After the API server's store was restored from a backup, its versions are older. A watch
        from a version that it has not reached yet stays open, but delivers nothing until then.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        listed_at, collection.listed_at = collection.listed_at, None
        if listed_at is not None and self._monotonic() - listed_at < RECENT.total_seconds():
            return
        position = request.url.query.get("resourceVersion", "0")
        if is_newer(position, await self._latest(request)):
            await self._restart(request, collection)

    async def _restart(self, request: aiohttp.ClientRequest, collection: _Collection) -> None:
        """Start the watch from the current resourceVersion, and request a relist."""
        try:
            latest = await self._latest(request)
        except ApiError as error:
            self._fail(collection, error)
            return
        request.url = request.url.update_query(resourceVersion=latest)
        self._listed(collection.namespace)

    async def _latest(self, request: aiohttp.ClientRequest) -> str:
        """Return the resourceVersion of the collection as of now."""
        if self.session is None:
            raise AssertionError("the gate's owner sets its session")
        path = request.url.path
        with api_errors(f"GET {path}"):
            async with (
                asyncio.timeout(REQUEST_TIMEOUT.total_seconds()),
                self.session.get(
                    request.url.with_query(limit="1"), headers={"Accept": METADATA_LIST}
                ) as response,
            ):
                content = await response.read()
        if response.status != HTTPStatus.OK:
            raise error_from_reply(response.status, content)
        page = parse_object(response.status, content)
        return version_of_list(page)
