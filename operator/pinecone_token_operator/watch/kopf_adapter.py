"""What kopf does here: it tells each event of the resources. The only module that imports kopf."""

import asyncio
import collections
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, Protocol

import aiohttp
import kopf

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from pinecone_token_operator.kube.interfaces import Requests

Tell = Callable[[str | None, dict[str, Any]], object]
"""Takes an event's type (ADDED, MODIFIED, DELETED) and its object."""

IsNews = Callable[[str | None, Mapping[str, Any]], bool]
"""Tells of such an event whether to tell it."""

REQUEST_TIMEOUT: Final = timedelta(seconds=30)
# Seconds between a request's attempts; after these kopf ends, and whoever runs it begins anew.
ERROR_BACKOFFS: Final = (1, 2, 4, 8)
# More answers than this in so short a time: watches that close at once, which kopf reopens at once.
FLOOD: Final = 50
FLOOD_PER_NAMESPACE: Final = 10
FLOOD_WITHIN: Final = timedelta(seconds=30)
FLOOD_PAUSE: Final = timedelta(seconds=1)
# No resource has this name: of kopf's listing just the place in time is wanted.
NOTHING: Final = "metadata.name=-"
# How long kopf keeps a task for an object after its event: a burst of many is many tasks.
WORKER_IDLE: Final = timedelta(seconds=0.1)

# It warns at each start that a thread handles no signals, calls each request that it tries again an
# error, and logs a traceback for each task that an end passes through. Whoever runs it says why it
# ended.
logging.getLogger("kopf").setLevel(logging.CRITICAL)


class WatchApi(Requests, Protocol):
    """What is needed of `kube.Api`; `session` is called in kopf's thread and event loop."""

    @property
    def server(self) -> str:
        """The API server's address."""
        ...

    def session(
        self, around: aiohttp.ClientMiddlewareType
    ) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """Open a session, with something put around each request."""
        ...


class Handlers:
    """One life of kopf. Everything passed in is called in kopf's thread, and must not block.

    Args:
        api: the API server.
        namespaces: the namespaces to watch; none means all.
        tell: told each event that is news.
        listed: called once all watches are about to begin.
        alive: called at each answer of the API server and at each event.
        is_news: asked before `tell`, because most events are of our own writes.
        monotonic: seconds of a clock that never goes back.
        inactivity: after how long without a single byte kopf takes a watch for dead.
        watch_seconds: after how many seconds the API server ends a watch, and kopf begins another.
    """

    def __init__(
        self,
        api: WatchApi,
        namespaces: tuple[str, ...],
        *,
        tell: Tell,
        listed: Callable[[], object],
        alive: Callable[[], object],
        is_news: IsNews,
        monotonic: Callable[[], float],
        inactivity: timedelta,
        watch_seconds: int,
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._tell = tell
        self._listed = listed
        self._alive = alive
        self._is_news = is_news
        self._monotonic = monotonic
        self._inactivity = inactivity
        self._watch_seconds = watch_seconds
        flood = FLOOD + FLOOD_PER_NAMESPACE * len(namespaces)
        self._answers: collections.deque[float] = collections.deque(maxlen=flood)
        self._listings = 0

    async def run(self) -> None:
        """Run kopf in the current event loop until it ends."""
        registry = kopf.OperatorRegistry()
        # One for each life: kopf takes a session that met a 401 for spent, and ends when the login
        # returns the same again. A new one at each login would be tried again without any delay.
        async with self._api.session(self._around) as session:

            @kopf.on.login(registry=registry)
            async def log_in(**_: object) -> kopf.AiohttpSession:
                return kopf.AiohttpSession(server=self._api.server, aiohttp_session=session)

            # A filter, because calling a handler costs kopf as much as the rest of an event.
            def is_news(event: kopf.RawEvent, **_: object) -> bool:
                self._alive()
                return self._is_news(event["type"], event["object"])

            @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, when=is_news)
            async def tell(event: kopf.RawEvent, **_: object) -> None:
                self._tell(event["type"], dict(event["object"]))

            # Left to itself kopf looks up the user's name, which a container need not have, and the
            # host's in DNS.
            identity: Any = "pinecone-token-operator"
            await kopf.operator(
                registry=registry,
                settings=self._settings(),
                identity=identity,
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )

    async def _around(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send one of kopf's requests."""
        lists = request.url.path.endswith(f"/{PLURAL}") and "watch" not in request.url.query
        if lists:
            request.url = request.url.update_query(fieldSelector=NOTHING)
        await self._pace()
        response = await handler(request)
        self._alive()
        self._answers.append(self._monotonic())
        if lists and response.ok:
            self._listings += 1
            if self._listings >= max(1, len(self._namespaces)):
                self._listed()
        return response

    async def _pace(self) -> None:
        """Hold back a request that follows too many others."""
        answers, most = self._answers, self._answers.maxlen or 0
        if len(answers) == most and answers[-1] - answers[0] < FLOOD_WITHIN.total_seconds():
            await asyncio.sleep(FLOOD_PAUSE.total_seconds())

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        # It would watch CustomResourceDefinitions and namespaces, which takes rights on both.
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.process.ultimate_exiting_timeout = None
        settings.queueing.idle_timeout = WORKER_IDLE.total_seconds()
        settings.persistence.diffbase_storage = _NoDiffBase()
        settings.persistence.progress_storage = _NoProgress()
        settings.networking.request_timeout = REQUEST_TIMEOUT.total_seconds()
        settings.networking.error_backoffs = ERROR_BACKOFFS
        settings.watching.inactivity_timeout = self._inactivity.total_seconds()
        settings.watching.server_timeout = self._watch_seconds
        return settings


class _NoDiffBase(kopf.DiffBaseStorage):
    """Compares nothing. kopf builds and compares two states of each event, used or not."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError("there are no handlers of changes")


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing, because handlers of events make no progress."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError("there are no handlers of changes")

    def purge(self, **_: object) -> None:
        pass

    def touch(self, **_: object) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
